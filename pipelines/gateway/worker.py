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
from pathlib import Path
from typing import Any

from adapters.base import VenueError, VenueRefused
from adapters.execution import ExecutionAdapter, StreamUp, Unreadable
from infra import kafka
from infra.config import Config
from infra.edge import Edge
from infra.errors import Hopeless, Problem
from infra.metrics import Exposition
from pipelines import operate
from pipelines.gateway.controller import Controller
from pipelines.gateway.engine import Engine
from pipelines.gateway.flatten import Flattening
from pipelines.gateway.intake import Intake
from pipelines.gateway.lease import Lease, LeaseLost, await_free
from pipelines.gateway.load import load
from pipelines.gateway.metrics import GatewayMetrics
from pipelines.gateway.recover import Recovery
from pipelines.gateway.service import Server
from pipelines.gateway.snapshot import path_of
from pipelines.gateway.snapshots import Snapshots
from pipelines.gateway.state import State
from pipelines.gateway.status import GatewayStatus
from pipelines.gateway.stopping import cancel_everything
from pipelines.gateway.tape import Tape
from pipelines.gateway.venue import Frames, connect, execution_adapter
from pipelines.paper import place
from topics.catalog import VENUE_PRIVATE
from topics.controls import LimitName, Scope, SetLimit
from topics.record import Account, venue_of
from topics.system import DeadLetter

log = logging.getLogger(__name__)

NS = 1_000_000_000
STOP_S = 5.0
RELEASE_S = 2.0
RECONNECT_S = (0.1, 0.5, 1.0, 2.0, 5.0)


def edge_name(account: Account) -> str:
    return f"gateway.{account}"


async def run_gateway(
    config: Config,
    kafka_conf: kafka.KafkaConf,
    account: Account,
    stop: asyncio.Event,
    exposition: Exposition | None = None,
) -> None:
    """Until ``stop``. Problem in one line when the venue cannot be reached or the account is another's; Hopeless when
    keys or clock are refused.
    """
    if config.accounts[account].kind == "paper":
        await place.await_up(config, account, stop)
        if stop.is_set():
            return
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
            blocking=False,
        )
        with edge:
            gateway = Gateway(config, kafka_conf, account, adapter, edge, frames)
            if exposition is not None:
                exposition.add(gateway.metrics)
            await gateway.run(stop)
        if gateway.left:
            raise Problem(f"{account}: stopped, but {len(gateway.left)} orders may still be working at the venue")
    finally:
        await adapter.close()


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
        self.state.venue = adapter.capabilities
        self.tape = Tape(edge, self.state, config.subscriptions())
        window_ns = adapter.recv_window_ms * 1_000_000
        self.lease = Lease(self.tape, conf, config.prefix, account, edge.epoch, config.gateway.lease_s, window_ns)
        wanted = frozenset(config.instruments_of(venue_of(account)))
        ours = sorted(s for s, c in config.strategies.items() if c.account == account)
        self.metrics = GatewayMetrics(account, ours, sorted(wanted))
        self.tape.heard = self.metrics.heard
        self.engine = Engine(self.state, self.tape, adapter, self.lease, fail=self._fail, metrics=self.metrics)
        self.tape.failed = self._fail
        self.recovery = Recovery(self.engine, time.time_ns(), wanted)
        self.recovery.reconciled = self.lease.reconciled  # one word: learnt by the one, handed on by the other
        self.engine.unresolved, self.engine.ask = self.recovery.resolve, self.recovery.ask
        self.controller = Controller(self.engine)
        self.server = Server(self.engine, self._scope_of)
        self.status = GatewayStatus(config.run_dir, account)
        self._frames = frames
        self._snapshot = path_of(config.run_dir, account)
        self.snapshots = Snapshots(conf, config.prefix, account, self._snapshot, self.state)
        self.intake = Intake(
            conf, config.prefix, edge.name, self.engine, self.status, controls_came=self.controller.wake.set
        )
        self.left: list[str] = []
        self._over = asyncio.Event()
        self._stream_number = 0
        self._was_up = False
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()

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
        except Exception as error:
            await self._stop_badly(error)
            raise
        finally:
            await self._close()

    async def _open(self, stop: asyncio.Event) -> None:
        await self.lease.claim(stop)
        self._start(self.lease.keep(self._over))
        places = await asyncio.to_thread(load, self.conf, self.config.prefix, self.state, self._snapshot)
        self.state.book.epoch, self.state.book.n = self.edge.epoch, self.edge.n
        self._frames.to(self.tape)
        await self._seed_limits()
        if self.state.book.first_ts:
            self.recovery.since_ns = self.state.book.first_ts - NS
        await self.server.start(self.config.gateway.host, self.config.gateway.port)
        self._write_address()
        await self.intake.start(places, self._fail)
        self.snapshots.covered = places.in_snapshot
        for work in (
            self.snapshots.keep(stop),
            self._follow_stream(stop),
            self.intake.obey(stop),
            self._reconcile_on_time(stop),
            self._carry_out_flattens(),
            self.controller.enforce(stop),
            self._report(stop),
        ):
            self._start(work)

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
        return known is not None and (name in known.limits or name in known.removed)

    def _write_address(self) -> None:
        path = self.config.run_dir / f"gateway.{self.account}.json"
        write_atomically(path, {"address": self.server.address, "pid": os.getpid(), "epoch": self.edge.epoch})

    def _scope_of(self, text: str) -> Scope:
        """As the command line has it; a strategy that only sends orders over gRPC is known by its first one."""
        try:
            return operate.scope_of(text, self.config, self.state.book.strategies)
        except Problem as problem:
            raise ValueError(str(problem)) from None

    # --- the venue -------------------------------------------------------------------------------------------------

    async def _follow_stream(self, stop: asyncio.Event) -> None:
        """The account's own events; after every interruption, everything is asked for before new orders pass. Keys or
        clock refused once they were taken may pass: orders may be resting, and this process is who watches them.
        """
        failures = 0
        while not stop.is_set():
            try:
                async for event in self.adapter.events():
                    if isinstance(event, StreamUp):
                        failures, self._was_up = 0, True
                        self._stream_number += 1
                        self._start(self._become_ready(self._stream_number, stop))
                    elif isinstance(event, Unreadable):
                        self._bury_frame(event)
                    else:
                        self.engine.hear(event)
            except VenueError as error:
                if isinstance(error, VenueRefused) and not self._was_up:
                    raise Hopeless(f"{self.account}: {error}") from None
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
                await self.recovery.balances_came_back()
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
            offset, control = await self.intake.next_flatten()
            log.info("flatten %s by %s: %s", control.scope, control.who, control.why)
            self._start(Flattening(self.engine, control, offset).carry_out())  # one that waits holds up no other

    # --- housekeeping ----------------------------------------------------------------------------------------------

    async def _report(self, stop: asyncio.Event) -> None:
        due = 0.0
        while not stop.is_set():
            self.intake.commit()
            await self.server.serving(self.state.ready)
            if time.monotonic() >= due:
                due = time.monotonic() + 1.0
                self._write_status()
            await asyncio.sleep(0.1)

    def _write_status(self) -> None:
        self.status.write(self.state, records_out=self.tape.records, events_out=self.tape.events, lag=self.intake.lag)
        self.metrics.state_is(self.state)
        self.metrics.told.say(self.status.words)

    async def _stop_cleanly(self) -> None:
        """No new risk, then (a setting leaves them) no open order of ours, then the lease goes to whoever comes next."""
        self.engine.stopping = True
        deadline = time.monotonic() + STOP_S
        await self._cancel_ours("the gateway stops", deadline)
        await self.engine.drain(max(0.1, deadline - time.monotonic()))
        self.intake.commit()
        self._over.set()
        try:
            await asyncio.wait_for(self.lease.release(), RELEASE_S)
        except TimeoutError:
            log.warning("the release of the lease is not acknowledged: the next gateway waits until it has run out")

    async def _stop_badly(self, error: Exception) -> None:
        """This process cannot go on: what rests is cancelled all the same, as well as that goes, unless another
        gateway has the account.
        """
        self.engine.stopping = True
        if not isinstance(error, LeaseLost):
            await self._cancel_ours(f"the gateway ends: {type(error).__name__}", time.monotonic() + STOP_S)

    async def _cancel_ours(self, why: str, deadline: float) -> None:
        if self.config.run.cancel_on_stop:
            self.left = await cancel_everything(self.engine, f"stop:{self.edge.epoch}", why, deadline)

    async def _close(self) -> None:
        self._over.set()
        self.tape.end()
        await self.recovery.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.server.stop(0.2)
        self.intake.close()
        self.state.ready = False
        with contextlib.suppress(OSError):
            self._write_status_last()

    def _write_status_last(self) -> None:
        self.status.write(self.state, records_out=self.tape.records, events_out=self.tape.events, lag=0)


def write_atomically(path: Path, words: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(words))
    temporary.replace(path)
