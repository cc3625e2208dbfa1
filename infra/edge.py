"""The tape's side of an edge: records get the coordinate (edge, epoch, n) and go to every topic the routing table names.

The epoch is the offset of the edge's own ``StageStarted`` in ``stage.log``: durable, growing, and it fences the process before.
"""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from types import TracebackType

from confluent_kafka import KafkaError, KafkaException, Message

from infra import kafka
from infra.errors import Problem
from infra.version import revision
from topics import wire
from topics.catalog import STAGE_LOG, Topic
from topics.coordinates import HEADER, VERSION_HEADER, Coordinate
from topics.record import Record
from topics.routes import Subscriptions, group
from topics.system import StageStarted

SCHEMA = 1


def started(stage: str, instance: int, config_digest: str) -> StageStarted:
    return StageStarted(
        stage=stage,
        instance=instance,
        version=revision(),
        config=config_digest,
        schema=SCHEMA,
        pid=os.getpid(),
        host=socket.gethostname(),
        ts_init=time.time_ns(),
    )


class EdgeFailed(Problem):
    """The producer met a fatal error: the process must end, its supervisor starts another."""


class Edge:
    """Publishes an edge's records. Delivery is acknowledged in order; ``durable`` awaits it. Use as a context manager.

    When more waits for the broker than the producer holds (100 000 records, 256 MB), ``publish`` waits with it; where
    nobody may be kept waiting (``blocking=False``) that is EdgeFailed, and nothing is written any more.

    ``n`` grows by one per Kafka record, so that each has a coordinate of its own. Publish from one thread only.
    """

    def __init__(
        self,
        conf: kafka.KafkaConf,
        prefix: str,
        name: str,
        *,
        config_digest: str,
        subscriptions: Subscriptions,
        instance: int = 0,
        blocking: bool = True,
    ) -> None:
        self.name = name
        self.n = 0
        self.version = f"{revision()}:{config_digest}".encode()
        self._prefix = prefix
        self._subscriptions = subscriptions
        self._blocking = blocking
        self._failure: KafkaError | None = None
        self._producer = kafka.producer(conf)
        self._running = True
        self._thread = threading.Thread(target=self._poll, name=f"{name}-delivery", daemon=True)
        self._thread.start()
        self.epoch = self._announce(started(name, instance, config_digest))

    def _announce(self, record: StageStarted) -> int:
        offsets: list[int] = []

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                offsets.append(message.offset() or 0)

        self._producer.produce(
            kafka.physical(self._prefix, STAGE_LOG), wire.encode([record]), record.stage, on_delivery=delivered
        )
        if self._producer.flush(15) or not offsets:
            raise EdgeFailed(
                "the broker did not acknowledge the start record within 15 s: is it up, and are the topics created?"
            )
        return offsets[0]

    def _poll(self) -> None:
        while self._running:
            self._producer.poll(0.2)

    def publish(self, records: Iterable[Record]) -> None:
        """Write records to their topics without waiting."""
        for (topic, key), events in group(records, self._subscriptions).items():
            self.publish_raw(topic, key, wire.encode(events))

    def next(self) -> Coordinate:
        """For a record that is written later. Those of one topic are to be written in the order of their coordinates."""
        self.n += 1
        return Coordinate(self.name, "", self.epoch, self.n)

    def publish_raw(
        self,
        topic: Topic,
        key: str | None,
        value: bytes,
        *,
        partition: int = -1,
        future: "asyncio.Future[int] | None" = None,
        under: Coordinate | None = None,
        more_headers: Sequence[tuple[str, bytes]] = (),
    ) -> Coordinate:
        """Write one value under the edge's next coordinate; ``future`` gets its offset once it is acknowledged. ``under``: under this
        one, taken before (``next``) or of an earlier epoch that may not have come to write it.
        """
        if self._failure is not None:
            raise EdgeFailed(self._failure.str())
        coordinate = under or self.next()
        callback = self._observe if future is None else self._resolver(future)
        while True:
            try:
                self._producer.produce(
                    kafka.physical(self._prefix, topic),
                    value,
                    key,
                    partition=partition,
                    headers=[(HEADER, coordinate.encode()), (VERSION_HEADER, self.version), *more_headers],
                    on_delivery=callback,
                )
                return coordinate
            except BufferError:  # the broker is behind: wait, never drop
                if not self._blocking:
                    raise self._overflow() from None
                time.sleep(0.01)
            except KafkaException as error:
                raise EdgeFailed(f"{topic.name} takes no such record: {error}") from error

    def _overflow(self) -> EdgeFailed:
        """For good: a record that went out behind one that did not would hide it."""
        self._failure = KafkaError(KafkaError._QUEUE_FULL)
        return EdgeFailed(f"{len(self._producer)} records wait for the broker")

    async def durable(self, records: Sequence[Record]) -> None:
        """Write records and return once every one is acknowledged by the broker."""
        loop = asyncio.get_running_loop()
        futures = []
        for (topic, key), events in group(records, self._subscriptions).items():
            future: asyncio.Future[int] = loop.create_future()
            self.publish_raw(topic, key, wire.encode(events), future=future)
            futures.append(future)
        await asyncio.gather(*futures)

    def _observe(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failure = error

    def _resolver(self, future: "asyncio.Future[int]"):  # type: ignore[no-untyped-def]
        loop = future.get_loop()

        def settle(error: KafkaError | None, offset: int) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(EdgeFailed(error.str()))
            else:
                future.set_result(offset)

        def delivered(error: KafkaError | None, message: Message) -> None:
            self._observe(error, message)
            loop.call_soon_threadsafe(settle, error, message.offset() or 0)

        return delivered

    def flush(self, timeout_s: float = 10.0) -> None:
        """Wait until everything published is acknowledged; EdgeFailed when it is not in time."""
        left = self._producer.flush(timeout_s)
        if left or self._failure is not None:
            raise EdgeFailed(f"{left} records not acknowledged within {timeout_s} s" if left else str(self._failure))

    def close(self) -> None:
        self._running = False
        self._thread.join(2)
        self._producer.flush(5)

    def __enter__(self) -> "Edge":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


__all__ = ["Edge", "EdgeFailed", "KafkaException", "started"]
