"""The gateway's inputs from Kafka, in one thread: records are handed to the event loop in batches, in the order of
each partition.

Partitions are assigned, not subscribed: the lease says who may read for an account, and a group's rebalance would
cost seconds. Progress is committed under the group's name all the same, so that lag is seen and a restart goes on
where it was.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from infra import kafka

MAX_BATCH = 500

Handler = Callable[[Sequence[Message]], None]


class Feed:
    """``handler`` is called in the event loop. ``on_failure`` gets what ended the thread."""

    def __init__(
        self,
        conf: kafka.KafkaConf,
        group: str,
        starts: dict[str, int],
        handler: Handler,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._consumer: Consumer = kafka.consumer(conf, group)
        self._starts = starts
        self._handler = handler
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._room = threading.Semaphore(4)
        self._running = True
        self._thread = threading.Thread(target=self._run, name="gateway-feed", daemon=True)

    def start(self) -> None:
        self._consumer.assign([TopicPartition(name, 0, offset) for name, offset in self._starts.items()])
        self._thread.start()

    def _run(self) -> None:
        try:
            while self._running:
                batch = self._batch()
                if batch:
                    self._room.acquire()
                    self._loop.call_soon_threadsafe(self._handle, batch)
        except (KafkaException, RuntimeError) as error:
            if self._running:
                self._loop.call_soon_threadsafe(self._on_failure, error)

    def _batch(self) -> list[Message]:
        batch: list[Message] = []
        message = self._consumer.poll(0.2)
        while message is not None:
            error = message.error()
            if error is None:
                batch.append(message)
            elif not kafka.passes(error):
                raise KafkaException(error)
            if len(batch) >= MAX_BATCH:
                break
            message = self._consumer.poll(0)
        return batch

    def _handle(self, batch: Sequence[Message]) -> None:
        try:
            self._handler(batch)
        except BaseException as error:  # noqa: BLE001 - the process ends with it
            self._on_failure(error)
        finally:
            self._room.release()

    def commit(self, name: str, offset: int) -> None:
        """What is before ``offset`` needs no redelivery."""
        self._consumer.commit(offsets=[TopicPartition(name, 0, offset)], asynchronous=True)

    def lag(self, name: str) -> int:
        """Records that the broker holds and the thread has not read, as far as the client knows without asking."""
        place = TopicPartition(name, 0)
        _, high = self._consumer.get_watermark_offsets(place, cached=True)
        position = self._consumer.position([place])[0].offset
        return max(0, high - position) if position >= 0 and high >= 0 else 0

    def close(self) -> None:
        self._running = False
        self._room.release()
        if self._thread.ident is not None:
            self._thread.join(3)
        self._consumer.close()

    def pause(self, name: str, paused: bool) -> None:
        """Read no more of a topic for now, or go on where it was left."""
        places = [TopicPartition(name, 0)]
        if paused:
            self._consumer.pause(places)
        else:
            self._consumer.resume(places)


def committed(conf: kafka.KafkaConf, group: str, name: str) -> int | None:
    """The group's own progress on a topic of one partition; None where it has none."""
    client = kafka.consumer(conf, group)
    try:
        asked = [TopicPartition(name, 0)]
        found = kafka.patiently("a group's progress", lambda: client.committed(asked, timeout=10))[0].offset
    finally:
        client.close()
    return found if found >= 0 else None


def offset_at(conf: kafka.KafkaConf, group: str, name: str, ts_ns: int) -> int:
    """The first record that the broker took in at that time or later; its end (-1) where there is none."""
    client = kafka.consumer(conf, group)
    try:
        asked = [TopicPartition(name, 0, max(0, ts_ns) // 1_000_000)]
        found = kafka.patiently("what came since then", lambda: client.offsets_for_times(asked, timeout=10))
        return int(found[0].offset)
    finally:
        client.close()
