"""strategy.inbox → orders.intents, strategy.records: one strategy's decisions over a desk folded from its inbox.

Key: strategy.

Ids. The n-th command of an inbox event is ``{strategy}-{inbox time in ms}-{partition}.{offset}.{index}-{n}``: unique,
and the same in a replay. ``cause`` names the event: ``strategy.inbox/{partition}/{offset}/{index}``.

Waiting. An order is on the desk from the command on, and leaves it only by what an ``OrderUpdated`` says: never by its
age, since it may rest out there. A cancel that led to nothing may be repeated after ``CANCEL_REPEAT_NS`` of inbox time.

Halts. A callback that raises, here or in the signals stage, halts the strategy: ``StrategyHalted`` and ``CancelAll``,
nothing else of that event. From then on events only move the desk (and the cancel is repeated while an order stays)
until ``StrategyResumed``. While a control has the strategy ``HALTED`` its callbacks run and its cancels go out, but its
orders are withheld, since the gateway would deny each of them; the first one withheld is written down. ``REDUCING`` is
judged by the gateway alone.
"""

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

import msgspec
from msgspec.structs import replace

from strategies.api import MARKET_CALLBACKS, Strategy, StrategyError, fault
from strategies.desk import Desk
from strategies.folded import Folded
from strategies.loading import merge_params
from topics.catalog import STRATEGY_INBOX, Topic
from topics.controls import InForce, TradingState
from topics.coordinates import At
from topics.market import Bar, Instrument, Tick
from topics.orders import CancelAll, CancelOrder, Command, ModifyOrder, OrderUpdated, SubmitOrder
from topics.portfolio import PositionChanged
from topics.record import Record, StrategyId
from topics.routes import Subscription
from topics.stage import EVERY, Outputs, Stage
from topics.strategy import ParamsChanged, Signal, StrategyHalted, StrategyRecord, StrategyResumed

S = TypeVar("S")
P = TypeVar("P")

CLOCKED = (Tick, Signal, Bar, OrderUpdated, PositionChanged)
"""Whose ``ts_init`` moves the inbox's time: made by the platform. An operator's clock is not trusted with it."""


class Running(msgspec.Struct, Generic[S, P]):
    """``params`` is None until a control changed them: the configuration's count. ``halted`` says why."""

    state: S
    desk: Folded
    params: P | None = None
    started: bool = False
    halted: str | None = None
    withheld: bool = False


def intents_stage(
    strategy_id: StrategyId, strategy: Strategy, subscription: Subscription, inbox: Topic = STRATEGY_INBOX
) -> Stage[Any]:
    """``inbox``: the log whose places the ids and causes of commands name."""

    def state_key(event: Any) -> str | None:
        if isinstance(event, Tick):
            return EVERY
        return strategy_id if getattr(event, "strategy", strategy_id) == strategy_id else None

    def on_event(running: Running[Any, Any] | None, event: Any, at: At) -> tuple[Running[Any, Any], Outputs]:
        running = Running(strategy.State(), Folded()) if running is None else running
        return running, _Host(strategy_id, strategy, subscription, running, inbox, at).handle(event)

    return Stage(
        name=f"intents/{strategy_id}",
        input=inbox,
        state_type=Running[strategy.State, strategy.Params],  # type: ignore[name-defined]
        state_key=state_key,
        on_event=on_event,
        outputs=(SubmitOrder, ModifyOrder, CancelOrder, CancelAll, StrategyRecord, StrategyHalted),
        own_key=strategy_id,
    )


class _Host:
    """One inbox event: fold it into the desk, run what it calls for, and stamp what comes out."""

    def __init__(
        self,
        strategy_id: StrategyId,
        strategy: Strategy,
        subscription: Subscription,
        running: Running[Any, Any],
        inbox: Topic,
        at: At,
    ) -> None:
        self.id = strategy_id
        self.subscription = subscription
        self.running = running
        self.inbox = inbox
        self.at = at
        self.strategy = strategy if running.params is None else strategy.with_params(running.params)
        self.commands = 0
        self.ts_event = 0

    def handle(self, event: Any) -> list[Record]:
        self.ts_event = getattr(event, "ts_event", 0)
        if isinstance(event, CLOCKED):
            self.running.desk.advance(event.ts_init)
        match event:
            case StrategyHalted():
                return self._halted_by(event)
            case StrategyResumed():
                self.running.halted, self.running.started = None, False
                return []
            case ParamsChanged():
                return self._new_params(event)
        self._fold(event)
        if self.running.halted is not None:
            return self._insist() if isinstance(event, Tick) else []
        return self._start(event) + self._decide(event)

    def _fold(self, event: Any) -> None:
        desk = self.running.desk
        match event:
            case Instrument():
                desk.instruments[event.instrument] = event
            case Signal():
                desk.on_signal(event)
            case OrderUpdated():
                desk.on_order(event)
            case PositionChanged():
                desk.on_position(event)
            case SubmitOrder():
                desk.commanded((event,))
            case InForce():
                desk.on_in_force(event)
                self.running.withheld = self.running.withheld and desk.trading_state() is TradingState.HALTED

    # --- callbacks -------------------------------------------------------------------------------------------------

    def _start(self, event: Any) -> list[Record]:
        """At the first event that tells the time."""
        if self.running.started or not isinstance(event, CLOCKED):
            return []
        self.running.started = True
        return self._run("on_start")

    def _decide(self, event: Any) -> list[Record]:
        callback = _CALLBACKS.get(type(event))
        if callback is None or self.running.halted is not None:
            return []
        return self._run(callback, event)

    def _run(self, callback: str, *args: object) -> list[Record]:
        if not self.strategy.overrides(callback):
            return []
        desk = Desk(self.id, self.subscription.account, self.running.desk, self.strategy.params)
        try:
            return self._stamped(getattr(self.strategy, callback)(self.running.state, desk, *args))
        except Exception as error:  # noqa: BLE001 a strategy's fault is a record, and stops this strategy alone
            return self._halt(callback, fault(error))

    def _new_params(self, event: ParamsChanged) -> list[Record]:
        """In force from here on, also after a restart. Such as cannot be used change nothing, and are written down."""
        before = self.strategy.params
        try:
            self.running.params = merge_params(type(self.strategy), before, bytes(event.params))
            self.strategy = self.strategy.with_params(self.running.params)
        except StrategyError as error:
            return [self._record("params refused", {"error": str(error), "who": event.who})]
        return [] if self.running.halted is not None else self._run("on_params", before)

    # --- halts -----------------------------------------------------------------------------------------------------

    def _halt(self, where: str, error: str) -> list[Record]:
        halted = StrategyHalted(strategy=self.id, where=where, error=error, ts_init=self.running.desk.now)
        self.running.halted = f"{where}: {error}"
        return [halted, self._cancel_all(halted.error)]

    def _halted_by(self, event: StrategyHalted) -> list[Record]:
        """By the signals stage. Our own halt comes back here too: long acted upon, and perhaps resumed by now."""
        if event.where not in MARKET_CALLBACKS or self.running.halted is not None:
            return []
        self.running.halted = f"{event.where}: {event.error}"
        return [self._cancel_all(event.error)]

    def _insist(self) -> list[Record]:
        desk = self.running.desk
        left = any(not desk.seen(order).pending_cancel for order in desk.orders.values())
        return [self._cancel_all("halted")] if left else []

    def _cancel_all(self, reason: str) -> CancelAll:
        command = CancelAll(
            command_id=self._next_id(),
            account=self.subscription.account,
            strategy=self.id,
            reason=reason,
            cause=self._cause(),
            ts_init=self.running.desk.now,
        )
        self.running.desk.commanded((command,))
        return command

    # --- outputs ---------------------------------------------------------------------------------------------------

    def _stamped(self, yielded: Iterable[Any] | None) -> list[Record]:
        """All or nothing: the desk learns of the commands only when the callback came to its end."""
        decisions = [] if yielded is None else list(yielded)
        if not decisions:
            return []
        for decision in decisions:
            self._check(decision)
        outputs = [self._stamp(d) for d in self._withhold(decisions)]
        self.running.desk.commanded(o for o in outputs if isinstance(o, Command))
        return outputs

    def _check(self, decision: Any) -> None:
        if not isinstance(decision, Command | StrategyRecord):
            raise TypeError(f"a decision callback yields commands and records, not {type(decision).__name__}")
        if decision.instrument not in ("", *self.subscription.instruments):
            raise ValueError(f"not subscribed to {decision.instrument}")

    def _withhold(self, decisions: list[Any]) -> list[Any]:
        state = self.running.desk.trading_state
        kept = [d for d in decisions if not (isinstance(d, SubmitOrder) and state(d.instrument) is TradingState.HALTED)]
        if len(kept) == len(decisions) or self.running.withheld:
            return kept
        self.running.withheld = True
        return [*kept, self._record("withheld", {"why": "halted by a control; further orders are withheld silently"})]

    def _stamp(self, decision: Any) -> Record:
        now = self.running.desk.now
        match decision:
            case SubmitOrder():
                ids: dict[str, Any] = {
                    "client_order_id": self._next_id(),
                    "account": self.subscription.account,
                    "cause": self._cause(),
                }
                ids["ts_event"] = self.ts_event
            case ModifyOrder() | CancelOrder() | CancelAll():
                ids = {"command_id": self._next_id(), "account": self.subscription.account, "cause": self._cause()}
            case _:
                ids = {}
        stamped: Record = replace(decision, strategy=self.id, ts_init=now, **ids)
        return stamped

    def _record(self, name: str, data: dict[str, str]) -> StrategyRecord:
        return StrategyRecord(strategy=self.id, name=name, data=data, ts_init=self.running.desk.now)

    def _next_id(self) -> str:
        at, ms = self.at, self.running.desk.now // 1_000_000
        ident = f"{self.id}-{ms}-{at.partition}.{at.offset}.{at.place}-{self.commands}"
        self.commands += 1
        return ident

    def _cause(self) -> str:
        return f"{self.inbox.name}/{self.at.partition}/{self.at.offset}/{self.at.place}"


_CALLBACKS: dict[type[Record], str] = {
    Signal: "on_signal",
    Bar: "on_bar",
    OrderUpdated: "on_order",
    PositionChanged: "on_position",
    Tick: "on_tick",
}
