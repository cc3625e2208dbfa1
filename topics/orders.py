"""Commands to the gateway (imperative) and facts about orders (past tense). An order is a fold over the set of its facts."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from topics.controls import Scope
from topics.record import (
    Account,
    ClientOrderId,
    Currency,
    InstrumentId,
    Liquidity,
    OrderType,
    Payoff,
    Record,
    Side,
    StrategyId,
    TimeInForce,
    TradeId,
    VenueOrderId,
)

# --- commands: orders.intents, keyed by strategy -------------------------------------------------------------------


class SubmitOrder(Record, frozen=True, kw_only=True):
    """``client_order_id`` is the idempotency key. ``cause`` names the inbox event it came from; ``reason`` is the strategy's own word.

    ``trigger_price`` (FIX StopPx) is a stop order's. ``replaces`` is the gateway's own: the order whose rest this one is.
    ``ts_event`` is the venue's time of that event; 0 where it has none (a tick, a bar, an operator).
    """

    client_order_id: ClientOrderId
    strategy: StrategyId
    account: Account
    instrument: InstrumentId
    side: Side
    order_type: OrderType
    order_qty: Decimal
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    reduce_only: bool = False
    replaces: ClientOrderId = ""
    reason: str = ""
    cause: str = ""
    ts_event: int = 0
    ts_init: int


class ModifyOrder(Record, frozen=True, kw_only=True):
    """Other terms for a working order; what is None stays. ``order_qty`` is the whole order's, executed part included.

    ``command_id`` is the idempotency key. ``revision``: the number this one is to get, so that it is not applied to terms
    that another has changed meanwhile; 0 is the next, whichever.
    """

    command_id: str
    client_order_id: ClientOrderId
    strategy: StrategyId
    account: Account
    instrument: InstrumentId
    order_qty: Decimal | None = None
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    revision: int = 0
    reason: str = ""
    cause: str = ""
    ts_init: int


class CancelOrder(Record, frozen=True, kw_only=True):
    """Cancel the order with this ``client_order_id``; ``command_id`` is the command's own idempotency key."""

    command_id: str
    client_order_id: ClientOrderId
    strategy: StrategyId
    account: Account
    instrument: InstrumentId
    reason: str = ""
    cause: str = ""
    ts_init: int


class CancelAll(Record, frozen=True, kw_only=True):
    """Cancel every working order of the account, narrowed to a strategy and an instrument where given."""

    command_id: str
    account: Account
    strategy: StrategyId = ""
    instrument: InstrumentId = ""
    reason: str = ""
    cause: str = ""
    ts_init: int


Command = SubmitOrder | ModifyOrder | CancelOrder | CancelAll


# --- facts: orders.events, keyed by account and instrument ---------------------------------------------------------


class Judgement(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a decision was judged by: how far each input was folded, and the values and limits used (as text, by name)."""

    offsets: dict[str, int] = {}
    values: dict[str, str] = {}
    limits: dict[str, str] = {}


class OrderFact(Record, frozen=True, kw_only=True):
    """Base of all facts about one order."""

    client_order_id: ClientOrderId
    account: Account
    instrument: InstrumentId
    strategy: StrategyId
    ts_event: int = 0
    ts_init: int


class OrderRequested(OrderFact, frozen=True, kw_only=True):
    """Passed every check; durably written before anything leaves for the venue. ``venue_client_id`` is what the venue gets."""

    command: SubmitOrder
    venue_client_id: str
    judged_by: Judgement


class OrderDenied(OrderFact, frozen=True, kw_only=True):
    """Failed ``check``; never sent. ``value`` against ``limit``."""

    command: SubmitOrder
    check: str
    value: str
    limit: str
    judged_by: Judgement


class OrderSent(OrderFact, frozen=True, kw_only=True):
    pass


class OrderAccepted(OrderFact, frozen=True, kw_only=True):
    venue_order_id: VenueOrderId


class OrderRejected(OrderFact, frozen=True, kw_only=True):
    """The venue refused it, provably."""

    code: str
    reason: str


class CancelRequested(OrderFact, frozen=True, kw_only=True):
    command_id: str
    reason: str = ""


class CancelRejected(OrderFact, frozen=True, kw_only=True):
    """The venue refused the cancel; the order is what its other facts say."""

    command_id: str
    code: str
    reason: str


class OrderCanceled(OrderFact, frozen=True, kw_only=True):
    """``cum_qty`` is the venue's, for the completeness check; None where the venue did not say."""

    cum_qty: Decimal | None = None
    prevented_qty: Decimal = Decimal(0)


class OrderExpired(OrderFact, frozen=True, kw_only=True):
    """IOC and FOK leftovers, venue expiry, self-trade prevention."""

    cum_qty: Decimal | None = None
    prevented_qty: Decimal = Decimal(0)
    reason: str = ""


class OrderFilled(OrderFact, frozen=True, kw_only=True):
    """One execution; (venue, account, instrument, venue_order_id, trade_id) identifies it however often it is delivered.

    ``settle`` empty: the quote.
    """

    venue_order_id: VenueOrderId
    trade_id: TradeId
    side: Side
    last_qty: Decimal
    last_px: Decimal
    fee: Decimal
    fee_currency: Currency
    liquidity: Liquidity
    base: Currency
    quote: Currency
    settle: Currency = ""
    multiplier: Decimal = Decimal(1)
    payoff: Payoff = Payoff.SPOT


class OrderBusted(OrderFact, frozen=True, kw_only=True):
    """The venue took an execution back."""

    venue_order_id: VenueOrderId
    trade_id: TradeId


class ModifyRequested(OrderFact, frozen=True, kw_only=True):
    """Passed its checks; durably written before anything leaves. The terms are whole: what the order is to be.

    ``replacement`` is empty where the venue amends the order in its place. Else the order is cancelled, and the rest goes
    out under that id.
    """

    command: ModifyOrder
    revision: int
    order_qty: Decimal
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    replacement: ClientOrderId = ""
    judged_by: Judgement


class ModifyDenied(OrderFact, frozen=True, kw_only=True):
    """Failed ``check``; the order is as it was."""

    command: ModifyOrder
    check: str
    value: str
    limit: str
    judged_by: Judgement


class OrderModified(OrderFact, frozen=True, kw_only=True):
    """A revision is in force: at the venue, or, where ``replaced_by`` names it, as another order for the rest."""

    command_id: str
    revision: int
    order_qty: Decimal
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    replaced_by: ClientOrderId = ""


class ModifyRejected(OrderFact, frozen=True, kw_only=True):
    """A revision came to nothing. What the order is now its other facts say: a cancel may have gone before."""

    command_id: str
    revision: int
    code: str
    reason: str


class OrderTriggered(OrderFact, frozen=True, kw_only=True):
    """A stop order's trigger was reached: it works."""


class OrderUnknown(OrderFact, frozen=True, kw_only=True):
    """An answer is missing: it may rest out there. ``where`` is submit, cancel or modify."""

    where: str
    reason: str


class OrderReconciled(OrderFact, frozen=True, kw_only=True):
    """Evidence asked of the venue. ``found`` False: proved never to have arrived (asked twice after the receive window)."""

    found: bool
    venue_order_id: VenueOrderId = ""
    venue_status: str = ""
    order_qty: Decimal | None = None
    cum_qty: Decimal | None = None


class ExternalOrderSeen(OrderFact, frozen=True, kw_only=True):
    """An order that the platform did not place (strategy EXTERNAL)."""

    venue_order_id: VenueOrderId
    side: Side
    order_type: OrderType
    order_qty: Decimal
    price: Decimal | None = None
    trigger_price: Decimal | None = None


class ReconciliationDifference(Record, frozen=True, kw_only=True):
    """Venue and tape disagree; new risk on the instrument stops until explained."""

    account: Account
    instrument: InstrumentId
    what: str
    tape: str
    venue: str
    ts_init: int


class ControlDone(Record, frozen=True, kw_only=True):
    """What came of an operator's command at this account's gateway; ``control`` is Flatten or Resume.

    A flatten told of is never carried out again: ``outcome`` is closed, or abandoned with what is left in ``detail``. A
    resume lifts the halts of its scope that stand before this in the log. ``offset`` is the command's in ``controls``.
    """

    account: Account
    control_id: str
    control: str
    scope: Scope
    offset: int
    outcome: str
    detail: str = ""
    ts_init: int


Fact = (
    OrderRequested
    | OrderDenied
    | OrderSent
    | OrderAccepted
    | OrderRejected
    | CancelRequested
    | CancelRejected
    | ModifyRequested
    | ModifyDenied
    | OrderModified
    | ModifyRejected
    | OrderTriggered
    | OrderCanceled
    | OrderExpired
    | OrderFilled
    | OrderBusted
    | OrderUnknown
    | OrderReconciled
    | ExternalOrderSeen
)


# --- the order as folded: orders.state, keyed by client order id ---------------------------------------------------


class OrderStatus(StrEnum):
    """By the FIX rule of precedence; pending cancel and pending replace are flags beside it."""

    PENDING_NEW = "pending_new"
    NEW = "new"
    TRIGGERED = "triggered"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    DENIED = "denied"
    EXPIRED = "expired"
    UNKNOWN = "unknown"

    @property
    def is_terminal(self) -> bool:
        return self in TERMINAL


TERMINAL = frozenset(
    {OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.DENIED, OrderStatus.EXPIRED}
)


class OrderUpdated(Record, frozen=True, kw_only=True):
    """An order after one more fact. ``fact`` is that fact's type; on terminal orders ``leaves_qty`` is 0.

    ``revision`` is the newest that is in force. A canceled order with ``pending_replace`` is about to be replaced by another.
    """

    client_order_id: ClientOrderId
    account: Account
    instrument: InstrumentId
    strategy: StrategyId
    side: Side
    order_type: OrderType
    order_qty: Decimal
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    status: OrderStatus
    pending_cancel: bool = False
    pending_replace: bool = False
    revision: int = 0
    replaces: ClientOrderId = ""
    replaced_by: ClientOrderId = ""
    venue_order_id: VenueOrderId = ""
    cum_qty: Decimal = Decimal(0)
    leaves_qty: Decimal = Decimal(0)
    avg_px: Decimal | None = None
    overfill_qty: Decimal = Decimal(0)
    fees: dict[Currency, Decimal] = {}
    last_qty: Decimal | None = None
    last_px: Decimal | None = None
    fact: str
    reason: str = ""
    ts_event: int = 0
    ts_init: int


class OrderAnomaly(Record, frozen=True, kw_only=True):
    """Something a venue should not have said: a late fill, an overfill, a trade id with another content (quarantined)."""

    client_order_id: ClientOrderId
    account: Account
    instrument: InstrumentId
    strategy: StrategyId
    what: str
    detail: str
    ts_init: int


class Fill(Record, frozen=True, kw_only=True):
    """Each execution once; ``reversal`` takes an earlier one back (a bust).

    ``value``: in ``settle``, reckoned once, here, and only summed from then on (``pipelines/contracts.py``). Of an inverse
    contract it is below 0: it falls in size as the price rises.
    """

    account: Account
    strategy: StrategyId
    instrument: InstrumentId
    client_order_id: ClientOrderId
    venue_order_id: VenueOrderId
    trade_id: TradeId
    side: Side
    last_qty: Decimal
    last_px: Decimal
    fee: Decimal
    fee_currency: Currency
    liquidity: Liquidity
    base: Currency
    quote: Currency
    settle: Currency
    multiplier: Decimal = Decimal(1)
    payoff: Payoff = Payoff.SPOT
    value: Decimal
    reversal: bool = False
    ts_event: int
    ts_init: int
