"""The latencies of a recorded run as they went along: at each moment those of the order, or of the data, nearest in time.

    hop          decision path (the time of the inbox event to ``OrderRequested``) divided by the hops on it
    write ahead  ``OrderRequested`` to ``OrderSent``: the way to ``orders.events`` and back
    to venue     ``OrderSent`` to the venue's time of the acceptance
    from venue   the venue's time of an acceptance or execution to ours
    feed         the least age of the market events received in the same tenth of a second, since a venue stamps some
                 of them well before it sends them

Venue times have the venue's resolution and clock; what would be below 0 is 0. ``backtest_latency.Sampled`` draws from the
same quantities without regard to when they were.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pipelines.archive_reader import Row
from pipelines.compose import MS
from pipelines.recorded_run import Recorded
from topics import wire
from topics.catalog import MARKET_EVENTS, ORDERS_EVENTS, STRATEGY_INBOX, Topic
from topics.market import BookDelta, Quote, Trade
from topics.orders import OrderAccepted, OrderFilled, OrderRequested, OrderSent

HOPS = {"signals": 4, "bars": 4, "clock": 2, "orders": 3, "positions": 4}
"""Writes on the tape from what an inbox event is timed by to the gateway, by the event's producer."""
DEFAULT_HOP = 2 * MS
DEFAULT_WAY = 5 * MS
"""Where a run has nothing to tell."""
FEED_STEP = 100 * MS


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
    """Nanoseconds, each kind by the time at which it began."""

    hop: Series
    write_ahead: Series
    to_venue: Series
    from_venue: Series
    feed: Series


@dataclass
class AsRecorded:
    """A backtest's ``Latency``; ``now`` is its loop's time, bound once there is a loop."""

    found: Latencies
    now: Callable[[], int] = field(default=lambda: 0)

    def hop(self, topic: Topic) -> int:
        return (self.found.write_ahead if topic is ORDERS_EVENTS else self.found.hop).at(self.now())

    def to_venue(self) -> int:
        return self.found.to_venue.at(self.now())

    def from_venue(self) -> int:
        return self.found.from_venue.at(self.now())

    def feed(self) -> int:
        return self.found.feed.at(self.now())


def recorded_latencies(run: Recorded) -> Latencies:
    """Of the whole run. Facts told twice count once."""
    producers = _causes(run)
    requested: dict[str, int] = {}
    sent: dict[str, int] = {}
    hop: list[tuple[int, int]] = []
    ahead: list[tuple[int, int]] = []
    to_venue: list[tuple[int, int]] = []
    from_venue: list[tuple[int, int]] = []
    for _, fact in _events(run, ORDERS_EVENTS):
        match fact:
            case OrderRequested() if fact.client_order_id not in requested:
                requested[fact.client_order_id] = fact.ts_init
                hops, decided = HOPS.get(producers.get(fact.command.cause, "")), fact.command.ts_init
                hop += [] if hops is None else [(decided, (fact.ts_init - decided) // hops)]
            case OrderSent() if fact.client_order_id in requested and fact.client_order_id not in sent:
                sent[fact.client_order_id] = fact.ts_init
                began = requested[fact.client_order_id]
                ahead.append((began, fact.ts_init - began))
            case OrderAccepted() if fact.ts_event and fact.client_order_id in sent:
                began = sent[fact.client_order_id]
                to_venue.append((began, fact.ts_event - began))
                from_venue.append((fact.ts_event, fact.ts_init - fact.ts_event))
            case OrderFilled() if fact.ts_event:
                from_venue.append((fact.ts_event, fact.ts_init - fact.ts_event))
    return Latencies(
        Series(hop, DEFAULT_HOP),
        Series(ahead, DEFAULT_HOP),
        Series(to_venue, DEFAULT_WAY),
        Series(from_venue, DEFAULT_WAY),
        Series(_ages(run), DEFAULT_WAY),
    )


def _ages(run: Recorded) -> Iterator[tuple[int, int]]:
    least: dict[int, int] = {}
    for _, event in _events(run, MARKET_EVENTS):
        if isinstance(event, Trade | Quote | BookDelta) and event.ts_event:
            step = event.ts_init // FEED_STEP
            age = event.ts_init - event.ts_event
            least[step] = min(age, least.get(step, age))
    return ((step * FEED_STEP, age) for step, age in least.items())


def _causes(run: Recorded) -> dict[str, str]:
    """The kind of producer of every inbox event, by what a command's ``cause`` says."""
    found: dict[str, str] = {}
    for row, place in _places(run):
        kind = (row.src or "").partition("|")[0].partition("/")[0]
        found[f"{STRATEGY_INBOX.name}/{row.partition}/{row.offset}/{place}"] = kind
    return found


def _places(run: Recorded) -> Iterator[tuple[Row, int]]:
    for partition in run.partitions(STRATEGY_INBOX):
        for row in run.rows(STRATEGY_INBOX, partition):
            for place in range(len(wire.decode(row.value or b"", STRATEGY_INBOX.types))):
                yield row, place


def _events(run: Recorded, topic: Topic) -> Iterator[tuple[Row, Any]]:
    for partition in run.partitions(topic):
        for row in run.rows(topic, partition):
            for event in wire.decode(row.value or b"", topic.types):
                yield row, event
