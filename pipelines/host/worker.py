"""The process of one strategy on the fast path: market data by gRPC, everything else from its inbox by Kafka; commands
to the gateway by gRPC and to the tape at once.

Each input is written to `host.inbox` before it is decided on; nothing waits for the broker. What a crash loses of that
is found again by the next process (``rebuild``). A command older than a second, of inputs that had been waiting, goes
by the tape alone: there it has its own time, and the gateway denies what is too old.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Message, TopicPartition
from prometheus_client.core import Metric

from infra import kafka
from infra.config import Config
from infra.edge import Edge
from infra.errors import Problem
from infra.feed import Feed
from infra.metrics import SHORT, Exposition, Histogram, Stated, Words, catalog
from infra.proto.tapedeck.v1 import marketdata_pb2 as pb
from infra.shell.processor import Inbound
from pipelines.edge_process import keep_status, open_edge
from pipelines.exhibits import IntentsExhibit
from pipelines.host.commands import Commands
from pipelines.host.fold import HostFold, Output, Seen, events_of, producer_of
from pipelines.host.market import MarketStream, address_in
from pipelines.host.rebuild import Checkpoint, Rebuilding, Standing, read_checkpoint
from pipelines.partitioning import partition_of
from pipelines.workers import strategy_of
from topics import wire
from topics.catalog import HOST_INBOX, STAGE_LOG, STRATEGY_INBOX
from topics.coordinates import HEADER, Coordinate
from topics.orders import Command
from topics.record import StrategyId
from topics.strategy import HostStarted, InboxSeen, MarketSeen, OrdersRecovered
from topics.system import DeadLetter, StageStarted
from topics.wire import BadRecord

CHECKPOINT_S = 10.0
FRESH_NS = 1_000_000_000

log = logging.getLogger(__name__)


async def run_host(
    config: Config,
    conf: kafka.KafkaConf,
    strategy_id: StrategyId,
    stop: asyncio.Event,
    exposition: Exposition | None = None,
) -> None:
    """Until ``stop``. ConfigError for a strategy that cannot be used, Problem when another host of it has begun."""
    strategy = strategy_of(strategy_id, config)
    fold = HostFold(strategy_id, strategy, config.subscriptions()[strategy_id])
    edge = await open_edge(config, conf, producer_of(strategy_id))
    host = Host(config, conf, fold, edge)
    if exposition is not None:
        exposition.add(host.told)
    try:
        await host.run(stop)
    finally:
        await host.close()


class Host:
    """All parts of one running host. ``edge`` is open: its epoch has begun."""

    def __init__(self, config: Config, conf: kafka.KafkaConf, fold: HostFold, edge: Edge) -> None:
        self.config, self.conf, self.fold, self.edge = config, conf, fold, edge
        self.id = fold.strategy_id
        strategy = config.strategies[self.id]
        self.stream = MarketStream(self._market_address, strategy.instruments, self._on_market)
        self.commands = Commands(lambda: address_in(config.run_dir / f"gateway.{strategy.account}.json"))
        self.standing = Standing.of(Checkpoint(""))
        self.inputs = self.events = self.outputs = self.dead_letters = self.repeated = 0
        self._inbox = TopicPartition(
            self._physical(STRATEGY_INBOX.name), self._own_partition(STRATEGY_INBOX.partitions)
        )
        self._topic_id = ""
        self.told = Words(self._own)
        self._exhibit = IntentsExhibit(self.id)
        self._processing = Histogram(SHORT)
        self._alarm = ""
        self._checkpoint_due = time.monotonic() + CHECKPOINT_S
        self._checkpointing: asyncio.Task[None] | None = None
        self._feed: Feed | None = None
        self._inbox_next = self._inbox_end = 0
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def _physical(self, name: str) -> str:
        return kafka.physical(self.config.prefix, name)

    def _own_partition(self, partitions: int) -> int:
        return partition_of(self.id.encode(), partitions)

    def _market_address(self) -> str:
        return address_in(self.config.run_dir / "marketdata.json")

    @property
    def _checkpoint_path(self) -> Path:
        return self.config.run_dir / "state" / f"host-{self.id}" / "checkpoint.msgpack"

    # --- running -----------------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        path = self.config.run_dir / "status" / f"host-{self.id}.json"
        tasks: set[asyncio.Future[Any]] = {asyncio.ensure_future(keep_status(path, self._words, self.told))}
        try:
            await self._rebuild()
            tasks.add(asyncio.ensure_future(self.stream.follow()))
            tasks.add(asyncio.ensure_future(stop.wait()))
            await asyncio.wait({*tasks, self._failure}, return_when=asyncio.FIRST_COMPLETED)
            if self._failure.done():
                self._failure.result()
            for task in [task for task in tasks if task.done()]:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _rebuild(self) -> None:
        """The first record of this epoch says up to where the tape counts; the state is folded up to there."""
        name = self._physical(HOST_INBOX.name)
        self._topic_id = (await asyncio.to_thread(kafka.topic_ids, self.conf, [name]))[name]
        checkpoint = await asyncio.to_thread(read_checkpoint, self._checkpoint_path, self._topic_id)
        began: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        started = HostStarted(strategy=self.id, epoch=self.edge.epoch)
        self.edge.publish_raw(HOST_INBOX, self.id, wire.encode([started]), future=began)
        rebuilding = Rebuilding(self.conf, self.config.prefix, self.fold, checkpoint)
        rebuilt = await asyncio.to_thread(rebuilding.run, await began)
        self.standing = rebuilt.standing
        self.standing.sequence.last = (self.edge.epoch, self.edge.n)
        log.info(
            "host/%s: epoch %d, %d inputs folded again, %d commands or records written again, %d orders recovered",
            self.id,
            self.edge.epoch,
            rebuilt.inputs,
            len(rebuilt.unsent),
            len(rebuilt.recovered),
        )
        for at, output in rebuilt.unsent:
            self.edge.publish_raw(output.topic, output.key, output.value, under=at)
        if rebuilt.recovered:
            self._input(OrdersRecovered(strategy=self.id, orders=tuple(rebuilt.recovered)))
        name = self._inbox.topic
        self._inbox_end = (await asyncio.to_thread(kafka.watermarks, self.conf, [name]))[name][self._inbox.partition][1]
        self._inbox_next = self.standing.inbox
        self._start_feed()

    def _start_feed(self) -> None:
        places = [
            TopicPartition(self._inbox.topic, self._inbox.partition, self.standing.inbox or -2),  # -2: its beginning
            TopicPartition(self._physical(STAGE_LOG.name), 0, self.edge.epoch + 1),
        ]
        self._feed = Feed(self.conf, f"{self.config.prefix}.host-{self.id}", places, self._on_messages, self._fail)
        self._feed.start()

    def _fail(self, error: BaseException) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)

    # --- inputs ------------------------------------------------------------------------------------------------------

    def _on_market(self, record: pb.MarketRecord) -> None:
        if record.offset < self.standing.market.get(record.partition, 0):
            self.repeated += 1
            return
        headers = ((HEADER, record.src),) if record.src else ()
        inbound = Inbound(record.partition, record.offset, record.key.encode(), record.value, headers)
        began = time.perf_counter()
        self._input(self.fold.see_market(inbound), began)

    def _on_messages(self, batch: Sequence[Message]) -> None:
        for message in batch:
            if message.topic() == self._inbox.topic:
                self._on_inbox(message)
                self._inbox_next = (message.offset() or 0) + 1
            else:
                self._fence(message)

    def _fence(self, message: Message) -> None:
        """A newer host of the same strategy: this one must not decide any more."""
        for record in wire.decode(message.value() or b"", STAGE_LOG.types):
            if isinstance(record, StageStarted) and record.stage == self.edge.name:
                raise Problem(
                    f"{self.edge.name}: another process (pid {record.pid} on {record.host}) has taken its place"
                )

    def _on_inbox(self, message: Message) -> None:
        key = message.key()
        if key is not None and (key if isinstance(key, bytes) else key.encode()) != self.id.encode():
            return
        seen = self._seen(message)
        if seen.src and not self.standing.is_news(seen.src):
            self.repeated += 1
            return
        self._input(seen)

    def _seen(self, message: Message) -> InboxSeen:
        value, partition, offset = message.value() or b"", message.partition() or 0, message.offset() or 0
        try:
            src = (kafka.header(message, HEADER) or b"").decode()
            if src:
                Coordinate.decode(src.encode())
            wire.decode(value, STRATEGY_INBOX.types)
        except (BadRecord, ValueError) as error:
            dead = DeadLetter(
                stage=self.edge.name,
                topic=STRATEGY_INBOX.name,
                partition=partition,
                offset=offset,
                reason=str(error),
                payload=value,
            )
            return InboxSeen(strategy=self.id, partition=partition, offset=offset, dead=dead)
        return InboxSeen(strategy=self.id, partition=partition, offset=offset, src=src, events=msgspec.Raw(value))

    def _input(self, seen: Seen, began: float | None = None) -> None:
        """Write what was seen, decide, and let the commands go: in this order, and without waiting."""
        acknowledged = self._checkpoint_future()
        began = time.perf_counter() if began is None else began
        at = self.edge.publish_raw(HOST_INBOX, self.id, wire.encode([seen]), future=acknowledged)
        outputs = self.fold.decide(seen, at.major, at.minor)
        for output in outputs:
            self.edge.publish_raw(output.topic, output.key, output.value)
            self._exhibit.written(output.topic, output.events)
            self._send(output)
        self._processing.observe(time.perf_counter() - began)
        self.standing.sequence.last = (at.major, at.minor)
        self.standing.took(seen, (at.major, at.minor))
        self.inputs += 1
        self.events += 1 if isinstance(seen, MarketSeen) else len(events_of(seen))
        self.outputs += len(outputs)
        if acknowledged is not None:
            self._begin_checkpoint(acknowledged)

    def _send(self, output: Output) -> None:
        now = time.time_ns()
        for event in output.events:
            if isinstance(event, DeadLetter):
                self.dead_letters += 1
            elif isinstance(event, Command) and now - event.ts_init < FRESH_NS:
                self.commands.send(event)

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def _checkpoint_future(self) -> "asyncio.Future[int] | None":
        if time.monotonic() < self._checkpoint_due or self._checkpointing is not None:
            return None
        return asyncio.get_running_loop().create_future()

    def _begin_checkpoint(self, acknowledged: "asyncio.Future[int]") -> None:
        """The state as of the input just folded; written down once that input and all that came of it is on the tape."""
        saved = self.standing.saved(self.fold, self._topic_id, 0, time.time_ns() // 1_000_000)
        self._checkpointing = asyncio.ensure_future(self._write_checkpoint(saved, acknowledged))

    async def _write_checkpoint(self, saved: Checkpoint, acknowledged: "asyncio.Future[int]") -> None:
        try:
            saved.offset = await acknowledged + 1
            await asyncio.to_thread(self.edge.flush)
            await asyncio.to_thread(saved.write, self._checkpoint_path)
        except Problem as error:
            self._fail(error)
        finally:
            self._checkpointing = None
            self._checkpoint_due = time.monotonic() + CHECKPOINT_S

    # --- housekeeping ------------------------------------------------------------------------------------------------

    def _words(self) -> dict[str, object]:
        behind = 0 if self._feed is None else self._feed.behind(self._inbox)
        caught_up = self._feed is not None and self._inbox_next >= self._inbox_end
        return {
            "stage": self.edge.name,
            "ready": caught_up and self.stream.is_up,
            "records_in": self.inputs,
            "events_in": self.events,
            "records_out": self.edge.n,
            "skipped_by_fence": self.repeated,
            "dead_letters": self.dead_letters,
            "lag": behind,
            "alarm": self._look(),
            "commands_by_grpc": self.commands.sent,
            "commands_failed": self.commands.failed,
            "market_interruptions": self.stream.interruptions,
            **({} if self._failure_word() is None else {"problem": self._failure_word()}),
        }

    def _look(self) -> str:
        """Whether the strategy is halted, in the words that `intents` has for it; a new one is logged."""
        self._exhibit.stand({} if self.fold.running is None else {self.id: self.fold.running})
        if self._exhibit.alarm and self._exhibit.alarm != self._alarm:
            log.error("%s", self._exhibit.alarm)
        self._alarm = self._exhibit.alarm
        return self._alarm

    def _own(self, words: Stated) -> Iterator[Metric]:
        yield catalog.PROCESSING.histograms([((), self._processing)])
        yield from self._exhibit.collect()

    def _failure_word(self) -> str | None:
        return str(self._failure.exception()) if self._failure.done() else None

    async def close(self) -> None:
        if self._feed is not None:
            await asyncio.to_thread(self._feed.close)
        if self._checkpointing is not None:
            self._checkpointing.cancel()
        await self.commands.close()
        with contextlib.suppress(Problem):
            await asyncio.to_thread(self.edge.flush, 5.0)
        await asyncio.to_thread(self.edge.close)
