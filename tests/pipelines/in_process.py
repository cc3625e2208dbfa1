"""The loop in one process: signals, intents, orders, positions and bars as they are, on the exchange's matching core.

A stand-in for the gateway passes orders on (and denies those that would meet our own), and each hop takes the time
that it takes on one machine. Time is simulated: nothing waits.
"""

import heapq
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.simulated import model as sim
from adapters.simulated.core import Core
from adapters.simulated.instruments import TABLE
from adapters.simulated.units import decimal, units
from pipelines import orders, positions
from pipelines.bars import bars_stage
from pipelines.intents import intents_stage
from pipelines.signals import signals_stage
from strategies import Strategy
from tests.folding import Folding
from topics import orders as o
from topics.catalog import STRATEGY_INBOX
from topics.market import Instrument, Quote, Tick, Trade
from topics.record import Liquidity, Record, Side, StrategyId
from topics.routes import Subscriptions, group
from topics.strategy import StrategyHalted

MS = 1_000_000
HOP, TICK = 5 * MS, 100 * MS
ACCOUNT = "sim.main"
BALANCES = {"BTC": units("20"), "ETH": units("200"), "SOL": units("5000"), "USDT": units("2000000")}


def name_of(symbol: str) -> str:
    return f"sim:{symbol.removesuffix('USDT')}-USDT"


def definition(symbol: str) -> Instrument:
    row = TABLE[symbol]
    return Instrument(
        instrument=name_of(symbol),
        venue="sim",
        venue_symbol=symbol,
        base=row.base,
        quote=row.quote,
        tick_size=decimal(row.tick),
        lot_size=decimal(row.step),
        min_notional=decimal(row.min_notional),
        ts_init=0,
    )


@dataclass
class Loop:
    core: Core
    strategies: Mapping[StrategyId, Strategy]
    subscriptions: Subscriptions
    now: int
    recode_every: int | None = None
    fills: list[o.Fill] = field(default_factory=list)
    halts: list[StrategyHalted] = field(default_factory=list)
    commands: list[o.Command] = field(default_factory=list)
    working: dict[str, o.SubmitOrder] = field(default_factory=dict)
    self_trades: int = 0
    _due: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._n, self._ticks = itertools.count(), self.now // TICK + 1
        self._known: dict[str, o.SubmitOrder] = {}
        self.core.open_account(self.now, ACCOUNT, BALANCES)
        subscribed = {i: s.bars for s in self.subscriptions.values() for i in s.instruments if s.bars}
        self._bars = Folding(bars_stage(subscribed), self.recode_every)
        self._orders, self._positions = Folding(orders.STAGE, self.recode_every), Folding(positions.STAGE)
        self._signals, self._intents = {}, {}
        for s, strategy in self.strategies.items():
            self._signals[s] = Folding(signals_stage(s, strategy, self.subscriptions[s]), self.recode_every)
            self._intents[s] = Folding(intents_stage(s, strategy, self.subscriptions[s]), self.recode_every)
            for symbol in self.core.instruments:
                if name_of(symbol) in self.subscriptions[s].instruments:
                    self._hear(s, definition(symbol))

    # --- time ------------------------------------------------------------------------------------------------------

    def run_to(self, when: int) -> None:
        """Everything due by then, with ten ticks a second."""
        while (next_tick := self._ticks * TICK) <= when:
            self._run_due(next_tick)
            self.now = next_tick
            for strategy in self._intents:
                self._hear(strategy, Tick(n=self._ticks, ts_init=next_tick))
            self._ticks += 1
        self._run_due(when)
        self.now = when

    def _run_due(self, when: int) -> None:
        while self._due and self._due[0][0] <= when:
            self.now, _, call, args = heapq.heappop(self._due)
            call(*args)

    def _later(self, hops: int, call: Callable[..., None], *args: Any) -> None:
        heapq.heappush(self._due, (self.now + hops * HOP, next(self._n), call, args))

    # --- market data -----------------------------------------------------------------------------------------------

    def publish(self, event: Quote | Trade) -> None:
        self._later(1, self._see, event)

    def _see(self, event: Quote | Trade) -> None:
        for strategy, stage in self._signals.items():
            for signal in stage.feed(event):
                self._later(1, self._hear, strategy, signal)
        for (topic, key), bars in group(self._bars.feed(event), self.subscriptions).items():
            for bar in bars if topic is STRATEGY_INBOX else ():
                self._later(1, self._hear, key, bar)

    # --- commands --------------------------------------------------------------------------------------------------

    def _hear(self, strategy: StrategyId, event: Record) -> None:
        for out in self._intents[strategy].feed(event):
            if isinstance(out, StrategyHalted):
                self.halts.append(out)
            elif isinstance(out, o.Command):
                self.commands.append(out)
                self._later(1, self._gateway, out)

    def _gateway(self, command: o.Command) -> None:
        match command:
            case o.SubmitOrder() if any(_meet(command, other) for other in self.working.values()):
                self._tell(
                    o.OrderDenied(
                        **self._about(command),
                        command=command,
                        check="self_match",
                        value="",
                        limit="",
                        judged_by=o.Judgement(),
                    )
                )
            case o.SubmitOrder():
                self.working[command.client_order_id] = self._known[command.client_order_id] = command
                about = self._about(command)
                self._tell(o.OrderRequested(**about, command=command, venue_client_id="", judged_by=o.Judgement()))
                self._later(1, self._submit, command)
            case o.CancelOrder():
                self._tell(o.CancelRequested(**self._about(command), command_id=command.command_id))
                self._later(1, self._cancel, command)

    def _submit(self, c: o.SubmitOrder) -> None:
        new = sim.NewOrder(
            account=ACCOUNT,
            symbol=_symbol(c),
            side=sim.Side(c.side.upper()),
            type=sim.OrderType.LIMIT_MAKER if c.post_only else sim.OrderType(c.order_type.upper()),
            client_order_id=c.client_order_id,
            time_in_force=sim.TimeInForce(c.time_in_force.upper()),
            qty=units(c.order_qty),
            price=0 if c.price is None else units(c.price),
        )
        match self.core.submit(self.now, new):
            case [sim.Refused() as refused]:
                code, reason = str(refused.code), refused.message
                self._later(1, self._tell, o.OrderRejected(**self._about(c), code=code, reason=reason))
            case events:
                self.told(events)

    def _cancel(self, c: o.CancelOrder) -> None:
        match self.core.cancel(self.now, ACCOUNT, _symbol(c), client_order_id=c.client_order_id):
            case [sim.Refused() as refused]:
                about, code = self._about(c), str(refused.code)
                fact = o.CancelRejected(**about, command_id=c.command_id, code=code, reason=refused.message)
                self._later(1, self._tell, fact)
            case events:
                self.told(events)

    # --- facts -----------------------------------------------------------------------------------------------------

    def told(self, events: Iterable[sim.Event]) -> None:
        """The exchange's reports about our orders become facts a hop later."""
        for report in events:
            if isinstance(report, sim.OrderReport) and report.order.account == ACCOUNT:
                self.self_trades += report.counter_account == ACCOUNT
                self._later(1, self._tell, self._fact(report))

    def _fact(self, report: sim.OrderReport) -> o.Fact:
        command = self._known[report.order.client_order_id]
        about, done = self._about(command), decimal(report.order.executed)
        match report.execution:
            case sim.ExecutionType.NEW:
                return o.OrderAccepted(**about, venue_order_id=str(report.order.order_id))
            case sim.ExecutionType.TRADE:
                return o.OrderFilled(
                    **about,
                    venue_order_id=str(report.order.order_id),
                    trade_id=str(report.trade_id),
                    side=command.side,
                    last_qty=decimal(report.last_qty),
                    last_px=decimal(report.last_px),
                    fee=decimal(report.fee),
                    fee_currency=report.fee_asset or "",
                    liquidity=Liquidity.MAKER if report.is_maker else Liquidity.TAKER,
                    base="",
                    quote="USDT",
                )
            case sim.ExecutionType.CANCELED:
                return o.OrderCanceled(**about, cum_qty=done)
            case _:
                return o.OrderExpired(**about, cum_qty=done)

    def _tell(self, fact: o.Fact) -> None:
        for out in self._orders.feed(fact):
            if isinstance(out, o.OrderUpdated):
                if out.status.is_terminal:
                    self.working.pop(out.client_order_id, None)
                self._later(1, self._hear, out.strategy, out)
            elif isinstance(out, o.Fill):
                self.fills.append(out)
                for position in self._positions.feed(out):
                    self._later(2, self._hear, out.strategy, position)

    def _about(self, command: o.SubmitOrder | o.CancelOrder) -> dict[str, Any]:
        return {
            "client_order_id": command.client_order_id,
            "account": command.account,
            "instrument": command.instrument,
            "strategy": command.strategy,
            "ts_event": self.now,
            "ts_init": self.now,
        }


def _symbol(command: o.SubmitOrder | o.CancelOrder) -> str:
    return command.instrument.partition(":")[2].replace("-", "")


def _meet(order: o.SubmitOrder, resting: o.SubmitOrder) -> bool:
    if order.instrument != resting.instrument or order.side is resting.side:
        return False
    if order.price is None or resting.price is None:
        return True
    return order.price >= resting.price if order.side is Side.BUY else order.price <= resting.price
