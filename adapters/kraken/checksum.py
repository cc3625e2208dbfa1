"""CRC32 over the best ten levels, asks first: each price and size without its point and leading zeros. Pages: "Book
checksum (WebSocket v2)" and "(WebSocket v1)" (docs.kraken.com/exchange/guides/websockets/book-checksum-v2).

The digits must be those that the venue counts with: ``0.50000`` and ``0.5`` are different texts.
"""

from zlib import crc32

from topics import native
from topics.book import Book
from topics.record import Level

DEPTH = 10


def checksum(book: Book) -> int:
    return crc32(_side(book.ask_levels) + _side(book.bid_levels))


def _side(levels: list[Level]) -> bytes:
    found = native.digits(levels, DEPTH)
    return plain_digits(levels) if found is None else found


def plain_digits(levels: list[Level]) -> bytes:
    """What the compiled code does too."""
    best = levels[: -DEPTH - 1 : -1]
    return "".join([text.replace(".", "").lstrip("0") for level in best for text in level]).encode()
