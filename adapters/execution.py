"""What the gateway asks of a venue: commands that end accepted, refused, unknown or not sent; queries; and the
account's own event stream.

    adapter.submit / cancel / amend / test  -> Accepted | Refused | Unknown | NotSent
    adapter.query ...        -> what the venue knows, or QueryFailed (its word is missing: ask again)
    adapter.events()         -> StreamUp, then OrderReport, Execution, Balance, Unreadable; raises StreamLost when the
    connection ends

Errors, beside those of ``adapters.base`` (VenueRefused: keys, permissions or our clock; VenueUnreachable: no answer
from the address)::

    VenueError
    ├── QueryFailed       one question got no usable answer: ask again
    └── StreamLost        the event stream ended: connect again, then ask what was missed
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

import msgspec

from adapters.base import VenueError
from topics.record import Currency, InstrumentId, Liquidity, OrderType, Payoff, Side, TimeInForce, TradeId, VenueOrderId


class QueryFailed(VenueError):
    pass


class StreamLost(VenueError):
    pass


Recorder = Callable[[int, str], None]
"""Called with (receive time in ns, frame or answer with its secrets removed) before anything is made of it."""


class Listed(msgspec.Struct, frozen=True):
    """What an execution needs to know of an instrument; ``settle`` empty: the quote."""

    instrument: InstrumentId
    venue_symbol: str
    base: Currency
    quote: Currency
    settle: Currency = ""
    multiplier: Decimal = Decimal(1)
    payoff: Payoff = Payoff.SPOT


class Capabilities(msgspec.Struct, frozen=True):
    order_types: frozenset[OrderType]
    times_in_force: frozenset[TimeInForce]
    post_only: bool
    reduce_only: bool
    amends_quantity: bool = False
    """Makes an open order smaller in its place, in one step."""


# --- commands ------------------------------------------------------------------------------------------------------


class NewOrder(msgspec.Struct, frozen=True, kw_only=True):
    """``requested_ns`` is the write-ahead's time: the request is signed with it, so that it is worth nothing once the
    receive window is over.
    """

    venue_client_id: str
    instrument: InstrumentId
    side: Side
    order_type: OrderType
    order_qty: Decimal
    price: Decimal | None
    trigger_price: Decimal | None = None
    time_in_force: TimeInForce
    post_only: bool
    requested_ns: int


class OrderRef(msgspec.Struct, frozen=True):
    """An order by the id we gave it, or (an external one) by the venue's."""

    instrument: InstrumentId
    venue_client_id: str = ""
    venue_order_id: VenueOrderId = ""


class Accepted(msgspec.Struct, frozen=True):
    """The venue has it, under this id."""

    venue_order_id: VenueOrderId
    ts_event: int = 0


class Refused(msgspec.Struct, frozen=True):
    """Proof that it changed nothing."""

    code: str
    reason: str


class Unknown(msgspec.Struct, frozen=True):
    """It may or may not have taken effect: ask by client order id, never send again."""

    reason: str


class NotSent(msgspec.Struct, frozen=True):
    """Proof that it did not leave this machine."""

    reason: str


Outcome = Accepted | Refused | Unknown | NotSent


# --- what the venue says -------------------------------------------------------------------------------------------


class VenueStatus(StrEnum):
    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"

    @property
    def is_open(self) -> bool:
        return self in (VenueStatus.NEW, VenueStatus.PARTIALLY_FILLED)


class OrderReport(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one order, ours or not, as of ``ts_event``. ``venue_client_id`` is the order's, never that of a
    cancel.
    """

    venue_client_id: str
    venue_order_id: VenueOrderId
    instrument: InstrumentId
    side: Side
    order_type: OrderType
    order_qty: Decimal
    price: Decimal | None
    cum_qty: Decimal
    status: VenueStatus
    prevented_qty: Decimal = Decimal(0)
    trigger_price: Decimal | None = None
    triggered: bool = False
    """A stop order whose trigger was reached, where the venue tells."""
    reason: str = ""
    ts_event: int


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One execution. ``venue_client_id`` is empty where the venue's list of executions does not say."""

    venue_client_id: str
    venue_order_id: VenueOrderId
    instrument: InstrumentId
    trade_id: TradeId
    side: Side
    last_qty: Decimal
    last_px: Decimal
    fee: Decimal
    fee_currency: Currency
    liquidity: Liquidity
    ts_event: int


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    currency: Currency
    free: Decimal
    locked: Decimal
    reason: str
    ts_event: int


class BalanceMoved(msgspec.Struct, frozen=True, kw_only=True):
    """A deposit (or, negative, a withdrawal): money that no order explains."""

    currency: Currency
    amount: Decimal
    ts_event: int


class KeyPermissions(msgspec.Struct, frozen=True):
    """What an API key may do beyond trading, as the venue says."""

    may_withdraw: bool
    ip_restricted: bool


class StreamUp(msgspec.Struct, frozen=True):
    """The stream is subscribed: whatever happened before must be asked for."""


class Unreadable(msgspec.Struct, frozen=True):
    frame: str
    reason: str


VenueEvent = StreamUp | OrderReport | Execution | Balance | BalanceMoved | Unreadable


class ExecutionAdapter(Protocol):
    """One account at one venue. Executions of an order come over ``events`` in the venue's order, before the report
    that ends it.
    """

    capabilities: Capabilities
    recv_window_ms: int

    async def connect(self) -> None:
        """Definitions, keys and clock checked; VenueRefused or VenueUnreachable in one line, within 8 s."""

    @property
    def listed(self) -> Mapping[InstrumentId, Listed]:
        """The instruments of the venue, once connected."""

    async def submit(self, order: NewOrder) -> Outcome: ...

    async def cancel(self, order: OrderRef, requested_ns: int) -> Outcome:
        """Accepted carries the order's own id. Unknown also when the venue says that there is no such open order: ask
        for the order.
        """

    async def amend(self, order: OrderRef, order_qty: Decimal, requested_ns: int) -> Outcome:
        """Make an open order smaller; it keeps its ids and its place. Only where ``capabilities.amends_quantity``.
        Unknown also when the venue says that there is no such open order.
        """

    async def test(self, order: NewOrder) -> Outcome:
        """Have the venue look at an order that goes nowhere. Accepted has no id."""

    async def query(self, order: OrderRef) -> OrderReport | None:
        """None: the venue says it does not know it. QueryFailed where it says nothing."""

    async def open_orders(self) -> Sequence[OrderReport]:
        """All that can be read: one that cannot is recorded and left out, so that it does not hide the others."""

    async def recent_orders(self, instrument: InstrumentId, since_ns: int) -> Sequence[OrderReport]:
        """All orders of an instrument that were placed since then, the oldest first."""

    async def executions(self, instrument: InstrumentId, since_ns: int) -> Sequence[Execution]:
        """All executions of an instrument since then, the oldest first."""

    async def order_executions(self, instrument: InstrumentId, venue_order_id: VenueOrderId) -> Sequence[Execution]:
        """All executions of one order, however old."""

    async def balances(self) -> Sequence[Balance]: ...

    def events(self) -> AsyncIterator[VenueEvent]: ...

    async def close(self) -> None: ...
