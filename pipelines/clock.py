"""clock: the edge that makes time an input. Numbered ticks to every partition of the topics that have them: ten a
second to the inboxes, one to ``market.events``.

Ticks have no key: whoever folds a partition folds them into each of its keys. The number is that of the tenth of a
second since 1970, so it grows across restarts; tenths that could not be kept (a stopped process) are left out, never
made up for. Each comes when its tenth begins.
"""

import asyncio
import time

from infra.config import Config
from infra.edge import Edge
from infra.kafka import KafkaConf
from infra.metrics import Exposition, Words
from pipelines.edge_process import keep_status, open_edge
from topics import wire
from topics.catalog import MARKET_EVENTS, TICKED, Topic
from topics.market import Tick

BEAT_NS = 100_000_000
EVERY = {MARKET_EVENTS.name: 10}
"""Beats from one tick to the next, where it is not each."""

NAME = "clock"


async def run_clock(
    config: Config, kafka_conf: KafkaConf, stop: asyncio.Event, exposition: Exposition | None = None
) -> None:
    """Until ``stop``; EdgeFailed when the broker's answer is fatal."""
    told = Words()
    if exposition is not None:
        exposition.add(told)
    with await open_edge(config, kafka_conf, NAME) as edge:
        path = config.run_dir / "status" / f"{NAME}.json"
        status = asyncio.create_task(keep_status(path, lambda: _status(edge), told))
        try:
            await _beat(edge, stop)
        finally:
            status.cancel()
            await asyncio.gather(status, return_exceptions=True)
        edge.flush()


async def _beat(edge: Edge, stop: asyncio.Event) -> None:
    last = time.time_ns() // BEAT_NS
    while not await _stopped(stop, ((last + 1) * BEAT_NS - time.time_ns()) / 1e9):
        n = time.time_ns() // BEAT_NS
        if n > last:
            last = n
            publish_tick(edge, n, time.time_ns())


def publish_tick(edge: Edge, n: int, now: int) -> None:
    value = wire.encode([Tick(n=n, ts_init=now)])
    for topic in TICKED:
        if n % EVERY.get(topic.name, 1) == 0:
            _to_all(edge, topic, value)


def _to_all(edge: Edge, topic: Topic, value: bytes) -> None:
    for partition in range(topic.partitions):
        edge.publish_raw(topic, None, value, partition=partition)


async def _stopped(stop: asyncio.Event, within_s: float) -> bool:
    try:
        async with asyncio.timeout(max(0.001, min(within_s, 1.0))):
            await stop.wait()
    except TimeoutError:
        return False
    return True


def _status(edge: Edge) -> dict[str, object]:
    return {"stage": NAME, "ready": True, "records_out": edge.n, "events_in": 0, "dead_letters": 0}
