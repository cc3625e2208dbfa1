"""The gateway of a backtest: the decisions, state and translations of the live one, without its clock, lease and sockets.

    orders.intents, portfolio.inbox, controls -> orders.events, account.events

A decision is written ahead; once that is acknowledged the order leaves, and ``OrderSent`` says so. A cancel waits for
the answer to its order's submit. Nothing is ever unknown here, so nothing is reconciled.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

from adapters.execution import Listed, Outcome, Refused, VenueEvent
from pipelines.backtest_venue import BacktestVenue
from pipelines.compose import Edge, Latency, Loop, Tape, Written
from pipelines.gateway import decide, revise, translate
from pipelines.gateway.engine import Engine
from pipelines.gateway.state import Held, State
from topics.catalog import CONTROLS, ORDERS_EVENTS, ORDERS_INTENTS, PORTFOLIO_INBOX
from topics.market import Instrument
from topics.orders import (
    CancelAll,
    CancelOrder,
    CancelRejected,
    CancelRequested,
    Fact,
    ModifyOrder,
    ModifyRequested,
    OrderRequested,
    OrderSent,
    OrderStatus,
    SubmitOrder,
)
from topics.record import Account, ClientOrderId, InstrumentId, Record
from topics.routes import Subscriptions, grouped


class Tapes:
    """What is written is folded at once, as ``pipelines.gateway.tape`` does."""

    def __init__(self, edge: Edge, state: State, subscriptions: Subscriptions) -> None:
        self._edge = edge
        self._state = state
        self._subscriptions = subscriptions
        state.book.epoch, state.book.n = edge.epoch, edge.n

    def write(self, records: Sequence[Record]) -> None:
        for topic, key, events in grouped(records, self._subscriptions):
            self._edge.write(topic, key, events)
            if topic is ORDERS_EVENTS:
                self._state.book.n = self._edge.n
                for fact in events:
                    self._state.book.fold(cast(Any, fact))


class ListedOnly:
    """All that the live engine asks of an adapter while it hears the venue."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self.listed: Mapping[InstrumentId, Listed] = {
            i.instrument: Listed(i.instrument, i.venue_symbol, i.base, i.quote, i.settled_in, i.multiplier, i.payoff)
            for i in instruments
        }


class BacktestGateway:
    """One account. ``ready`` from the beginning: the venue is there and agrees."""

    def __init__(
        self,
        account: Account,
        tape: Tape,
        edge: Edge,
        venue: BacktestVenue,
        latency: Latency,
        instruments: Iterable[Instrument],
        subscriptions: Subscriptions,
    ) -> None:
        self.state = State.empty(account)
        self.state.ready = True
        self._loop: Loop = tape.loop
        self._venue = venue
        self._latency = latency
        self._tape = Tapes(edge, self.state, subscriptions)
        self._sending: dict[ClientOrderId, list[Callable[[], None]]] = {}
        """Orders whose submit has no answer yet, and what waits for it."""
        not_its_own: Any = SimpleNamespace(held=False)  # it hears the venue; what is sent is sent here
        self._engine = Engine(
            self.state,
            cast(Any, self._tape),
            cast(Any, ListedOnly(instruments)),
            not_its_own,
            clock=lambda: self._loop.now,
        )
        for topic, read in ((ORDERS_INTENTS, self._obey), (PORTFOLIO_INBOX, self._learn), (CONTROLS, self._rule)):
            tape.subscribe(topic, read)

    def hear(self, event: VenueEvent) -> None:
        self._engine.hear(event)
        self._finish_replaces()

    # --- inputs ----------------------------------------------------------------------------------------------------

    def _learn(self, written: Written) -> None:
        self.state.market.fold(written.offset, written.events)

    def _rule(self, written: Written) -> None:
        self.state.rules.fold(written.offset, written.events)

    def _obey(self, written: Written) -> None:
        for command in written.events:
            if command.account != self.state.account:
                continue
            match command:
                case SubmitOrder():
                    self._submit(command)
                case ModifyOrder():
                    self._modify(command)
                case CancelOrder():
                    fact = decide.decide_cancel(self.state, command, self._loop.now)
                    self._request([] if fact is None else [fact])
                case CancelAll():
                    self._request(decide.decide_cancel_all(self.state, command, self._loop.now))

    def cancel_everything(self) -> None:
        """What a clean stop does."""
        reason = "the gateway stops"
        command_id = f"stop:{self.state.book.epoch}"
        ours = [h for h in self.state.book.open_orders() if h.command is not None]
        self._request([decide.cancel_requested(held, command_id, reason, self._loop.now) for held in ours])

    # --- orders ----------------------------------------------------------------------------------------------------

    def _submit(self, command: SubmitOrder) -> None:
        fact = decide.decide(self.state, command, self._loop.now)
        if fact is None:
            return
        self._write([fact])

    def _write(self, facts: Sequence[Fact]) -> None:
        """Write ahead; what is requested there leaves after it."""
        self._tape.write(facts)
        for fact in facts:
            if isinstance(fact, OrderRequested):
                self._sending[fact.client_order_id] = []
                self._after_write(self._send, self.state.book.orders[fact.client_order_id], fact)

    def _after_write(self, call: Any, *args: Any) -> None:
        self._loop.at(self._loop.now + self._latency.write_ahead(), call, *args)

    def _send(self, held: Held, fact: OrderRequested) -> None:
        self._tape.write([OrderSent(**translate.about(held), ts_init=self._loop.now)])
        answered = partial(self._submitted, held)
        arrives = self._loop.now + self._latency.to_venue()
        self._loop.at(arrives, self._venue.submit, fact.command, fact.venue_client_id, answered)

    def _submitted(self, held: Held, outcome: Outcome) -> None:
        learnt = translate.of_submit(held, outcome, self._loop.now)
        if learnt is not None:
            self._tape.write([learnt])
        for call in self._sending.pop(held.client_order_id):
            call()

    # --- modifications ---------------------------------------------------------------------------------------------

    def _modify(self, command: ModifyOrder) -> None:
        fact = decide.decide_modify(self.state, command, self._loop.now)
        if fact is None:
            return
        held = self.state.book.orders[command.client_order_id]
        if not isinstance(fact, ModifyRequested):
            self._tape.write([fact])
        elif fact.replacement:
            why, ident = f"to be replaced by {fact.replacement}", revise.cancel_id(command.command_id)
            self._tape.write([fact, decide.cancel_requested(held, ident, why, self._loop.now)])
            self._after_write(self._cancel, held, ident)
        else:
            self._tape.write([fact])
            self._after_write(self._amend, held, fact)

    def _amend(self, held: Held, fact: ModifyRequested) -> None:
        if held.client_order_id in self._sending:
            self._sending[held.client_order_id].append(partial(self._amend, held, fact))
        elif held.facts.is_terminal:
            self._amended(held, Refused("TERMINAL", f"the order is {held.facts.status}"))
        else:
            f, answered = held.facts, partial(self._amended, held)
            arrives = self._loop.now + self._latency.to_venue()
            order = (f.account, f.instrument, held.venue_client_id)
            self._loop.at(arrives, self._venue.amend, *order, fact.order_qty, answered)

    def _amended(self, held: Held, outcome: Outcome) -> None:
        learnt = translate.of_amend(held, outcome, self._loop.now)
        if learnt is not None:
            self._tape.write([learnt])

    def _finish_replaces(self) -> None:
        for cid in list(self.state.book.revising):
            facts = decide.finish_replace(self.state, self.state.book.orders[cid], self._loop.now)
            if facts:
                self._write(facts)

    # --- cancels ---------------------------------------------------------------------------------------------------

    def _request(self, facts: Sequence[CancelRequested | CancelRejected]) -> None:
        if facts:
            self._tape.write(facts)
        for fact in facts:
            if isinstance(fact, CancelRequested):
                self._after_write(self._cancel, self.state.book.orders[fact.client_order_id], fact.command_id)

    def _cancel(self, held: Held, command_id: str) -> None:
        if held.client_order_id in self._sending:
            self._sending[held.client_order_id].append(partial(self._cancel, held, command_id))
        elif held.facts.is_terminal:
            self._canceled(held, command_id, Refused("TERMINAL", f"the order is {held.facts.status}"))
        else:
            answered = partial(self._canceled, held, command_id)
            f, arrives = held.facts, self._loop.now + self._latency.to_venue()
            self._loop.at(arrives, self._venue.cancel, f.account, f.instrument, held.venue_client_id, answered)

    def _canceled(self, held: Held, command_id: str, outcome: Outcome) -> None:
        if held.facts.status is OrderStatus.CANCELED:
            return
        learnt = translate.of_cancel(held, command_id, outcome, self._loop.now)
        if learnt is not None:
            self._tape.write([learnt])
        self._finish_replaces()
