"""A plain consumer for sinks: many topics, from offsets that the sink itself keeps.

No group and no commit: what a sink wrote is its offset.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from infra import kafka
from topics.catalog import Topic
from topics.coordinates import HEADER, VERSION_HEADER, Coordinate

log = logging.getLogger(__name__)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Place(NamedTuple):
    """One partition of a topic, by its logical name."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Taken:
    """One Kafka record as a sink takes it: bytes as they are, None where absent. ``timestamp_ms`` is the broker's."""

    topic: str
    topic_id: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    src: bytes | None
    ver: bytes | None

    @property
    def place(self) -> Place:
        return Place(self.topic, self.partition)

    @property
    def coordinate(self) -> Coordinate:
        """Where it came from; a record without a readable source stands for itself."""
        try:
            return Coordinate.decode(self.src or b"")
        except ValueError:
            return Coordinate("", f"{self.topic}@{self.topic_id}/{self.partition}", self.offset, 0)

    @property
    def version(self) -> str:
        return (self.ver or b"").decode(errors="replace")

    @property
    def timestamp(self) -> datetime:
        return EPOCH + timedelta(milliseconds=self.timestamp_ms)


class Tail:
    """Use as a context manager, from one thread. ``ids`` are the topics' identities; ``starts`` where to go on (else the first)."""

    def __init__(
        self,
        conf: kafka.KafkaConf,
        prefix: str,
        topics: Sequence[Topic],
        ids: Mapping[str, str],
        starts: Mapping[Place, int],
    ) -> None:
        self.missing = 0
        self._prefix = prefix
        self._ids = ids
        self._consumer: Consumer = kafka.consumer(conf, group=f"{prefix}.tail")
        self._conf, self._topics = conf, topics
        marks = _marks(conf, prefix, topics)
        self._next = {place: self._start(place, starts, marks[place][0]) for place in places(topics)}
        self._consumer.assign([self._at(place, offset) for place, offset in self._next.items()])

    def _start(self, place: Place, starts: Mapping[Place, int], low: int) -> int:
        """Where a partition goes on. What retention has taken meanwhile is lost: said and counted."""
        wanted = starts.get(place, low)
        if wanted < low:
            log.error("%s/%d: offsets %d to %d went out of retention untaken", *place, wanted, low - 1)
            self.missing += low - wanted
        return max(wanted, low)

    def take(self, most: int, timeout_s: float) -> list[Taken]:
        """What has arrived: at once as soon as there is something, nothing after the timeout."""
        first = self._consumer.poll(timeout_s)
        if first is None:
            return []
        messages = [first, *self._consumer.consume(most - 1, 0.0)] if most > 1 else [first]
        taken = [self._taken(m) for m in messages if not _notice(m)]
        for one in taken:
            self._next[one.place] = one.offset + 1
        return taken

    def _taken(self, message: Message) -> Taken:
        name = kafka.logical(self._prefix, message.topic() or "")
        key = message.key()
        return Taken(
            topic=name,
            topic_id=self._ids[name],
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            timestamp_ms=message.timestamp()[1],
            key=key.encode() if isinstance(key, str) else key,
            value=message.value(),
            src=kafka.header(message, HEADER),
            ver=kafka.header(message, VERSION_HEADER),
        )

    def lag(self) -> int:
        """Records that the broker has told of and that were not taken yet."""
        return sum(max(0, self._known_end(place) - offset) for place, offset in self._next.items())

    def behind(self, ends: Mapping[Place, int]) -> int:
        """How many offsets are still to be passed until these ends."""
        return sum(max(0, end - self._position(place)) for place, end in ends.items())

    def _position(self, place: Place) -> int:
        """Beyond the last record taken where markers or holes follow it."""
        return max(self._next[place], int(self._consumer.position([self._at(place)])[0].offset))

    def ends(self) -> dict[Place, int]:
        """The next offset of every partition, asked of the broker."""
        return {place: high for place, (_, high) in _marks(self._conf, self._prefix, self._topics).items()}

    def _known_end(self, place: Place) -> int:
        """As of the last fetch, without asking the broker."""
        marks = self._consumer.get_watermark_offsets(self._at(place), timeout=10, cached=True)
        return 0 if marks is None else int(marks[1])

    def _at(self, place: Place, offset: int = 0) -> TopicPartition:
        return TopicPartition(kafka.physical(self._prefix, place.topic), place.partition, offset)

    def close(self) -> None:
        self._consumer.close()

    def __enter__(self) -> "Tail":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _notice(message: Message) -> bool:
    """True for what passes by itself; KafkaProblem for what the sink cannot go on with."""
    error = message.error()
    if error is None:
        return False
    if kafka.passes(error):
        log.warning("%s", error.str())
        return True
    raise kafka.KafkaProblem(f"{message.topic()}: {error.str()}") from KafkaException(error)


def places(topics: Sequence[Topic]) -> list[Place]:
    return [Place(t.name, p) for t in topics for p in range(t.partitions)]


def topic_ids(conf: kafka.KafkaConf, prefix: str, topics: Sequence[Topic]) -> dict[str, str]:
    """Logical name to the topic's identity."""
    found = kafka.topic_ids(conf, [kafka.physical(prefix, t) for t in topics])
    return {kafka.logical(prefix, name): ident for name, ident in found.items()}


def tape_ends(conf: kafka.KafkaConf, prefix: str, topics: Sequence[Topic]) -> dict[Place, int]:
    """The next offset of every partition as of now, 0 where it is empty."""
    return {place: high if high > low else 0 for place, (low, high) in _marks(conf, prefix, topics).items()}


def _marks(conf: kafka.KafkaConf, prefix: str, topics: Sequence[Topic]) -> dict[Place, tuple[int, int]]:
    """(first, next) offset of every partition, asked for all at once: one by one they would wait behind the fetches."""
    found = kafka.watermarks(conf, [kafka.physical(prefix, t) for t in topics])
    return {Place(t.name, p): marks for t in topics for p, marks in found[kafka.physical(prefix, t)].items()}
