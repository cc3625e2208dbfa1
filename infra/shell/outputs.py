"""Where a stage's outputs leave: our own idempotent producer, so that they are visible before the checkpoint."""

import time
from collections.abc import Callable, Mapping

from confluent_kafka import KafkaError, Message

from infra import kafka
from infra.version import revision
from topics import wire
from topics.catalog import Topic
from topics.coordinates import HEADER, VERSION_HEADER, Coordinate
from topics.record import Record
from topics.routes import Subscriptions, group

FLUSH_S = 30.0
ONE_AT_A_TIME = {"max.in.flight.requests.per.connection": 1}
"""Nothing waits when it is quiet; under load what comes while one request is on its way travels in the next."""


class Outputs:
    """Publishes the outputs of each input record: one Kafka record per (topic, key), ``minor`` numbering them."""

    def __init__(
        self,
        conf: kafka.KafkaConf,
        prefix: str,
        *,
        stage: str,
        sources: Mapping[int, str],
        subscriptions: Subscriptions,
        config_digest: str,
        count: Callable[[int], None] = lambda n: None,
        show: Callable[[Topic, list[Record]], None] = lambda topic, records: None,
    ) -> None:
        """``sources``: input partition to the source in its outputs' coordinates. ``count`` is told how many left,
        ``show`` what.
        """
        self._prefix = prefix
        self._stage = stage
        self._sources = sources
        self._subscriptions = subscriptions
        self._version = f"{revision()}:{config_digest}".encode()
        self._count = count
        self._show = show
        self._names: dict[str, str] = {}
        self._failure: KafkaError | None = None
        self._producer = kafka.producer(conf, **ONE_AT_A_TIME)

    def publish(self, outputs: list[Record], partition: int, offset: int) -> None:
        """All outputs of one input record, in order, without waiting."""
        grouped = group(outputs, self._subscriptions)
        for minor, ((topic, key), records) in enumerate(grouped.items()):
            coordinate = Coordinate(self._stage, self._sources[partition], offset, minor)
            self._produce(self._name(topic.name), wire.encode(records), key, coordinate)
            self._show(topic, records)
        self._producer.poll(0)
        self._count(len(grouped))

    def announce(self, record: Record) -> None:
        """Write a record about the stage itself, which has no coordinate, and wait for it."""
        self.note([record])
        self.flush()

    def note(self, records: list[Record]) -> None:
        """Write records about the stage itself, which have no coordinate, as one Kafka record a key, without waiting."""
        for (topic, key), events in group(records, self._subscriptions).items():
            self._produce(self._name(topic.name), wire.encode(events), key, None)

    def flush(self) -> None:
        """Wait until all is acknowledged. KafkaProblem when it is not in time: then there must be no checkpoint."""
        left = self._producer.flush(FLUSH_S)
        self._raise_failure()
        if left:
            raise kafka.KafkaProblem(
                f"{left} outputs of {self._stage} not acknowledged in {FLUSH_S:.0f} s: is the broker up?"
            )

    def _produce(self, name: str, value: bytes, key: str, coordinate: Coordinate | None) -> None:
        self._raise_failure()
        headers: list[tuple[str, str | bytes | None]] = [(VERSION_HEADER, self._version)]
        if coordinate is not None:
            headers.insert(0, (HEADER, coordinate.encode()))
        deadline = time.monotonic() + FLUSH_S
        while True:
            try:
                self._producer.produce(name, value, key, headers=headers, on_delivery=self._delivered)
                return
            except BufferError:  # the broker is behind: wait, never drop
                if time.monotonic() > deadline:
                    raise kafka.KafkaProblem(
                        f"no output of {self._stage} taken for {FLUSH_S:.0f} s: is the broker up?"
                    ) from None
                self._producer.poll(0.1)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self._failure is None:
            self._failure = error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise kafka.KafkaProblem(f"an output of {self._stage} was refused: {self._failure.str()}")

    def _name(self, topic: str) -> str:
        if topic not in self._names:
            self._names[topic] = kafka.physical(self._prefix, topic)
        return self._names[topic]
