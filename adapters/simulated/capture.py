"""A recorded capture of one spot instrument: read and checked.

Lines are `<local nanoseconds> <raw JSON>`: REST depth snapshots (`lastUpdateId`, `bids`, `asks`) and combined stream
frames of depth, bookTicker and trade, as `shared/data/hftbacktest/spot` has them. The venue's recorded clock and the
recorder's differ; the venue's is shifted (`clock_ns`) so that no frame was sent later than it was received.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson

from adapters.simulated.instruments import TABLE, Instrument, infer
from adapters.simulated.model import BestQuote, BookDelta, BookSnapshot, MarketTrade, Recorded
from adapters.simulated.units import units

MS = 1_000_000


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


def joined(parts: tuple[bytes, ...], times: list[int]) -> bytes:
    """The frame again, with these times in it."""
    pieces = [part + b"%d" % time for part, time in zip(parts, times, strict=False)]
    return b"".join([*pieces, parts[-1]])
