"""The latencies of a recorded run as they went along: at each moment those of the record, or order, nearest in time.

    hop          per topic, from the time of a record to that of what a stage made of it: on Kafka the broker's times, for
                 frames their receipt, for commands the gateway's decision
    write ahead  ``OrderRequested`` to ``OrderSent``
    to venue     ``OrderSent`` to the venue's time of the acceptance, less the difference of the clocks
    from venue   the venue's time of an acceptance or execution to ours, the difference added
    feed         the least age of the market events received in the same tenth of a second, since a venue stamps some
                 of them well before it sends them; the difference of the clocks added

The broker's times are in milliseconds, a venue's in its own resolution; how far our clock was behind it, its market events
tell (``clock_skew``). What would be below 0 is 0.
``backtest_latency.Sampled`` draws orders and data from such quantities without regard to when they were.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.archive_reader import Row
from pipelines.clock_skew import Skews, believed
from pipelines.compose import MS
from pipelines.raw import decode_lines
from pipelines.recorded_run import Recorded
from topics import wire
from topics.catalog import (
    CONTROLS,
    FILLS,
    MARKET_EVENTS,
    MARKET_RAW,
    ORDERS_EVENTS,
    ORDERS_INTENTS,
    STRATEGY_INBOX,
    Topic,
)
from topics.coordinates import Coordinate
from topics.market import BookDelta, Quote, Trade
from topics.orders import OrderAccepted, OrderFilled, OrderRequested, OrderSent
from topics.record import Venue, venue_of

HOPS = (
    (MARKET_RAW, MARKET_EVENTS),
    (MARKET_EVENTS, STRATEGY_INBOX),
    (ORDERS_EVENTS, STRATEGY_INBOX),
    (FILLS, STRATEGY_INBOX),
    (CONTROLS, STRATEGY_INBOX),
    (STRATEGY_INBOX, ORDERS_INTENTS),
)
"""A topic, and the one in which what its readers made of it is looked for."""
DEFAULT_HOP = 2 * MS
DEFAULT_WAY = 5 * MS
"""Where a run has nothing to tell."""
FEED_STEP = 100 * MS
HALF = MS // 2
"""What the broker's milliseconds cut off, on average."""

Points = list[tuple[int, int]]


class Series:
    """Values at times; ``at`` gives the one nearest in time, of two as near the earlier."""

    def __init__(self, points: Iterable[tuple[int, int]], default: int) -> None:
        kept = sorted((ts, max(0, value)) for ts, value in points)
        self.times = [ts for ts, _ in kept]
        self.values = [value for _, value in kept]
        self._default = default

    def at(self, ts: int) -> int:
        if not self.times:
            return self._default
        after = bisect_left(self.times, ts)
        before = max(0, after - 1)
        if after == len(self.times) or ts - self.times[before] <= self.times[after] - ts:
            return self.values[before]
        return self.values[after]

    @property
    def median(self) -> int:
        return sorted(self.values)[len(self.values) // 2] if self.values else self._default


@dataclass(frozen=True)
class Latencies:
    """Nanoseconds, each kind by the time at which it began; ``hops`` by topic."""

    hops: dict[str, Series]
    write_ahead: Series
    to_venue: Series
    from_venue: Series
    feed: Series

    @property
    def medians(self) -> dict[str, int]:
        """By what they are called in a report."""
        ways = {
            "write ahead": self.write_ahead,
            "to venue": self.to_venue,
            "from venue": self.from_venue,
            "feed": self.feed,
        }
        named = {f"hop {topic}": series for topic, series in self.hops.items()}
        return {name: series.median for name, series in {**named, **ways}.items()}


@dataclass
class AsRecorded:
    """A backtest's ``Latency``; ``now`` is its loop's time, bound once there is a loop."""

    found: Latencies
    now: Callable[[], int] = field(default=lambda: 0)

    def hop(self, topic: Topic) -> int:
        series = self.found.hops.get(topic.name)
        return DEFAULT_HOP if series is None else series.at(self.now())

    def write_ahead(self) -> int:
        return self.found.write_ahead.at(self.now())

    def to_venue(self) -> int:
        return self.found.to_venue.at(self.now())

    def from_venue(self) -> int:
        return self.found.from_venue.at(self.now())

    def feed(self) -> int:
        return self.found.feed.at(self.now())


def recorded_latencies(run: Recorded) -> Latencies:
    """Of the whole run. What was told twice counts once."""
    ages = _ages(run)
    skews = {venue: Skews((ts - age, ts) for ts, age in points) for venue, points in ages.items()}
    orders = _Orders(run, skews)
    hops = {source.name: Series(_stage_hops(run, source, made), DEFAULT_HOP) for source, made in HOPS}
    hops[ORDERS_INTENTS.name] = Series(orders.intents, DEFAULT_HOP)
    return Latencies(
        hops=hops,
        write_ahead=Series(orders.ahead, DEFAULT_HOP),
        to_venue=Series(orders.to_venue, DEFAULT_WAY),
        from_venue=Series(orders.from_venue, DEFAULT_WAY),
        feed=Series(
            ((ts, age + skews[venue].at(ts)) for venue, points in ages.items() for ts, age in points), DEFAULT_WAY
        ),
    )


class _Orders:
    """What the facts tell, as points of time and duration."""

    def __init__(self, run: Recorded, skews: Mapping[Venue, Skews]) -> None:
        self._skews = skews
        self.intents: Points = []
        self.ahead: Points = []
        self.to_venue: Points = []
        self.from_venue: Points = []
        self._commanded = _commanded(run)
        self._requested: dict[str, int] = {}
        self._sent: dict[str, int] = {}
        for _, fact in _events(run, ORDERS_EVENTS):
            self._fold(fact)

    def _fold(self, fact: Any) -> None:
        match fact:
            case OrderRequested(client_order_id=order) if order not in self._requested:
                self._requested[order] = fact.ts_init
                if order in self._commanded:
                    written = self._commanded[order]
                    self.intents.append((written, fact.ts_init - written - HALF))
            case OrderSent(client_order_id=order) if order in self._requested and order not in self._sent:
                self._sent[order] = fact.ts_init
                self.ahead.append((self._requested[order], fact.ts_init - self._requested[order]))
            case OrderAccepted(client_order_id=order) if fact.ts_event and order in self._sent:
                at = self._on_our_clock(fact)
                self.to_venue.append((self._sent[order], at - self._sent[order]))
                self.from_venue.append((at, fact.ts_init - at))
            case OrderFilled() if fact.ts_event:
                at = self._on_our_clock(fact)
                self.from_venue.append((at, fact.ts_init - at))

    def _on_our_clock(self, fact: OrderAccepted | OrderFilled) -> int:
        skews = self._skews.get(venue_of(fact.account))
        return fact.ts_event - (skews.at(fact.ts_init) if skews is not None else 0)


def _commanded(run: Recorded) -> dict[str, int]:
    """When each order's command was written."""
    found: dict[str, int] = {}
    for row, command in _events(run, ORDERS_INTENTS):
        order = getattr(command, "client_order_id", None)
        if order is not None:
            found.setdefault(order, row.timestamp_ms * MS)
    return found


def _stage_hops(run: Recorded, source: Topic, made: Topic) -> Iterator[tuple[int, int]]:
    """From each record of ``source`` to the first that a stage made of it in ``made``, one a millisecond."""
    times, name = _times(run, source), f"{source.name}@{run.topic_id(source)}/"
    cut = HALF if source is MARKET_RAW else 0
    found: dict[int, tuple[int, int]] = {}
    seen: set[tuple[str, int]] = set()
    for row in _rows(run, made):
        at = _coordinate(row)
        if at is None or not at.source.startswith(name) or (at.source, at.major) in seen:
            continue
        seen.add((at.source, at.major))
        began = times[int(at.source.rpartition("/")[2])].get(at.major)
        if began is not None:
            found.setdefault(began // MS, (began, row.timestamp_ms * MS + cut - began))
    return iter(found.values())


def _times(run: Recorded, topic: Topic) -> dict[int, dict[int, int]]:
    """By partition and offset when a record was there: of frames, when the last of them was received."""
    found: dict[int, dict[int, int]] = defaultdict(dict)
    for row in _rows(run, topic):
        lines = decode_lines(row.value or b"") if topic is MARKET_RAW else []
        found[row.partition][row.offset] = lines[-1].ts if lines else row.timestamp_ms * MS
    return found


def _ages(run: Recorded) -> dict[Venue, Points]:
    """By venue the least receive time less the venue's, as told, in each step."""
    least: defaultdict[Venue, dict[int, int]] = defaultdict(dict)
    for _, event in _events(run, MARKET_EVENTS):
        if isinstance(event, Trade | Quote | BookDelta) and believed(event.ts_event, event.ts_init):
            found, step = least[venue_of(event.instrument)], event.ts_init // FEED_STEP
            age = event.ts_init - event.ts_event
            found[step] = min(age, found.get(step, age))
    return {venue: [(step * FEED_STEP, age) for step, age in found.items()] for venue, found in least.items()}


def _rows(run: Recorded, topic: Topic) -> Iterator[Row]:
    for partition in run.partitions(topic):
        yield from run.rows(topic, partition)


def _events(run: Recorded, topic: Topic) -> Iterator[tuple[Row, Any]]:
    for row in _rows(run, topic):
        for event in wire.decode(row.value or b"", topic.types):
            yield row, event


def _coordinate(row: Row) -> Coordinate | None:
    try:
        return Coordinate.decode((row.src or "").encode())
    except ValueError:
        return None
