"""Carries decisions out: write-ahead, send, and what came of it into facts. Nothing is sent again whose fate is not
known.

Decisions are made one after another in the event loop, each written before the next is made; sending overlaps. A
cancel waits for the end of its order's own send, and for nothing else: neither for its record to be durable nor for
the lease, unless a newer gateway has the account. Sent twice, a cancel does no harm; not sent, it may.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from adapters.execution import (
    Accepted,
    Balance,
    BalanceMoved,
    Execution,
    ExecutionAdapter,
    NewOrder,
    OrderRef,
    OrderReport,
    Outcome,
    Refused,
    Unknown,
    Unreadable,
    VenueEvent,
)
from infra.edge import EdgeFailed
from pipelines.gateway import decide, revise, translate
from pipelines.gateway.lease import Lease
from pipelines.gateway.metrics import GatewayMetrics
from pipelines.gateway.state import Held, State
from pipelines.gateway.tape import Tape
from pipelines.order import OrderFacts
from topics.orders import (
    CancelAll,
    CancelOrder,
    CancelRejected,
    CancelRequested,
    Fact,
    ModifyDenied,
    ModifyOrder,
    ModifyRequested,
    OrderDenied,
    OrderRequested,
    OrderSent,
    OrderStatus,
    SubmitOrder,
)
from topics.portfolio import BalanceChanged
from topics.record import EXTERNAL, ClientOrderId, Currency, Record

log = logging.getLogger(__name__)

Clock = Callable[[], int]
TOO_LATE = "the write-ahead was acknowledged too late"


class NotLeased(RuntimeError):
    """This gateway may not trade right now."""


class WrongAccount(ValueError):
    """The command is for another gateway."""


class Decided(NamedTuple):
    """A decision, and the future of its being durable (None: it is)."""

    fact: OrderRequested | OrderDenied | ModifyRequested | ModifyDenied | None
    durable: "asyncio.Future[list[int]] | None"
    is_new: bool


async def _nobody_asks(held: Held) -> bool:
    return False


@dataclass
class Engine:
    """``unresolved`` is called for an order whose submit or cancel ended unknown; ``ask`` learns what the venue knows
    of an order, and is False when that is nothing.
    """

    state: State
    tape: Tape
    adapter: ExecutionAdapter
    lease: Lease
    clock: Clock = time.time_ns
    metrics: GatewayMetrics = field(default_factory=lambda: GatewayMetrics(""))
    unresolved: Callable[[Held], None] = lambda held: None
    ask: Callable[[Held], Awaitable[bool]] = _nobody_asks
    fail: Callable[[BaseException], None] = lambda error: None
    balances: dict[Currency, BalanceChanged] = field(default_factory=dict)
    unreadable: int = 0
    stopping: bool = False
    _sending: dict[ClientOrderId, "asyncio.Task[None]"] = field(default_factory=dict)
    _canceling: dict[ClientOrderId, "asyncio.Task[None]"] = field(default_factory=dict)
    _modifying: dict[ClientOrderId, "asyncio.Task[None]"] = field(default_factory=dict)
    _tasks: "set[asyncio.Task[None]]" = field(default_factory=set)
    _undurable: "dict[ClientOrderId, asyncio.Future[list[int]]]" = field(default_factory=dict)
    """Decisions that a crash would still undo: whoever asks for one again waits for it as the first did."""
    _moved: dict[Currency, str] = field(default_factory=dict)

    # --- commands --------------------------------------------------------------------------------------------------

    def submit(self, command: SubmitOrder, carries_out: str = "") -> Decided:
        """Decide and write ahead; sending follows by itself. The same id again gives the same answer and does
        nothing.
        """
        self._may_act(command.account)
        known = self.state.book.orders.get(command.client_order_id)
        if known is not None:
            return Decided(known.denied, self._undurable.get(command.client_order_id), False)
        fact = decide.decide(self.state, command, self.clock(), carries_out)
        assert fact is not None
        durable = self.tape.write([fact])
        self._undurable[command.client_order_id] = durable
        durable.add_done_callback(lambda _: self._undurable.pop(command.client_order_id))
        self._send_requested([fact], durable)
        return Decided(fact, durable, True)

    def _send_requested(self, facts: Sequence[Fact], durable: "asyncio.Future[list[int]]") -> None:
        for fact in facts:
            if isinstance(fact, OrderRequested):
                held = self.state.book.orders[fact.client_order_id]
                self._sending[held.client_order_id] = self._spawn(self._send(held, fact, durable))

    async def validate(self, command: SubmitOrder) -> tuple[OrderRequested | OrderDenied | None, Outcome | None]:
        """All checks, then the venue's own, of an order that goes nowhere: nothing is written and nothing counts. The
        outcome is None where no venue was asked.
        """
        self._may_act(command.account)
        fact = decide.decide(self.state, command, self.clock())
        return fact, await self.adapter.test(new_order(fact)) if isinstance(fact, OrderRequested) else None

    def modify(self, command: ModifyOrder) -> Decided:
        """Decide and write ahead; carrying it out follows by itself. The cancel that makes way for another order is in
        the same record as the decision, so that a restart finds both or neither.
        """
        self._may_act(command.account)
        fact = decide.decide_modify(self.state, command, self.clock())
        if fact is None:
            return Decided(self._known_modify(command), None, False)
        held = self.state.book.orders[command.client_order_id]
        facts: list[Fact] = [fact]
        if isinstance(fact, ModifyRequested) and fact.replacement:
            ident, why = revise.cancel_id(command.command_id), f"to be replaced by {fact.replacement}"
            facts.append(decide.cancel_requested(held, ident, why, self.clock()))
        durable = self.tape.write(facts)
        if isinstance(fact, ModifyRequested):
            self._modifying[held.client_order_id] = self._spawn(self._modify(held, fact, durable))
        return Decided(fact, durable, True)

    def _known_modify(self, command: ModifyOrder) -> ModifyRequested | None:
        """The decision made before, where it is the newest of its order."""
        held = self.state.book.orders.get(command.client_order_id)
        known = None if held is None else held.modify
        return known if known is not None and known.command.command_id == command.command_id else None

    def finish_replaces(self) -> None:
        """Send the rest of orders that are cancelled by now; what is not settled yet waits for the next word on it."""
        if not self.state.book.revising or not self.lease.held or self.stopping:
            return
        for cid in list(self.state.book.revising):
            facts = decide.finish_replace(self.state, self.state.book.orders[cid], self.clock())
            if facts:
                self._send_requested(facts, self.tape.write(facts))

    def cancel(self, command: CancelOrder) -> "asyncio.Future[list[int]] | None":
        """None where there is nothing to write: decided before, or no such order."""
        self._may_cancel(command.account)
        fact = decide.decide_cancel(self.state, command, self.clock())
        return None if fact is None else self._request_cancels([fact])

    def cancel_all(self, command: CancelAll) -> "tuple[int, asyncio.Future[list[int]] | None]":
        """How many cancels were requested, and when that is durable."""
        self._may_cancel(command.account)
        facts = decide.decide_cancel_all(self.state, command, self.clock())
        return len(facts), self._request_cancels(list(facts)) if facts else None

    def insist(self, held: Held, command_id: str, reason: str) -> None:
        """Cancel an order that must go, again if need be; nothing while a cancel of it is under way."""
        if held.client_order_id in self._canceling or held.facts.is_terminal or self.lease.fenced:
            return
        if command_id in held.facts.cancels:
            self._start_cancel(held, command_id)
        else:
            self._request_cancels([decide.cancel_requested(held, command_id, reason, self.clock())])

    def _may_act(self, account: str) -> None:
        if account != self.state.account:
            raise WrongAccount(f"account {account} is not {self.state.account}")
        if self.stopping:
            raise NotLeased(f"the gateway of {account} is stopping")
        if not self.lease.held:
            raise NotLeased(f"the lease of {account} is not held")

    def _may_cancel(self, account: str) -> None:
        """Doubt never stops a cancel; another holder of the account does."""
        if account != self.state.account:
            raise WrongAccount(f"account {account} is not {self.state.account}")
        if self.lease.fenced:
            raise NotLeased(f"another gateway has {account}")

    def _request_cancels(self, facts: list[CancelRequested | CancelRejected]) -> "asyncio.Future[list[int]]":
        durable = self._record(facts)
        for fact in facts:
            if isinstance(fact, CancelRequested):
                self._start_cancel(self.state.book.orders[fact.client_order_id], fact.command_id)
        return durable

    def _record(self, facts: list[CancelRequested | CancelRejected]) -> "asyncio.Future[list[int]]":
        """In the background. A tape that takes nothing any more ends this process, and stops no cancel."""
        try:
            durable = self.tape.write(facts)
        except EdgeFailed as error:
            durable = asyncio.get_running_loop().create_future()
            durable.set_exception(error)
        durable.add_done_callback(self._recorded)
        return durable

    def _recorded(self, durable: "asyncio.Future[list[int]]") -> None:
        error = None if durable.cancelled() else durable.exception()
        if error is not None:
            self.fail(error)

    # --- sending ---------------------------------------------------------------------------------------------------

    async def _send(self, held: Held, fact: OrderRequested, durable: "asyncio.Future[list[int]]") -> None:
        try:
            await durable
            outcome = await self._submit_in_time(held, fact)
            learnt = translate.of_submit(held, outcome, self.clock())
            if learnt is not None:
                self.tape.write([learnt])
            if isinstance(outcome, Unknown):
                self.unresolved(held)
        finally:
            self._sending.pop(held.client_order_id, None)

    async def _submit_in_time(self, held: Held, fact: OrderRequested) -> Outcome:
        """What waited for its write-ahead longer than the venue would take it, or into our end, is not sent at all."""
        if self._is_late(fact.ts_init):
            return Refused(translate.NOT_SENT, TOO_LATE)
        sent_ns = self.clock()
        self.tape.write([OrderSent(**translate.about(held), ts_init=sent_ns)])
        await asyncio.sleep(0)  # the tape goes out at the end of this turn, and so before the order
        self.metrics.sent(fact, sent_ns)
        outcome = await self.adapter.submit(new_order(fact))
        self.metrics.answered("submit", self.clock() - sent_ns)
        return outcome

    async def _modify(self, held: Held, fact: ModifyRequested, durable: "asyncio.Future[list[int]]") -> None:
        cid = held.client_order_id
        try:
            await durable
            if (sending := self._sending.get(cid)) is not None:
                await asyncio.wait([sending])
            if fact.replacement:
                await self._make_way(held, fact)
            else:
                await self._amend(held, fact)
        finally:
            if self._modifying.get(cid) is asyncio.current_task():
                del self._modifying[cid]

    async def _make_way(self, held: Held, fact: ModifyRequested) -> None:
        """Cancel it; too late, the order stays as it is."""
        command_id = revise.cancel_id(fact.command.command_id)
        if self._is_late(fact.ts_init):
            refused = Refused(translate.NOT_SENT, TOO_LATE)
            learnt = translate.of_cancel(held, command_id, refused, self.clock())
            self.tape.write([] if learnt is None else [learnt])
            self.finish_replaces()
        else:
            self._start_cancel(held, command_id)

    async def _amend(self, held: Held, fact: ModifyRequested) -> None:
        if self._is_late(fact.ts_init):
            outcome: Outcome = Refused(translate.NOT_SENT, TOO_LATE)
        elif held.facts.is_terminal or not held.facts.is_at_venue:
            outcome = Refused("TERMINAL", f"the order is {held.facts.status}")
        else:
            sent_ns = self.clock()
            outcome = await self.adapter.amend(ref(held), fact.order_qty, fact.ts_init)
            self.metrics.answered("modify", self.clock() - sent_ns)
        learnt = translate.of_amend(held, outcome, self.clock())
        if learnt is not None:
            self.tape.write([learnt])
        if isinstance(outcome, Unknown):
            self.unresolved(held)

    def _is_late(self, ts_init: int) -> bool:
        window = self.adapter.recv_window_ms * 1_000_000
        return self.clock() - ts_init > window or not self.lease.held or self.stopping

    def is_modifying(self, held: Held) -> bool:
        return held.client_order_id in self._modifying

    def _start_cancel(self, held: Held, command_id: str) -> None:
        before = self._canceling.get(held.client_order_id)
        self._canceling[held.client_order_id] = self._spawn(self._cancel(held, command_id, before))

    async def _cancel(self, held: Held, command_id: str, before: "asyncio.Task[None] | None") -> None:
        cid = held.client_order_id
        try:
            for task in (before, self._sending.get(cid)):
                if task is not None:
                    await asyncio.wait([task])
            await self._cancel_at_venue(held, command_id)
        finally:
            if self._canceling.get(cid) is asyncio.current_task():
                del self._canceling[cid]
        self.finish_replaces()

    async def _cancel_at_venue(self, held: Held, command_id: str) -> None:
        """Not asked for an order that ended meanwhile. Where the answer proves nothing ("no such order"), the order
        is asked for first: what is known of it then says more than that the cancel is unknown.
        """
        if held.facts.is_terminal:
            outcome: Outcome = Refused("TERMINAL", f"the order is {held.facts.status}")
        else:
            sent_ns = self.clock()
            outcome = await self.adapter.cancel(ref(held), sent_ns)
            self.metrics.answered("cancel", self.clock() - sent_ns)
        if held.facts.status is OrderStatus.CANCELED:
            return
        if isinstance(outcome, Unknown) and await self.ask(held):
            self.unresolved(held)
            return
        learnt = translate.of_cancel(held, command_id, outcome, self.clock())
        if learnt is not None:
            self.tape.write([learnt])
        if isinstance(outcome, Unknown | Accepted):
            self.unresolved(held)

    def is_sending(self, held: Held) -> bool:
        return held.client_order_id in self._sending

    def is_canceling(self, held: Held) -> bool:
        return held.client_order_id in self._canceling

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.fail(error)

    async def drain(self, timeout_s: float) -> None:
        """Wait for everything that is on its way."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout_s)

    # --- what the venue says ---------------------------------------------------------------------------------------

    def hear(self, event: VenueEvent) -> None:
        """One event of the account's stream into facts; a repeated one gives none."""
        match event:
            case OrderReport():
                self.learn_report(event)
                self.finish_replaces()
            case Execution():
                self.learn_executions([event])
                self.finish_replaces()
            case Balance():
                self.learn_balances([event])
            case BalanceMoved(currency=currency, amount=amount):
                self._moved[currency] = "deposit" if amount > 0 else "withdrawal"
            case Unreadable(reason=reason):
                self.unreadable += 1
                log.warning("private frame not understood: %s", reason)
            case _:
                pass

    def learn_report(self, report: OrderReport) -> None:
        held = self.known(report)
        facts = translate.of_report(held, report, self.clock())
        if facts:
            self.tape.write(facts)

    def known(self, report: OrderReport) -> Held:
        """The order that a report is about; one that the platform did not place is recorded first."""
        held = translate.find(self.state.book, report.instrument, report.venue_client_id, report.venue_order_id)
        if held is not None and held.facts.terms is not None:
            return held
        seen = translate.seen_external(self.state.account, report, self.clock())
        self.tape.write([seen])
        return self.state.book.orders[seen.client_order_id]

    def learn_executions(self, executions: list[Execution]) -> None:
        """An execution of an order not seen yet is kept under the id that the order will have."""
        facts: list[Record] = []
        for e in executions:
            held = translate.find(self.state.book, e.instrument, e.venue_client_id, e.venue_order_id) or self._to_come(
                e
            )
            fact = translate.of_execution(held, e, self.adapter.listed[e.instrument], self.clock())
            if fact is not None:
                facts.append(fact)
        if facts:
            self.tape.write(facts)

    def _to_come(self, e: Execution) -> Held:
        cid = translate.external_id(self.state.account, e.instrument, e.venue_order_id)
        return self.state.book.orders.get(cid) or Held(OrderFacts(cid, self.state.account, e.instrument, EXTERNAL), 0)

    def learn_balances(self, balances: list[Balance]) -> None:
        named = [self._with_reason(b) for b in balances]
        changed = translate.changed_balances(self.state.account, named, self.balances, self.clock())
        for one in changed:
            self.balances[one.currency] = one
        if changed:
            self.tape.write(changed)

    def _with_reason(self, balance: Balance) -> Balance:
        reason = self._moved.pop(balance.currency, balance.reason)
        return Balance(
            currency=balance.currency,
            free=balance.free,
            locked=balance.locked,
            reason=reason,
            ts_event=balance.ts_event,
        )


def new_order(fact: OrderRequested) -> NewOrder:
    command = fact.command
    return NewOrder(
        venue_client_id=fact.venue_client_id,
        instrument=command.instrument,
        side=command.side,
        order_type=command.order_type,
        order_qty=command.order_qty,
        price=command.price,
        trigger_price=command.trigger_price,
        time_in_force=command.time_in_force,
        post_only=command.post_only,
        requested_ns=fact.ts_init,
    )


def ref(held: Held) -> OrderRef:
    return OrderRef(
        held.facts.instrument, held.venue_client_id, "" if held.venue_client_id else held.facts.venue_order_id
    )
