"""Generated public flow: what the rest of the market does, as a seeded sequence of actions.

The sequence depends on the seed and the instrument alone, never on the book; so it is the same in every run. Each
instrument has a touch that moves by takers' sweeps. The direction has regimes of a few seconds and is pulled back to
the reference price, so that moving averages cross often. Makers hold a ladder of orders beside the touch and renew
them; takers come in bursts (a self-exciting process).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator
from heapq import merge

import msgspec

from adapters.simulated.instruments import Instrument
from adapters.simulated.model import OrderType, Side, TimeInForce

LEVELS = 24
NEAR = 4
MOVES, RENEWALS, TAKERS = 3.0, 12.0, 1.2  # a second
EXCITEMENT, DECAY = 1.5, 3.0  # each taker brings 0.5 more, within a third of a second
REGIME_S = (1.2, 2.8)
LEAN, PULL = 0.40, 0.06
SECOND = 1_000_000_000


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """An order of the market; `price` is 0 for MARKET. Times are nanoseconds since the start."""

    at_ns: int
    symbol: str
    client_order_id: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    price: int
    qty: int


class Withdraw(msgspec.Struct, frozen=True, kw_only=True):
    """The cancel of a market's order; it may be filled or gone already."""

    at_ns: int
    symbol: str
    client_order_id: str


Action = Place | Withdraw


class Slot(msgspec.Struct):
    """A maker's place in the ladder and the order that it last put there."""

    client_order_id: str = ""
    price: int = 0
    qty: int = 0


def flow(instruments: Iterable[Instrument], seed: int) -> Iterator[Action]:
    """The actions of all instruments in the order of time; endless. Those at 0 set up the books."""
    return merge(*(SymbolFlow(one, seed).actions() for one in instruments), key=lambda action: action.at_ns)


class SymbolFlow:
    """Prices are in ticks and quantities in lots here."""

    def __init__(self, instrument: Instrument, seed: int) -> None:
        self._instrument = instrument
        self._random = random.Random(f"{seed}:{instrument.symbol}")
        self._anchor = self._bid = instrument.reference // instrument.tick
        self._spread = 1
        self._step = max(1.0, self._anchor * 2e-5)
        self._spacing = max(1.0, self._anchor * 4e-6)
        self._direction = 1
        self._regime_ends = 0.0
        self._slots = {side: [Slot() for _ in range(LEVELS)] for side in Side}
        self._number = 0
        self._now = 0.0
        # A median of about 6,000 in quote at a level and 400 per taker.
        lot_value = instrument.reference / 1e8 * instrument.step / 1e8
        self._level_lots, self._taker_lots = 6_000 / lot_value, 400 / lot_value

    def actions(self) -> Iterator[Action]:
        for slot in range(LEVELS):
            for side in Side:
                yield from self._renew(side, slot)
        excitement = 0.0
        while True:
            ceiling = MOVES + RENEWALS + TAKERS + excitement
            wait = self._random.expovariate(ceiling)
            self._now += wait
            excitement *= math.exp(-DECAY * wait)
            kind = self._random.uniform(0, ceiling)
            if kind < MOVES:
                yield from self._move()
            elif kind < MOVES + RENEWALS:
                yield from self._renew(self._any_side(), self._any_slot())
            elif kind < MOVES + RENEWALS + TAKERS + excitement:
                excitement += EXCITEMENT
                yield self._take()

    # What happens

    def _move(self) -> Iterator[Action]:
        """Somebody sweeps one side up to the new touch, then makers follow."""
        up = self._random.random() < self._chance_up()
        distance = 1 + int(self._step * self._random.uniform(0.2, 1.6))
        self._bid = max(self._anchor // 2, self._bid + (distance if up else -distance))
        self._spread = self._new_spread()
        swept = Side.SELL if up else Side.BUY
        crossed = [slot for slot in range(LEVELS) if self._is_crossed(swept, slot)]
        for slot in crossed:
            if self._random.random() < 0.4:
                yield from self._withdraw(swept, slot)
        lots = sum(self._slots[swept][slot].qty for slot in crossed) + self._lots(self._level_lots, 1.0)
        limit = self._touch(swept) + (-1 if up else 1)
        yield self._order(Side.BUY if up else Side.SELL, limit, lots, TimeInForce.IOC)
        for slot in range(NEAR):
            for side in (swept, swept.other):
                yield from self._renew(side, slot)

    def _take(self) -> Action:
        """A taker; it follows the direction more often than not."""
        up = self._random.random() < 0.5 + 0.1 * self._direction
        side = Side.BUY if up else Side.SELL
        lots = self._lots(self._taker_lots, 1.2)
        if self._random.random() < 0.5:
            return self._order(side, 0, lots, TimeInForce.GTC, OrderType.MARKET)
        slack = self._random.randrange(1 + int(self._spacing * 4))
        limit = self._touch(side.other) + (slack if up else -slack)
        return self._order(side, limit, lots, TimeInForce.IOC)

    def _renew(self, side: Side, slot: int) -> Iterator[Action]:
        yield from self._withdraw(side, slot)
        away = 0 if slot == 0 else int(slot * self._spacing * self._random.uniform(0.6, 1.4)) + slot
        price = self._touch(side) + (away if side is Side.SELL else -away)
        place = self._order(side, price, self._lots(self._level_lots * (1 + slot / 4), 0.8), TimeInForce.GTC)
        self._slots[side][slot] = Slot(place.client_order_id, price, place.qty // self._instrument.step)
        yield place

    def _withdraw(self, side: Side, slot: int) -> Iterator[Action]:
        held = self._slots[side][slot]
        if held.client_order_id:
            yield Withdraw(at_ns=self._at(), symbol=self._instrument.symbol, client_order_id=held.client_order_id)
        self._slots[side][slot] = Slot()

    # Details

    def _touch(self, side: Side) -> int:
        return self._bid if side is Side.BUY else self._bid + self._spread

    def _is_crossed(self, side: Side, slot: int) -> bool:
        held = self._slots[side][slot]
        if not held.client_order_id:
            return False
        return held.price < self._touch(side) if side is Side.SELL else held.price > self._touch(side)

    def _chance_up(self) -> float:
        if self._now >= self._regime_ends:
            self._regime_ends = self._now + self._random.uniform(*REGIME_S)
            self._direction = -self._direction
        away = (self._bid - self._anchor) / (self._step * 20)
        return min(0.95, max(0.05, 0.5 + LEAN * self._direction - PULL * away))

    def _new_spread(self) -> int:
        return self._random.choices((1, 2, 3, 5, 8), weights=(60, 20, 10, 7, 3))[0]

    def _any_side(self) -> Side:
        return Side.BUY if self._random.random() < 0.5 else Side.SELL

    def _any_slot(self) -> int:
        """Near the touch more often."""
        return min(LEVELS - 1, int(self._random.expovariate(1 / 6)))

    def _lots(self, median: float, sigma: float) -> int:
        return max(1, int(median * self._random.lognormvariate(0, sigma)))

    def _order(
        self, side: Side, price: int, lots: int, time_in_force: TimeInForce, kind: OrderType = OrderType.LIMIT
    ) -> Place:
        self._number += 1
        return Place(
            at_ns=self._at(),
            symbol=self._instrument.symbol,
            client_order_id=f"m{self._number}",
            side=side,
            type=kind,
            time_in_force=time_in_force,
            price=price * self._instrument.tick,
            qty=lots * self._instrument.step,
        )

    def _at(self) -> int:
        return int(self._now * SECOND)
