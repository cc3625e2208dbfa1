"""One venue's ingest: the parts put together, and what it says about itself."""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Iterable, Iterator
from typing import Any

from prometheus_client.core import Metric

from adapters.base import Endpoints, MarketData, Rest
from adapters.registry import market_data
from infra.config import Config, ConfigError
from infra.edge import Edge
from infra.kafka import KafkaConf
from infra.metrics import Exposition, Stated, Words, catalog
from pipelines.edge_process import keep_status, open_edge
from pipelines.ingest.fetcher import Fetcher, Wanted, What
from pipelines.ingest.requests import follow_requests
from pipelines.ingest.stream import Stream
from pipelines.ingest.writer import RawWriter
from topics.market import ResyncRequested
from topics.record import InstrumentId, Venue

log = logging.getLogger("tapedeck.ingest")

DEFINITIONS_EVERY_S = 60.0


async def run_ingest(
    config: Config, kafka_conf: KafkaConf, venue: Venue, stop: asyncio.Event, exposition: Exposition | None = None
) -> None:
    """Until ``stop``. A venue that does not answer is tried for ever; EdgeFailed when the broker's answer is fatal."""
    adapter, instruments = _followed(config, venue)
    chosen = config.venues[venue]
    endpoints = Endpoints(chosen.rest_url, chosen.ws_url, chosen.sandbox)
    with await open_edge(config, kafka_conf, f"ingest/{venue}") as edge:
        async with contextlib.aclosing(_Closing(adapter.rest(endpoints))) as closing:
            ingest = Ingest(config, kafka_conf, venue, adapter, endpoints, instruments, edge, closing.rest)
            if exposition is not None:
                exposition.add(ingest.told)
            await _until(stop, ingest.parts())
            ingest.writer.flush()
        edge.flush()


class _Closing:
    """A REST client, closed like a generator."""

    def __init__(self, rest: Rest) -> None:
        self.rest = rest

    async def aclose(self) -> None:
        await self.rest.close()


def _followed(config: Config, venue: Venue) -> tuple[MarketData, dict[str, InstrumentId]]:
    """The adapter, and the venue's spelling of every instrument to follow. ConfigError names the wrong key."""
    try:
        adapter = market_data(config.venues[venue].adapter)
        return adapter, {adapter.venue_symbol(i): i for i in config.instruments_of(venue)}
    except ValueError as error:
        raise ConfigError(f"venues.{venue}: {error}") from error


class Ingest:
    """The parts of one venue's ingest, wired."""

    def __init__(
        self,
        config: Config,
        kafka_conf: KafkaConf,
        venue: Venue,
        adapter: MarketData,
        endpoints: Endpoints,
        instruments: dict[str, InstrumentId],
        edge: Edge,
        rest: Rest,
    ) -> None:
        self._config, self._kafka, self._venue, self._edge = config, kafka_conf, venue, edge
        self._symbols = sorted(instruments)
        self.told = Words(self._venue_metrics)
        self.writer = RawWriter(edge, venue, instruments, adapter.symbol_in)
        self.fetcher = Fetcher(edge.name, rest, self.writer)
        self.stream = Stream(
            edge.name,
            adapter.stream_url(endpoints),
            adapter.subscribe(self._symbols),
            self._symbols,
            self.writer,
            lambda n: f"{edge.epoch}-{n}",
            self._opened,
        )

    def parts(self) -> list[Coroutine[Any, Any, None]]:
        status = self._config.run_dir / "status" / f"ingest.{self._venue}.json"
        parts = [self.writer.run(), keep_status(status, self.status, self.told)]
        if not self._symbols:
            log.warning("%s: no instrument of this venue is configured: nothing to do", self._edge.name)
            return parts
        requests = follow_requests(self._kafka, self._config.prefix, self._venue, self._asked)
        return [*parts, self.stream.run(), self.fetcher.run(), self._definitions(), requests]

    def _opened(self) -> None:
        for symbol in self._symbols:
            self.fetcher.fetched.discard(Wanted(What.DEPTH, symbol))
            self.fetcher.ask(Wanted(What.DEPTH, symbol), at_once=True)

    def _asked(self, request: ResyncRequested) -> None:
        if request.venue_symbol in self._symbols:
            what = What.DEFINITION if request.what == What.DEFINITION else What.DEPTH
            self.fetcher.ask(Wanted(what, request.venue_symbol))

    async def _definitions(self) -> None:
        while True:
            for symbol in self._symbols:
                self.fetcher.ask(Wanted(What.DEFINITION, symbol), at_once=True)
            await asyncio.sleep(DEFINITIONS_EVERY_S)

    @property
    def ready(self) -> bool:
        wanted = {Wanted(what, symbol) for what in What for symbol in self._symbols}
        return not self._symbols or (self.stream.connected and wanted <= self.fetcher.fetched)

    def status(self) -> dict[str, Any]:
        return {
            "stage": self._edge.name,
            "ready": self.ready,
            "records_out": self._edge.n,
            "events_in": self.writer.frames,
            "dead_letters": 0,
            "connected": self.stream.connected,
            "connections": self.stream.connections,
            "last_frame_ns": self.writer.last_ns,
            "problem": self.stream.problem or self.fetcher.problem or next(iter(self.fetcher.refused.values()), ""),
        }

    def _venue_metrics(self, words: Stated) -> Iterator[Metric]:
        venue = (self._venue,)
        yield catalog.CONNECTED.of([(venue, bool(words["connected"]))])
        yield catalog.CONNECTIONS.of([(venue, words["connections"])])
        if words["last_frame_ns"]:
            yield catalog.LAST_FRAME.of([(venue, words["last_frame_ns"] / 1e9)])


async def _until(stop: asyncio.Event, parts: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run the parts until ``stop``, or until one fails: then the others are cancelled and its error is raised."""
    stopping = asyncio.create_task(stop.wait())
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (stopping, *tasks):
            task.cancel()
        await asyncio.gather(stopping, *tasks, return_exceptions=True)
    for task in done - {stopping}:
        task.result()
