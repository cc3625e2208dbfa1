"""What the open orders come to, kept as they change: the checks ask for these sums at every order, and may not walk all
orders for each.

Everything here follows from the orders of the book; ``tests/pipelines/gateway/test_sums.py`` holds it against a walk.
"""

from collections import deque
from decimal import Decimal
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import msgspec

from pipelines.exact import EXACT, ZERO
from topics.record import ClientOrderId, InstrumentId, Side, StrategyId

Key = tuple[InstrumentId, Side]
SLACK = 64


class Part(NamedTuple):
    """One open order's share: what it may still execute, and the limit that this is valued at (None: at the market).
    ``waits``: a stop that is not triggered, which meets others by rules of its own.
    """

    instrument: InstrumentId
    side: Side
    strategy: StrategyId
    leaves: Decimal
    price: Decimal | None
    waits: bool


class Sums(msgspec.Struct):
    """``odd``: open orders without a limit, and waiting stops. ``best``: a heap of (rank, id) of the others, the nearest to
    the market first; an entry whose order is gone or has another price is passed over when it comes up.
    """

    parts: dict[ClientOrderId, Part] = {}
    by_strategy: dict[tuple[InstrumentId, Side, StrategyId], Decimal] = {}
    by_side: dict[Key, Decimal] = {}
    value: dict[Key, Decimal] = {}
    odd: dict[Key, dict[ClientOrderId, None]] = {}
    best: dict[Key, list[tuple[Decimal, ClientOrderId]]] = {}

    def put(self, cid: ClientOrderId, part: Part | None) -> None:
        """The order's share from now on; None when it has none any more."""
        before = self.parts.get(cid)
        if before == part:
            return
        if before is not None:
            self._count(before, -before.leaves)
            self.odd.get((before.instrument, before.side), {}).pop(cid, None)
            del self.parts[cid]
        if part is not None:
            self._count(part, part.leaves)
            self.parts[cid] = part
            self._rank(cid, part)

    def _count(self, part: Part, leaves: Decimal) -> None:
        key, own = (part.instrument, part.side), (part.instrument, part.side, part.strategy)
        self.by_side[key] = EXACT.add(self.by_side.get(key, ZERO), leaves)
        self.by_strategy[own] = EXACT.add(self.by_strategy.get(own, ZERO), leaves)
        if part.price is not None:
            self.value[key] = EXACT.fma(leaves, part.price, self.value.get(key, ZERO))

    def _rank(self, cid: ClientOrderId, part: Part) -> None:
        key = (part.instrument, part.side)
        if part.price is None or part.waits:
            self.odd.setdefault(key, {})[cid] = None
        if part.price is None:
            return
        heap = self.best.setdefault(key, [])
        heappush(heap, (part.price if part.side is Side.SELL else -part.price, cid))
        if len(heap) > 2 * len(self.parts) + SLACK:
            heap[:] = [one for one in heap if self._stands(one, key)]
            heapify(heap)

    def _stands(self, entry: tuple[Decimal, ClientOrderId], key: Key) -> bool:
        (rank, cid), side = entry, key[1]
        part = self.parts.get(cid)
        priced = None if part is None or (part.instrument, part.side) != key else part.price
        return priced is not None and priced == (rank if side is Side.SELL else -rank)

    def nearest(self, instrument: InstrumentId, side: Side) -> Decimal | None:
        """The limit of the open order of one side that the market would meet first."""
        key = (instrument, side)
        heap = self.best.get(key)
        while heap:
            if self._stands(heap[0], key):
                return heap[0][0] if side is Side.SELL else -heap[0][0]
            heappop(heap)
        return None


class Request(msgspec.Struct, frozen=True):
    """When an order was requested, for the limits per second."""

    ts: int
    strategy: StrategyId
    instrument: InstrumentId


class Requests(msgspec.Struct):
    """Those of the newest second, oldest first, and how many they are by strategy and by instrument. Where the clock was
    set back, an older one stays counted behind a newer one until that has passed: that errs on the strict side.
    """

    window_ns: int
    recent: deque[Request] = msgspec.field(default_factory=deque)
    by_strategy: dict[StrategyId, int] = {}
    by_instrument: dict[InstrumentId, int] = {}

    def add(self, request: Request) -> None:
        self.recent.append(request)
        self._count(request, 1)
        while self.recent[0].ts <= request.ts - self.window_ns:
            self._count(self.recent.popleft(), -1)

    def _count(self, request: Request, n: int) -> None:
        for counts, key in ((self.by_strategy, request.strategy), (self.by_instrument, request.instrument)):
            left = counts.get(key, 0) + n
            if left:
                counts[key] = left
            else:
                del counts[key]

    def since(self, ts: int, strategy: StrategyId | None = None, instrument: InstrumentId | None = None) -> int:
        """Later than ``ts``; of a strategy, or of an instrument, or of all."""
        if strategy is not None:
            known = self.by_strategy.get(strategy, 0)
        elif instrument is not None:
            known = self.by_instrument.get(instrument, 0)
        else:
            known = len(self.recent)
        for one in self.recent:
            if one.ts > ts or known == 0:
                break
            known -= strategy in (None, one.strategy) and instrument in (None, one.instrument)
        return known
