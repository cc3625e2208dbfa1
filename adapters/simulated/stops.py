"""Stop orders that wait, by symbol: a trade at or beyond an order's stop price triggers it.

A buying stop loss and a selling take profit wait for a rise, the other two for a fall. Orders that one trade triggers
come in the order in which a moving price would have reached them, then by age.
"""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

from sortedcontainers import SortedDict

from adapters.simulated.model import Order, OrderType, Side

Waiting: TypeAlias = SortedDict[tuple[int, int], Order]
FOLLOWS_A_LOSS = (OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT)


def waits_for_rise(kind: OrderType, side: Side) -> bool:
    return (kind in FOLLOWS_A_LOSS) == (side is Side.BUY)


def is_reached(kind: OrderType, side: Side, stop_price: int, price: int) -> bool:
    return price >= stop_price if waits_for_rise(kind, side) else price <= stop_price


class Stops:
    """`on_trade` moves what it triggers to a queue that `next_triggered` empties; both are O(log n) an order."""

    def __init__(self) -> None:
        self._rises: dict[str, Waiting] = {}
        self._falls: dict[str, Waiting] = {}
        self._triggered: deque[Order] = deque()

    def add(self, order: Order) -> None:
        self._side(order).setdefault(order.symbol, SortedDict())[_key(order)] = order

    def remove(self, order: Order) -> None:
        waiting = self._side(order)[order.symbol]
        del waiting[_key(order)]
        if not waiting:
            del self._side(order)[order.symbol]

    def on_trade(self, symbol: str, price: int) -> None:
        for side, reached in ((self._rises, price), (self._falls, -price)):
            waiting = side.get(symbol)
            if waiting is not None:
                self._take(waiting, reached)
                if not waiting:
                    del side[symbol]

    def next_triggered(self) -> Order | None:
        return self._triggered.popleft() if self._triggered else None

    def _take(self, waiting: Waiting, reached: int) -> None:
        while waiting and waiting.peekitem(0)[0][0] <= reached:
            self._triggered.append(waiting.popitem(0)[1])

    def _side(self, order: Order) -> dict[str, Waiting]:
        return self._rises if waits_for_rise(order.type, order.side) else self._falls


def _key(order: Order) -> tuple[int, int]:
    """Nearest stop price first: falls are kept by the negative."""
    rises = waits_for_rise(order.type, order.side)
    return (order.stop_price if rises else -order.stop_price, order.order_id)
