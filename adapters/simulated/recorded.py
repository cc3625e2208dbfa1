"""A recorded book and our orders beside it.

Laws:
- What was recorded is never altered: `depth` and `best` answer with recorded quantities only.
- Each displayed quantity is taken once: what takers took at a level stays taken until the level shrinks or goes.
- An order joins the queue behind everything displayed at its price. The queue ahead of it shrinks by recorded
  trades at that price; what a level that shrinks without a trade says is the queue model's (`queues`).
- A recorded trade reaches our orders in price-time priority with its quantity: those priced through first, then
  those at its price whose queue it used up.
- Recorded quotes that cross an order fill it at its own price with what they display.

An update whose number is 0 has none and counts as the newest: some venues number nothing. A snapshot without levels says that
nothing is known until the next one: nothing can be had, and our orders keep their places in their queues.

Depth updates come in steps of 100 ms, best quotes at once; so there are two books: `depth` (depth updates only, as the
venue's REST answer would have been) and the shown one (with the newest best quote on top), which matching uses.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import takewhile

import msgspec
from sortedcontainers import SortedDict

from adapters.simulated.book import Contra, Levels, crosses
from adapters.simulated.model import BestQuote, BookDelta, BookSnapshot, MarketTrade, Order, Recorded, Side
from adapters.simulated.queues import RISK_AVERSE, QueueModel

FIRST_TRADE_ID = 10**12


class Fill(msgspec.Struct, frozen=True):
    """A resting order of ours was reached by the recorded market."""

    order: Order
    qty: int


class Ladder:
    """Prices and quantities of one side. The prices are kept sorted with the best last, where most changes are."""

    __slots__ = ("_qty", "_up", "_upwards")

    def __init__(self, side: Side) -> None:
        self._up = -_sign(side)
        self._upwards: list[int] = []
        self._qty: dict[int, int] = {}

    def set(self, price: int, qty: int) -> None:
        if qty:
            if price not in self._qty:
                insort(self._upwards, price * self._up)
            self._qty[price] = qty
        elif price in self._qty:
            del self._qty[price]
            del self._upwards[bisect_left(self._upwards, price * self._up)]

    def change(self, levels: Iterable[tuple[int, int]]) -> None:
        for price, qty in levels:
            self.set(price, qty)

    def keep(self, count: int) -> None:
        """The best so many."""
        for key in self._upwards[:-count]:
            del self._qty[key * self._up]
        del self._upwards[:-count]

    def get(self, price: int) -> int:
        return self._qty.get(price, 0)

    def best(self) -> tuple[int, int] | None:
        if not self._upwards:
            return None
        price = self._upwards[-1] * self._up
        return price, self._qty[price]

    def is_better(self, price: int) -> bool:
        """Whether there is a better price than this."""
        return bool(self._upwards) and self._upwards[-1] > price * self._up

    def prices(self) -> Iterator[int]:
        """Best first."""
        return (key * self._up for key in reversed(self._upwards))

    def top(self, limit: int) -> Levels:
        found = self._upwards[: -limit - 1 : -1] if limit > 0 else []
        return [(key * self._up, self._qty[key * self._up]) for key in found]


class Resting:
    """Our orders at one price, first in first out, each with the displayed quantity still ahead of it.

    ``traded``: what was traded at the price since its displayed quantity was last told.
    """

    __slots__ = ("ahead", "orders", "traded")

    def __init__(self) -> None:
        self.orders: dict[int, Order] = {}
        self.ahead: dict[int, int] = {}
        self.traded = 0


class Half:
    """One side: what depth updates say, what is shown, what takers took of it, and our orders, best price first."""

    __slots__ = ("_queue", "depth", "ours", "shown", "side", "sign", "taken")

    def __init__(self, side: Side, queue: QueueModel) -> None:
        self.side, self.sign = side, _sign(side)
        self._queue = queue
        self.depth, self.shown = Ladder(side), Ladder(side)
        self.taken: dict[int, int] = {}
        self.ours: SortedDict[int, Resting] = SortedDict()

    def show(self, price: int, qty: int) -> None:
        if self.ours:
            resting = self.ours.get(price * self.sign)
            if resting is not None:
                self._advance(resting, self.shown.get(price), qty)
        self.shown.set(price, qty)
        if self.taken and price in self.taken:
            self.taken[price] = min(self.taken[price], qty)
            if self.taken[price] == 0:
                del self.taken[price]

    def quoted(self, price: int, qty: int) -> None:
        """The newest best of this side: nothing better is there."""
        while self.shown.is_better(price):
            better = self.shown.best()
            assert better is not None
            self.show(better[0], 0)
        self.show(price, qty)

    def forget(self) -> None:
        self.depth, self.shown = Ladder(self.side), Ladder(self.side)
        self.taken.clear()

    def bound(self, depth: int) -> None:
        """Levels beyond so many are not told of any more: for our orders there that says nothing of who is ahead."""
        self.depth.keep(depth)
        self.shown.keep(depth)

    def available(self, price: int) -> int:
        return self.shown.get(price) - self.taken.get(price, 0)

    def take(self, price: int, qty: int) -> None:
        if qty > 0:
            self.taken[price] = self.taken.get(price, 0) + qty

    def add(self, order: Order) -> None:
        resting = self.ours.setdefault(order.price * self.sign, Resting())
        resting.orders[order.order_id] = order
        resting.ahead[order.order_id] = self.shown.get(order.price)

    def drop(self, order: Order) -> None:
        key = order.price * self.sign
        resting = self.ours[key]
        resting.orders.pop(order.order_id, None)
        resting.ahead.pop(order.order_id, None)
        if not resting.orders:
            del self.ours[key]

    def _advance(self, resting: Resting, before: int, after: int) -> None:
        ahead_of, traded = self._queue.ahead, resting.traded
        resting.traded = 0
        resting.ahead = {one: ahead_of(ahead, before, after, traded) for one, ahead in resting.ahead.items()}


class RecordedBook:
    """The market of one recorded instrument; `apply` takes what was recorded, in its order."""

    prints = False

    def __init__(self, queue: QueueModel = RISK_AVERSE, keeps_depth: bool = True) -> None:
        """Without ``keeps_depth``, ``depth`` has no answer: nobody asks the venue."""
        self.update_id = 0
        self._keeps_depth = keeps_depth
        self._quote_id = 0
        self._bound = 0
        self._buy, self._sell = Half(Side.BUY, queue), Half(Side.SELL, queue)
        self._trade_id = FIRST_TRADE_ID - 1

    # The market of the core

    def walk(self, side: Side, limit: int | None) -> Iterator[Contra]:
        half = self._half(side.other)
        own_keys = list(half.ours)
        for price in _merged(half.shown.prices(), (key * half.sign for key in own_keys), half.sign):
            if limit is not None and not crosses(side, limit, price):
                return
            yield from self._at(half, price)

    def consume(self, taker_side: Side, contra: Contra, qty: int) -> None:
        if contra.order is None:
            self._half(taker_side.other).take(contra.price, qty)
        elif contra.order.leaves == 0:
            self.remove(contra.order)

    def rest(self, order: Order) -> None:
        self._half(order.side).add(order)

    def remove(self, order: Order) -> None:
        self._half(order.side).drop(order)

    def reduce(self, order: Order, by: int) -> None:
        """What is displayed ahead of it stays ahead of it."""

    def best(self, side: Side) -> tuple[int, int] | None:
        return self._half(side).shown.best()

    def depth(self, limit: int) -> tuple[Levels, Levels]:
        return self._buy.depth.top(limit), self._sell.depth.top(limit)

    def next_trade_id(self) -> int:
        self._trade_id += 1
        return self._trade_id

    def begin_life(self, first_id: int) -> None:
        self._trade_id += first_id

    def queue_ahead(self, order: Order) -> int:
        """Displayed quantity that trades before this resting order."""
        half = self._half(order.side)
        resting: Resting = half.ours[order.price * half.sign]
        return resting.ahead[order.order_id]

    # What was recorded

    def apply(self, recorded: Recorded) -> Iterable[Fill]:
        """The fills it causes, to be settled one by one: each is decided after the one before was settled."""
        if isinstance(recorded, MarketTrade):
            half = self._buy if recorded.buyer_is_maker else self._sell
            return self._on_trade(half, recorded) if half.ours else ()
        if isinstance(recorded, BookSnapshot):
            self._on_snapshot(recorded)
        elif isinstance(recorded, BookDelta):
            self._on_delta(recorded)
        else:
            self._on_quote(recorded)
        return self._crossed() if self._is_reached(self._buy) or self._is_reached(self._sell) else ()

    def _on_snapshot(self, snapshot: BookSnapshot) -> None:
        if not snapshot.is_whole and 0 < snapshot.update_id <= self.update_id:
            return
        if snapshot.update_id < self.update_id:
            self._quote_id = 0
        self.update_id, self._bound = snapshot.update_id, snapshot.depth
        if not snapshot.bids and not snapshot.asks:
            self._buy.forget()
            self._sell.forget()
            return
        for half, levels in ((self._buy, snapshot.bids), (self._sell, snapshot.asks)):
            gone = set(half.depth.prices()) | set(half.shown.prices())
            now = [*((price, 0) for price in gone - {price for price, _ in levels}), *levels]
            if self._keeps_depth:
                half.depth.change(now)
            for price, qty in now:
                half.show(price, qty)

    def _on_delta(self, delta: BookDelta) -> None:
        """An older delta than the best quote says nothing about prices at or inside that quote."""
        if 0 < delta.last_id <= self.update_id:
            return
        self.update_id = delta.last_id
        is_older = 0 < delta.last_id < self._quote_id
        for half, levels in ((self._buy, delta.bids), (self._sell, delta.asks)):
            best = half.shown.best() if is_older else None
            if self._keeps_depth:
                half.depth.change(levels)
            for price, qty in levels:
                if best is None or price * half.sign > best[0] * half.sign:
                    half.show(price, qty)
            if self._bound:
                half.bound(self._bound)

    def _on_quote(self, quote: BestQuote) -> None:
        if quote.update_id and (quote.update_id <= self.update_id or quote.update_id <= self._quote_id):
            return
        self._quote_id = quote.update_id
        self._buy.quoted(quote.bid, quote.bid_qty)
        self._sell.quoted(quote.ask, quote.ask_qty)

    def _on_trade(self, half: Half, trade: MarketTrade) -> Iterator[Fill]:
        leaves = trade.qty
        for key in list(half.ours.irange(maximum=trade.price * half.sign)):
            if key == trade.price * half.sign:
                yield from self._on_trade_at(half.ours[key], leaves)
                return
            for order in list(half.ours[key].orders.values()):
                qty = min(order.leaves, leaves)
                leaves -= qty
                yield from self._fill(order, qty)

    def _on_trade_at(self, resting: Resting, leaves: int) -> Iterator[Fill]:
        """The trade meets displayed quantity and our orders in the order of the queue."""
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

    def _is_reached(self, half: Half) -> bool:
        """Whether the other side's best has come to our best order."""
        if not half.ours:
            return False
        best = (self._sell if half is self._buy else self._buy).shown.best()
        return best is not None and half.ours.peekitem(0)[0] <= best[0] * half.sign

    def _crossed(self) -> Iterator[Fill]:
        """Our orders that a recorded quote has reached, best first, with what it displays and nobody took."""
        for half, other in ((self._buy, self._sell), (self._sell, self._buy)):
            for key in list(half.ours):
                price = key * half.sign
                best = other.shown.best()
                if best is None or not crosses(half.side, price, best[0]):
                    break
                for order in list(half.ours[key].orders.values()):
                    for shown in _reached(half.side, price, other.shown):
                        qty = min(order.leaves, other.available(shown))
                        other.take(shown, qty)
                        yield from self._fill(order, qty)

    def _fill(self, order: Order, qty: int) -> Iterator[Fill]:
        if qty <= 0:
            return
        yield Fill(order, qty)
        if order.leaves == 0:
            self.remove(order)

    # Details

    def _half(self, side: Side) -> Half:
        return self._buy if side is Side.BUY else self._sell

    def _at(self, half: Half, price: int) -> Iterator[Contra]:
        """Displayed quantity and our orders at one price, in the order of the queue."""
        available, passed = half.available(price), 0
        resting = half.ours.get(price * half.sign)
        for order in () if resting is None else list(resting.orders.values()):
            assert resting is not None
            ahead = min(resting.ahead[order.order_id], available) - passed
            if ahead > 0:
                passed += ahead
                yield Contra(price, ahead, None)
            yield Contra(price, order.leaves, order)
        if available > passed:
            yield Contra(price, available - passed, None)


def _reached(side: Side, price: int, shown: Ladder) -> list[int]:
    return list(takewhile(lambda one: crosses(side, price, one), shown.prices()))


def _sign(side: Side) -> int:
    return -1 if side is Side.BUY else 1


def _merged(shown: Iterator[int], ours: Iterator[int], sign: int) -> Iterator[int]:
    """Prices of both, best first, each once."""
    last: int | None = None
    for price in merge(shown, ours, key=lambda price: price * sign):
        if price != last:
            yield price
        last = price
