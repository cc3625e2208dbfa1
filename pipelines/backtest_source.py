"""What a backtest runs over: a stream of arrivals in the order of time, and the definitions of what is traded.

capture    hftbacktest's lines of Binance spot frames; several files are one stream
recording  any other recording of any venue (``backtest_recordings``)
archive    ``market.raw`` of a run, else its ``market.events``
topic      the same of the configured run, read from the broker
"""

import gzip
import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec
import orjson

from adapters.base import rest_frame, session_frame
from adapters.simulated import instruments as listed
from adapters.simulated import wire as simulated
from adapters.simulated.model import SelfTradePrevention
from adapters.simulated.units import decimal, units
from infra.captures import CaptureError, Format, recordings, venue_hint
from infra.errors import Hopeless
from pipelines import archive_reader
from pipelines.backtest_arrivals import Arrival, Source
from pipelines.backtest_flaws import Flaws, survey
from pipelines.backtest_recordings import Recordings
from pipelines.backtest_runs import Archive
from pipelines.raw import encode_line
from topics.catalog import MARKET_RAW
from topics.market import Instrument
from topics.record import InstrumentId, Venue

# --- captures -------------------------------------------------------------------------------------------------------


class Head(msgspec.Struct):
    """As much of a line as says what it is about."""

    stream: str = ""
    lastUpdateId: int = 0


_head = msgspec.json.Decoder(Head)


class Captures:
    """Files of one venue; those of one symbol follow each other, those of several run beside each other."""

    def __init__(self, paths: Sequence[Path], venue: Venue) -> None:
        self.name = ", ".join(p.name for p in paths)
        self._venue = venue
        self._files: dict[str, list[Path]] = {}
        for _, symbol, path in sorted((*_first(path), path) for path in paths):
            self._files.setdefault(symbol, []).append(path)
        self._listed = {symbol: _listing(symbol, files) for symbol, files in self._files.items()}
        self.instruments = [self._instrument(one) for one in self._listed.values()]
        begins = [_first(files[0])[0] for files in self._files.values()]
        found = [survey(partial(_read_all, files)) for files in self._files.values()]
        self.span = (min(begins), max(one.last for one in found))
        self.flaws = Flaws(self.span[1], sum(one.backward for one in found), sum(one.repeated for one in found))

    def arrivals(self) -> Iterator[Arrival]:
        streams = [self._lines(symbol, files) for symbol, files in self._files.items()]
        return heapq.merge(*streams, key=lambda arrival: arrival.ts)

    def _lines(self, symbol: str, files: Iterable[Path]) -> Iterator[Arrival]:
        name = self._name(self._listed[symbol])
        start = self.span[0]
        yield self._arrival(start, name, session_frame("capture", symbol))
        yield self._arrival(start, name, rest_frame("exchangeInfo", symbol, self._exchange_info(symbol, start)))
        last = start
        for ts, frame in _read_all(files):
            last = max(last, ts)
            if frame.startswith(b'{"lastUpdateId"'):
                frame = rest_frame("depth", symbol, frame)
            yield self._arrival(last, name, frame)

    def _arrival(self, ts: int, name: InstrumentId, frame: bytes) -> Arrival:
        return Arrival(ts, MARKET_RAW, name.encode(), encode_line(ts, name, frame), None)

    def _exchange_info(self, symbol: str, now: int) -> bytes:
        """As the simulated exchange would answer: a capture has no definitions."""
        mode = SelfTradePrevention.EXPIRE_MAKER
        return orjson.dumps(simulated.exchange_info(now, [self._listed[symbol]], [], mode))

    def _name(self, one: listed.Instrument) -> InstrumentId:
        return f"{self._venue}:{one.base}-{one.quote}"

    def _instrument(self, one: listed.Instrument) -> Instrument:
        return Instrument(
            instrument=self._name(one),
            venue=self._venue,
            venue_symbol=one.symbol,
            base=one.base,
            quote=one.quote,
            tick_size=decimal(one.tick),
            lot_size=decimal(one.step),
            max_qty=decimal(one.max_qty),
            min_notional=decimal(one.min_notional),
            max_notional=decimal(one.max_notional),
            ts_init=0,
        )


def _read(path: Path) -> Iterator[tuple[int, bytes]]:
    """Problem in one line for what is no capture."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                ts, _, frame = line.strip().partition(b" ")
                if not ts.isdigit() or not frame.startswith(b"{"):
                    raise Hopeless(f"{path}: line {number} is no '<nanoseconds> <frame>' of a capture")
                yield int(ts), frame
    except (OSError, EOFError) as error:
        raise Hopeless(f"{path}: {error}") from error


def _first(path: Path) -> tuple[int, str]:
    """The time of the first line and the symbol of the first stream."""
    start: int | None = None
    for ts, frame in _read(path):
        start = ts if start is None else start
        symbol = _stream(path, frame).partition("@")[0].upper()
        if symbol:
            return start, symbol
    raise Hopeless(f"{path}: no stream frame in this capture")


def _read_all(files: Iterable[Path]) -> Iterator[tuple[int, bytes]]:
    for path in files:
        yield from _read(path)


def _stream(path: Path, frame: bytes) -> str:
    try:
        return _head.decode(frame).stream
    except msgspec.MsgspecError as error:
        raise Hopeless(f"{path}: not a frame of Binance spot: {error}") from error


def _listing(symbol: str, files: Iterable[Path]) -> listed.Instrument:
    """From the table, else inferred from the first snapshot's digits; Problem without a snapshot."""
    for path in files:
        for _, frame in _read(path):
            if frame.startswith(b'{"lastUpdateId"'):
                body = orjson.loads(frame)
                levels = [(units(p), units(q)) for p, q in [*body["bids"], *body["asks"]]]
                return listed.TABLE.get(symbol) or listed.infer(symbol, levels)
    names = ", ".join(p.name for p in files)
    raise Hopeless(f"{names}: no depth snapshot of {symbol}: it continues another capture, name that one first")


def open_source(paths: Sequence[Path], venue: Venue, venues: Mapping[str, Venue] | None = None) -> Source:
    """Captures and other recordings (files), or one run's folder or archive.

    ``venue``: what the captures' is called; ``venues``: by its adapter what another recording's is.
    """
    missing = [p for p in paths if not p.exists()]
    if missing:
        raise Hopeless(f"no {missing[0]}: name a capture, or the folder of a run")
    if len(paths) == 1 and paths[0].is_dir():
        return Archive(archive_reader.archive_of(paths[0]))
    if any(p.is_dir() for p in paths):
        raise Hopeless("several captures are one stream; of runs, name one")
    return Captures(paths, venue) if are_captures(paths) else Recordings(paths, venues or {})


def are_captures(paths: Sequence[Path]) -> bool:
    """Whether they are, or would be if they were whole, hftbacktest's of Binance spot."""
    try:
        found = recordings(paths)
        return all(r.format is Format.HFTBACKTEST and venue_hint(r.paths) in ("", "binance") for r in found)
    except CaptureError:
        return True


__all__ = ["Archive", "Arrival", "Captures", "Recordings", "Source", "open_source"]
