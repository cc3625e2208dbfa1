"""The order book as folded from snapshots and deltas; what ``on_book`` gets."""

from bisect import bisect_left
from collections.abc import Iterable
from decimal import Decimal
from operator import itemgetter

import msgspec

from topics.market import BookDelta, BookSnapshot
from topics.record import Level

_price = itemgetter(0)


class Book(msgspec.Struct):
    """Not to be changed by its readers. ``levels_up`` run upwards on both sides: the best bid is its side's last."""

    bid_levels_up: list[Level] = []
    ask_levels_up: list[Level] = []
    sequence: int = 0

    @property
    def best_bid(self) -> Level | None:
        return self.bid_levels_up[-1] if self.bid_levels_up else None

    @property
    def best_ask(self) -> Level | None:
        return self.ask_levels_up[0] if self.ask_levels_up else None

    def bids(self, depth: int) -> list[Level]:
        """The best ``depth`` levels, best first."""
        return self.bid_levels_up[: -depth - 1 : -1]

    def asks(self, depth: int) -> list[Level]:
        return self.ask_levels_up[:depth]

    @classmethod
    def of(cls, snapshot: BookSnapshot) -> "Book":
        return cls(sorted(snapshot.bids), sorted(snapshot.asks), snapshot.sequence)

    def apply(self, delta: BookDelta) -> None:
        """Sizes are absolute; 0 removes. Sequence numbers are judged by normalize, not here."""
        _put(self.bid_levels_up, delta.bids)
        _put(self.ask_levels_up, delta.asks)
        self.sequence = delta.sequence


def _put(levels: list[Level], changes: Iterable[Level]) -> None:
    for price, size in changes:
        at = bisect_left(levels, price, key=_price)
        there = at < len(levels) and levels[at][0] == price
        if size == Decimal(0):
            del levels[at : at + there]
        else:
            levels[at : at + there] = [(price, size)]
