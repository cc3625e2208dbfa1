"""How long the ways between us and the venue take in a backtest.

    to venue     an order or a cancel, from our send to the matching core
    from venue   answers and private events, from the matching core to us
    feed         market data: the venue had a frame this long before the time at which it was recorded
    hop          from one worker to the next on the tape; also a write-ahead's acknowledgement

Recorded latencies are drawn from two distributions of their own: half of the round trips ``OrderSent`` to
``OrderAccepted`` for the ways to and from the venue (which half took how long no record tells), and ``ts_init -
ts_event`` of the market data for the feed, the difference of the clocks added (``clock_skew``).
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from infra.errors import Hopeless
from pipelines import archive_reader
from pipelines.clock_skew import ClockSkew
from pipelines.compose import Constant
from topics import wire
from topics.catalog import MARKET_EVENTS, ORDERS_EVENTS, Topic
from topics.market import BookDelta, Trade
from topics.orders import OrderAccepted, OrderSent
from topics.record import InstrumentId

MOST = 50_000
"""Of each kind kept; of more, every second, fourth, … one."""


@dataclass(frozen=True)
class Samples:
    """Nanoseconds: round trips of orders, and how old market data was when it was received. Neither is empty."""

    round_trip: tuple[int, ...]
    feed: tuple[int, ...]


class Sampled:
    """Draws from what was recorded, with a generator for each kind, so that one does not disturb the other."""

    def __init__(self, samples: Samples, hop_ns: int, seed: int) -> None:
        self._samples, self._hop_ns = samples, hop_ns
        self._orders, self._feed = random.Random(f"orders:{seed}"), random.Random(f"feed:{seed}")

    def hop(self, topic: Topic) -> int:
        return self._hop_ns

    def write_ahead(self) -> int:
        return self._hop_ns

    def to_venue(self) -> int:
        return self._orders.choice(self._samples.round_trip) // 2

    def from_venue(self) -> int:
        return self._orders.choice(self._samples.round_trip) // 2

    def feed(self) -> int:
        return self._feed.choice(self._samples.feed)


class Jittered:
    """Constant latencies and, on the way to and from the venue, an exponential tail with this mean."""

    def __init__(self, base: Constant, mean_ns: int, seed: int) -> None:
        self._base, self._mean_ns = base, mean_ns
        self._random = random.Random(seed)
        self._hop_ns = base.hop_ns

    def hop(self, topic: Topic) -> int:
        return self._hop_ns

    def write_ahead(self) -> int:
        return self._base.write_ahead()

    def to_venue(self) -> int:
        return self._base.to_venue() + self._tail()

    def from_venue(self) -> int:
        return self._base.from_venue() + self._tail()

    def feed(self) -> int:
        return self._base.feed()

    def _tail(self) -> int:
        return int(self._random.expovariate(1 / self._mean_ns)) if self._mean_ns else 0


# --- what was recorded ------------------------------------------------------------------------------------------------


def recorded(path: Path) -> Samples:
    """Of a run's folder or archive, or of a Parquet file with the columns ``kind`` (order, feed) and ``ns``."""
    if path.is_file():
        return _checked(path, *_of_table(path))
    root = archive_reader.archive_of(path)
    return _checked(
        path, thinned(round_trips(_events(root, ORDERS_EVENTS))), thinned(ages(_events(root, MARKET_EVENTS)))
    )


def round_trips(facts: Iterable[Any]) -> Iterator[int]:
    """From ``OrderSent`` to ``OrderAccepted``, each order once."""
    sent: dict[tuple[str, str], int] = {}
    for fact in facts:
        if isinstance(fact, OrderSent):
            sent[fact.account, fact.client_order_id] = fact.ts_init
        elif isinstance(fact, OrderAccepted):
            began = sent.pop((fact.account, fact.client_order_id), None)
            if began is not None:
                yield max(0, fact.ts_init - began)


def ages(events: Iterable[Any]) -> Iterator[int]:
    """Of those events that carry the venue's time, each instrument's in their order."""
    clocks: defaultdict[InstrumentId, ClockSkew] = defaultdict(ClockSkew)
    told = (clocks[e.instrument].latency(e.ts_event, e.ts_init) for e in events if isinstance(e, Trade | BookDelta))
    return (age for age in told if age is not None)


def thinned(values: Iterable[int], most: int = MOST) -> tuple[int, ...]:
    """At most so many of them, evenly."""
    kept: list[int] = []
    step = 1
    for n, value in enumerate(values):
        if n % step == 0:
            kept.append(value)
            if len(kept) > most:
                kept, step = kept[::2], step * 2
    return tuple(kept)


def _events(root: Path, topic: Topic) -> Iterator[Any]:
    for row in archive_reader.all_rows(root, topic):
        if row.value is not None:
            yield from wire.decode(row.value, topic.types)


def _of_table(path: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
    try:
        table = pq.read_table(path, columns=["kind", "ns"]).to_pylist()
        found = [(str(row["kind"]), int(row["ns"])) for row in table]
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        line = str(error).partition("\n")[0]
        raise Hopeless(f"{path}: no Parquet file with the columns kind and ns: {line}") from error
    return tuple(ns for kind, ns in found if kind == "order"), tuple(ns for kind, ns in found if kind == "feed")


def _checked(path: Path, orders: tuple[int, ...], feed: tuple[int, ...]) -> Samples:
    if not orders:
        raise Hopeless(f"{path}: no order was sent and accepted there, so no order latency to draw from")
    if not feed:
        raise Hopeless(f"{path}: no market data there, so no feed latency to draw from")
    if min(*orders, *feed) < 0:
        raise Hopeless(f"{path}: a latency below 0")
    return Samples(orders, feed)
