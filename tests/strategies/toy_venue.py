"""A venue that answers as a test tells it to, and the positions that follow; its word is late, but in order."""

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.strategies.builders import NOTHING, answer, position
from topics.orders import CancelAll, CancelOrder, OrderStatus, SubmitOrder
from topics.record import Record, Side


@dataclass
class Resting:
    command: SubmitOrder
    cum: Decimal = NOTHING

    @property
    def leaves(self) -> Decimal:
        return self.command.order_qty - self.cum


@dataclass
class ToyVenue:
    """``updates`` and ``positions``: two streams to the inbox, each in its own order, delivered when the test says."""

    orders: dict[str, Resting] = field(default_factory=dict)
    updates: deque[Record] = field(default_factory=deque)
    positions: deque[Record] = field(default_factory=deque)
    bought: Decimal = NOTHING
    sold: Decimal = NOTHING
    now: int = 0

    @property
    def quantity(self) -> Decimal:
        return self.bought - self.sold

    def open_qty(self, side: Side) -> Decimal:
        return sum((o.leaves for o in self.orders.values() if o.command.side is side), NOTHING)

    def take(self, command: Any, refuse: bool) -> None:
        match command:
            case SubmitOrder() if refuse:
                self._say(Resting(command), OrderStatus.DENIED, "OrderDenied")
            case SubmitOrder():
                self.orders[command.client_order_id] = Resting(command)
                self._say(self.orders[command.client_order_id], OrderStatus.PENDING_NEW, "OrderRequested")
                self._say(self.orders[command.client_order_id], OrderStatus.NEW, "OrderAccepted")
            case CancelOrder() if command.client_order_id in self.orders:
                self._cancel(command.client_order_id, refuse)
            case CancelAll():
                for ident in sorted(self.orders):
                    self._cancel(ident, refuse)

    def _cancel(self, ident: str, refuse: bool) -> None:
        if refuse:
            return  # lost on the way
        self._say(self.orders.pop(ident), OrderStatus.CANCELED, "OrderCanceled")

    def fill(self, ident: str, qty: Decimal) -> None:
        """All of the order or a part; never more than is left."""
        order = self.orders[ident]
        qty = min(qty, order.leaves)
        order.cum += qty
        self._trade(order.command.side, qty)
        if order.leaves == 0:
            self._say(self.orders.pop(ident), OrderStatus.FILLED, "OrderFilled", qty)
        else:
            self._say(order, OrderStatus.PARTIALLY_FILLED, "OrderFilled", qty)

    def expire(self, ident: str) -> None:
        self._say(self.orders.pop(ident), OrderStatus.EXPIRED, "OrderExpired")

    def _trade(self, side: Side, qty: Decimal) -> None:
        if side is Side.BUY:
            self.bought += qty
        else:
            self.sold += qty
        avg_px = None if self.quantity == 0 else Decimal(100)
        self.positions.append(position(self.quantity, avg_px, bought=self.bought, sold=self.sold, ts=self.now))

    def _say(self, order: Resting, status: OrderStatus, fact: str, last: Decimal | None = None) -> None:
        self.updates.append(answer(order.command, status, fact, cum=order.cum, last=last, ts=self.now))
