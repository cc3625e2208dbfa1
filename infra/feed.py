"""Records of assigned partitions, read in one thread and handed to the event loop in batches, in the order of each partition.

Partitions are assigned, not subscribed: there is nothing to share, and a group's rebalance would cost seconds.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from infra import kafka

MAX_BATCH = 500

Handler = Callable[[Sequence[Message]], None]


class Feed:
    """``starts`` name topics as the broker does. ``handler`` is called in the event loop; ``on_failure`` gets what ended the thread."""

    def __init__(
        self,
        conf: kafka.KafkaConf,
        group: str,
        starts: Sequence[TopicPartition],
        handler: Handler,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._consumer: Consumer = kafka.consumer(conf, group)
        self._starts = list(starts)
        self._handler = handler
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._room = threading.Semaphore(4)
        self._running = True
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def start(self) -> None:
        self._consumer.assign(self._starts)
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

    def behind(self, place: TopicPartition) -> int:
        """Records that the broker holds and the thread has not read, as far as the client knows without asking."""
        _, high = self._consumer.get_watermark_offsets(place, cached=True)
        position = self._consumer.position([place])[0].offset
        return max(0, high - position) if position >= 0 and high >= 0 else 0

    def close(self) -> None:
        self._running = False
        self._room.release()
        if self._thread.ident is not None:
            self._thread.join(3)
        self._consumer.close()
