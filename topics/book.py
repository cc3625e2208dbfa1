"""A full-depth order book in the venue's own digits, kept from ``BookSnapshot`` and ``BookDelta``. Pure; knows no
venue's rules.

Whether a delta continues the book is judged by who makes the deltas (``pipelines.synchronizer``): whoever reads them
from ``market.events`` starts at a ``BookSnapshot``, applies each delta, and drops the book at a ``Gap``.
"""

from bisect import bisect_left
from collections.abc import Iterable
from decimal import Decimal

import msgspec

from topics.market import BookDelta, BookSnapshot
from topics.record import Level


class Book(msgspec.Struct):
    """Both sides in ascending price, prices and sizes in parallel: what is kept as state is what is searched, and
    nothing is derived.
    """

    bid_prices: list[Decimal] = []
    bid_sizes: list[Decimal] = []
    ask_prices: list[Decimal] = []
    ask_sizes: list[Decimal] = []
    sequence: int = 0

    @classmethod
    def of(cls, snapshot: BookSnapshot) -> "Book":
        """Levels may come in any order; a size of 0 is no level."""
        book = cls(sequence=snapshot.sequence)
        book.bid_prices, book.bid_sizes = _sorted(snapshot.bids)
        book.ask_prices, book.ask_sizes = _sorted(snapshot.asks)
        return book

    def apply(self, delta: BookDelta) -> None:
        """Set every level to its absolute size; 0 removes it. Does not ask whether ``delta`` is the next one."""
        _set(self.bid_prices, self.bid_sizes, delta.bids)
        _set(self.ask_prices, self.ask_sizes, delta.asks)
        self.sequence = delta.sequence

    @property
    def best_bid(self) -> Level | None:
        return (self.bid_prices[-1], self.bid_sizes[-1]) if self.bid_prices else None

    @property
    def best_ask(self) -> Level | None:
        return (self.ask_prices[0], self.ask_sizes[0]) if self.ask_prices else None

    @property
    def crossed(self) -> bool:
        """No venue's resting book is: some update was missed or is wrong."""
        return bool(self.bid_prices and self.ask_prices) and self.bid_prices[-1] >= self.ask_prices[0]

    def bids(self, depth: int | None = None) -> list[Level]:
        """Highest price first."""
        first = 0 if depth is None else max(0, len(self.bid_prices) - depth)
        return list(zip(self.bid_prices[first:], self.bid_sizes[first:], strict=True))[::-1]

    def asks(self, depth: int | None = None) -> list[Level]:
        """Lowest price first."""
        return list(zip(self.ask_prices[:depth], self.ask_sizes[:depth], strict=True))


def _sorted(levels: Iterable[Level]) -> tuple[list[Decimal], list[Decimal]]:
    kept = sorted((price, size) for price, size in dict(levels).items() if size)
    return [price for price, _ in kept], [size for _, size in kept]


def _set(prices: list[Decimal], sizes: list[Decimal], levels: Iterable[Level]) -> None:
    for price, size in levels:
        i = bisect_left(prices, price)
        known = i < len(prices) and prices[i] == price
        if not size:
            if known:
                del prices[i], sizes[i]
        elif known:
            sizes[i] = size
        else:
            prices.insert(i, price)
            sizes.insert(i, size)
