"""The digits of Kraken's websocket v2: JSON numbers, whose zeros at the end a recording may have lost. Pure; checksums count
them, so they are put back: as many as the pair's definition says, else the most that were seen since a snapshot, else as many
as make a snapshot's checksum right.
"""

from collections.abc import Sequence
from itertools import product
from zlib import crc32

from topics.record import Level

PRICE, SIZE = "price", "qty"
MOST = 12
DEPTH = 10
Sides = tuple[tuple[Level, ...], tuple[Level, ...]]


def padded(bids: Sequence[Level], asks: Sequence[Level], memory: dict[str, str]) -> Sides:
    """Of an update."""
    levels = (*bids, *asks)
    for what, known, most in _places(levels, memory, ""):
        if most > known:
            memory[what] = str(most)
    return _with(bids, asks, int(memory.get(PRICE, "0")), int(memory.get(SIZE, "0")))


def padded_anew(bids: Sequence[Level], asks: Sequence[Level], memory: dict[str, str], checksum: int | None) -> Sides:
    """Of a snapshot, whose levels run from best to worst."""
    price, size = (max(known, most) for _, known, most in _places((*bids, *asks), memory, DEFINED))
    found = _with(bids, asks, price, size)
    if checksum is not None and _checksum(found) != checksum:
        for more in product(range(price, MOST + 1), range(size, MOST + 1)):
            tried = _with(bids[:DEPTH], asks[:DEPTH], *more)
            if _checksum(tried) == checksum:
                price, size = more
                found = _with(bids, asks, price, size)
                break
    memory[PRICE], memory[SIZE] = str(price), str(size)
    return found


DEFINED = " of its definition"


def defined(price: int, size: int, memory: dict[str, str]) -> None:
    for what, places in ((PRICE, price), (SIZE, size)):
        memory[what] = memory[f"{what}{DEFINED}"] = str(places)


def _places(levels: Sequence[Level], memory: dict[str, str], which: str) -> list[tuple[str, int, int]]:
    """Of prices and sizes: the places that are known, and the most of these levels."""
    return [
        (what, int(memory.get(f"{what}{which}", "0")), max((_decimals(level[n]) for level in levels), default=0))
        for n, what in enumerate((PRICE, SIZE))
    ]


def _checksum(sides: Sides) -> int:
    """As ``adapters.kraken.checksum``, of levels as they came."""
    bids, asks = sides
    texts = [text.replace(".", "").lstrip("0") for level in (*asks[:DEPTH], *bids[:DEPTH]) for text in level]
    return crc32("".join(texts).encode())


def _with(bids: Sequence[Level], asks: Sequence[Level], price: int, size: int) -> Sides:
    return (
        tuple([(_padded(p, price), _padded(q, size)) for p, q in bids]),
        tuple([(_padded(p, price), _padded(q, size)) for p, q in asks]),
    )


def _decimals(text: str) -> int:
    point = text.find(".")
    return 0 if point < 0 else len(text) - point - 1


def _padded(text: str, places: int) -> str:
    missing = places - _decimals(text)
    if missing <= 0:
        return text
    return f"{text}{'' if '.' in text else '.'}{'0' * missing}"
