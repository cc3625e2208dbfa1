"""The compiled functions of ``topics/_*.c``, or stand-ins that decline everything, so that their twins do all of it.

They are built with the package where there is a C compiler. ``TAPEDECK_NATIVE=0`` in the environment does without them.
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar

from topics.market import BookDelta
from topics.record import Level

SWITCH = "TAPEDECK_NATIVE"
WITHOUT = "no compiled code: market data is read at a third of the speed; with a C compiler (cc) there, set up again"


def _nothing(*_: Any) -> None:
    return None


def _parser_alone(*given: Any) -> Any:
    return given[-1]


class _NoTemplate:
    def __init__(self, pattern: bytes) -> None:
        pass

    read = staticmethod(_nothing)


Values = tuple[Any, ...] | None
Read = Callable[[bytes], Values]
Parse = TypeVar("Parse", bound=Callable[..., Any])


def template(pattern: bytes) -> Read:
    """Reads the values of frames that are written exactly as ``pattern``; None for all others. Its directives:

    ``%d`` a whole number, ``%i`` one with a sign, ``%m`` milliseconds (before the year 2255), ``%M`` the same as ns, ``%z`` an ISO
    time as ns, ``%n`` a number as text, ``%D`` one as Decimal, ``%b`` true or false, ``%k`` whether it is bid or buy, not offer or
    sell, ``%s`` a text up to the character that follows;
    ``%*`` and ``%#`` pass over a text, a number, ``%.`` all that is left.

    ``%[ … %]`` is a list of levels; between them stands one: ``%p`` and ``%q`` price and size as texts, ``%P`` and ``%Q`` as
    numbers, ``%t`` seconds with six decimals, ``%k`` bid, buy, offer or sell, ``%*`` a text to pass over, ``%~`` any more of
    them. It gives a tuple of levels, two (bids, asks) where they tell their side, and then the greatest time as ns (None
    without levels). ValueError where it is no pattern.
    """
    read: Read = _Template(pattern).read
    return read


def deltas(
    patterns: tuple[bytes, ...], values: tuple[str, ...], symbol_of: Callable[[str], str], parse: Parse
) -> Parse:
    """``parse``, and before it what is read here: a frame that is written as one of ``patterns`` (see ``template``) is one change of
    a book, a ``BookDelta``; all others are its.

    ``values`` name what a pattern reads: ``symbol`` (to be ``symbol_of`` the reading's instrument), ``sequence`` (above 1; first and
    last), ``ts_event`` (of several the last that is not 0), and either ``bids`` and ``asks`` or ``is_bid``, ``price``, ``size`` of
    one level. Any other name is one of the reading's memory, where the text must stand before a space.
    """
    made: Parse = _Deltas(BookDelta, patterns, values, symbol_of, parse)
    return made


ABSENT: str = ""
"""Why they are not there; "" where they are."""

apply: Callable[[Any, Any], bool | None] = _nothing
follow: Callable[[Any, Any, int], bool | None] = _nothing
digits: Callable[[list[Level], int], bytes | None] = _nothing
turns: Callable[[list[Level], list[Level], int], bytes | None] = _nothing
_Template: Any = _NoTemplate
_Deltas: Any = _parser_alone

if os.environ.get(SWITCH) == "0":
    ABSENT = f"{SWITCH}=0"
else:
    try:
        from topics._native import Deltas as _Deltas
        from topics._native import Template as _Template
        from topics._native import apply, digits, follow, turns  # noqa: F401
    except ImportError as error:
        ABSENT = str(error)

if __name__ == "__main__" and ABSENT:
    print(f"{WITHOUT} ({ABSENT})")
