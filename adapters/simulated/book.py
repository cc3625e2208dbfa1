"""A limit order book in price-time priority, and the `Market` that the core matches against.

`update_id` grows by one for every change of a level. `changed` collects the levels that changed since
`take_changes`, as (first id, last id, bids, asks): the content of a depth update.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import msgspec
from sortedcontainers import SortedDict

from adapters.simulated.model import Order, Side

Levels = list[tuple[int, int]]


class Contra(msgspec.Struct, frozen=True):
    """What an incoming order would meet next: a resting order, or (order None) displayed quantity."""

    price: int
    qty: int
    order: Order | None


class Market(Protocol):
    """One instrument's liquidity. `walk` is in priority order and changes nothing."""

    update_id: int
    prints: bool

    def walk(self, side: Side, limit: int | None) -> Iterator[Contra]:
        """What a taker on `side` meets, up to `limit` (None: no limit)."""

    def consume(self, taker_side: Side, contra: Contra, qty: int) -> None:
        """Take `qty` of it; a resting order's `executed` or `prevented` has grown by as much already."""

    def rest(self, order: Order) -> None: ...

    def remove(self, order: Order) -> None: ...

    def reduce(self, order: Order, by: int) -> None:
        """A resting order shrank by this much, its `leaves` have already; it keeps its place."""

    def best(self, side: Side) -> tuple[int, int] | None:
        """Best displayed price and quantity on that side."""

    def depth(self, limit: int) -> tuple[Levels, Levels]: ...

    def next_trade_id(self) -> int: ...

    def begin_life(self, first_id: int) -> None:
        """Before anything is in it: ids go on from there."""


class Level:
    """Orders at one price, first in first out."""

    __slots__ = ("orders", "total")

    def __init__(self) -> None:
        self.orders: dict[int, Order] = {}
        self.total = 0


class PriceTimeBook:
    """Resting orders of everybody; each trade is public (`prints`)."""

    prints = True

    def __init__(self) -> None:
        # Keys are signed so that the best level is always first.
        self._levels: dict[Side, SortedDict[int, Level]] = {Side.BUY: SortedDict(), Side.SELL: SortedDict()}
        self.update_id = 0
        self._published_id = 0
        self._changed: dict[Side, set[int]] = {Side.BUY: set(), Side.SELL: set()}
        self._trade_id = 0

    def walk(self, side: Side, limit: int | None) -> Iterator[Contra]:
        for key, level in self._levels[side.other].items():
            price = abs(key)
            if limit is not None and not crosses(side, limit, price):
                return
            for order in level.orders.values():
                yield Contra(price, order.leaves, order)

    def consume(self, taker_side: Side, contra: Contra, qty: int) -> None:
        order = contra.order
        assert order is not None
        self._change(order, -qty)
        if order.leaves == 0:
            self._drop(order)

    def rest(self, order: Order) -> None:
        levels = self._levels[order.side]
        level = levels.get(_key(order.side, order.price))
        if level is None:
            level = levels[_key(order.side, order.price)] = Level()
        level.orders[order.order_id] = order
        self._change(order, order.leaves)

    def remove(self, order: Order) -> None:
        self._change(order, -order.leaves)
        self._drop(order)

    def reduce(self, order: Order, by: int) -> None:
        self._change(order, -by)

    def best(self, side: Side) -> tuple[int, int] | None:
        levels = self._levels[side]
        if not levels:
            return None
        key, level = levels.peekitem(0)
        return abs(key), level.total

    def depth(self, limit: int) -> tuple[Levels, Levels]:
        return self._side(Side.BUY, limit), self._side(Side.SELL, limit)

    def next_trade_id(self) -> int:
        self._trade_id += 1
        return self._trade_id

    def begin_life(self, first_id: int) -> None:
        self._trade_id = self.update_id = self._published_id = first_id

    def take_changes(self) -> tuple[int, int, Levels, Levels] | None:
        """What changed since the last call, as absolute quantities, best first; None when nothing did."""
        if self.update_id == self._published_id:
            return None
        first, self._published_id = self._published_id + 1, self.update_id
        bids, asks = (self._take_side(side) for side in (Side.BUY, Side.SELL))
        return first, self.update_id, bids, asks

    def _side(self, side: Side, limit: int) -> Levels:
        levels = self._levels[side]
        return [(abs(key), levels[key].total) for key in levels.islice(0, limit)]

    def _take_side(self, side: Side) -> Levels:
        keys = sorted(self._changed[side])
        self._changed[side].clear()
        levels = self._levels[side]
        return [(abs(key), levels[key].total if key in levels else 0) for key in keys]

    def _change(self, order: Order, by: int) -> None:
        key = _key(order.side, order.price)
        self._levels[order.side][key].total += by
        self._changed[order.side].add(key)
        self.update_id += 1

    def _drop(self, order: Order) -> None:
        levels = self._levels[order.side]
        key = _key(order.side, order.price)
        level = levels[key]
        del level.orders[order.order_id]
        if not level.orders:
            del levels[key]


def crosses(taker_side: Side, limit: int, price: int) -> bool:
    return price <= limit if taker_side is Side.BUY else price >= limit


def _key(side: Side, price: int) -> int:
    return -price if side is Side.BUY else price
