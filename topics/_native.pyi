from collections.abc import Sequence
from typing import Any

from topics.record import Level

class Template:
    def __init__(self, pattern: bytes, /) -> None: ...
    def read(self, frame: bytes, /) -> tuple[Any, ...] | None: ...

def change(
    bid_levels: list[Level],
    bid_order: list[float],
    bids: Sequence[Level],
    ask_levels: list[Level],
    ask_order: list[float],
    asks: Sequence[Level],
    depth: int,
    /,
) -> bool | None: ...
def digits(levels: list[Level], most: int, /) -> bytes | None: ...
def turns(bid_levels: list[Level], ask_levels: list[Level], most: int, /) -> bytes | None: ...
