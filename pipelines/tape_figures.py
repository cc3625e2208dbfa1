"""What there is to say about a recording without building its books: per instrument and as a whole."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from adapters.base import MARKET_MARK
from adapters.registry import market_data
from infra.captures import CaptureError, Item, Kind, Recording, read, recordings, venue_hint
from pipelines.clock_skew import BELIEVED_NS, behind
from pipelines.imports.definitions import Event
from pipelines.imports.rows import Tally
from pipelines.imports.source import Tables
from pipelines.recorded_venue import named
from pipelines.tape_check import check
from pipelines.tape_glance import glance
from pipelines.tape_tables import are_tables
from topics.market import BookDelta, BookSnapshot, Quote, Trade

SAMPLES = 65_536
CHANNELS: dict[type, str] = {
    Trade: "trades",
    Quote: "quotes",
    BookSnapshot: "book snapshots",
    BookDelta: "book changes",
}


@dataclass
class Offsets:
    """Receive time less the venue's, ns. Minimum and maximum are exact; the median is of at most ``SAMPLES`` of them, evenly spread.

    ``least`` is the lowest that says something of clocks.
    """

    lowest: int | None = None
    highest: int | None = None
    least: int | None = None
    _kept: list[int] = field(default_factory=list)
    _stride: int = 1
    _seen: int = 0

    def add(self, offset: int) -> None:
        self.lowest = offset if self.lowest is None else min(self.lowest, offset)
        self.highest = offset if self.highest is None else max(self.highest, offset)
        if offset >= -BELIEVED_NS and (self.least is None or offset < self.least):
            self.least = offset
        if self._seen % self._stride == 0:
            self._kept.append(offset)
            if len(self._kept) >= SAMPLES:
                del self._kept[1::2]
                self._stride *= 2
        self._seen += 1

    @property
    def median(self) -> int | None:
        return round(median(self._kept)) if self._kept else None


@dataclass
class Seen:
    """Frames of one instrument ("" for those that name none), by the venue's channels."""

    channels: Counter[str] = field(default_factory=Counter)
    first: int = 0
    last: int = 0
    longest_silence: int = 0
    gaps: int | None = None
    """Of its book, where that was built."""
    offsets: Offsets = field(default_factory=Offsets)

    @property
    def frames(self) -> int:
        return self.channels.total()

    @property
    def rate(self) -> float:
        """Frames a second."""
        return self.frames * 1e9 / (self.last - self.first) if self.last > self.first else 0.0

    def add(self, ts: int, channel: str, ts_event: int) -> None:
        if self.frames:
            self.longest_silence = max(self.longest_silence, ts - self.last)
        else:
            self.first = ts
        self.last = max(self.last, ts)
        self.channels[channel] += 1
        if ts_event:
            self.offsets.add(ts - ts_event)


@dataclass
class Figures:
    """Of one recording, or of several files as one stream. ``broken``: why it ended early, or what is wrong with its first bad line."""

    venue: str
    kinds: Counter[str] = field(default_factory=Counter)
    first: int = 0
    last: int = 0
    instruments: dict[str, Seen] = field(default_factory=dict)
    broken: str = ""
    _markets: dict[str, str] = field(default_factory=dict)

    def add(self, item: Item) -> None:
        self.kinds[item.kind] += 1
        if item.kind is Kind.HEADER:
            return
        if item.kind is Kind.BAD_LINE:
            self.broken = self.broken or item.about
            return
        self.first = self.first or item.ts
        self.last = max(self.last, item.ts)
        if item.kind is Kind.FRAME:
            about = glance(self.venue, item.data)
            market = self._markets.get(item.connection, "") if about.symbol else ""
            self.instruments.setdefault(market + about.symbol, Seen()).add(item.ts, about.channel, about.ts_event)
        elif item.kind is Kind.OPENED and self.venue == "bybit":  # whose markets use the same symbols
            self._markets[item.connection] = item.about.rpartition("/")[2] + ":"

    def add_record(self, event: Event) -> None:
        """Of a table: as a frame. One that tells one time has it in both places."""
        self.kinds["record"] += 1
        self.first = self.first or event.ts_init
        self.last = max(self.last, event.ts_init)
        told = event.ts_event if event.ts_event != event.ts_init else 0
        self.instruments.setdefault(event.instrument, Seen()).add(event.ts_init, CHANNELS[type(event)], told)

    @property
    def named(self) -> list[str]:
        return sorted(symbol for symbol in self.instruments if symbol)

    @property
    def clock_skew(self) -> int:
        """How far the recorder's clock was behind the venue's, at least, ns."""
        return max((behind(seen.offsets.least) for seen in self.instruments.values()), default=0)


def figures(items: Iterator[Item], venue: str) -> Figures:
    """Up to a break in the recording, which is told in ``broken``."""
    found = Figures(venue)
    try:
        for item in items:
            found.add(item)
    except CaptureError as error:
        found.broken = str(error)
    return found


def figures_of(paths: Sequence[Path], venue: str, gaps: bool) -> Figures:
    """Of captures or of tables, as one stream. ``gaps``: build the books too."""
    if are_tables(paths):
        found = table_figures(Tables(paths, venue))
        return _with_table_gaps(found, paths) if gaps else found
    found = figures(read(paths, past_bad_lines=True), named(venue) if venue else venue_hint(paths))
    if gaps:
        count_gaps(found, paths)
    return found


def table_figures(tables: Tables) -> Figures:
    found = Figures(tables.venue)
    try:
        for event in tables.read(Tally()):
            found.add_record(event)
    except CaptureError as error:
        found.broken = str(error)
    symbols = tables.symbols()
    found.instruments = {symbols[name]: seen for name, seen in found.instruments.items()}
    return found


def _with_table_gaps(found: Figures, paths: Sequence[Path]) -> Figures:
    for one in check(paths, found.venue).instruments:
        if one.venue_symbol in found.instruments:
            found.instruments[one.venue_symbol].gaps = one.gaps
    return found


def count_gaps(found: Figures, paths: Sequence[Path]) -> None:
    """Build the books too. Problem where no adapter knows the venue."""
    checked = {one.instrument: one.gaps for one in check(paths, found.venue).instruments}
    adapter = market_data(found.venue)
    for symbol in found.named:
        try:
            name = adapter.instrument_of(found.venue.rpartition(":")[2], symbol.replace(":", MARKET_MARK))
        except ValueError:
            continue  # no instrument of those that are parsed
        found.instruments[symbol].gaps = checked.get(name)


@dataclass(frozen=True)
class Found:
    """A recording in a folder."""

    recording: Recording
    figures: Figures

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self.recording.paths)


def found_in(paths: Sequence[Path]) -> tuple[list[Recording], list[CaptureError]]:
    """The recordings among files and in folders, by name; and what is none: errors for the files that were named."""
    kept: list[Path] = []
    errors: list[CaptureError] = []
    files = {file.resolve(): file for path in paths for file in (_files(path) if path.is_dir() else [path])}
    for file in files.values():
        try:
            recordings([file])
        except CaptureError as error:
            errors.append(error)
        else:
            kept.append(file)
    return recordings(kept), errors


def looked_at(recording: Recording) -> Found:
    return Found(recording, figures(recording.items(past_bad_lines=True), venue_hint(recording.paths)))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
