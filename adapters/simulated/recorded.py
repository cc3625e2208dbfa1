"""A recorded book and our orders beside it.

Laws:
- What was recorded is never altered: `depth` and `best` answer with recorded quantities only.
- Each displayed quantity is taken once: what takers took at a level stays taken until the level shrinks or goes.
- An order joins the queue behind everything displayed at its price. The queue ahead of it shrinks by recorded
  trades at that price; what a level that shrinks without a trade says is the queue model's (`queues`).
- A recorded trade reaches our orders in price-time priority with its quantity: those priced through first, then
  those at its price whose queue it used up.
- Recorded quotes that cross an order fill it at its own price with what they display.

Depth updates come in steps of 100 ms, best quotes at once; so there are two books: `depth` (depth updates only, as the
venue's REST answer would have been) and the shown one (with the newest best quote on top), which matching uses.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge

import msgspec
from sortedcontainers import SortedDict

from adapters.simulated.book import Contra, Levels, crosses
from adapters.simulated.model import BestQuote, BookDelta, BookSnapshot, MarketTrade, Order, Recorded, Side
from adapters.simulated.queues import RISK_AVERSE, QueueModel

FIRST_TRADE_ID = 10**12
SIDES = (Side.BUY, Side.SELL)


class Fill(msgspec.Struct, frozen=True):
    """A resting order of ours was reached by the recorded market."""

    order: Order
    qty: int


class Ladder:
    """Prices and quantities of one side, best first."""

    def __init__(self, side: Side) -> None:
        self._sign = -1 if side is Side.BUY else 1
        self._levels: SortedDict[int, int] = SortedDict()

    def set(self, price: int, qty: int) -> None:
        if qty:
            self._levels[price * self._sign] = qty
        else:
            self._levels.pop(price * self._sign, None)

    def get(self, price: int) -> int:
        qty: int = self._levels.get(price * self._sign, 0)
        return qty

    def best(self) -> tuple[int, int] | None:
        if not self._levels:
            return None
        key, qty = self._levels.peekitem(0)
        return key * self._sign, qty

    def better_than(self, price: int) -> list[int]:
        return [key * self._sign for key in self._levels.irange(maximum=price * self._sign, inclusive=(True, False))]

    def prices(self) -> Iterator[int]:
        return (key * self._sign for key in self._levels)

    def top(self, limit: int) -> Levels:
        return [(key * self._sign, self._levels[key]) for key in self._levels.islice(0, limit)]


class Resting:
    """Our orders at one price, first in first out, each with the displayed quantity still ahead of it.

    ``traded``: what was traded at the price since its displayed quantity was last told.
    """

    __slots__ = ("ahead", "orders", "traded")

    def __init__(self) -> None:
        self.orders: dict[int, Order] = {}
        self.ahead: dict[int, int] = {}
        self.traded = 0


class RecordedBook:
    """The market of one recorded instrument; `apply` takes what was recorded, in its order."""

    prints = False

    def __init__(self, queue: QueueModel = RISK_AVERSE) -> None:
        self.update_id = 0
        self._queue = queue
        self._quote_id = 0
        self._depth = {side: Ladder(side) for side in SIDES}
        self._shown = {side: Ladder(side) for side in SIDES}
        self._taken: dict[Side, dict[int, int]] = {side: {} for side in SIDES}
        self._ours: dict[Side, SortedDict[int, Resting]] = {side: SortedDict() for side in SIDES}
        self._trade_id = FIRST_TRADE_ID - 1

    # The market of the core

    def walk(self, side: Side, limit: int | None) -> Iterator[Contra]:
        contra = side.other
        ours = self._ours[contra]
        sign = _sign(contra)
        own_keys = list(ours)
        for price in _merged(self._shown[contra].prices(), (key * sign for key in own_keys), sign):
            if limit is not None and not crosses(side, limit, price):
                return
            yield from self._at(contra, price)

    def consume(self, taker_side: Side, contra: Contra, qty: int) -> None:
        if contra.order is None:
            taken = self._taken[taker_side.other]
            taken[contra.price] = taken.get(contra.price, 0) + qty
        elif contra.order.leaves == 0:
            self._drop(contra.order)

    def rest(self, order: Order) -> None:
        resting = self._ours[order.side].setdefault(order.price * _sign(order.side), Resting())
        resting.orders[order.order_id] = order
        resting.ahead[order.order_id] = self._shown[order.side].get(order.price)

    def remove(self, order: Order) -> None:
        self._drop(order)

    def reduce(self, order: Order, by: int) -> None:
        """What is displayed ahead of it stays ahead of it."""

    def best(self, side: Side) -> tuple[int, int] | None:
        return self._shown[side].best()

    def depth(self, limit: int) -> tuple[Levels, Levels]:
        return self._depth[Side.BUY].top(limit), self._depth[Side.SELL].top(limit)

    def next_trade_id(self) -> int:
        self._trade_id += 1
        return self._trade_id

    def begin_life(self, first_id: int) -> None:
        self._trade_id += first_id

    def queue_ahead(self, order: Order) -> int:
        """Displayed quantity that trades before this resting order."""
        resting: Resting = self._ours[order.side][order.price * _sign(order.side)]
        return resting.ahead[order.order_id]

    # What was recorded

    def apply(self, recorded: Recorded) -> Iterator[Fill]:
        """The fills it causes, to be settled one by one: each is decided after the one before was settled."""
        if isinstance(recorded, MarketTrade):
            yield from self._on_trade(recorded)
            return
        if isinstance(recorded, BookSnapshot):
            self._on_snapshot(recorded)
        elif isinstance(recorded, BookDelta):
            self._on_delta(recorded)
        else:
            self._on_quote(recorded)
        yield from self._crossed()

    def _on_snapshot(self, snapshot: BookSnapshot) -> None:
        if snapshot.update_id <= self.update_id:
            return
        self.update_id = snapshot.update_id
        for side, levels in ((Side.BUY, snapshot.bids), (Side.SELL, snapshot.asks)):
            gone = set(self._depth[side].prices()) | set(self._shown[side].prices())
            for price in gone - {price for price, _ in levels}:
                self._depth[side].set(price, 0)
                self._show(side, price, 0)
            for price, qty in levels:
                self._depth[side].set(price, qty)
                self._show(side, price, qty)

    def _on_delta(self, delta: BookDelta) -> None:
        """An older delta than the best quote says nothing about prices at or inside that quote."""
        if delta.last_id <= self.update_id:
            return
        self.update_id = delta.last_id
        for side, levels in ((Side.BUY, delta.bids), (Side.SELL, delta.asks)):
            best = self._shown[side].best() if delta.last_id < self._quote_id else None
            for price, qty in levels:
                self._depth[side].set(price, qty)
                if best is None or price * _sign(side) > best[0] * _sign(side):
                    self._show(side, price, qty)

    def _on_quote(self, quote: BestQuote) -> None:
        if quote.update_id <= max(self.update_id, self._quote_id):
            return
        self._quote_id = quote.update_id
        for side, price, qty in ((Side.BUY, quote.bid, quote.bid_qty), (Side.SELL, quote.ask, quote.ask_qty)):
            for better in self._shown[side].better_than(price):
                self._show(side, better, 0)
            self._show(side, price, qty)

    def _show(self, side: Side, price: int, qty: int) -> None:
        resting = self._ours[side].get(price * _sign(side))
        if resting is not None:
            self._advance(resting, self._shown[side].get(price), qty)
        self._shown[side].set(price, qty)
        taken = self._taken[side]
        if price in taken:
            taken[price] = min(taken[price], qty)
            if taken[price] == 0:
                del taken[price]

    def _advance(self, resting: Resting, before: int, after: int) -> None:
        ahead_of, traded = self._queue.ahead, resting.traded
        resting.traded = 0
        resting.ahead = {one: ahead_of(ahead, before, after, traded) for one, ahead in resting.ahead.items()}

    def _on_trade(self, trade: MarketTrade) -> Iterator[Fill]:
        side = Side.BUY if trade.buyer_is_maker else Side.SELL
        sign, leaves = _sign(side), trade.qty
        for key in list(self._ours[side].irange(maximum=trade.price * sign)):
            if key == trade.price * sign:
                yield from self._on_trade_at(side, trade.price, leaves)
                return
            for order in list(self._ours[side][key].orders.values()):
                qty = min(order.leaves, leaves)
                leaves -= qty
                yield from self._fill(order, qty)

    def _on_trade_at(self, side: Side, price: int, leaves: int) -> Iterator[Fill]:
        """The trade meets displayed quantity and our orders in the order of the queue."""
        resting = self._ours[side][price * _sign(side)]
        queued = [(order, resting.ahead[order.order_id]) for order in resting.orders.values()]
        resting.ahead = {order_id: max(0, ahead - leaves) for order_id, ahead in resting.ahead.items()}
        resting.traded += leaves
        passed = 0
        for order, ahead in queued:
            displayed = min(leaves, max(0, ahead - passed))
            passed, leaves = passed + displayed, leaves - displayed
            qty = min(order.leaves, leaves)
            leaves -= qty
            yield from self._fill(order, qty)

    def _crossed(self) -> Iterator[Fill]:
        """Our orders that a recorded quote has reached, best first, with what it displays and nobody took."""
        for side in SIDES:
            for key in list(self._ours[side]):
                price = key * _sign(side)
                best = self._shown[side.other].best()
                if best is None or not crosses(side, price, best[0]):
                    break
                for order in list(self._ours[side][key].orders.values()):
                    for shown in self._reached(side, price):
                        available = self._available(side.other, shown)
                        qty = min(order.leaves, available)
                        self._take(side.other, shown, qty)
                        yield from self._fill(order, qty)

    def _reached(self, side: Side, price: int) -> list[int]:
        prices = []
        for shown in self._shown[side.other].prices():
            if not crosses(side, price, shown):
                break
            prices.append(shown)
        return prices

    def _fill(self, order: Order, qty: int) -> Iterator[Fill]:
        if qty <= 0:
            return
        yield Fill(order, qty)
        if order.leaves == 0:
            self._drop(order)

    # Details

    def _at(self, side: Side, price: int) -> Iterator[Contra]:
        """Displayed quantity and our orders at one price, in the order of the queue."""
        available, passed = self._available(side, price), 0
        resting = self._ours[side].get(price * _sign(side))
        for order in () if resting is None else list(resting.orders.values()):
            assert resting is not None
            ahead = min(resting.ahead[order.order_id], available) - passed
            if ahead > 0:
                passed += ahead
                yield Contra(price, ahead, None)
            yield Contra(price, order.leaves, order)
        if available > passed:
            yield Contra(price, available - passed, None)

    def _available(self, side: Side, price: int) -> int:
        return self._shown[side].get(price) - self._taken[side].get(price, 0)

    def _take(self, side: Side, price: int, qty: int) -> None:
        if qty > 0:
            self._taken[side][price] = self._taken[side].get(price, 0) + qty

    def _drop(self, order: Order) -> None:
        ours, key = self._ours[order.side], order.price * _sign(order.side)
        resting = ours[key]
        resting.orders.pop(order.order_id, None)
        resting.ahead.pop(order.order_id, None)
        if not resting.orders:
            del ours[key]


def _sign(side: Side) -> int:
    return -1 if side is Side.BUY else 1


def _merged(shown: Iterator[int], ours: Iterator[int], sign: int) -> Iterator[int]:
    """Prices of both, best first, each once."""
    last: int | None = None
    for price in merge(shown, ours, key=lambda price: price * sign):
        if price != last:
            yield price
        last = price
