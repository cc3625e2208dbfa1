"""The gateway process of one account: connect, take the lease, rebuild from the tape, serve, reconcile, and stop
cleanly.

Keys, clock and address of the venue are tried before anything is written. Whatever fails later ends the process with
one line; the next one goes on from the tape.
"""

import asyncio
import contextlib
import json
import logging
import os
import time
from collections import deque
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from confluent_kafka import Message

from adapters.base import VenueError, VenueRefused, VenueUnreachable
from adapters.execution import ExecutionAdapter, Recorder, StreamUp, Unreadable
from infra import kafka
from infra.config import Config, ConfigError, secret
from infra.edge import Edge
from infra.errors import Hopeless, Problem
from pipelines.gateway.controller import Controller
from pipelines.gateway.engine import Engine
from pipelines.gateway.feed import Feed, committed
from pipelines.gateway.lease import Lease, await_free, pause
from pipelines.gateway.load import decoded_or_error, load
from pipelines.gateway.recover import Recovery
from pipelines.gateway.service import Server
from pipelines.gateway.state import State
from pipelines.gateway.status import GatewayStatus
from pipelines.gateway.tape import Tape
from topics.catalog import CONTROLS, GATEWAY_LEASES, ORDERS_INTENTS, PORTFOLIO_INBOX, VENUE_PRIVATE, Topic
from topics.controls import Flatten, LimitName, Scope, SetLimit
from topics.orders import CancelAll, CancelOrder, SubmitOrder
from topics.record import Account, venue_of
from topics.system import DeadLetter

log = logging.getLogger(__name__)

EXECUTION = {"binance": ("adapters.binance.execution", "BinanceExecution")}
NS = 1_000_000_000
STOP_S = 5.0
RECONNECT_S = (0.1, 0.5, 1.0, 2.0, 5.0)


def edge_name(account: Account) -> str:
    return f"gateway.{account}"


async def run_gateway(config: Config, kafka_conf: kafka.KafkaConf, account: Account, stop: asyncio.Event) -> None:
    """Until ``stop``. Problem in one line when the venue cannot be reached or the account is another's; Hopeless when
    keys or clock are refused.
    """
    frames = Frames()
    adapter = execution_adapter(config, account, frames)
    try:
        await connect(adapter, account)
        window_ns = adapter.recv_window_ms * 1_000_000
        await await_free(kafka_conf, config.prefix, account, window_ns, stop, log.info)
        if stop.is_set():
            return
        edge = Edge(
            kafka_conf,
            config.prefix,
            edge_name(account),
            config_digest=config.digest(),
            subscriptions=config.subscriptions(),
        )
        with edge:
            await Gateway(config, kafka_conf, account, adapter, edge, frames).run(stop)
    finally:
        await adapter.close()


def execution_adapter(config: Config, account: Account, recorder: Recorder) -> ExecutionAdapter:
    """As configured. ConfigError for an adapter that cannot trade, or keys that are not set."""
    name, keys = venue_of(account), config.accounts[account]
    venue = config.venues[name]
    if venue.adapter not in EXECUTION:
        raise ConfigError(f"venues.{name}.adapter: no trading with {venue.adapter!r}: one of {', '.join(EXECUTION)}")
    module, kind = EXECUTION[venue.adapter]
    made: ExecutionAdapter = getattr(import_module(module), kind)(
        name,
        secret(keys.api_key_env),
        secret(keys.api_secret_env),
        rest_url=venue.rest_url,
        ws_api_url=venue.ws_api_url,
        sandbox=venue.sandbox,
        recv_window_ms=venue.recv_window_ms,
        recorder=recorder,
    )
    return made


async def connect(adapter: ExecutionAdapter, account: Account) -> None:
    venue = venue_of(account)
    try:
        await adapter.connect()
    except VenueRefused as error:
        raise Hopeless(f"{account}: {error}") from None
    except VenueUnreachable as error:
        raise Problem(f"{account}: venue {venue} cannot be reached: {error}") from None
    except VenueError as error:
        raise Problem(f"{account}: venue {venue}: {error}") from None


class Frames:
    """Private frames on their way to the tape; kept while there is none yet."""

    def __init__(self) -> None:
        self._early: list[tuple[int, str]] = []
        self._tape: Tape | None = None

    def __call__(self, recv_ns: int, frame: str) -> None:
        if self._tape is None:
            self._early.append((recv_ns, frame))
        else:
            self._tape.record(recv_ns, frame)

    def to(self, tape: Tape) -> None:
        self._tape = tape
        for recv_ns, frame in self._early:
            tape.record(recv_ns, frame)
        self._early.clear()


class Gateway:
    """All parts of one running gateway."""

    def __init__(
        self,
        config: Config,
        conf: kafka.KafkaConf,
        account: Account,
        adapter: ExecutionAdapter,
        edge: Edge,
        frames: Frames,
    ) -> None:
        self.config, self.conf, self.account, self.adapter, self.edge = config, conf, account, adapter, edge
        self.state = State.empty(account)
        self.tape = Tape(edge, self.state, config.subscriptions())
        window_ns = adapter.recv_window_ms * 1_000_000
        self.lease = Lease(self.tape, conf, config.prefix, account, edge.epoch, config.gateway.lease_s, window_ns)
        self.engine = Engine(self.state, self.tape, adapter, self.lease, fail=self._fail)
        wanted = frozenset(config.instruments_of(venue_of(account)))
        self.recovery = Recovery(self.engine, time.time_ns(), wanted)
        self.engine.unresolved = self.recovery.resolve
        self.controller = Controller(self.engine)
        self.server = Server(self.engine)
        self.status = GatewayStatus(config.run_dir, account)
        self._frames = frames
        self._group = f"{config.prefix}.{edge_name(account)}"
        self._names = {
            kafka.physical(config.prefix, t): t for t in (ORDERS_INTENTS, PORTFOLIO_INBOX, CONTROLS, GATEWAY_LEASES)
        }
        self._intents: asyncio.Queue[Message] = asyncio.Queue()
        self._unacknowledged: deque[tuple[int, list[asyncio.Future[Any]]]] = deque()
        self._flattens: asyncio.Queue[tuple[int, Flatten]] = asyncio.Queue()
        self._flattening: deque[int] = deque()
        self._streaming = False
        self._stream_number = 0
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self.feed: Feed | None = None

    def _fail(self, error: BaseException) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    async def run(self, stop: asyncio.Event) -> None:
        try:
            await self._open(stop)
            if stop.is_set():
                return
            stopped = asyncio.ensure_future(stop.wait())
            either: set[asyncio.Future[Any]] = {stopped, self._failure}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if self._failure.done():
                self._failure.result()
            await self._stop_cleanly()
        finally:
            await self._close()

    async def _open(self, stop: asyncio.Event) -> None:
        await self.lease.claim(stop)
        self._start(self.lease.keep(stop))
        places = await asyncio.to_thread(load, self.conf, self.config.prefix, self.edge.name, self.state)
        self.state.book.epoch, self.state.book.n = self.edge.epoch, self.edge.n
        self._frames.to(self.tape)
        await self._seed_limits()
        if self.state.book.first_ts:
            self.recovery.since_ns = self.state.book.first_ts - NS
        done = await asyncio.to_thread(committed, self.conf, self._group, self._name(CONTROLS)) or 0
        for offset, control in places.flattens:
            self._queue_flatten(offset, control, done)
        intents = await asyncio.to_thread(committed, self.conf, self._group, self._name(ORDERS_INTENTS)) or 0
        starts = {
            self._name(ORDERS_INTENTS): intents,
            self._name(PORTFOLIO_INBOX): places.inbox,
            self._name(CONTROLS): places.controls,
            self._name(GATEWAY_LEASES): -1,  # the end
        }
        self.feed = Feed(self.conf, self._group, starts, self._take, self._fail)
        await self.server.start(self.config.gateway.host, self.config.gateway.port)
        self._write_address()
        self.feed.start()
        for work in (
            self._follow_stream(stop),
            self._follow_intents(stop),
            self._reconcile_on_time(stop),
            self._carry_out_flattens(),
            self.controller.enforce(stop),
            self._report(stop),
        ):
            self._start(work)

    def _name(self, topic: Topic) -> str:
        return kafka.physical(self.config.prefix, topic)

    async def _seed_limits(self) -> None:
        """Limits of the configuration that ``controls`` does not hold yet; it is authoritative ever after."""
        seeds = [
            SetLimit(
                control_id=f"config-{self.config.digest()}-{section.scope}-{name}",
                scope=Scope.parse(section.scope),
                limit=name,
                value=value,
                who="config",
                why="seeded from the configuration",
                ts_init=time.time_ns(),
            )
            for section in self.config.limits
            for name, value in section.limits().items()
            if not self._is_set(section.scope, name)
        ]
        if seeds:
            await self.tape.write(seeds)

    def _is_set(self, scope: str, name: LimitName) -> bool:
        known = self.state.rules.state.scopes.get(scope)
        return known is not None and name in known.limits

    def _write_address(self) -> None:
        path = self.config.run_dir / f"gateway.{self.account}.json"
        write_atomically(path, {"address": self.server.address, "pid": os.getpid(), "epoch": self.edge.epoch})

    # --- inputs ----------------------------------------------------------------------------------------------------

    def _take(self, batch: Sequence[Message]) -> None:
        """In the event loop. Controls and marks fold at once; commands wait for the lease."""
        for message in batch:
            topic = self._names[message.topic() or ""]
            if topic is ORDERS_INTENTS:
                self._intents.put_nowait(message)
                continue
            records, problem = decoded_or_error(message, topic)
            offset = message.offset() or 0
            self.status.records_in += 1
            if problem:
                self._bury(message, problem)
            elif topic is PORTFOLIO_INBOX:
                self.state.market.fold(offset, records)
            elif topic is GATEWAY_LEASES:
                for lease in records:
                    self.lease.observe(lease)
            else:
                self._take_controls(offset, records)

    def _take_controls(self, offset: int, controls: list[Any]) -> None:
        for control in controls:
            if isinstance(control, Flatten) and not self.state.rules.state.has_seen(control):
                self._queue_flatten(offset, control, 0)
        self.state.rules.fold(offset, controls)
        self.controller.wake.set()

    def _queue_flatten(self, offset: int, control: Flatten, done: int) -> None:
        if offset >= done:
            self._flattening.append(offset)
            self._flattens.put_nowait((offset, control))

    def _bury(self, message: Message, reason: str) -> None:
        """What cannot be read goes to the dead letters, with the reason."""
        self.status.dead_letters += 1
        letter = DeadLetter(
            stage=self.edge.name,
            topic=kafka.logical(self.config.prefix, message.topic() or ""),
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            reason=reason,
            payload=message.value() or b"",
            key=_bytes(message.key()),
        )
        self.tape.write([letter])

    async def _follow_intents(self, stop: asyncio.Event) -> None:
        """One command after another; a redelivered one changes nothing. They wait while the lease is not held."""
        while not stop.is_set():
            message = await self._intents.get()
            while not self.lease.held and not stop.is_set():
                await pause(stop, 0.05)
            if stop.is_set():
                return
            commands, problem = decoded_or_error(message, ORDERS_INTENTS)
            self.status.records_in += 1
            if problem:
                self._bury(message, problem)
            durable = [
                d for command in commands if command.account == self.account if (d := self._obey(command)) is not None
            ]
            self._unacknowledged.append((message.offset() or 0, durable))

    def _obey(self, command: SubmitOrder | CancelOrder | CancelAll) -> "asyncio.Future[Any] | None":
        self.status.events_in += 1
        match command:
            case SubmitOrder():
                return self.engine.submit(command).durable
            case CancelOrder():
                return self.engine.cancel(command)
            case CancelAll():
                return self.engine.cancel_all(command)[1]

    def _commit(self) -> None:
        """Intents up to the first whose decision is not durable; controls up to the first flatten that is not done."""
        if self.feed is None:
            return
        last = None
        while self._unacknowledged and all(f.done() for f in self._unacknowledged[0][1]):
            last = self._unacknowledged.popleft()[0]
        if last is not None:
            self.feed.commit(self._name(ORDERS_INTENTS), last + 1)
        upto = self._flattening[0] if self._flattening else self.state.rules.offset + 1
        if upto != self._controls_committed:
            self._controls_committed = upto
            self.feed.commit(self._name(CONTROLS), upto)

    _controls_committed = -1

    # --- the venue -------------------------------------------------------------------------------------------------

    async def _follow_stream(self, stop: asyncio.Event) -> None:
        """The account's own events; after every interruption, everything is asked for before new orders pass."""
        failures = 0
        while not stop.is_set():
            try:
                async for event in self.adapter.events():
                    if isinstance(event, StreamUp):
                        failures = 0
                        self._stream_number += 1
                        self._start(self._become_ready(self._stream_number, stop))
                    elif isinstance(event, Unreadable):
                        self._bury_frame(event)
                    else:
                        self.engine.hear(event)
            except VenueRefused as error:
                raise Hopeless(f"{self.account}: {error}") from None
            except VenueError as error:
                log.warning("%s; new orders are denied until it is back and reconciled", error)
            finally:
                self._stream_number += 1
                self.state.ready = False
            await asyncio.sleep(RECONNECT_S[min(failures, len(RECONNECT_S) - 1)])
            failures += 1

    def _bury_frame(self, event: Unreadable) -> None:
        self.engine.hear(event)
        self.status.dead_letters += 1
        letter = DeadLetter(
            stage=self.edge.name,
            topic=VENUE_PRIVATE.name,
            partition=0,
            offset=-1,
            reason=event.reason,
            payload=event.frame.encode(),
        )
        self.tape.write([letter])

    async def _become_ready(self, number: int, stop: asyncio.Event) -> None:
        """Reconcile until it succeeds, as long as this very stream is up."""
        pause = 0.2
        while number == self._stream_number and not stop.is_set():
            try:
                await self.recovery.reconcile()
            except VenueError as error:
                log.warning("reconciliation: %s", error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)
            else:
                if number == self._stream_number:
                    self.state.ready = True
                    log.info("reconciled with the venue: %d orders working", len(self.state.book.working))
                return

    async def _reconcile_on_time(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await asyncio.sleep(self.config.gateway.reconcile_every_s)
            if self.state.ready:
                try:
                    await self.recovery.reconcile()
                except VenueError as error:
                    log.warning("reconciliation: %s", error)

    async def _carry_out_flattens(self) -> None:
        while True:
            offset, control = await self._flattens.get()
            log.info("flatten %s by %s: %s", control.scope, control.who, control.why)
            await self.controller.flatten(control, lambda done=offset: self._flattening.remove(done))  # type: ignore[misc]

    # --- housekeeping ----------------------------------------------------------------------------------------------

    async def _report(self, stop: asyncio.Event) -> None:
        due = 0.0
        while not stop.is_set():
            self._commit()
            await self.server.serving(self.state.ready)
            if time.monotonic() >= due:
                due = time.monotonic() + 1.0
                self._write_status()
            await asyncio.sleep(0.1)

    def _write_status(self) -> None:
        lag = self._intents.qsize() + (0 if self.feed is None else self.feed.lag(self._name(ORDERS_INTENTS)))
        self.status.write(self.state, records_out=self.tape.records, lag=lag)

    async def _stop_cleanly(self) -> None:
        """No new risk, then (a setting leaves them) no open order of ours, then the lease goes to whoever comes next."""
        self.engine.stopping = True
        deadline = time.monotonic() + STOP_S
        if self.config.run.cancel_on_stop:
            await self._cancel_everything(deadline)
        await self.engine.drain(max(0.1, deadline - time.monotonic()))
        self._commit()
        await self.lease.release()

    async def _cancel_everything(self, deadline: float) -> None:
        command_id = f"stop:{self.edge.epoch}"
        asked: dict[str, float] = {}
        while (
            ours := [h for h in self.state.book.open_orders() if h.command is not None]
        ) and time.monotonic() < deadline:
            for held in ours:
                if time.monotonic() - asked.get(held.client_order_id, -1.0) >= 1.0 and not self.engine.is_canceling(
                    held
                ):
                    asked[held.client_order_id] = time.monotonic()
                    self.engine.insist(held, command_id, "the gateway stops")
            await asyncio.sleep(0.05)
        if ours:
            log.error(
                "%d orders may still be working at the venue: %s", len(ours), ", ".join(h.client_order_id for h in ours)
            )

    async def _close(self) -> None:
        self.tape.end()
        await self.recovery.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.server.stop(0.2)
        if self.feed is not None:
            self.feed.close()
        self.state.ready = False
        with contextlib.suppress(OSError):
            self._write_status_last()

    def _write_status_last(self) -> None:
        self.status.write(self.state, records_out=self.tape.records, lag=0)


def write_atomically(path: Path, words: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(words))
    temporary.replace(path)


def _bytes(key: str | bytes | None) -> bytes:
    return b"" if key is None else key.encode() if isinstance(key, str) else key
