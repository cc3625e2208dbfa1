"""REST, in the venue's own requests: before anything is played the adapter's own client is asked once for each instrument, so
that it is known which request means what, whichever venue it is.
"""

from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from itertools import chain
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from adapters.base import BadFrame, Endpoints, MarketData, Reading, Rest, Snapshots, VenueError, own_symbol
from pipelines.player.defining import made_definition
from pipelines.player.recording import Recording
from topics.market import Instrument
from topics.record import InstrumentId

_read = msgspec.json.Decoder(float_hook=Decimal)
_write = msgspec.json.Encoder(decimal_format="number")

Book = Callable[[InstrumentId], Awaitable[bytes | None]]


class Asked(NamedTuple):
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: bytes

    @classmethod
    async def of(cls, request: web.Request) -> "Asked":
        query = tuple(sorted((str(name), str(value)) for name, value in request.query.items()))
        return cls(request.method, request.path, query, await request.read())


class Answers:
    """``book`` gives the body of a snapshot as of now, or None where there is none."""

    def __init__(self, recording: Recording, book: Book) -> None:
        self.asked = 0
        self.undefined: list[InstrumentId] = []
        self._recording = recording
        self._book = book
        self._definitions: dict[Asked, bytes] = {}
        self._books: dict[Asked, InstrumentId] = {}
        self._offered: bytes | None = None
        self._heard: Asked | None = None

    async def learn(self, url: str) -> None:
        """``url`` is where ``handle`` answers."""
        rest = self._recording.adapter.rest(Endpoints(rest_url=url))
        try:
            for instrument, symbol in self._recording.symbols.items():
                await self._learn_definition(rest, instrument, symbol)
                if self._recording.adapter.rules.snapshots is Snapshots.REST:
                    await self._learn_book(rest, instrument, symbol)
        finally:
            self._offered = None
            await rest.close()

    async def _learn_definition(self, rest: Rest, instrument: InstrumentId, symbol: str) -> None:
        """The first recorded answer that the adapter reads its definition from."""
        spelled = {own_symbol(symbol), own_symbol(self._recording.spoken.get(instrument, symbol))}
        for candidate in chain(candidates(self._recording.bodies, spelled), self._made(instrument)):
            self._offer(candidate)
            try:
                frame = await rest.definition(symbol)
            except VenueError:
                continue
            if defines(self._recording.adapter, self._recording.venue, instrument, frame):
                if self._heard is not None:
                    self._definitions[self._heard] = candidate
                return
        self.undefined.append(instrument)

    def _offer(self, body: bytes) -> None:
        """To what is asked next, if anything: a client that has the venue's list asks for it no more."""
        self._offered, self._heard = body, None

    def _made(self, instrument: InstrumentId) -> Iterator[bytes]:
        """Nobody recorded one."""
        made = made_definition(self._recording, instrument)
        if made is not None:
            yield made

    async def _learn_book(self, rest: Rest, instrument: InstrumentId, symbol: str) -> None:
        self._offer(next((body for of, body in self._recording.depth.values() if of == instrument), b"{}"))
        try:
            await rest.depth(symbol)
        except VenueError:
            pass  # the request was heard, whatever became of it
        if self._heard is not None:
            self._books[self._heard] = instrument

    async def handle(self, request: web.Request) -> web.Response:
        asked = await Asked.of(request)
        if self._offered is not None:
            self._heard = asked
            return _json(self._offered)
        self.asked += 1
        if asked in self._definitions:
            return _json(self._definitions[asked])
        if asked in self._books:
            body = await self._book(self._books[asked])
            return _json(b'{"error":"no book yet"}', 503) if body is None else _json(body)
        return _json(b'{"error":"the recording has no such answer"}', 404)


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")


def defines(adapter: MarketData, venue: str, instrument: InstrumentId, frame: bytes) -> bool:
    try:
        parsed = adapter.parse(frame, Reading(venue, instrument, 0, 0, {}))
    except BadFrame:
        return False
    return any(isinstance(record, Instrument) and record.instrument == instrument for record in parsed or ())


def candidates(bodies: list[bytes], spelled: set[str]) -> Iterator[bytes]:
    """Answers that may define an instrument: as recorded; with the one row of a list that is about it; that row in the list's
    place; the row alone. Venues differ in what they tell of one.
    """
    names = {name.lower() for name in spelled}
    for body in bodies:
        text = body.replace(b"\\/", b"/").lower()
        if any(name.encode() in text for name in names):
            yield body
            try:
                whole = _read.decode(body)
            except ValueError:
                continue
            for path, row in _rows(whole, names):
                for made in _narrowed(whole, path, row):
                    yield _write.encode(made)


Path = tuple[str | int, ...]


def _narrowed(whole: Any, path: Path, row: Any) -> Iterator[Any]:
    last = path[-1]
    yield _put(whole, path[:-1], {last: row} if isinstance(last, str) else [row])
    yield _put(whole, path[:-1], row)
    yield row


def _rows(found: Any, names: set[str], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Objects that have the name for a value, the outer ones first, and the way to each."""
    if isinstance(found, dict):
        if path and any(isinstance(value, str) and value.lower() in names for value in found.values()):
            yield path, found
            return
        inside: Any = found.items()
    else:
        inside = enumerate(found)
    for at, value in inside:
        if isinstance(value, dict | list):
            yield from _rows(value, names, (*path, at))


def _put(whole: Any, path: Path, value: Any) -> Any:
    """``whole`` with another value at ``path``; the rest is not copied."""
    if not path:
        return value
    if isinstance(whole, dict):
        return {**whole, path[0]: _put(whole[path[0]], path[1:], value)}
    at = path[0]
    return [_put(one, path[1:], value) if n == at else one for n, one in enumerate(whole)]
