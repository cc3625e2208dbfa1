"""Decimal arithmetic that does not depend on the thread's context: sums and products keep every digit, quotients 28."""

from decimal import Context, Decimal, DivisionByZero, InvalidOperation, localcontext

EXACT = Context(prec=200, traps=[InvalidOperation, DivisionByZero])
"""Enough digits that no sum of prices times quantities is ever rounded: sums are then the same whatever their order."""

ROUNDED = Context(prec=28, traps=[InvalidOperation, DivisionByZero])

ZERO = Decimal(0)

__all__ = ["EXACT", "ROUNDED", "ZERO", "add_to", "localcontext", "ratio"]


def ratio(a: Decimal, b: Decimal) -> Decimal:
    """a / b with 28 digits. DivisionByZero when b is 0."""
    return ROUNDED.divide(a, b)


def add_to(sums: dict[str, Decimal], key: str, amount: Decimal) -> None:
    sums[key] = sums.get(key, ZERO) + amount
