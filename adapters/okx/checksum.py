"""CRC32 over the best 25 levels, ``bid:size:ask:size`` in turn, in the venue's own digits; where one side has fewer levels
the other goes on alone. Page: "Order book channel", "Checksum" (okx.com/docs-v5/en/#order-book-trading-market-data).
"""

from itertools import chain, zip_longest
from zlib import crc32

from topics.book import Book
from topics.record import Level

DEPTH = 25
KEPT_MOST = 1 << 16


class _Texts(dict[Level, str]):
    """What each level adds to the text; most come again with the next frame."""

    def __missing__(self, level: Level) -> str:
        if len(self) >= KEPT_MOST:
            self.clear()
        text = self[level] = ":".join(level)
        return text


_text = _Texts().__getitem__


def checksum(book: Book) -> int:
    """Unsigned, where the venue's is signed."""
    bids = map(_text, map(book.bid_levels.__getitem__, book.bid_order[: -DEPTH - 1 : -1]))
    asks = map(_text, map(book.ask_levels.__getitem__, book.ask_order[: -DEPTH - 1 : -1]))
    if len(book.bid_order) >= DEPTH <= len(book.ask_order):
        return crc32(":".join(chain.from_iterable(zip(bids, asks, strict=True))).encode())
    return crc32(":".join(filter(None, chain.from_iterable(zip_longest(bids, asks)))).encode())
