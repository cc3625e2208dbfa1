"""Times as recordings write them, to UTC nanoseconds without a float on the way."""

from datetime import UTC, datetime
from decimal import Decimal

SECOND = 1_000_000_000
LAST = 2**63
"""So many nanoseconds fit where others keep them."""


def of_seconds(text: bytes | str) -> int:
    """``1786309548.026294`` to nanoseconds, by its digits; ``ValueError`` where it is no time before 2262."""
    text = text.decode("ascii") if isinstance(text, bytes) else text
    whole, _, fraction = text.partition(".")
    if whole.isdecimal() and (not fraction or fraction.isdecimal()):
        return _bounded(int(whole) * SECOND + int(f"{fraction[:9]:0<9}"))
    try:
        return _bounded(int(Decimal(text) * SECOND))
    except ArithmeticError:
        raise ValueError(f"{text!r} is no time") from None


def as_seconds(ts: int) -> str:
    """The inverse, with nine decimals."""
    return f"{ts // SECOND}.{ts % SECOND:09}"


def of_epoch(text: bytes) -> int:
    """A whole number of nanoseconds, microseconds, milliseconds or seconds since 1970, told apart by magnitude.

    ``ValueError`` where it is no time before 2262.
    """
    value = int(text)
    for scale in (1, 1_000, 1_000_000):
        if value * scale >= 10**18:  # September 2001 in nanoseconds
            return _bounded(value * scale)
    return _bounded(value * SECOND)


def _bounded(ts: int) -> int:
    if not 0 <= ts < LAST:
        raise ValueError(f"{ts} ns is no time of a recording")
    return ts


def stamp(ts: int) -> str:
    """For a file's name: ``20260809T210548Z``."""
    return datetime.fromtimestamp(ts // SECOND, UTC).strftime("%Y%m%dT%H%M%SZ")
