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
    bids, asks = book.bid_texts(DEPTH), book.ask_texts(DEPTH)
    if len(bids) == len(asks) == DEPTH:
        return crc32(":".join(map(_text, chain.from_iterable(zip(bids, asks, strict=True)))).encode())
    turns = chain.from_iterable(zip_longest(bids, asks))
    return crc32(":".join([_text(level) for level in turns if level is not None]).encode())
