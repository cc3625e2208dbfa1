"""A book order by order (L3), kept from ``BookOrders`` and what happens to single orders. Pure; knows no venue's rules.

An order keeps its place among those of its price until its price changes or its size grows.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal, localcontext

import msgspec

from topics.market import BookOrderAdded, BookOrderChanged, BookOrderEvent, BookOrderRemoved, BookOrders
from topics.record import RestingOrder, Side

LEAST, MOST = Decimal("1e-18"), Decimal("1e18")


class BadOrder(ValueError):
    """What cannot have happened to these orders; the message says which."""


class Resting(msgspec.Struct, frozen=True, gc=False):
    side: Side
    price: Decimal
    size: Decimal


class OrderBook(msgspec.Struct):
    """``orders`` by id, at each price the oldest first."""

    orders: dict[str, Resting] = {}
    sequence: int = 0

    @classmethod
    def of(cls, snapshot: BookOrders) -> "OrderBook":
        """BadOrder where one is there twice, or is none."""
        book = cls(sequence=snapshot.sequence)
        for side, orders in ((Side.BUY, snapshot.bids), (Side.SELL, snapshot.asks)):
            for order_id, resting in _resting(side, orders):
                book._put(order_id, resting)
        return book

    def apply(self, event: BookOrderEvent) -> None:
        """BadOrder where it does not fit what is known: then the book is as it was, and not to be trusted."""
        resting = Resting(event.side, event.price, event.size)
        match event:
            case BookOrderAdded():
                self._put(event.order_id, resting)
            case BookOrderChanged():
                self._change(event.order_id, resting)
            case BookOrderRemoved():
                if self.orders.pop(event.order_id, None) is None:
                    raise BadOrder(f"order {event.order_id} is removed and was not there")
        self.sequence = event.sequence

    def _put(self, order_id: str, resting: Resting) -> None:
        if order_id in self.orders:
            raise BadOrder(f"order {order_id} is added and was there")
        _check(resting)
        self.orders[order_id] = resting

    def _change(self, order_id: str, resting: Resting) -> None:
        known = self.orders.get(order_id)
        if known is None or known.side is not resting.side:
            raise BadOrder(f"order {order_id} is changed and was not there")
        _check(resting)
        if resting.price != known.price or resting.size > known.size:
            del self.orders[order_id]
        self.orders[order_id] = resting

    def bids(self) -> list[tuple[Decimal, Decimal]]:
        """Levels: what the orders of each price come to, the highest price first."""
        return sorted(self._levels(Side.BUY).items(), reverse=True)

    def asks(self) -> list[tuple[Decimal, Decimal]]:
        """The lowest price first."""
        return sorted(self._levels(Side.SELL).items())

    def counts(self, side: Side) -> Counter[Decimal]:
        """How many orders rest at each price."""
        return Counter(r.price for r in self.orders.values() if r.side is side and r.size)

    def best(self, side: Side) -> Decimal | None:
        """The price of the first order to be filled."""
        first = max if side is Side.BUY else min
        return first((r.price for r in self.orders.values() if r.side is side and r.size), default=None)

    def queue(self, side: Side, price: Decimal) -> list[tuple[str, Decimal]]:
        """The orders of one price, the oldest first."""
        return [(i, r.size) for i, r in self.orders.items() if r.side is side and r.price == price and r.size]

    def _levels(self, side: Side) -> dict[Decimal, Decimal]:
        levels: dict[Decimal, Decimal] = {}
        with localcontext(prec=100):  # no sum is rounded
            for resting in self.orders.values():
                if resting.side is side and resting.size:
                    levels[resting.price] = levels.get(resting.price, Decimal(0)) + resting.size
        return levels


def _check(resting: Resting) -> None:
    if not (LEAST <= resting.price < MOST and 0 <= resting.size < MOST):
        raise BadOrder(f"not an order: {resting.size} at {resting.price}")


def _resting(side: Side, orders: Iterable[RestingOrder]) -> Iterator[tuple[str, Resting]]:
    try:
        for order_id, price, size in orders:
            yield order_id, Resting(side, Decimal(price), Decimal(size))
    except ArithmeticError as error:
        raise BadOrder(f"not an order: {error}") from error
