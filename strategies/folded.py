"""What the inbox has told a strategy's desk so far; whoever hosts the strategy keeps it beside the strategy's state."""

from collections.abc import Iterable
from decimal import Decimal

import msgspec
from msgspec.structs import replace

from topics.controls import InForce, ScopeKind, TradingState
from topics.market import Instrument, Quote
from topics.orders import (
    CancelAll,
    CancelOrder,
    Command,
    ModifyDenied,
    ModifyOrder,
    ModifyRejected,
    ModifyRequested,
    OrderFilled,
    OrderModified,
    OrderStatus,
    OrderUpdated,
    SubmitOrder,
)
from topics.portfolio import PositionChanged
from topics.record import ClientOrderId, InstrumentId, Side
from topics.strategy import Signal

CANCEL_REPEAT_NS = 1_000_000_000
"""When the cancel of an order led to nothing, it may be commanded again after this long: a cancel adds no risk."""

COMMANDED = SubmitOrder.__name__
"""The ``fact`` of an order on the desk that was commanded, and of which nothing was heard yet."""

MODIFY_ANSWERED = {kind.__name__ for kind in (ModifyRequested, ModifyDenied, OrderModified, ModifyRejected)}

_STRICTER = list(TradingState)
_ACTIVE = _STRICTER[0]
ZERO = Decimal(0)


class Ahead(msgspec.Struct):
    """What order updates have told of fills beyond what positions have. Below zero where the position came first."""

    bought: Decimal = ZERO
    sold: Decimal = ZERO

    @property
    def quantity(self) -> Decimal:
        bought, sold = self.bought, self.sold
        return (bought if bought > 0 else ZERO) - (sold if sold > 0 else ZERO)

    def add(self, side: Side, qty: Decimal) -> None:
        if side is Side.BUY:
            self.bought += qty
        else:
            self.sold += qty


class Folded(msgspec.Struct):
    """``orders`` holds what may still trade; ``canceling`` the orders whose cancel was commanded, and when; ``modifying``
    those whose modification was, until its decision is heard of.
    """

    now: int = 0
    instruments: dict[InstrumentId, Instrument] = {}
    positions: dict[InstrumentId, PositionChanged] = {}
    orders: dict[ClientOrderId, OrderUpdated] = {}
    canceling: dict[ClientOrderId, int] = {}
    quotes: dict[InstrumentId, Quote] = {}
    in_force: dict[str, TradingState] = {}
    ahead: dict[InstrumentId, Ahead] = {}
    modifying: dict[ClientOrderId, int] = {}

    def advance(self, ts_init: int) -> None:
        """Time never runs back, whatever the order in which producers' records were interleaved."""
        if ts_init > self.now:
            self.now = ts_init

    def on_signal(self, s: Signal) -> None:
        if s.best_bid is None or s.best_ask is None:
            return
        self.quotes[s.instrument] = Quote(
            instrument=s.instrument,
            best_bid=s.best_bid,
            bid_size=ZERO if s.bid_size is None else s.bid_size,
            best_ask=s.best_ask,
            ask_size=ZERO if s.ask_size is None else s.ask_size,
            ts_event=s.ts_event,
            ts_init=s.ts_init,
        )

    def on_order(self, order: OrderUpdated) -> None:
        known = self.orders.pop(order.client_order_id, None)
        self._count_fill(order, known)
        if order.fact in MODIFY_ANSWERED:
            self.modifying.pop(order.client_order_id, None)
        if not order.status.is_terminal or _is_being_replaced(order):
            self.orders[order.client_order_id] = order
        else:
            self.canceling.pop(order.client_order_id, None)
            self.modifying.pop(order.client_order_id, None)

    def _count_fill(self, order: OrderUpdated, known: OrderUpdated | None) -> None:
        """An order that already left the desk is told by the fact alone: a late fill."""
        filled = ZERO
        if known is not None:
            filled = order.cum_qty - known.cum_qty
        elif order.fact == OrderFilled.__name__ and order.last_qty is not None:
            filled = order.last_qty
        if filled != 0:
            self.ahead.setdefault(order.instrument, Ahead()).add(order.side, filled)

    def on_position(self, position: PositionChanged) -> None:
        before = self.positions.get(position.instrument)
        bought = position.bought_qty - (ZERO if before is None else before.bought_qty)
        sold = position.sold_qty - (ZERO if before is None else before.sold_qty)
        self.positions[position.instrument] = position
        if bought < 0 or sold < 0:  # an execution was taken back: from here on the position's word alone
            self.ahead.pop(position.instrument, None)
            return
        ahead = self.ahead.setdefault(position.instrument, Ahead())
        ahead.add(Side.BUY, -bought)
        ahead.add(Side.SELL, -sold)

    def on_in_force(self, control: InForce) -> None:
        self.in_force[str(control.scope)] = control.state

    def commanded(self, commands: Iterable[Command]) -> None:
        for command in commands:
            match command:
                case SubmitOrder():
                    self.orders[command.client_order_id] = _as_pending(command)
                case ModifyOrder():
                    if command.client_order_id in self.orders:
                        self.modifying[command.client_order_id] = self.now
                case CancelOrder():
                    self._canceling((command.client_order_id,))
                case CancelAll():
                    self._canceling(i for i, o in self.orders.items() if command.instrument in ("", o.instrument))

    def _canceling(self, idents: Iterable[ClientOrderId]) -> None:
        self.canceling.update((i, self.now) for i in idents if i in self.orders)

    def seen(self, order: OrderUpdated) -> OrderUpdated:
        """The order, with ``pending_cancel`` and ``pending_replace`` also where that was commanded just now."""
        if order.client_order_id in self.modifying and not order.pending_replace:
            order = replace(order, pending_replace=True)
        since = self.canceling.get(order.client_order_id)
        if since is None or order.pending_cancel or self.now - since >= CANCEL_REPEAT_NS:
            return order
        return replace(order, pending_cancel=True)

    def quantity(self, instrument: InstrumentId) -> Decimal:
        position, ahead = self.positions.get(instrument), self.ahead.get(instrument)
        held = ZERO if position is None else position.quantity
        return held if ahead is None else held + ahead.quantity

    def trading_state(self, instrument: InstrumentId | None = None) -> TradingState:
        """The strictest of the scopes that concern the whole strategy, and the instrument's where one is named."""
        strict = {scope: state for scope, state in self.in_force.items() if state is not _ACTIVE}
        if not strict:
            return _ACTIVE
        instruments, own = f"{ScopeKind.INSTRUMENT}:", f"{ScopeKind.INSTRUMENT}:{instrument}"
        found = [state for scope, state in strict.items() if scope == own or not scope.startswith(instruments)]
        return max(found, key=_STRICTER.index, default=_ACTIVE)


def _is_being_replaced(order: OrderUpdated) -> bool:
    """Cancelled to make way for another order, which is not there yet: it keeps its place on the desk."""
    return order.pending_replace and order.status is OrderStatus.CANCELED


def _as_pending(c: SubmitOrder) -> OrderUpdated:
    return OrderUpdated(
        client_order_id=c.client_order_id,
        account=c.account,
        instrument=c.instrument,
        strategy=c.strategy,
        side=c.side,
        order_type=c.order_type,
        order_qty=c.order_qty,
        price=c.price,
        trigger_price=c.trigger_price,
        time_in_force=c.time_in_force,
        post_only=c.post_only,
        status=OrderStatus.PENDING_NEW,
        leaves_qty=c.order_qty,
        fact=COMMANDED,
        reason=c.reason,
        ts_init=c.ts_init,
    )
