"""Exact numbers: every price, quantity and amount is an integer count of 1e-8, the venue's own precision.

Text enters through `units` and leaves through `text` ("0.00000000"); nothing in between is ever a float.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from functools import lru_cache

SCALE = 10**8


@lru_cache(1 << 16)
def units(value: str | Decimal) -> int:
    """The amount in 1e-8; ValueError when it is no number or finer than 1e-8."""
    try:
        scaled = Decimal(value) * SCALE
        whole = int(scaled)
    except InvalidOperation as error:
        raise ValueError(f"not a decimal number: {value!r}") from error
    except (OverflowError, ValueError) as error:
        raise ValueError(f"not finite: {value!r}") from error
    if scaled != whole:
        raise ValueError(f"finer than 1e-8: {value!r}")
    return whole


def text(value: int) -> str:
    """Eight decimals, as the venue writes every amount."""
    sign = "-" if value < 0 else ""
    whole, fraction = divmod(abs(value), SCALE)
    return f"{sign}{whole}.{fraction:08d}"


@lru_cache(1 << 16)
def decimal(value: int) -> Decimal:
    return Decimal(text(value))


def notional(price: int, qty: int) -> int:
    """Quote amount of a quantity at a price, rounded down; both sides of a trade use the same figure."""
    return price * qty // SCALE


def share(amount: int, rate: int) -> int:
    """A fee, or of a rate below 0 a rebate: `rate` in 1e-8 of the amount, rounded towards 0."""
    return amount * rate // SCALE if rate >= 0 else -(amount * -rate // SCALE)
