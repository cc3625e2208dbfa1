"""The stages composed in one process: topics are ordered logs in memory, time is simulated, and nothing waits.

What is written to a topic reaches all of its readers one hop later, in the order of the log. Each stage is folded by
the ``Processor`` of its worker, its outputs are routed by ``topics.routes`` and carry the coordinates they would carry
on Kafka (with ``TOPIC_ID`` as every topic's identity), so a strategy cannot tell where it runs, and what is written
can be archived, reported and replayed like a live run.

Deterministic: events of the same time happen in the order in which they were scheduled.
"""

import heapq
import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from infra.shell.processor import Inbound
from pipelines.folding import Fold
from pipelines.partitioning import partition_of
from topics import wire
from topics.catalog import STAGE_LOG, Topic
from topics.coordinates import HEADER, Coordinate
from topics.record import Record
from topics.routes import Subscriptions, group
from topics.stage import Stage
from topics.system import StageStarted

TOPIC_ID = "in-process"
SCHEMA = 1
MS = 1_000_000


class Written(NamedTuple):
    """One record of the tape; ``ts`` is when it was appended, in simulated nanoseconds."""

    topic: Topic
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    src: bytes | None
    ts: int

    def inbound(self) -> Inbound:
        headers = () if self.src is None else ((HEADER, self.src),)
        return Inbound(self.partition, self.offset, self.key, self.value, headers)


Reader = Callable[[Written], None]
Sink = Callable[[Written], None]


class Latency(Protocol):
    """How long things take, in nanoseconds; a model may draw them, from a generator of its own seed."""

    def hop(self, topic: Topic) -> int:
        """From the write of a record to its readers."""

    def write_ahead(self) -> int:
        """From the gateway's write to its acknowledgement."""

    def to_venue(self) -> int: ...

    def from_venue(self) -> int:
        """Of answers and private events. Market data took its own time when it was recorded."""


@dataclass(frozen=True)
class Constant:
    hop_ns: int = 2 * MS
    venue_ns: int = 5 * MS

    def hop(self, topic: Topic) -> int:
        return self.hop_ns

    def write_ahead(self) -> int:
        return self.hop_ns

    def to_venue(self) -> int:
        return self.venue_ns

    def from_venue(self) -> int:
        return self.venue_ns


class Jittered:
    """Constant latencies and, on the way to and from the venue, an exponential tail with this mean."""

    def __init__(self, base: Constant, mean_ns: int, seed: int) -> None:
        self._base, self._mean_ns = base, mean_ns
        self._random = random.Random(seed)

    def hop(self, topic: Topic) -> int:
        return self._base.hop(topic)

    def write_ahead(self) -> int:
        return self._base.write_ahead()

    def to_venue(self) -> int:
        return self._base.to_venue() + self._tail()

    def from_venue(self) -> int:
        return self._base.from_venue() + self._tail()

    def _tail(self) -> int:
        return int(self._random.expovariate(1 / self._mean_ns)) if self._mean_ns else 0


class Loop:
    """Simulated time: what is due happens in the order of time, then of scheduling."""

    def __init__(self, now: int) -> None:
        self.now = now
        self._due: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = itertools.count()

    def at(self, when: int, call: Callable[..., None], *args: Any) -> None:
        """Not before now: what should have happened earlier happens now."""
        heapq.heappush(self._due, (max(when, self.now), next(self._count), call, args))

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


class Tape:
    """The topics. ``sink`` gets every record as it is appended."""

    def __init__(self, loop: Loop, latency: Latency, sink: Sink = lambda written: None) -> None:
        self.loop = loop
        self.records = 0
        self._latency = latency
        self._sink = sink
        self._next: dict[tuple[str, int], int] = defaultdict(int)
        self._readers: dict[str, list[Reader]] = defaultdict(list)
        self._channels: dict[tuple[str, int], Channel] = {}

    def topic_id(self, topic: Topic) -> str:
        return TOPIC_ID

    def subscribe(self, topic: Topic, reader: Reader) -> None:
        self._readers[topic.name].append(reader)

    def append(
        self,
        topic: Topic,
        key: bytes | None,
        value: bytes,
        src: bytes | None,
        partition: int | None = None,
        when: int | None = None,
    ) -> Written:
        """At the end of the key's partition, now (or at ``when``, which is later); its readers have it a hop later."""
        if partition is None:
            partition = partition_of(key or b"", topic.partitions)
        place = (topic.name, partition)
        ts = self.loop.now if when is None else when
        written = Written(topic, partition, self._next[place], key, value, src, ts)
        self._next[place] += 1
        self.records += 1
        self._sink(written)
        readers = self._readers.get(topic.name)
        if readers:
            channel = self._channel(place)
            channel.send(ts + self._latency.hop(topic), _deliver, readers, written)
        return written

    def after_hop(self, written: Written, call: Callable[..., None], *args: Any) -> None:
        """When a reader of the record would have it."""
        ready = written.ts + self._latency.hop(written.topic)
        self._channel((written.topic.name, written.partition)).send(ready, call, *args)

    def _channel(self, place: tuple[str, int]) -> Channel:
        channel = self._channels.get(place)
        if channel is None:
            channel = self._channels[place] = Channel(self.loop)
        return channel

    def start(self, name: str, version: str, config: str) -> int:
        """A worker's first record; its offset is an edge's epoch."""
        record = StageStarted(
            stage=name, instance=0, version=version, config=config, schema=SCHEMA, ts_init=self.loop.now
        )
        return self.append(STAGE_LOG, name.encode(), wire.encode([record]), None).offset


def _deliver(readers: Sequence[Reader], written: Written) -> None:
    for reader in readers:
        reader(written)


class Log(Protocol):
    """What stages are composed on: simulated topics (``Tape``), or a run's topics in their recorded order (``parity_tape``)."""

    def topic_id(self, topic: Topic) -> str:
        """The topic's identity, a part of the coordinates of what is made from it."""

    def subscribe(self, topic: Topic, reader: Reader) -> None: ...

    def append(self, topic: Topic, key: bytes | None, value: bytes, src: bytes | None) -> object: ...


class Edge:
    """The tape's side of an edge: its records get the coordinate (name, epoch, n)."""

    def __init__(self, tape: Tape, name: str, epoch: int, subscriptions: Subscriptions) -> None:
        self.name, self.epoch, self.n = name, epoch, 0
        self._tape = tape
        self._subscriptions = subscriptions

    def publish(self, records: Iterable[Record]) -> None:
        for (topic, key), events in group(records, self._subscriptions).items():
            self.publish_raw(topic, key.encode(), wire.encode(events))

    def publish_raw(self, topic: Topic, key: bytes | None, value: bytes, partition: int | None = None) -> None:
        self._tape.append(topic, key, value, self.next_coordinate(), partition)

    def next_coordinate(self) -> bytes:
        self.n += 1
        return Coordinate(self.name, "", self.epoch, self.n).encode()


class StageReader:
    """A stage on the tape: reads its topic, and writes what it puts out at once."""

    def __init__(
        self, stage: Stage[Any], tape: Log, subscriptions: Subscriptions, recode_every: int | None = None
    ) -> None:
        self._tape = tape
        self._topic_id = tape.topic_id(stage.input)
        self._subscriptions = subscriptions
        self._stopped = False
        self.fold = Fold(stage, self._publish, recode_every)

    def read(self, written: Written) -> None:
        if not self._stopped:
            self.fold.feed(written.inbound())

    def stop(self) -> None:
        """What comes from now on stays unread."""
        self._stopped = True

    def _publish(self, outputs: list[Record], partition: int, offset: int) -> None:
        for topic, key, value, src in routed(
            self.fold.stage, outputs, partition, offset, self._topic_id, self._subscriptions
        ):
            self._tape.append(topic, key, value, src.encode())


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
    source = f"{stage.input.name}@{topic_id}/{partition}"
    return [
        Output(topic, key.encode(), wire.encode(records), Coordinate(stage.name, source, offset, minor))
        for minor, ((topic, key), records) in enumerate(group(outputs, subscriptions).items())
    ]


class DecodedOnce:
    """The events of a topic's records, for several readers of the same record one after another. Events are immutable."""

    def __init__(self, topic: Topic) -> None:
        self._types = topic.types
        self._value: bytes | None = None
        self._events: list[Any] = []

    def __call__(self, value: bytes) -> list[Any]:
        if value is not self._value:
            self._events = wire.decode(value, self._types)
            self._value = value
        return self._events


def compose(
    stages: Iterable[Stage[Any]], tape: Log, subscriptions: Subscriptions, recode_every: int | None = None
) -> dict[str, StageReader]:
    """The stages as readers of the tape, by name; those of one topic read each record in the order given."""
    decoders: dict[str, DecodedOnce] = {}
    readers: dict[str, StageReader] = {}
    for stage in stages:
        if stage.decode is None:
            decoder = decoders.setdefault(stage.input.name, DecodedOnce(stage.input))
            stage = replace(stage, decode=decoder)
        readers[stage.name] = StageReader(stage, tape, subscriptions, recode_every)
        tape.subscribe(stage.input, readers[stage.name].read)
    return readers
