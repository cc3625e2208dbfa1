from collections.abc import Sequence

from topics.record import Level

def change(
    bid_levels: list[Level],
    bid_order: list[float],
    bids: Sequence[Level],
    ask_levels: list[Level],
    ask_order: list[float],
    asks: Sequence[Level],
    depth: int,
    /,
) -> bool: ...
def digits(levels: list[Level], most: int, /) -> bytes | None: ...
def turns(bid_levels: list[Level], ask_levels: list[Level], most: int, /) -> bytes | None: ...
