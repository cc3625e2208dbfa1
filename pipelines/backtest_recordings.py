"""Recordings of any venue as the input of a backtest: what normalize makes of their frames, as received.

Files of one venue that follow each other in time are one stream, those of the same time run beside each other. What a
recording does not define is inferred: tick and lot are the coarsest powers of ten that divide all prices and sizes in it.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter, itemgetter
from pathlib import Path

from adapters.base import own_symbol
from adapters.registry import market_data
from infra.captures import CaptureError, Item, Recording, recordings, venue_hint
from infra.errors import Problem
from pipelines.backtest_arrivals import Arrival
from pipelines.imports.definitions import Steps, definition
from pipelines.imports.naming import Naming
from pipelines.lines import Lines
from pipelines.normalize import MarketState, normalize_stage
from pipelines.raw import Line
from topics import wire
from topics.catalog import MARKET_EVENTS
from topics.coordinates import At, Coordinate
from topics.market import BookDelta, BookSnapshot, Instrument, Quote, Trade
from topics.record import InstrumentId, Record, Venue
from topics.routes import routes

PRODUCER = "recording"


@dataclass
class Feed:
    """Of one venue, in the order of receipt. ``lines`` may be asked for several times."""

    venue: Venue
    adapter: str
    chains: list[list[Recording]]
    symbols: dict[InstrumentId, str] = field(default_factory=dict)

    def lines(self) -> Iterator[Line]:
        """Problem where a file breaks off: its time is never earlier than that of the line before."""
        lines = Lines(self.venue, market_data(self.adapter))
        self.symbols = lines.symbols
        chains = [_named(chain, n) for n, chain in enumerate(self.chains)]
        last = 0
        try:
            for line in lines.of(heapq.merge(*chains, key=attrgetter("ts"))):
                last = max(last, line.ts)
                yield line if line.ts == last else Line(last, line.key, line.frame)
        except CaptureError as error:
            raise Problem(str(error)) from error


def _named(chain: Iterable[Recording], n: int) -> Iterator[Item]:
    """Connections of several recordings have the same names."""
    last = 0
    for recording in chain:
        for item in recording.items():
            last = max(last, item.ts)
            yield item._replace(ts=last, connection=f"{n}.{item.connection}" if n else item.connection)


def feeds(paths: Sequence[Path], venues: Mapping[str, Venue]) -> list[Feed]:
    """By venue. ``venues``: what an adapter's venue is called; others are called as their adapter. Problem where none fits."""
    found: dict[str, list[Recording]] = defaultdict(list)
    try:
        for recording in recordings(paths):
            found[_adapter(recording)].append(recording)
        return [Feed(venues.get(name, name), name, _chained(files)) for name, files in sorted(found.items())]
    except CaptureError as error:
        raise Problem(str(error)) from error


def _adapter(recording: Recording) -> str:
    adapter = venue_hint(recording.paths)
    if not adapter:
        raise Problem(f"{recording.paths[0]}: cannot tell the venue from it")
    return adapter


def _chained(files: Sequence[Recording]) -> list[list[Recording]]:
    """Each file goes on where another one ended, else it runs beside those before it."""
    chains: list[tuple[int, list[Recording]]] = []
    spans = sorted(((*_span(one), n, one) for n, one in enumerate(files)), key=lambda span: span[:3])
    for first, last, _, one in spans:
        fitting = [n for n, (ended, _) in enumerate(chains) if ended <= first]
        if fitting:
            newest = max(fitting, key=lambda n: chains[n][0])
            chains[newest] = last, [*chains[newest][1], one]
        else:
            chains.append((last, [one]))
    return [chain for _, chain in chains]


def _span(recording: Recording) -> tuple[int, int]:
    first = last = 0
    for item in recording.items():
        first, last = first or item.ts, max(last, item.ts)
    return first, last


class Recordings:
    """The source. Made with one pass over the files, which finds definitions and span; each ``arrivals`` is another."""

    def __init__(self, paths: Sequence[Path], venues: Mapping[str, Venue]) -> None:
        self.name = ", ".join(path.name for path in paths)
        self._feeds = feeds(paths, venues)
        seen = [_Seen.of(feed) for feed in self._feeds]
        self.instruments = [one for each in seen for one in each.definitions()]
        spans = [(each.first, each.last) for each in seen if each.last]
        if not spans or not self.instruments:
            raise Problem(f"{self.name}: no frame in it is about an instrument that we can name")
        if max(first for first, _ in spans) > min(last for _, last in spans):
            raise Problem(f"{self.name}: the recordings of different venues have no time in common: one backtest each")
        self.span = (min(first for first, _ in spans), max(last for _, last in spans))

    @property
    def venues(self) -> dict[Venue, str]:
        """Each venue's adapter."""
        return {feed.venue: feed.adapter for feed in self._feeds}

    def arrivals(self) -> Iterator[Arrival]:
        """Definitions first."""
        defined: Iterator[Received] = ((self.span[0], [one]) for one in self.instruments)
        told = heapq.merge(*map(_events, self._feeds), key=itemgetter(0))
        for n, (ts, events) in enumerate(chain(defined, told)):
            src = Coordinate(PRODUCER, "", 0, n).encode()
            key: bytes = events[0].instrument.encode()  # type: ignore[attr-defined]
            yield Arrival(ts, MARKET_EVENTS, key, wire.encode(events), src, events)


Received = tuple[int, list[Record]]


def _events(feed: Feed) -> Iterator[Received]:
    """What normalize writes to ``market.events`` of each line that led to something."""
    stage, states = normalize_stage({feed.venue: feed.adapter}), dict[InstrumentId, MarketState]()
    for n, line in enumerate(feed.lines()):
        states[line.key], out = stage.on_event(states.get(line.key), line, At(0, n, 0))
        told = [event for event in out if any(topic is MARKET_EVENTS for topic, _ in routes(event, {}))]
        if told:
            yield line.ts, told


@dataclass
class _Seen:
    """What a pass over a feed has found."""

    feed: Feed
    first: int = 0
    last: int = 0
    told: dict[InstrumentId, Instrument] = field(default_factory=dict)
    steps: dict[InstrumentId, Steps] = field(default_factory=dict)

    @classmethod
    def of(cls, feed: Feed) -> "_Seen":
        seen = cls(feed)
        for ts, events in _events(feed):
            seen.first, seen.last = seen.first or ts, ts
            for event in events:
                seen.see(event)
        return seen

    def see(self, event: Record) -> None:
        if isinstance(event, Instrument):
            self.told.setdefault(event.instrument, event)
        elif isinstance(event, Trade | Quote | BookSnapshot | BookDelta) and event.instrument not in self.told:
            self.steps.setdefault(event.instrument, Steps()).see(event)

    def definitions(self) -> list[Instrument]:
        """Of everything that has a market."""
        naming = Naming(self.feed.venue, self.feed.adapter)
        found = dict(self.told)
        for name, steps in self.steps.items():
            if name not in found:
                symbol = self.feed.symbols[name]
                found[name] = definition(naming.listed(symbol)._replace(venue_symbol=own_symbol(symbol)), steps)
        return [found[name] for name in sorted(found)]
