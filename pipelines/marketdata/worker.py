"""The marketdata worker: reads every partition of `market.events`, from where the last snapshots stand, and serves it."""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence

from confluent_kafka import Message, TopicPartition
from prometheus_client.core import Metric

from infra import kafka
from infra.config import Config
from infra.feed import Feed
from infra.metrics import SHORT, Exposition, Histogram, Stated, Words, catalog
from pipelines.edge_process import keep_status, write_status
from pipelines.marketdata.history import beginnings, market_of
from pipelines.marketdata.hub import Hub
from pipelines.marketdata.service import MarketData, Server
from topics.catalog import MARKET_EVENTS

NAME = "marketdata"
REPORT_S = 0.1


async def run_marketdata(
    config: Config, conf: kafka.KafkaConf, stop: asyncio.Event, exposition: Exposition | None = None
) -> None:
    """Until ``stop``. Problem when the port is taken or the topics are not there."""
    worker = Worker(config, conf)
    if exposition is not None:
        exposition.add(worker.told)
    try:
        await worker.run(stop)
    finally:
        await worker.close()


class Worker:
    def __init__(self, config: Config, conf: kafka.KafkaConf) -> None:
        self.config, self.conf = config, conf
        self.hub = Hub()
        self.told = Words(self._own)
        self._processing = Histogram(SHORT)
        self._wanted = {i for venue in config.venues for i in config.instruments_of(venue)}
        self.service = MarketData(self.hub, conf, config.prefix, self._wanted)
        self.server = Server(self.service)
        self._name = kafka.physical(config.prefix, MARKET_EVENTS)
        self._ends: dict[int, int] = {}
        self._feed: Feed | None = None
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, stop: asyncio.Event) -> None:
        path = self.config.run_dir / "status" / f"{NAME}.json"
        status = asyncio.ensure_future(keep_status(path, self._words, self.told))
        try:
            await self._open()
            while not stop.is_set() and not self._failure.done():
                self.service.ready = self.service.ready or self._caught_up()
                await self.server.serving(self.service.ready)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), REPORT_S)
            if self._failure.done():
                self._failure.result()
        finally:
            self.service.ready = False
            status.cancel()
            await asyncio.gather(status, return_exceptions=True)

    async def _open(self) -> None:
        marks = (await asyncio.to_thread(kafka.watermarks, self.conf, [self._name]))[self._name]
        starts = await asyncio.to_thread(beginnings, self.conf, self.config.prefix, self._wanted, marks)
        self._ends = {partition: high for partition, (_, high) in marks.items() if high > starts[partition]}
        places = [TopicPartition(self._name, partition, first) for partition, first in starts.items()]
        self._feed = Feed(self.conf, f"{self.config.prefix}.{NAME}", places, self._take, self._fail)
        self._feed.start()
        await self.server.start(self.config.marketdata.host, self.config.marketdata.port)
        write_status(self.config.run_dir / f"{NAME}.json", {"address": self.server.address})

    def _take(self, batch: Sequence[Message]) -> None:
        began = time.perf_counter()
        for message in batch:
            self.hub.take(market_of(message))
        self._processing.observe(time.perf_counter() - began)

    def _fail(self, error: BaseException) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)

    def _caught_up(self) -> bool:
        return all(self.hub.next.get(partition, 0) >= end for partition, end in self._ends.items())

    def _words(self) -> dict[str, object]:
        return {
            "stage": NAME,
            "ready": self.service.ready,
            "records_in": self.hub.records,
            "records_out": self.service.sent,
            "dead_letters": 0,  # it passes bytes on and reads none
            "skipped_by_fence": self.hub.repeated,
            "subscribers": len(self.hub.subscribers),
            "lag": self._lag(),
        }

    def _own(self, words: Stated) -> Iterator[Metric]:
        yield catalog.PROCESSING.histograms([((), self._processing)])

    def _lag(self) -> int:
        if self._feed is None:
            return 0
        return sum(self._feed.behind(TopicPartition(self._name, p)) for p in range(MARKET_EVENTS.partitions))

    async def close(self) -> None:
        await self.server.stop(0.2)
        if self._feed is not None:
            await asyncio.to_thread(self._feed.close)
