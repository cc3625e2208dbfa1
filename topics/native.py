"""The compiled functions of ``topics/_native.c``, or stand-ins that decline everything, so that their twins do all of it.

They are built with the package where there is a C compiler. ``TAPEDECK_NATIVE=0`` in the environment does without them.
"""

import os
from collections.abc import Callable
from typing import Any

from topics.record import Level

SWITCH = "TAPEDECK_NATIVE"
WITHOUT = "no compiled code: market data is read at a third of the speed; with a C compiler (cc) there, set up again"


def _never(*_: Any) -> bool:
    return False


def _nothing(*_: Any) -> None:
    return None


ABSENT: str = ""
"""Why they are not there; "" where they are."""

change: Callable[..., bool] = _never
digits: Callable[[list[Level], int], bytes | None] = _nothing
turns: Callable[[list[Level], list[Level], int], bytes | None] = _nothing

if os.environ.get(SWITCH) == "0":
    ABSENT = f"{SWITCH}=0"
else:
    try:
        from topics._native import change, digits, turns  # noqa: F401
    except ImportError as error:
        ABSENT = str(error)

if __name__ == "__main__" and ABSENT:
    print(f"{WITHOUT} ({ABSENT})")
