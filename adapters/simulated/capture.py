"""A recorded capture of one spot instrument: read and checked.

Lines are `<local nanoseconds> <raw JSON>`: REST depth snapshots (`lastUpdateId`, `bids`, `asks`) and combined stream
frames of depth, bookTicker and trade, as `shared/data/hftbacktest/spot` has them. The venue's recorded clock and the
recorder's differ; the venue's is shifted (`clock_ns`) so that no frame was sent later than it was received.
"""

from __future__ import annotations

import gzip
import zlib
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
                except _NoFrame as error:
                    raise CaptureError(f"{path}: line {number} is no frame of a spot capture: {error}") from error
    except IsADirectoryError:
        raise CaptureError(f"{path}: is a folder; a capture is a file") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CaptureError(f"{path}: is not a whole gzip file (cut off, or not packed at all)") from error
    except OSError as error:
        raise CaptureError(f"{path}: {error.strerror or error}") from error


class _NoFrame(ValueError):
    """The text says in words what was expected and is not there."""


def _frame(line: bytes) -> Frame:
    local, _, raw = line.strip().partition(b" ")
    if not local.isdigit():
        raise _NoFrame("it does not begin with the local time in nanoseconds and a space")
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _NoFrame("what follows the time is not JSON") from error
    if not isinstance(message, dict) or not ("lastUpdateId" in message or {"stream", "data"} <= message.keys()):
        raise _NoFrame("it is neither a depth snapshot (lastUpdateId, bids, asks) nor a frame of stream and data")
    try:
        return _read(local, raw, message)
    except KeyError as error:
        raise _NoFrame(f"the field {error.args[0]} is missing") from error
    except (TypeError, AttributeError, ArithmeticError) as error:
        raise _NoFrame("a field is not of the kind that Binance spot sends there") from error
    except _NoFrame:
        raise
    except ValueError as error:
        raise _NoFrame(f"a field is not what Binance spot sends there ({error})") from error


def _read(local: bytes, raw: bytes, message: dict[str, Any]) -> Frame:
    if "lastUpdateId" in message:
        recorded = BookSnapshot(message["lastUpdateId"], _levels(message["bids"]), _levels(message["asks"]))
        return Frame(int(local), (), recorded, (), ())
    stream, data = message["stream"], message["data"]
    _, found, body = raw.removesuffix(b"}").partition(b'"data":')
    if not found:
        raise _NoFrame('its data is not written as the venue writes it ("data":{…})')
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
            raise _NoFrame(f"an event {other!r} is none of depthUpdate, trade and bookTicker")


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
                raise _NoFrame(f'the time {name} is not written as the venue writes it ("{name}":<milliseconds>)')
            parts.append(before + mark[: mark.index(b":") + 1])
            times.append(data[name])
    return (*parts, rest), tuple(times)


def joined(parts: tuple[bytes, ...], times: list[int]) -> bytes:
    """The frame again, with these times in it."""
    pieces = [part + b"%d" % time for part, time in zip(parts, times, strict=False)]
    return b"".join([*pieces, parts[-1]])
