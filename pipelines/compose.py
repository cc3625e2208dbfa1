"""The stages composed in one process: topics are ordered logs in memory, time is simulated, and nothing waits.

What is written to a topic reaches all of its readers one hop later, in the order of the log. Each stage is folded as by
the ``Processor`` of its worker, its outputs are routed by ``topics.routes`` and carry the coordinates they would carry
on Kafka (with ``TOPIC_ID`` as every topic's identity), so a strategy cannot tell where it runs, and what is written
can be archived, reported and replayed like a live run.

Deterministic: events of the same time happen in the order in which they were scheduled.
"""

import heapq
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, NamedTuple, Protocol

from infra.shell.processor import Inbound
from pipelines.folding import QuickFold
from pipelines.partitioning import partition_of
from topics import wire
from topics.catalog import STAGE_LOG, Topic
from topics.coordinates import HEADER, Coordinate
from topics.market import Bar, BookDelta, BookSnapshot, Mark, Quote, Tick, Trade
from topics.orders import (
    CancelRequested,
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderRequested,
    OrderSent,
    OrderUpdated,
)
from topics.portfolio import BalanceChanged
from topics.record import Record
from topics.routes import Subscriptions, grouped
from topics.stage import Stage
from topics.strategy import Signal
from topics.system import StageStarted

TOPIC_ID = "in-process"
SCHEMA = 1
MS = 1_000_000
MOST_KEYS = 100_000
"""Whose lanes are remembered."""


Src = tuple[str, str, int, int]
"""What a ``Coordinate`` consists of; it is made when somebody asks."""


class Written:
    """One record of the tape; ``ts`` is when it was appended, in simulated nanoseconds.

    Of what was written as events the bytes are made when somebody asks, and the other way round. ``is_news``: made here,
    so nothing of its producer and source came later before.
    """

    __slots__ = ("_events", "_src", "_value", "is_news", "key", "offset", "partition", "topic", "ts")

    def __init__(
        self,
        topic: Topic,
        partition: int,
        offset: int,
        key: bytes | None,
        value: bytes | None,
        src: bytes | Src | None,
        ts: int,
        events: Sequence[Any] | None = None,
        is_news: bool = False,
    ) -> None:
        self.topic, self.partition, self.offset, self.key, self.ts = topic, partition, offset, key, ts
        self.is_news = is_news
        self._value, self._src, self._events = value, src, events

    def encode(self) -> None:
        """From here on it is what its bytes say."""
        self._value, self._events = self.value, None

    @property
    def value(self) -> bytes:
        if self._value is None:
            self._value = wire.encode(self._events or ())
        return self._value

    @property
    def events(self) -> Sequence[Any]:
        """Immutable. BadRecord where the bytes are none of the topic's."""
        found = self._events
        if found is None:
            found = self._events = wire.decode(self.value, self.topic.types)
        return found

    @property
    def src(self) -> bytes | None:
        return Coordinate._make(self._src).encode() if isinstance(self._src, tuple) else self._src

    def inbound(self) -> Inbound:
        src = self.src
        return Inbound(self.partition, self.offset, self.key, self.value, () if src is None else ((HEADER, src),))


def as_decoded(record: Record) -> bool:
    """Whether the record is what its bytes would be decoded to, beyond doubt: flat, immutable, and made by our own code.

    What a strategy made is not: a whole number where a fraction is declared would come back as another type.
    """
    if type(record) is Signal:
        return type(record.value) is float and isfinite(record.value) and type(record.name) is str and not record.data
    return type(record) in FLAT


FLAT = frozenset(
    {Quote, Trade, BookDelta, BookSnapshot, Mark, Tick, Bar, BalanceChanged, Fill, OrderUpdated}
    | {OrderRequested, OrderSent, OrderAccepted, OrderFilled, OrderCanceled, CancelRequested}
)


Reader = Callable[[Written], None]
Sink = Callable[[Written], None]
Takes = Callable[[type, int], bool]
"""Whether an event of this type in this partition, read next, would be anything to a reader. Of other types than
``Tick`` the answer is always the same.
"""


class Latency(Protocol):
    """How long things take, in nanoseconds; a model may draw them, from a generator of its own seed."""

    def hop(self, topic: Topic) -> int:
        """From the write of a record to its readers."""

    def write_ahead(self) -> int:
        """From the gateway's write to its acknowledgement."""

    def to_venue(self) -> int: ...

    def from_venue(self) -> int:
        """Of answers and private events."""

    def feed(self) -> int:
        """Of market data: how long before its recorded time the venue had it."""


@dataclass(frozen=True)
class Constant:
    hop_ns: int = 2 * MS
    venue_ns: int = 5 * MS
    feed_ns: int | None = None
    """None: as ``venue_ns``."""

    def hop(self, topic: Topic) -> int:
        return self.hop_ns

    def write_ahead(self) -> int:
        return self.hop_ns

    def to_venue(self) -> int:
        return self.venue_ns

    def from_venue(self) -> int:
        return self.venue_ns

    def feed(self) -> int:
        return self.venue_ns if self.feed_ns is None else self.feed_ns


class Loop:
    """Simulated time: what is due happens in the order of time, then of scheduling."""

    def __init__(self, now: int) -> None:
        self.now = now
        self._due: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = itertools.count()

    def at(self, when: int, call: Callable[..., None], *args: Any) -> None:
        """Not before now: what should have happened earlier happens now."""
        heapq.heappush(self._due, (when if when > self.now else self.now, next(self._count), call, args))

    def run(self, until: int | None = None) -> None:
        """Everything due at or before ``until`` (None: everything)."""
        due, pop = self._due, heapq.heappop
        while due and (until is None or due[0][0] <= until):
            self.now, _, call, args = pop(due)
            call(*args)
        if until is not None:
            self.now = max(self.now, until)

    @property
    def idle(self) -> bool:
        return not self._due


class Channel:
    """Deliveries that keep their order, however long each of them takes."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._last = 0

    def send(self, when: int, call: Callable[..., None], *args: Any) -> None:
        self._last = max(self._last, when)
        self._loop.at(self._last, call, *args)


class Lane:
    """One partition of a topic: its next offset, and when what is on its way there arrives at its readers, in order."""

    __slots__ = ("_of_kind", "_subscribed", "_under_way", "arrived", "next", "partition", "readers", "topic")

    def __init__(self, topic: Topic, partition: int, subscribed: list[tuple[Reader, Takes | None]]) -> None:
        self.topic, self.partition = topic, partition
        self._subscribed = subscribed
        self.readers = [reader for reader, _ in subscribed]
        self._of_kind: dict[type, list[Reader]] = {}
        self.next = 0
        self.arrived = 0
        self._under_way = 0

    def takers(self, events: Sequence[Any]) -> list[Reader]:
        """Those to whom a record of these events is something. What is on its way may still make a tick so."""
        if len(events) != 1:
            return self.readers
        kind = type(events[0])
        if kind is Tick and self._under_way:
            return self.readers
        found = self._of_kind.get(kind)
        if found is None:
            found = [reader for reader, takes in self._subscribed if takes is None or takes(kind, self.partition)]
            self._of_kind[kind] = found
        return found

    def send(self, loop: "Loop", takers: list[Reader], written: Written) -> None:
        self._under_way += 1
        loop.at(self.arrived, self._deliver, takers, written)

    def _deliver(self, takers: list[Reader], written: Written) -> None:
        self._under_way -= 1
        self._of_kind.pop(Tick, None)
        for read in takers:
            read(written)


class Tape:
    """The topics. ``sink`` gets every record as it is appended.

    Records that are nothing to a reader do not reach it, unless ``to_all``: then each reader's counts say how far it came.
    """

    def __init__(self, loop: Loop, latency: Latency, sink: Sink | None = None, to_all: bool = False) -> None:
        self.loop = loop
        self.records = 0
        self._hop = latency.hop
        self._sink = sink
        self._to_all = to_all
        self._subscribed: dict[str, list[tuple[Reader, Takes | None]]] = {}
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._of_key: dict[tuple[str, bytes | str], tuple[Lane, bytes]] = {}

    def topic_id(self, topic: Topic) -> str:
        return TOPIC_ID

    def subscribe(self, topic: Topic, reader: Reader, takes: Takes | None = None) -> None:
        """Before anything is written to it."""
        self._subscribed.setdefault(topic.name, []).append((reader, None if self._to_all else takes))

    def append(
        self,
        topic: Topic,
        key: bytes,
        value: bytes,
        src: bytes | None,
        when: int | None = None,
        events: Sequence[Any] | None = None,
    ) -> Written:
        """Bytes at the end of the key's partition, now (or at ``when``, which is later); its readers have it a hop later.

        ``events``: what they decode to, where that is known.
        """
        lane, _ = self._lane_of(topic, key)
        ts = self.loop.now if when is None else when
        is_news = src is None and events is not None
        written = Written(topic, lane.partition, lane.next, key, value, src, ts, events, is_news)
        self._put(lane, self._next(lane, ts, events if is_news else None), written)
        return written

    def write(self, topic: Topic, key: str, records: list[Record], src: Src) -> None:
        """Records made here, as they will be read."""
        if self._sink is None and topic.name not in self._subscribed:
            self.records += 1  # nobody is there to see it, nor the offset of a later one
        else:
            lane, raw_key = self._lane_of(topic, key)
            self._write(lane, raw_key, records, src)

    def tick(self, topic: Topic, partition: int, events: list[Record], src: Src) -> None:
        """Without a key, to a partition."""
        self._write(self._lane(topic, partition), None, events, src)

    def _write(self, lane: Lane, key: bytes | None, records: list[Record], src: Src) -> None:
        offset, now = lane.next, self.loop.now
        takers = self._next(lane, now, records)
        if not takers and self._sink is None:
            return
        written = Written(lane.topic, lane.partition, offset, key, None, src, now, records, True)
        if not as_decoded(records[0]) or not all(map(as_decoded, records)):
            written.encode()
        self._put(lane, takers, written)

    def _next(self, lane: Lane, ts: int, events: Sequence[Any] | None) -> list[Reader]:
        """A place of the lane is taken; who reads what stands there. It arrives not before what was sent earlier."""
        lane.next += 1
        self.records += 1
        if not lane.readers:
            return lane.readers
        when = ts + self._hop(lane.topic)
        if when > lane.arrived:
            lane.arrived = when
        return lane.readers if events is None else lane.takers(events)

    def _put(self, lane: Lane, takers: list[Reader], written: Written) -> None:
        if self._sink is not None:
            self._sink(written)
        if takers:
            lane.send(self.loop, takers, written)

    def after_hop(self, written: Written, call: Callable[..., None], *args: Any) -> None:
        """When a reader of the record would have it."""
        lane = self._lane(written.topic, written.partition)
        lane.arrived = max(lane.arrived, written.ts + self._hop(written.topic))
        self.loop.at(lane.arrived, call, *args)

    def _lane_of(self, topic: Topic, key: bytes | str) -> tuple[Lane, bytes]:
        found = self._of_key.get((topic.name, key))
        if found is None:
            raw = key.encode() if isinstance(key, str) else key
            lane = self._lane(topic, partition_of(raw, topic.partitions))
            if len(self._of_key) >= MOST_KEYS:
                self._of_key.clear()
            found = self._of_key[topic.name, key] = (lane, raw)
        return found

    def _lane(self, topic: Topic, partition: int) -> Lane:
        lane = self._lanes.get((topic.name, partition))
        if lane is None:
            lane = self._lanes[topic.name, partition] = Lane(topic, partition, self._subscribed.get(topic.name, []))
        return lane

    def start(self, name: str, version: str, config: str) -> int:
        """A worker's first record; its offset is an edge's epoch."""
        record = StageStarted(
            stage=name, instance=0, version=version, config=config, schema=SCHEMA, ts_init=self.loop.now
        )
        return self.append(STAGE_LOG, name.encode(), wire.encode([record]), None).offset


class Log(Protocol):
    """What stages are composed on: simulated topics (``Tape``), or a run's topics in their recorded order (``parity_tape``)."""

    def topic_id(self, topic: Topic) -> str:
        """The topic's identity, a part of the coordinates of what is made from it."""

    def subscribe(self, topic: Topic, reader: Reader, takes: Takes | None = None) -> None: ...

    def write(self, topic: Topic, key: str, records: list[Record], src: Src) -> object: ...


class Edge:
    """The tape's side of an edge: its records get the coordinate (name, epoch, n)."""

    def __init__(self, tape: Tape, name: str, epoch: int, subscriptions: Subscriptions) -> None:
        self.name, self.epoch, self.n = name, epoch, 0
        self._tape = tape
        self._subscriptions = subscriptions

    def publish(self, records: Sequence[Record]) -> None:
        for topic, key, events in grouped(records, self._subscriptions):
            self.write(topic, key, events)

    def write(self, topic: Topic, key: str, records: list[Record]) -> None:
        """One record of the tape."""
        self._tape.write(topic, key, records, self._next())

    def tick(self, topic: Topic, events: list[Record]) -> None:
        """To every partition."""
        for partition in range(topic.partitions):
            self._tape.tick(topic, partition, events, self._next())

    def next_coordinate(self) -> bytes:
        return Coordinate._make(self._next()).encode()

    def _next(self) -> Src:
        self.n += 1
        return self.name, "", self.epoch, self.n


class StageReader:
    """A stage on the tape: reads its topic, and writes what it puts out at once."""

    def __init__(
        self, stage: Stage[Any], tape: Log, subscriptions: Subscriptions, recode_every: int | None = None
    ) -> None:
        self._tape = tape
        self._topic_id = tape.topic_id(stage.input)
        self._subscriptions = subscriptions
        self.fold = QuickFold(stage, self._publish, recode_every)

    def stop(self) -> None:
        """What comes from now on stays unread."""
        self.fold.stopped = True

    def _publish(self, outputs: list[Record], partition: int, offset: int) -> None:
        for output in outputs_of(self.fold.stage, outputs, partition, offset, self._topic_id, self._subscriptions):
            self._tape.write(*output)


class Output(NamedTuple):
    """One output record of a stage, before it has a place in its topic."""

    topic: Topic
    key: bytes
    value: bytes
    src: Coordinate


def routed(
    stage: Stage[Any], outputs: list[Record], partition: int, offset: int, topic_id: str, subscriptions: Subscriptions
) -> list[Output]:
    """The outputs of one input record as ``infra.shell.outputs`` writes them."""
    return [
        Output(topic, key.encode(), wire.encode(records), Coordinate._make(src))
        for topic, key, records, src in outputs_of(stage, outputs, partition, offset, topic_id, subscriptions)
    ]


def outputs_of(
    stage: Stage[Any], outputs: list[Record], partition: int, offset: int, topic_id: str, subscriptions: Subscriptions
) -> list[tuple[Topic, str, list[Record], Src]]:
    """The same, not yet bytes."""
    source = f"{stage.input.name}@{topic_id}/{partition}"
    return [
        (topic, key, records, (stage.name, source, offset, minor))
        for minor, (topic, key, records) in enumerate(grouped(outputs, subscriptions))
    ]


def compose(
    stages: Iterable[Stage[Any]], tape: Log, subscriptions: Subscriptions, recode_every: int | None = None
) -> dict[str, StageReader]:
    """The stages as readers of the tape, by name; those of one topic read each record in the order given."""
    readers: dict[str, StageReader] = {}
    for stage in stages:
        reader = readers[stage.name] = StageReader(stage, tape, subscriptions, recode_every)
        tape.subscribe(stage.input, reader.fold.feed, reader.fold.takes)
    return readers
