"""Follows ``ingest.requests``: normalize's wish for a fresh snapshot. What was asked before we started is moot, since
we begin with snapshots.
"""

import asyncio
import logging
import threading
from collections.abc import Callable

from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition

from infra import kafka
from topics import wire
from topics.catalog import INGEST_REQUESTS
from topics.market import ResyncRequested
from topics.record import Venue

log = logging.getLogger("tapedeck.ingest")

POLL_S = 0.1

Ask = Callable[[ResyncRequested], None]


async def follow_requests(conf: kafka.KafkaConf, prefix: str, venue: Venue, ask: Ask) -> None:
    """Call ``ask`` in this loop for each request to this venue, until cancelled."""
    loop = asyncio.get_running_loop()
    consumer = kafka.consumer(conf, f"{prefix}.ingest.{venue}")
    name = kafka.physical(prefix, INGEST_REQUESTS)
    consumer.assign([TopicPartition(name, p, OFFSET_END) for p in range(INGEST_REQUESTS.partitions)])
    stopping = threading.Event()

    def told(request: ResyncRequested) -> None:
        if request.venue == venue:
            loop.call_soon_threadsafe(ask, request)

    consuming = loop.run_in_executor(None, _consume, consumer, stopping, told)
    try:
        await asyncio.shield(consuming)
    finally:
        stopping.set()  # the consumer belongs to its thread: closed under another it would take the process with it
        await asyncio.wait([consuming])


def _consume(consumer: Consumer, stopping: threading.Event, told: Ask) -> None:
    try:
        while not stopping.is_set():
            for message in consumer.consume(100, POLL_S):
                error = message.error()
                if error is None:
                    for request in _decoded(message.value() or b""):
                        told(request)
                elif error.fatal():
                    raise KafkaException(error)  # anything less librdkafka mends by itself
    finally:
        consumer.close()


def _decoded(value: bytes) -> list[ResyncRequested]:
    try:
        return wire.decode(value, INGEST_REQUESTS.types)
    except wire.BadRecord as error:
        log.warning("a request that cannot be read was passed over: %s", error)
        return []
