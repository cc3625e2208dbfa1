"""One venue's ingest: the parts put together, and what it says about itself."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from prometheus_client.core import Metric

from adapters.base import Endpoints, MarketData, Rest, Snapshots
from adapters.registry import market_data
from infra.captures import Writer
from infra.config import Config, ConfigError
from infra.edge import Edge
from infra.kafka import KafkaConf
from infra.metrics import Exposition, Stated, Words, catalog
from pipelines.edge_process import keep_status, open_edge
from pipelines.ingest.backoff import Repeats
from pipelines.ingest.fetcher import Fetcher, Wanted, What
from pipelines.ingest.requests import follow_requests
from pipelines.ingest.stream import Stream
from pipelines.ingest.watched import Watched
from pipelines.ingest.writer import RawWriter
from topics.market import ResyncRequested
from topics.record import InstrumentId, Venue

log = logging.getLogger("tapedeck.ingest")

ASK_EVERY_S = 60.0
"""For definitions, and what else no stream tells."""
COMPARE_EVERY_S = 180.0


async def run_ingest(
    config: Config, kafka_conf: KafkaConf, venue: Venue, stop: asyncio.Event, exposition: Exposition | None = None
) -> None:
    """Until ``stop``. A venue that does not answer is tried for ever; EdgeFailed when the broker's answer is fatal."""
    adapter, instruments = _followed(config, venue)
    chosen = config.venues[venue]
    endpoints = Endpoints(chosen.rest_url, chosen.ws_url, chosen.sandbox, chosen.options, chosen.book == "L3")
    with await open_edge(config, kafka_conf, f"ingest/{venue}") as edge:
        async with contextlib.aclosing(_Closing(adapter.rest(endpoints))) as closing:
            ingest = Ingest(config, kafka_conf, venue, adapter, endpoints, instruments, edge, closing.rest)
            if exposition is not None:
                exposition.add(ingest.told)
            try:
                await _until(stop, ingest.parts())
            finally:
                if ingest.capture is not None:
                    ingest.capture.close()
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
        chosen = config.venues[venue]
        self._config, self._kafka, self._venue, self._edge = config, kafka_conf, venue, edge
        self._symbols = sorted(instruments)
        self.told = Words(self._venue_metrics)
        self.capture = Writer(config.captures, venue, venue=chosen.adapter) if chosen.capture else None
        spelled = partial(adapter.instrument_of, venue)
        self.writer = RawWriter(edge, venue, instruments, adapter.symbols_in, self.capture, spelled)
        self.fetcher = Fetcher(edge.name, rest, self.writer)
        self.streams: list[Stream | Watched] = self._streams(adapter, endpoints, rest, chosen.connections)
        if chosen.connections > 1 and not adapter.rules.chained:
            log.warning("%s: frames of this venue have no numbers to tell copies by: one connection", edge.name)
        self._adapter = adapter
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._repeats = Repeats()

    def _streams(self, adapter: MarketData, endpoints: Endpoints, rest: Rest, at_once: int) -> list[Stream | Watched]:
        if not self._symbols:
            return []
        sampler = adapter.sampler(endpoints)
        if sampler is not None:
            return [Watched(self._edge.name, sampler, self._symbols, self.writer, self._session_of(1))]
        return [
            Stream(
                self._edge.name,
                connection,
                self.writer,
                self._session_of(i),
                self._opened,
                adapter.sequence_in,
                partial(adapter.address, rest),
                number=i,
                chained=adapter.rules.chained,
                at_once=at_once,
            )
            for i, connection in enumerate(adapter.connections(endpoints, self._symbols), start=1)
        ]

    def _session_of(self, stream: int) -> Callable[[int], str]:
        return lambda n: f"{self._edge.epoch}-{n}" if stream == 1 else f"{self._edge.epoch}-{stream}.{n}"

    def parts(self) -> list[Coroutine[Any, Any, None]]:
        status = self._config.run_dir / "status" / f"ingest.{self._venue}.json"
        parts = [self.writer.run(), keep_status(status, self.status, self.told)]
        if not self._symbols:
            log.warning("%s: no instrument of this venue is configured: nothing to do", self._edge.name)
            return parts
        requests = follow_requests(self._kafka, self._config.prefix, self._venue, self._asked)
        if self._adapter.rules.compared:
            parts.append(self._comparing())
        return [*parts, *(s.run() for s in self.streams), self.fetcher.run(), self._asking(), requests]

    def _opened(self, symbols: Sequence[str]) -> None:
        if self._adapter.rules.snapshots is Snapshots.STREAM:
            return
        for symbol in symbols:
            self.fetcher.fetched.discard(Wanted(What.DEPTH, symbol))
            self.fetcher.ask(Wanted(What.DEPTH, symbol), at_once=True)

    def _asked(self, request: ResyncRequested) -> None:
        symbol = request.venue_symbol
        if symbol not in self._symbols:
            return
        if request.what == What.DEFINITION:
            self.fetcher.ask(Wanted(What.DEFINITION, symbol))
        elif self._adapter.rules.snapshots is Snapshots.REST:
            self.fetcher.ask(Wanted(What.DEPTH, symbol))
        else:
            self._subscribe_again(symbol)

    def _subscribe_again(self, symbol: str) -> None:
        """Once at a time, and with back-off: a book that is wrong again and again must not flood the venue with requests."""
        if symbol not in self._sending:
            task = asyncio.get_running_loop().create_task(self._send_again(symbol, self._repeats.wait_s(symbol)))
            self._sending[symbol] = task
            task.add_done_callback(lambda _: self._sending.pop(symbol, None))

    async def _send_again(self, symbol: str, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        for stream in self.streams:
            if symbol in stream.symbols:
                await stream.send(self._adapter.resubscribe(symbol))

    async def _comparing(self) -> None:
        """Answers that live books are compared with."""
        while True:
            await asyncio.sleep(COMPARE_EVERY_S)
            for symbol in self._symbols:
                self.fetcher.ask(Wanted(What.DEPTH, symbol), at_once=True)

    async def _asking(self) -> None:
        kinds = [What.DEFINITION, *([What.OPEN_INTEREST] if self._adapter.asks_open_interest else [])]
        while True:
            for kind in kinds:
                for symbol in self._symbols:
                    self.fetcher.ask(Wanted(kind, symbol), at_once=True)
            await asyncio.sleep(ASK_EVERY_S)

    @property
    def ready(self) -> bool:
        kinds = [What.DEFINITION, What.DEPTH][: 2 if self._adapter.rules.snapshots is Snapshots.REST else 1]
        wanted = {Wanted(what, symbol) for what in kinds for symbol in self._symbols}
        return not self._symbols or (all(s.connected for s in self.streams) and wanted <= self.fetcher.fetched)

    def status(self) -> dict[str, Any]:
        return {
            "stage": self._edge.name,
            "ready": self.ready,
            "records_out": self._edge.n,
            "events_in": self.writer.frames,
            "dead_letters": 0,
            "connected": all(s.connected for s in self.streams),
            "connections": sum(s.connections for s in self.streams),
            "lost": sum(s.lost for s in self.streams),
            "holes": sum(s.holes for s in self.streams),
            "last_frame_ns": self.writer.last_ns,
            "problem": next((s.problem for s in self.streams if s.problem), "")
            or self.fetcher.problem
            or next(iter(self.fetcher.refused.values()), ""),
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
