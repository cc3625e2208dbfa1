"""What the gateway knows, as folds. Each input has its own part, so the parts commute: a decision depends on how far
each was folded, not on how they were interleaved.

    Book     own facts (orders.events), in the order of their coordinates
    Market   marks, definitions and balances (portfolio.inbox)
    Rules    operators' commands (controls)
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import NamedTuple

import msgspec

from adapters.execution import Capabilities
from pipelines.controls import ControlsState
from pipelines.exact import EXACT, ZERO, localcontext, text
from pipelines.gateway.sums import Part, Request, Requests, Sums
from pipelines.order import HALTING, OrderFacts
from topics.controls import AnyControl, Flatten, Kill, LimitName, Resume, Scope, ScopeKind, TradingState
from topics.market import Instrument, Mark
from topics.orders import (
    CancelRejected,
    CancelRequested,
    ControlDone,
    Fact,
    Fill,
    ModifyRequested,
    OrderDenied,
    OrderRequested,
    OrderStatus,
    ReconciliationDifference,
    SubmitOrder,
)
from topics.portfolio import BalanceChanged
from topics.record import (
    Account,
    ClientOrderId,
    Currency,
    InstrumentId,
    OrderType,
    Payoff,
    Record,
    Side,
    StrategyId,
    TimeInForce,
    VenueOrderId,
    venue_of,
)

SECOND_NS = 1_000_000_000
KEEP_CLOSED_NS = 7 * 86_400 * SECOND_NS
CARRIES_OUT = "carries_out"
"""The value of a judgement that names the ``Flatten`` which the gateway's own closing order carries out."""
TAKES, AMENDS = "venue_takes", "venue_amends"
"""Values of a judgement: what the venue was known to be able to do, where the decision depended on it."""


class Held(msgspec.Struct):
    """One order: its facts, and what only the gateway needs of them. ``seq`` counts the facts of the log up to its
    first one.
    """

    facts: OrderFacts
    seq: int
    command: SubmitOrder | None = None
    venue_client_id: str = ""
    requested_ns: int = 0
    denied: OrderDenied | None = None
    carries_out: str = ""
    """The ``Flatten`` that the gateway made this order for."""
    leaves: Decimal = ZERO
    """``facts.reserved_qty`` as last folded: asked for far more often than it changes."""
    modify: ModifyRequested | None = None
    """The newest revision asked for."""

    @property
    def client_order_id(self) -> ClientOrderId:
        return self.facts.client_order_id

    @property
    def side(self) -> Side | None:
        return None if self.facts.terms is None else self.facts.terms.side

    @property
    def price(self) -> Decimal | None:
        """The limit; while a revision waits for its answer, the one that reaches further."""
        price = None if self.facts.terms is None else self.facts.terms.price
        if price is None or self.modify is None or self.modify.price is None or not self.facts.pending_revision:
            return price
        return max(price, self.modify.price) if self.side is Side.BUY else min(price, self.modify.price)

    @property
    def trigger_price(self) -> Decimal | None:
        return None if self.facts.terms is None else self.facts.terms.trigger_price

    @property
    def waits(self) -> bool:
        """A stop order that is not known to have been triggered."""
        f = self.facts
        return f.terms is not None and f.terms.order_type.is_stop and not f.triggered and f.cum_qty == 0


class Halt(msgspec.Struct, frozen=True):
    ts: int
    why: str


class Book(msgspec.Struct):
    """Orders, positions and halts of one account. An order counts from the moment its request is folded; a denied one
    never.
    """

    epoch: int = 0
    n: int = 0
    seq: int = 0
    orders: dict[ClientOrderId, Held] = {}
    working: dict[ClientOrderId, None] = {}
    working_on: dict[InstrumentId, dict[ClientOrderId, None]] = {}
    sums: Sums = msgspec.field(default_factory=Sums)
    """What open orders may still execute."""
    closed: dict[ClientOrderId, int] = {}
    revising: dict[ClientOrderId, None] = {}
    """Orders with a revision that is not answered; they may have ended."""
    by_venue_client_id: dict[str, ClientOrderId] = {}
    by_venue_order_id: dict[tuple[InstrumentId, VenueOrderId], ClientOrderId] = {}
    positions: dict[tuple[StrategyId, InstrumentId], Decimal] = {}
    net_positions: dict[InstrumentId, Decimal] = {}
    requests: Requests = msgspec.field(default_factory=lambda: Requests(SECOND_NS))
    halts: dict[InstrumentId, Halt] = {}
    differences: dict[tuple[InstrumentId, str], ReconciliationDifference] = {}
    commands: dict[str, int] = {}
    """Cancel command id to the ``seq`` at which it was first seen."""
    flattens_done: dict[str, None] = {}
    resumed_to: int = -1
    """Resumes up to this offset of ``controls`` have lifted what they lift."""
    first_ts: int = 0
    last_ts: int = 0
    forgotten_ts: int = 0
    """When the last one of the orders that are not kept any more was closed."""
    denied: int = 0

    def fold(self, fact: Fact | ReconciliationDifference | ControlDone) -> None:
        """Learn one fact; a repeated one changes nothing but the count."""
        self.seq += 1
        self.first_ts = self.first_ts or fact.ts_init
        self.last_ts = max(self.last_ts, fact.ts_init)
        if isinstance(fact, ControlDone):
            self._note_done(fact)
            return
        if isinstance(fact, ReconciliationDifference):
            self.differences[fact.instrument, fact.what] = fact
            self._halt(fact.instrument, Halt(fact.ts_init, f"{fact.what}: tape {fact.tape}, venue {fact.venue}"))
            return
        held = self.orders.get(fact.client_order_id)
        if held is None:
            held = self.orders[fact.client_order_id] = Held(OrderFacts.about(fact), self.seq)
        step = held.facts.add(fact)
        self._note(held, fact)
        for fill in step.fills:
            self._count(fill)
        for one in step.anomalies:
            if one.what in HALTING:
                self._halt(one.instrument, Halt(one.ts_init, f"{one.what}: {one.detail}"))
        if step.visible:
            self._file(held, fact.ts_init)

    def _note_done(self, done: ControlDone) -> None:
        """A resume lifts the halts that were folded before it: by their order in this log, by nobody's clock."""
        if done.control == Flatten.__name__:
            self.flattens_done[done.control_id] = None
            return
        self.resumed_to = max(self.resumed_to, done.offset)
        for instrument in list(self.halts):
            if concerns(done.scope, done.account, "", instrument):
                del self.halts[instrument]

    def _note(self, held: Held, fact: Fact) -> None:
        if isinstance(fact, OrderRequested) and held.command is None:
            held.command, held.venue_client_id, held.requested_ns = fact.command, fact.venue_client_id, fact.ts_init
            held.carries_out = fact.judged_by.values.get(CARRIES_OUT, "")
            self.by_venue_client_id[fact.venue_client_id] = fact.client_order_id
            self.requests.add(Request(fact.ts_init, fact.strategy, fact.instrument))
            self._forget(fact.ts_init)
        elif isinstance(fact, OrderDenied) and held.denied is None:
            held.denied = fact
            self.denied += 1
        elif isinstance(fact, ModifyRequested):
            if held.modify is None or fact.revision > held.modify.revision:
                held.modify = fact
                self.requests.add(Request(fact.ts_init, fact.strategy, fact.instrument))
        elif isinstance(fact, CancelRequested | CancelRejected):
            self.commands.setdefault(fact.command_id, self.seq)
        if held.facts.venue_order_id:
            self.by_venue_order_id.setdefault((held.facts.instrument, held.facts.venue_order_id), held.client_order_id)

    def _count(self, fill: Fill) -> None:
        sign = fill.side.sign * (-1 if fill.reversal else 1)
        key = (fill.strategy, fill.instrument)
        with localcontext(EXACT):
            qty = sign * fill.last_qty
            self.positions[key] = self.positions.get(key, ZERO) + qty
            self.net_positions[fill.instrument] = self.net_positions.get(fill.instrument, ZERO) + qty

    def _halt(self, instrument: InstrumentId, halt: Halt) -> None:
        known = self.halts.get(instrument)
        if known is None or halt.ts >= known.ts:
            self.halts[instrument] = halt

    def _file(self, held: Held, ts: int) -> None:
        """Among the working or the closed ones, with what it may still execute."""
        cid, on_instrument = held.client_order_id, self.working_on.setdefault(held.facts.instrument, {})
        if held.facts.terms is None or held.facts.is_terminal:
            self.working.pop(cid, None)
            on_instrument.pop(cid, None)
            self.closed[cid] = ts
        else:
            self.closed.pop(cid, None)
            self.working[cid] = on_instrument[cid] = None
        if held.facts.pending_revision:
            self.revising[cid] = None
        else:
            self.revising.pop(cid, None)
        self._reserve(held)

    def _reserve(self, held: Held) -> None:
        held.leaves = leaves = held.facts.reserved_qty
        facts, side = held.facts, held.side
        part = None
        if side is not None and leaves:
            part = Part(facts.instrument, side, facts.strategy, leaves, held.price, held.waits)
        self.sums.put(held.client_order_id, part)

    def _forget(self, now_ns: int) -> None:
        """Closed orders are kept for some days; the age limit of commands refuses what would come later still."""
        while self.closed:
            cid, ts = next(iter(self.closed.items()))
            if ts > now_ns - KEEP_CLOSED_NS:
                return
            del self.closed[cid]
            self.forgotten_ts = max(self.forgotten_ts, ts)
            held = self.orders.pop(cid)
            self.revising.pop(cid, None)
            self.by_venue_client_id.pop(held.venue_client_id, None)
            self.by_venue_order_id.pop((held.facts.instrument, held.facts.venue_order_id), None)

    # --- what follows from it ---

    def open_orders(self, instrument: InstrumentId | None = None) -> Iterator[Held]:
        """Everything that may still execute: requested, unknown or at the venue."""
        for cid in self.working if instrument is None else self.working_on.get(instrument, {}):
            yield self.orders[cid]

    def count(self, status: OrderStatus) -> int:
        return sum(self.orders[cid].facts.status is status for cid in self.working)

    def strategies(self) -> set[StrategyId]:
        """Of all orders that are kept, and all positions."""
        return {held.facts.strategy for held in self.orders.values()} | {strategy for strategy, _ in self.positions}

    def position(self, instrument: InstrumentId, strategy: StrategyId | None = None) -> Decimal:
        """Signed; the net of the account where no strategy is named."""
        if strategy is not None:
            return self.positions.get((strategy, instrument), ZERO)
        return self.net_positions.get(instrument, ZERO)

    def pending(self, instrument: InstrumentId, side: Side, strategy: StrategyId | None = None) -> Decimal:
        """What the open orders of one side would still add if they all filled."""
        if strategy is not None:
            return self.sums.by_strategy.get((instrument, side, strategy), ZERO)
        return self.sums.by_side.get((instrument, side), ZERO)

    def reserved(
        self, currency: Currency, definitions: dict[InstrumentId, Instrument], mid: dict[InstrumentId, Mark]
    ) -> Decimal:
        """What open orders may still spend of a currency: base of sells, quote of buys at their price (market orders
        at the ask). What a contract's order locks only its venue knows.
        """
        spent = ZERO
        for instrument in self.working_on:
            definition = definitions.get(instrument)
            if definition is None or definition.payoff is not Payoff.SPOT:
                continue
            if definition.base == currency:
                spent = EXACT.add(spent, self.pending(instrument, Side.SELL))
            if definition.quote == currency:
                spent = EXACT.add(spent, self._spent_by_buys(instrument, currency, definitions, mid))
        return spent

    def _spent_by_buys(
        self,
        instrument: InstrumentId,
        currency: Currency,
        definitions: dict[InstrumentId, Instrument],
        marks: dict[InstrumentId, Mark],
    ) -> Decimal:
        key = (instrument, Side.BUY)
        spent = self.sums.value.get(key, ZERO)
        for cid in self.sums.odd.get(key, {}):
            held = self.orders[cid]
            if held.price is None:
                spent = EXACT.add(spent, spends(held, currency, definitions, marks))
        return spent


def spends(
    held: Held, currency: Currency, definitions: dict[InstrumentId, Instrument], marks: dict[InstrumentId, Mark]
) -> Decimal:
    """What one open order may still spend of a currency; a stop without a limit at no less than its trigger."""
    definition = definitions.get(held.facts.instrument)
    if definition is None or definition.payoff is not Payoff.SPOT:
        return ZERO
    if held.side is Side.SELL:
        return held.leaves if definition.base == currency else ZERO
    if held.side is None or definition.quote != currency:
        return ZERO
    mark = marks.get(held.facts.instrument)
    ask = ZERO if mark is None else mark.best_ask
    price = held.price if held.price is not None else max(ask, held.trigger_price or ZERO)
    return held.leaves * price


EVERYTHING = Capabilities(
    order_types=frozenset(OrderType),
    times_in_force=frozenset(TimeInForce),
    post_only=True,
    reduce_only=False,
    amends_quantity=True,
)


class Market(msgspec.Struct):
    """Marks, definitions, and what the venue says the account holds, as of an offset of ``portfolio.inbox`` (-1:
    nothing yet).
    """

    account: Account
    offset: int = -1
    definitions: dict[InstrumentId, Instrument] = {}
    marks: dict[InstrumentId, Mark] = {}
    balances: dict[Currency, BalanceChanged] = {}

    def fold(self, offset: int, records: Iterable[Record]) -> None:
        """One record of the inbox; an older offset than the last changes nothing."""
        if offset <= self.offset:
            return
        self.offset = offset
        for record in records:
            if isinstance(record, Mark):
                self.marks[record.instrument] = record
            elif isinstance(record, Instrument):
                self.definitions[record.instrument] = record
            elif isinstance(record, BalanceChanged) and record.account == self.account:
                self.balances[record.currency] = record


class Applying(NamedTuple):
    """What is in force for one strategy on one instrument. ``limits`` from the firm down, and ``strictest`` of them;
    ``texts`` as judgements write them.
    """

    state: TradingState
    limits: dict[LimitName, list[tuple[Scope, Decimal]]]
    strictest: dict[LimitName, tuple[Scope, Decimal]]
    texts: dict[str, str]


class Rules(msgspec.Struct):
    """What operators have put in force, as of an offset of ``controls``."""

    offset: int = -1
    state: ControlsState = msgspec.field(default_factory=ControlsState)
    kills: dict[str, Kill] = {}
    flattens: dict[str, Flatten] = {}
    known: dict[tuple[Account, StrategyId, InstrumentId], Applying] = {}
    """What was asked for since the last change."""

    def fold(self, offset: int, controls: Iterable[AnyControl]) -> list[AnyControl]:
        """One record of ``controls``; those of its commands that are new."""
        if offset <= self.offset:
            return []
        self.offset = offset
        self.known.clear()
        new = []
        for control in controls:
            if self.state.has_seen(control) or control.control_id in self.flattens:
                continue
            new.append(control)
            self.state.apply(control)
            match control:
                case Resume():
                    self.kills.pop(str(control.scope), None)
                case Kill():
                    self.kills[str(control.scope)] = control
                case Flatten():
                    self.flattens[control.control_id] = control
                case _:
                    pass
        return new

    def applying(self, account: Account, strategy: StrategyId, instrument: InstrumentId) -> Applying:
        key = (account, strategy, instrument)
        found = self.known.get(key)
        if found is None:
            limits = {name: self.state.limit_for(name, *key) for name in LimitName}
            found = self.known[key] = Applying(
                self.state.state_for(*key),
                limits,
                {name: min(some, key=lambda one: one[1]) for name, some in limits.items() if some},
                {f"{name} {scope}": text(limit) for name, some in limits.items() for scope, limit in some},
            )
        return found

    def trading_state(self, account: Account, strategy: StrategyId, instrument: InstrumentId) -> TradingState:
        return self.applying(account, strategy, instrument).state


class State(msgspec.Struct):
    """Everything a decision is made from. ``ready``: reconciled with the venue, and its event stream is up; written
    into every judgement. ``venue``: what it can do; written where a decision depended on it.
    """

    account: Account
    book: Book
    market: Market
    rules: Rules
    ready: bool = False
    venue: Capabilities = EVERYTHING

    @classmethod
    def empty(cls, account: Account) -> "State":
        return cls(account, Book(), Market(account), Rules())

    def halt(self, instrument: InstrumentId) -> Halt | None:
        """Why no new risk is taken on an instrument, until a later resume explains it."""
        return self.book.halts.get(instrument)

    def flatten(self, control_id: str) -> Flatten | None:
        """A flatten that is being carried out; None once it is closed or abandoned."""
        return None if control_id in self.book.flattens_done else self.rules.flattens.get(control_id)

    def is_flattening(self, held: Held) -> bool:
        """The gateway's own order that closes a position for such a flatten: a kill does not take it back."""
        return self.flatten(held.carries_out) is not None


def concerns(scope: Scope, account: Account, strategy: StrategyId, instrument: InstrumentId) -> bool:
    """Whether a control of this scope applies to an order or position."""
    match scope.kind:
        case ScopeKind.FIRM:
            return True
        case ScopeKind.VENUE:
            return venue_of(account) == scope.id
        case ScopeKind.ACCOUNT:
            return account == scope.id
        case ScopeKind.STRATEGY:
            return strategy == scope.id
        case ScopeKind.INSTRUMENT:
            return instrument == scope.id
