"""Decimal arithmetic that does not depend on the thread's context: sums and products keep every digit, quotients 18 decimals."""

from decimal import Context, Decimal, DivisionByZero, InvalidOperation, localcontext

EXACT = Context(prec=200, traps=[InvalidOperation, DivisionByZero])
"""Enough digits that no sum of prices times quantities is ever rounded: sums are then the same whatever their order."""

LONGEST = 38
"""Digits (but for zeros at its end) that a number from outside may have, and how far its first one may stand from the point."""

SMALLEST = Decimal("1e-18")
"""What a quotient is rounded to: the scale of every store that it goes to, so that each of them holds the same number."""

ZERO = Decimal(0)

__all__ = ["EXACT", "SMALLEST", "ZERO", "add_to", "is_sane", "localcontext", "ratio", "text"]


PLAIN = 30
"""Characters of a number that is sane whatever they are, as long as it has no exponent."""


def text(number: Decimal) -> str:
    """Without exponent and without zeros at its end."""
    plain = str(number)
    if "E" not in plain and plain[-1] != "0":
        return plain
    return f"{number.normalize(EXACT):f}" if number else "0"


def is_sane(number: Decimal) -> bool:
    """Finite and of a size that can be reckoned with; what is not may raise in the middle of a sum."""
    plain = str(number)
    if len(plain) <= PLAIN and "E" not in plain and "N" not in plain and "I" not in plain:
        return True
    if not number.is_finite():
        return False
    if len(number.as_tuple().digits) > EXACT.prec or abs(number.adjusted()) > LONGEST:
        return False
    return len(number.normalize(EXACT).as_tuple().digits) <= LONGEST


def ratio(a: Decimal, b: Decimal) -> Decimal:
    """a / b to 18 decimals, half even. DivisionByZero when b is 0."""
    return EXACT.divide(a, b).quantize(SMALLEST, context=EXACT)


def add_to(sums: dict[str, Decimal], key: str, amount: Decimal) -> None:
    sums[key] = sums.get(key, ZERO) + amount
