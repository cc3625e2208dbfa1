"""What an instrument's executions move, and what positions in contracts hold back; pure.

Spot exchanges base for quote. A contract moves its settlement currency alone: the fee, and the gain of what a trade closes. What
is open has its whole value at entry locked (margin without leverage); so has what an order would open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from adapters.simulated.model import Order, Side
from adapters.simulated.units import SCALE, text, units

SPOT, LINEAR, INVERSE = "spot", "linear", "inverse"


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """A linear contract is `multiplier` of the base, settled in quote; an inverse one `multiplier` of the quote, settled in base."""

    base: str
    quote: str
    payoff: str = SPOT
    multiplier: int = SCALE
    settle: str = ""

    @property
    def is_contract(self) -> bool:
        return self.payoff != SPOT

    def value(self, price: int, qty: int) -> int:
        """In what it is settled in (spot: quote), rounded down."""
        if self.payoff == INVERSE:
            return qty * self.multiplier // price
        return price * qty * self.multiplier // (SCALE * SCALE)

    def notional(self, price: int, qty: int) -> int:
        """In quote; of an inverse contract whatever the price."""
        return qty * self.multiplier // SCALE if self.payoff == INVERSE else self.value(price, qty)


def written(terms: Terms) -> dict[str, str]:
    """As the ledger has them, and the answers about instruments; spot needs no word."""
    if not terms.is_contract:
        return {}
    return {"payoff": terms.payoff, "multiplier": text(terms.multiplier), "settle": terms.settle}


def read(line: Mapping[str, Any]) -> Terms:
    if "payoff" not in line:
        return Terms(base=line["base"], quote=line["quote"])
    multiplier, names = units(line["multiplier"]), {name: line[name] for name in ("base", "quote", "payoff", "settle")}
    return Terms(**names, multiplier=multiplier)


class Position(msgspec.Struct):
    """`qty` is signed; `margin` is what it was worth where it was opened, at average cost."""

    qty: int = 0
    margin: int = 0

    def trade(self, terms: Terms, side: Side, qty: int, value: int) -> int:
        """What the trade gains: of the part that closes, all else opens."""
        signed = qty if side is Side.BUY else -qty
        closed = min(abs(self.qty), qty) if self.qty * signed < 0 else 0
        out = self.margin * closed // abs(self.qty) if closed else 0
        back = value * closed // qty
        rises = (self.qty > 0) != (terms.payoff == INVERSE)
        self.qty += signed
        self.margin += value - back - out
        return back - out if rises else out - back


def margins(terms: Terms, position: int, orders: Iterable[Order]) -> Iterator[tuple[Order, int]]:
    """What each open order of one account and contract locks: the value of what it would open. Orders that close share the position,
    the oldest first. One without a price locks nothing: what it does is done at once.
    """
    closing = {Side.SELL: max(position, 0), Side.BUY: max(-position, 0)}
    for order in orders:
        if not order.status.open:
            yield order, 0
            continue
        closes = min(order.leaves, closing[order.side])
        closing[order.side] -= closes
        price = order.price or (0 if order.working else order.stop_price)
        yield order, terms.value(price, order.leaves - closes) if price else 0
