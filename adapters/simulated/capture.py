"""A recorded capture of one spot instrument: read, checked, and played at its own pace or faster.

Lines are `<local nanoseconds> <raw JSON>`: REST depth snapshots (`lastUpdateId`, `bids`, `asks`) and combined stream
frames of depth, bookTicker and trade, as `shared/data/hftbacktest/spot` has them. Frames are published as recorded but
for their times: a moment of the recording becomes `start + (moment - first) / speed`. The venue's recorded clock and
the recorder's differ; the venue's is shifted so that no frame was sent later than it was received.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator, Sequence
from heapq import merge
from pathlib import Path
from typing import Any

import msgspec
import orjson

from adapters.simulated.instruments import TABLE, Instrument, infer
from adapters.simulated.model import BestQuote, BookDelta, BookSnapshot, MarketTrade, Printed, Recorded
from adapters.simulated.players import Progress
from adapters.simulated.units import units
from adapters.simulated.venue import Venue

MS = 1_000_000
BATCH = 200


class CaptureError(Exception):
    """The file cannot be played; the text is one line that says why."""


class Frame(msgspec.Struct, frozen=True):
    """One line: when it was received, under which names it is published ("" for a snapshot), and what it says.

    `parts` are the raw bytes of the frame's `data` around its times (`E`, `T`), which are in `times` in milliseconds.
    """

    local_ns: int
    streams: tuple[str, ...]
    recorded: Recorded
    parts: tuple[bytes, ...]
    times: tuple[int, ...]
    trade_id: int = -1


class Capture(msgspec.Struct, frozen=True, kw_only=True):
    """A readable capture; `clock_ns` is what to add to the venue's times to have the recorder's."""

    path: Path
    symbol: str
    instrument: Instrument
    frames: list[Frame]
    snapshot: BookSnapshot
    clock_ns: int

    def __repr__(self) -> str:
        return f"Capture({self.path.name}, {self.symbol}, {len(self.frames)} frames)"


def read_capture(path: Path) -> Capture:
    """The whole file; `CaptureError` when it is no capture of one spot instrument that begins with a snapshot."""
    frames = list(_frames(path))
    symbols = {frame.streams[0].partition("@")[0].upper() for frame in frames if frame.streams}
    snapshots = [frame.recorded for frame in frames if isinstance(frame.recorded, BookSnapshot)]
    if len(symbols) != 1:
        raise CaptureError(f"{path}: a capture has frames of one instrument, this has {sorted(symbols) or 'none'}")
    if not snapshots:
        raise CaptureError(f"{path}: no depth snapshot in this capture (it continues another), so it has no book")
    symbol, snapshot = symbols.pop(), snapshots[0]
    return Capture(
        path=path,
        symbol=symbol,
        instrument=_instrument(symbol, snapshot),
        frames=frames,
        snapshot=snapshot,
        clock_ns=min((frame.local_ns - time * MS for frame in frames for time in frame.times[:1]), default=0),
    )


def _instrument(symbol: str, snapshot: BookSnapshot) -> Instrument:
    try:
        return TABLE.get(symbol) or infer(symbol, snapshot.bids + snapshot.asks)
    except ValueError as error:
        raise CaptureError(str(error)) from error


def _frames(path: Path) -> Iterator[Frame]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    yield _frame(line)
                except (ValueError, KeyError, TypeError) as error:
                    raise CaptureError(f"{path}: line {number} is no frame of a spot capture: {error!r}") from error
    except (OSError, EOFError) as error:
        raise CaptureError(f"{path}: {error}") from error


def _frame(line: bytes) -> Frame:
    local, _, raw = line.strip().partition(b" ")
    message = orjson.loads(raw)
    if "lastUpdateId" in message:
        recorded = BookSnapshot(message["lastUpdateId"], _levels(message["bids"]), _levels(message["asks"]))
        return Frame(int(local), (), recorded, (), ())
    stream, data = message["stream"], message["data"]
    body = raw[raw.index(b'"data":') + len(b'"data":') : -1]
    parts, times = _split_times(body, data)
    return Frame(int(local), _names(stream), _recorded(data), parts, times, data.get("t", -1))


def _names(stream: str) -> tuple[str, ...]:
    symbol, _, kind = stream.partition("@")
    return (f"{symbol}@depth@100ms", f"{symbol}@depth") if kind.startswith("depth") else (stream,)


def _recorded(data: dict[str, Any]) -> Recorded:
    match data.get("e"):
        case "depthUpdate":
            return BookDelta(data["U"], data["u"], _levels(data["b"]), _levels(data["a"]))
        case "trade":
            return MarketTrade(units(data["p"]), units(data["q"]), data["m"])
        case None:
            return BestQuote(data["u"], units(data["b"]), units(data["B"]), units(data["a"]), units(data["A"]))
        case other:
            raise ValueError(f"unknown event {other}")


def _levels(pairs: list[list[str]]) -> list[tuple[int, int]]:
    return [(units(price), units(qty)) for price, qty in pairs]


def _split_times(body: bytes, data: dict[str, Any]) -> tuple[tuple[bytes, ...], tuple[int, ...]]:
    """The frame cut at the values of E and T, so that other times can be put there and nothing else changes."""
    parts, times, rest = [], [], body
    for name in ("E", "T"):
        if name in data and "e" in data:
            mark = b'"%s":%d' % (name.encode(), data[name])
            before, found, rest = rest.partition(mark)
            if not found:
                raise ValueError(f"cannot find {name}")
            parts.append(before + mark[: mark.index(b":") + 1])
            times.append(data[name])
    return (*parts, rest), tuple(times)


class CapturePlayer:
    """Plays captures on one time axis; the book is the snapshot's before the start and stands still after the end."""

    def __init__(self, venue: Venue, captures: Sequence[Capture], speed: float) -> None:
        self._venue = venue
        self._captures = captures
        self._speed = speed
        self._first = min(capture.frames[0].local_ns for capture in captures)
        last = max(capture.frames[-1].local_ns for capture in captures)
        self._length = max(1, last - self._first)
        names = ", ".join(capture.path.name for capture in captures)
        total = sum(len(capture.frames) for capture in captures)
        self.progress = Progress(source=f"capture {names} at {speed:g}x", total=total)

    def prepare(self) -> None:
        for capture in self._captures:
            self._venue.commit(self._venue.core.feed(self._venue.now(), capture.symbol, capture.snapshot))

    async def run(self) -> None:
        start = self.progress.started_ns = self._venue.now()
        self.progress.state = "playing"
        rows = merge(*(self._rows(one) for one in self._captures), key=lambda row: row[1].local_ns)
        for number, (capture, frame) in enumerate(rows, start=1):
            wait = self._moved(start, frame.local_ns) - self._venue.now()
            if wait > MS or number % BATCH == 0:
                await asyncio.sleep(max(0.0, wait / 1e9))
            self._play(start, capture, frame)
            self.progress.played = number
            self.progress.position_ns = frame.local_ns - self._first
            self.progress.share = min(1.0, self.progress.position_ns / self._length)
        self.progress.state, self.progress.share = "ended", 1.0

    def _rows(self, capture: Capture) -> Iterator[tuple[Capture, Frame]]:
        return ((capture, frame) for frame in capture.frames)

    def _moved(self, start: int, moment_ns: int) -> int:
        return start + int((moment_ns - self._first) / self._speed)

    def _play(self, start: int, capture: Capture, frame: Frame) -> None:
        """Our orders meet what was recorded, then it is published."""
        venue, now = self._venue, self._venue.now()
        venue.commit(venue.core.feed(now, capture.symbol, frame.recorded))
        if not frame.streams:
            return
        times = [self._moved(start, time * MS + capture.clock_ns) // MS for time in frame.times]
        if isinstance(frame.recorded, MarketTrade):
            trade = frame.recorded
            venue.print(
                Printed(
                    ts_ns=times[-1] * MS,
                    symbol=capture.symbol,
                    trade_id=frame.trade_id,
                    price=trade.price,
                    qty=trade.qty,
                    buyer_is_maker=trade.buyer_is_maker,
                )
            )
        venue.hub.frames += 1
        venue.hub.publish_bytes(frame.streams, _joined(frame.parts, times))


def _joined(parts: tuple[bytes, ...], times: list[int]) -> bytes:
    pieces = [part + b"%d" % time for part, time in zip(parts, times, strict=False)]
    return b"".join([*pieces, parts[-1]])
