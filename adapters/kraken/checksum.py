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
    asks = map(book.ask_levels.__getitem__, book.ask_order[: -DEPTH - 1 : -1])
    bids = map(book.bid_levels.__getitem__, book.bid_order[: -DEPTH - 1 : -1])
    return crc32(("".join(map(_text, asks)) + "".join(map(_text, bids))).encode())
