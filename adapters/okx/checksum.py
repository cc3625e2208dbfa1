"""CRC32 over the best 25 levels, ``bid:size:ask:size`` in turn, in the venue's own digits; where one side has fewer levels
the other goes on alone. Page: "Order book channel", "Checksum" (okx.com/docs-v5/en/#order-book-trading-market-data).
"""

from itertools import chain, zip_longest
from zlib import crc32

from topics import native
from topics.book import Book

DEPTH = 25


def checksum(book: Book) -> int:
    """Unsigned, where the venue's is signed."""
    found = native.turns(book.bid_levels, book.ask_levels, DEPTH)
    return crc32(plain_turns(book) if found is None else found)


def plain_turns(book: Book) -> bytes:
    """What the compiled code does too."""
    turns = chain.from_iterable(zip_longest(book.bid_texts(DEPTH), book.ask_texts(DEPTH)))
    return ":".join([":".join(level) for level in turns if level is not None]).encode()
