"""What the fan-out reads back from the tape: where it must begin so as to know every last snapshot, and tails too long for memory."""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from itertools import islice

from confluent_kafka import Message

from infra import kafka
from pipelines.marketdata.hub import SNAPSHOT, Fence, Market
from pipelines.partitioning import partition_of
from topics.catalog import MARKET_EVENTS
from topics.record import InstrumentId

FIRST_LOOK = 20_000
FARTHEST_LOOK = 2_000_000
BATCH = 500

log = logging.getLogger(__name__)


def market_of(message: Message) -> Market:
    key = message.key()
    text = key if isinstance(key, str) else (key or b"").decode(errors="replace")
    src = kafka.header(message, "src") or b""
    return Market(message.partition() or 0, message.offset() or 0, text, message.value() or b"", src)


def beginnings(
    conf: kafka.KafkaConf,
    prefix: str,
    instruments: Collection[InstrumentId],
    ends: Mapping[int, tuple[int, int]],
    mark: bytes = SNAPSHOT,
) -> dict[int, int]:
    """Of each partition the offset from which every instrument's last snapshot is met (what has ``mark`` in it); looking back
    farther and farther.
    """
    wanted: dict[int, set[str]] = {partition: set() for partition in ends}
    for instrument in instruments:
        wanted[partition_of(instrument.encode(), len(ends))].add(instrument)
    return {p: _beginning(conf, kafka.physical(prefix, MARKET_EVENTS), p, wanted[p], *ends[p], mark) for p in ends}


def _beginning(
    conf: kafka.KafkaConf, name: str, partition: int, instruments: set[str], low: int, high: int, mark: bytes
) -> int:
    look = FIRST_LOOK
    while instruments:
        first = max(low, high - look)
        found: dict[str, int] = {}
        for message in kafka.read_span(conf, name, partition, first, high):
            record = market_of(message)
            if record.key in instruments and mark in record.value:
                found[record.key] = record.offset
        if len(found) == len(instruments) or first == low:
            return min(found.values(), default=high)
        if look >= FARTHEST_LOOK:
            missing = ", ".join(sorted(instruments - set(found)))
            log.warning("no snapshot of %s among the last %d records of %s/%d", missing, look, name, partition)
            return min(found.values(), default=high)
        look *= 10
    return high


async def from_tape(
    conf: kafka.KafkaConf, prefix: str, spans: Mapping[int, tuple[int, int]], starts: Mapping[InstrumentId, int]
) -> AsyncIterator[Market]:
    """Of each partition's span the records of these instruments, from where the tail of each begins."""
    name, fence = kafka.physical(prefix, MARKET_EVENTS), Fence()
    for partition, (first, end) in sorted(spans.items()):
        messages = kafka.read_span(conf, name, partition, first, end)
        while batch := await asyncio.to_thread(_some, messages):
            for record in batch:
                if record.offset >= starts.get(record.key, end) and fence.is_news(record):
                    yield record


def _some(messages: Iterator[Message]) -> list[Market]:
    return [market_of(message) for message in islice(messages, BATCH)]
