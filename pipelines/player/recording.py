"""What a recording is about: its instruments, which connection spoke of them, and the answers of REST it has."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from adapters.base import Snapshots, answered
from infra.captures import Item, Kind, read
from infra.errors import Problem
from pipelines.recorded_venue import recorded_venue
from topics.record import InstrumentId


class Place(NamedTuple):
    """The ``n``-th item of a recording."""

    n: int
    item: Item


class Recording:
    """``depth``: the recorded books of REST, by place. ``bodies``: its other answers, each once. ``spoken``: the spelling that
    frames have, which may be an older one than ``symbols`` has; ``samples``: a frame about each. Problem where it cannot be played.
    """

    def __init__(self, paths: Sequence[Path], venue: str = "") -> None:
        self.paths = tuple(paths)
        self.venue, self.adapter = recorded_venue(self.paths, venue)
        self.symbols: dict[InstrumentId, str] = {}
        self.spoken: dict[InstrumentId, str] = {}
        self.samples: dict[InstrumentId, bytes] = {}
        self.connections: dict[str, set[InstrumentId]] = {}
        self.depth: dict[int, tuple[InstrumentId, bytes]] = {}
        self.bodies: list[bytes] = []
        self.frames = 0
        self.first_ns = self.last_ns = 0
        self._counts: Counter[InstrumentId] = Counter()
        self._ids: dict[str, InstrumentId | None] = {}
        self._urls: dict[str, str] = {}
        self._look()

    def places(self) -> Iterator[Place]:
        """From the beginning; connections are known by their URLs again."""
        self._urls = {}
        for n, item in enumerate(read(self.paths)):
            if item.kind is Kind.OPENED:
                self._urls[item.connection] = item.about
            yield Place(n, item)

    def instruments_of(self, item: Item) -> list[InstrumentId]:
        """Whom a frame is about."""
        found = self.adapter.symbols_in(item.data, self._urls.get(item.connection, ""))
        return [i for symbol in found if (i := self._ids.get(symbol) or self._instrument(symbol)) is not None]

    def busiest(self) -> list[InstrumentId]:
        """All instruments, those of the most frames first."""
        return [instrument for instrument, _ in self._counts.most_common()]

    def _instrument(self, symbol: str) -> InstrumentId | None:
        if symbol not in self._ids:
            try:
                instrument = self.adapter.instrument_of(self.venue, symbol)
                self.symbols[instrument] = self.adapter.venue_symbol(instrument)
            except ValueError:
                self._ids[symbol] = None
            else:
                self._ids[symbol] = instrument
                self.spoken[instrument] = symbol
        return self._ids[symbol]

    def _look(self) -> None:
        unnamed: list[tuple[int, bytes]] = []
        for n, item in self.places():
            if item.kind is Kind.FRAME:
                self.frames += 1
                self.first_ns, self.last_ns = self.first_ns or item.ts, item.ts
                found = self.instruments_of(item)
                self._counts.update(found)
                self.connections.setdefault(item.connection, set()).update(found)
                for instrument in found:
                    if self.samples.get(instrument, b"{").startswith(b"{"):
                        self.samples[instrument] = item.data  # of Kraken's two versions the older sends arrays
            elif item.kind is Kind.ANSWER:
                self._look_at_answer(n, item, unnamed)
        if not self.symbols:
            raise Problem(f"{self.paths[0]}: no frame of {self.venue} is about an instrument")
        if len(self.symbols) == 1:
            self.depth |= {n: (next(iter(self.symbols)), body) for n, body in unnamed}
        if self.adapter.rules.snapshots is Snapshots.REST and not self.depth:
            raise Problem(
                f"{self.paths[0]}: no depth snapshot in this capture (it continues another), so it has no book"
            )

    def _look_at_answer(self, n: int, item: Item, unnamed: list[tuple[int, bytes]]) -> None:
        answer = answered(item.about) or self.adapter.answer(item.about, item.data)
        if answer is None or answer.what != "depth":
            if item.data not in self.bodies:
                self.bodies.append(item.data)
        elif not answer.venue_symbol:
            unnamed.append((n, item.data))
        elif (instrument := self._instrument(answer.venue_symbol)) is not None:
            self.depth[n] = (instrument, item.data)
