"""Frames to ``market.raw``. Those that arrive together travel together, one record per instrument; when it is quiet
nothing waits.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from adapters.base import answer_url, is_damaged, read_own
from infra.captures import Item, Kind, Writer
from infra.edge import Edge
from pipelines.raw import encode_line
from topics.catalog import MARKET_RAW
from topics.record import InstrumentId, Venue

RECORD_MOST = 4 * 1024 * 1024
"""Bytes after which lines are written without waiting for more; one frame alone may be larger."""


class RawWriter:
    """``symbols_in`` finds what a frame is about by a cheap scan; what is not ours goes under ``<venue>:``. A frame about
    several instruments goes to each. ``capture`` gets everything too, each frame once. ``instrument_of`` knows the venue's other
    spellings of an instrument, where it has or had some.
    """

    def __init__(
        self,
        edge: Edge,
        venue: Venue,
        instruments: Mapping[str, InstrumentId],
        symbols_in: Callable[[bytes, str], Sequence[str]],
        capture: Writer | None = None,
        instrument_of: Callable[[str], InstrumentId] | None = None,
    ) -> None:
        self.frames = 0
        self.last_ns = 0
        self._edge = edge
        self._rest = f"{venue}:"
        self._keys = _Keys(instruments, self._rest, instrument_of)
        self._symbols_in = symbols_in
        self._capture = capture
        self._pending: dict[str, list[bytes]] = {}
        self._bytes = 0
        self._wake = asyncio.Event()

    def opened(self, connection: str, url: str, beside: str = "") -> None:
        """A connection began; only a capture has a place for it where no instrument does."""
        if self._capture is not None:
            self._capture.write(Item(time.time_ns(), Kind.OPENED, connection, url, beside.encode()))

    def closed(self, connection: str, beside: str) -> None:
        if self._capture is not None:
            self._capture.write(Item(time.time_ns(), Kind.CLOSED, connection, "", beside.encode()))

    def frame(self, frame: bytes, connection: str, url: str, any_of: Sequence[str] = (), is_copy: bool = False) -> None:
        """One from the venue's stream at ``url``, received now. ``any_of``: symbols that it may be about where it is damaged.
        ``is_copy``: the one before once more, by its number; kept under ``<venue>:``, where it changes nothing.
        """
        now = time.time_ns()
        if self._capture is not None:
            self._capture.write(Item(now, Kind.FRAME, connection, "", frame))
        symbols = () if is_copy else self._symbols_in(frame, url)
        keys = dict.fromkeys(self._keys[symbol] for symbol in symbols) if symbols else {self._rest: None}
        if any_of and not is_copy and self._rest in keys and is_damaged(frame):
            keys |= dict.fromkeys(self._keys[symbol] for symbol in any_of)
        for key in keys:
            self._add(now, key, frame)

    def wrapped(self, venue_symbol: str, frame: bytes) -> None:
        """One of ours about a symbol: a REST answer, or what the edge saw of a connection."""
        now = time.time_ns()
        own = read_own(frame)
        if self._capture is not None and own is not None and own.event is None:
            self._capture.write(Item(now, Kind.ANSWER, "", answer_url(own.what, own.symbol), own.body))
        self._add(now, self._keys[venue_symbol], frame)

    def _add(self, now: int, key: str, frame: bytes) -> None:
        self.frames += 1
        self.last_ns = now
        line = encode_line(self.last_ns, key, frame)
        self._pending.setdefault(key, []).append(line)
        self._bytes += len(line)
        if self._bytes >= RECORD_MOST:
            self.flush()
        else:
            self._wake.set()

    def flush(self) -> None:
        pending, self._pending, self._bytes = self._pending, {}, 0
        for key, lines in pending.items():
            self._edge.publish_raw(MARKET_RAW, key, b"\n".join(lines))

    async def run(self) -> None:
        """Write whatever came while the loop was busy; EdgeFailed when the broker's answer is fatal."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self.flush()


class _Keys(dict[str, str]):
    """By the spelling in a frame. Of what is not ours nothing is kept: there is no end to it."""

    def __init__(
        self, instruments: Mapping[str, InstrumentId], rest: str, instrument_of: Callable[[str], InstrumentId] | None
    ) -> None:
        super().__init__(instruments)
        self._ours = frozenset(instruments.values())
        self._rest = rest
        self._instrument_of = instrument_of

    def __missing__(self, symbol: str) -> str:
        try:
            key = self._rest if self._instrument_of is None else self._instrument_of(symbol)
        except ValueError:
            return self._rest
        if key not in self._ours:
            return self._rest
        self[symbol] = key
        return key
