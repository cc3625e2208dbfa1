"""An engine with its recovery on the matching core, in this process: a tape in memory, a clock that is moved by hand."""

import asyncio
from decimal import Decimal
from typing import Any

from adapters.paper import PaperExecution
from adapters.simulated.core import Core
from adapters.simulated.instruments import TABLE
from adapters.simulated.model import NewOrder, OrderType
from adapters.simulated.model import Side as VenueSide
from adapters.simulated.units import units
from infra.edge import EdgeFailed
from pipelines.gateway.engine import Decided, Engine
from pipelines.gateway.recover import Recovery
from pipelines.gateway.tape import Tape
from tests.pipelines.gateway.worlds import BTC, NOW, order, world
from topics import wire
from topics.catalog import ORDERS_EVENTS
from topics.coordinates import Coordinate
from topics.record import Side


class MemoryEdge:
    """What the tape needs of an edge: everything is durable at once, unless it is ``silent`` (no broker answers) or
    ``broken`` (it takes nothing any more, or no more than ``room`` in all).
    """

    name = "gateway.sim.main"

    def __init__(self) -> None:
        self.silent = self.broken = False
        self.epoch = 1
        self.n = 0
        self.room: int | None = None
        self.written: list[tuple[str, bytes]] = []
        self._waiting: list[tuple[int, asyncio.Future[int]]] = []

    def next(self) -> Coordinate:
        self.n += 1
        return Coordinate(self.name, "", self.epoch, self.n)

    def publish_raw(
        self,
        topic: Any,
        key: str,
        value: bytes,
        *,
        future: "asyncio.Future[int] | None" = None,
        under: Coordinate | None = None,
    ) -> None:
        n = (under or self.next()).minor
        if self.broken or (self.room is not None and n > self.room):
            raise EdgeFailed("the broker takes nothing")
        self.written.append((topic.name, value))
        if future is not None:
            self._waiting.append((n, future))
        if not self.silent:
            self.speak()

    def speak(self) -> None:
        """What waited is acknowledged."""
        waiting, self._waiting = self._waiting, []
        for n, future in waiting:
            if not future.done():
                future.set_result(n)


class Held:
    held = True
    fenced = False


class Bench:
    """``facts`` are those written so far. ``kind`` is the adapter's class, to make it lie or fall silent. ``after``: the
    next process, at the same venue, knowing what that one has left on the tape.
    """

    def __init__(self, kind: type[PaperExecution] = PaperExecution, after: "Bench | None" = None) -> None:
        self.now = NOW if after is None else after.now
        self.core = self._venue() if after is None else after.core
        self.adapter = kind("sim", self.core, "main", self.clock)
        self.state = world()
        for topic, value in [] if after is None else after.edge.written:
            for fact in wire.decode(value) if topic == ORDERS_EVENTS.name else []:
                self.state.book.fold(fact)
        self.edge = MemoryEdge()
        self.edge.epoch += 0 if after is None else after.edge.epoch
        self.tape = Tape(self.edge, self.state, {})  # type: ignore[arg-type]
        self.facts: list[Any] = []
        self._listener = self.tape.listen()
        self.failures: list[BaseException] = []
        self.lease = Held()
        self.engine = Engine(
            self.state,
            self.tape,
            self.adapter,
            self.lease,  # type: ignore[arg-type]
            clock=self.clock,
            fail=self.failures.append,
        )
        self.recovery = Recovery(self.engine, NOW - 1, frozenset({BTC}))
        self.engine.unresolved, self.engine.ask = self.recovery.resolve, self.recovery.ask

    def _venue(self) -> Core:
        self.core = Core([TABLE["BTCUSDT"]])
        for account in ("main", "other"):
            self.core.open_account(self.clock(), account, {"BTC": units("10"), "USDT": units("1000000")})
        for side, price in ((VenueSide.BUY, "60000"), (VenueSide.SELL, "60010")):
            self.core.submit(self.clock(), self._other(side, price))
        return self.core

    def clock(self) -> int:
        self.now += 1_000_000  # the venue tells milliseconds
        return self.now

    def _other(self, side: VenueSide, price: str, qty: str = "5", account: str = "other") -> NewOrder:
        return NewOrder(
            account=account,
            symbol="BTCUSDT",
            side=side,
            type=OrderType.LIMIT,
            client_order_id=f"{account}-{side}-{self.now}",
            qty=units(qty),
            price=units(price),
        )

    def market(self, side: VenueSide, price: str, qty: str, account: str = "other") -> None:
        """Another account's order; what it does to ours is told by the stream."""
        self.adapter.tell(self.core.submit(self.clock(), self._other(side, price, qty, account)))

    def names(self, cid: str = "o1") -> list[str]:
        while not self._listener.empty():
            self.facts.append(self._listener.get_nowait())
        return [type(f).__name__ for f in self.facts if getattr(f, "client_order_id", cid) == cid]

    async def until(self, *names: str, cid: str = "o1") -> list[str]:
        """Waits for facts; what the engine runs into is raised here."""
        for _ in range(2000):
            if self.failures:
                raise self.failures[0]
            if set(names) <= set(self.names(cid)):
                return self.names(cid)
            await asyncio.sleep(0.005)
        raise AssertionError(f"{names} not among {self.names(cid)}")

    async def settle(self) -> None:
        """Until nothing is on its way."""
        await self.engine.drain(10)
        if self.failures:
            raise self.failures[0]

    def submit(self, cid: str = "o1", price: str = "59900", side: Side = Side.BUY, **changes: Any) -> Decided:
        return self.engine.submit(order(cid, price=Decimal(price), side=side, ts_init=self.now, **changes))

    def hear(self) -> None:
        """What the venue has told on its stream so far."""
        while not self.adapter._events.empty():
            self.engine.hear(self.adapter._events.get_nowait())
