"""Follows ``ingest.requests``: normalize's wish for a fresh snapshot. What was asked before we started is moot, since
we begin with snapshots.
"""

import asyncio
import logging
from collections.abc import Callable

from confluent_kafka import OFFSET_END, KafkaException, TopicPartition

from infra import kafka
from topics import wire
from topics.catalog import INGEST_REQUESTS
from topics.market import ResyncRequested
from topics.record import Venue

log = logging.getLogger("tapedeck.ingest")

POLL_S = 0.1


async def follow_requests(
    conf: kafka.KafkaConf, prefix: str, venue: Venue, ask: Callable[[ResyncRequested], None]
) -> None:
    """Call ``ask`` for each request to this venue, until cancelled."""
    consumer = kafka.consumer(conf, f"{prefix}.ingest.{venue}")
    name = kafka.physical(prefix, INGEST_REQUESTS)
    consumer.assign([TopicPartition(name, p, OFFSET_END) for p in range(INGEST_REQUESTS.partitions)])
    try:
        while True:
            for message in await asyncio.to_thread(consumer.consume, 100, POLL_S):
                error = message.error()
                if error is not None:
                    if error.fatal():
                        raise KafkaException(error)
                    continue  # librdkafka goes on by itself
                for request in _decoded(message.value() or b""):
                    if request.venue == venue:
                        ask(request)
    finally:
        await asyncio.to_thread(consumer.close)


def _decoded(value: bytes) -> list[ResyncRequested]:
    try:
        return wire.decode(value, INGEST_REQUESTS.types)
    except wire.BadRecord as error:
        log.warning("a request that cannot be read was passed over: %s", error)
        return []
