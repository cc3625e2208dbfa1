"""CRC32 over the best ten levels, asks first: each price and size without its point and leading zeros. Pages: "Book
checksum (WebSocket v2)" and "(WebSocket v1)" (docs.kraken.com/exchange/guides/websockets/book-checksum-v2).

The digits must be those that the venue counts with: ``0.50000`` and ``0.5`` are different texts.
"""

from zlib import crc32

from topics.book import Book
from topics.record import Level

DEPTH = 10
KEPT_MOST = 1 << 16


class _Texts(dict[Level, str]):
    """What each level adds to the text; most come again with the next frame."""

    def __missing__(self, level: Level) -> str:
        if len(self) >= KEPT_MOST:
            self.clear()
        price, size = level
        text = self[level] = price.replace(".", "").lstrip("0") + size.replace(".", "").lstrip("0")
        return text


_text = _Texts().__getitem__


def checksum(book: Book) -> int:
    return crc32((_side(book.ask_levels) + _side(book.bid_levels)).encode())


_sides: dict[int, tuple[list[Level], str]] = {}
"""The best levels of a side when it was last asked for, and their text: most frames change but one side. Found by the side's
id, and good only for the same levels: another side with that id is another entry's turn.
"""


def _side(levels: list[Level]) -> str:
    best = levels[: -DEPTH - 1 : -1]
    known = _sides.get(id(levels))
    if known is not None and known[0] == best:
        return known[1]
    if len(_sides) >= KEPT_MOST:
        _sides.clear()
    text = "".join(map(_text, best))
    _sides[id(levels)] = best, text
    return text
