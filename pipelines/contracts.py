"""What a quantity is worth at a price, in the currency that its P&L is paid in; pure.

    spot, linear    quantity x price x multiplier          in quote
    inverse         -(quantity x multiplier / price)       in base

A position earns what it is worth less what it cost: a long inverse one quantity x multiplier x (1/entry - 1/exit). So one
formula of cost, average and P&L serves all of them. The quotient has 18 decimals (``exact.ratio``). It is taken once, where
the ``Fill`` is made, so that everybody sums the same number in whatever order; only marks are valued anew.
"""

from decimal import Decimal

from pipelines.exact import EXACT, ratio
from topics.record import Payoff


def value(payoff: Payoff, multiplier: Decimal, quantity: Decimal, px: Decimal) -> Decimal:
    """Signed as the quantity is, of inverse ones against it. DivisionByZero for an inverse one at a price of 0."""
    units = EXACT.multiply(quantity, multiplier)
    return EXACT.minus(ratio(units, px)) if payoff is Payoff.INVERSE else EXACT.multiply(units, px)


def can_be_valued(payoff: Payoff, multiplier: Decimal, px: Decimal) -> bool:
    """An inverse contract has a value at prices above 0 alone; the numbers are sane (``exact.is_sane``)."""
    return multiplier > 0 and (px > 0 if payoff is Payoff.INVERSE else True)


def exposure(payoff: Payoff, worth: Decimal) -> Decimal:
    """Of what a quantity is worth: its size, with the quantity's sign."""
    return EXACT.minus(worth) if payoff is Payoff.INVERSE else worth


def average_px(payoff: Payoff, multiplier: Decimal, quantity: Decimal, cost: Decimal) -> Decimal | None:
    """The price at which the quantity is worth its cost; None where there is none."""
    units = EXACT.multiply(quantity, multiplier)
    if payoff is Payoff.INVERSE:
        return None if cost == 0 else EXACT.minus(ratio(units, cost))
    return None if units == 0 else ratio(cost, units)
