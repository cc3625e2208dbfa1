"""A full-depth order book in the venue's own digits, kept from ``BookSnapshot`` and ``BookDelta``. Pure; knows no
venue's rules.

Whether a delta continues the book is judged by who makes the deltas (``pipelines.synchronizer``): whoever reads them
from ``market.events`` starts at a ``BookSnapshot``, applies each delta, and drops the book at a ``Gap``.

Levels are kept as the texts they came as, beside their price as a float: two decimal numbers of up to 15 digits are
never the same float, and floats sort as they do; a price with more digits is a ``BadLevel``. Size has no such bound.

Plain changes are made by compiled code where there is any (``topics.native``); what it does not take, and where it is not
there, all of them are made here.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from decimal import Decimal
from hashlib import sha256

import msgspec

from topics import native
from topics.market import BookDelta, BookSnapshot
from topics.record import Level

MOST = 1e18
DIGITS = 15
_number = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?").fullmatch
"""``float`` takes more for a number than any venue writes: blanks, underscores, digits of every script."""
DEPTH_MOST = 1 << 31
MANY = 4
"""Changes are many from a fourth of the levels there are."""


class BadLevel(ValueError):
    """A level that no book can have; the message says which."""


class Book(msgspec.Struct):
    """Not to be changed by its readers. A side is its levels and, beside them, their keys; both run upwards to the best: an
    ask's key is its price below zero.

    ``depth`` bounds the levels of a side as the venue does (0: it does not); what falls off its end is gone.
    """

    bid_levels: list[Level] = []
    bid_order: list[float] = []
    ask_levels: list[Level] = []
    ask_order: list[float] = []
    depth: int = 0
    sequence: int = 0

    @classmethod
    def of(cls, snapshot: BookSnapshot) -> "Book":
        """Levels may come in any order; a size of 0 is no level. ValueError as ``apply`` does."""
        if not 0 <= snapshot.depth <= DEPTH_MOST:
            raise BadLevel(f"no book has {snapshot.depth} levels")
        book = cls(depth=snapshot.depth)
        book.apply(snapshot)
        return book

    def apply(self, delta: BookDelta | BookSnapshot) -> bool:
        """Set every level to its absolute size; 0 removes it. Does not ask whether ``delta`` is the next one. Whether the book
        is crossed by it.

        ValueError (BadLevel) where a level cannot be: then the book is as it was.
        """
        crossed = native.apply(self, delta)
        return self._apply_plainly(delta) if crossed is None else crossed

    def _apply_plainly(self, delta: BookDelta | BookSnapshot) -> bool:
        """What the compiled code does too."""
        bids, asks = delta.bids, delta.asks
        bid_keys, ask_keys = [_key(level, 1.0) for level in bids], [_key(level, -1.0) for level in asks]
        _set(self.bid_levels, self.bid_order, bids, bid_keys, self.depth)
        _set(self.ask_levels, self.ask_order, asks, ask_keys, self.depth)
        self.sequence = delta.sequence
        return self.crossed

    @property
    def top_bid(self) -> Level | None:
        """As the venue wrote it."""
        return self.bid_levels[-1] if self.bid_levels else None

    @property
    def top_ask(self) -> Level | None:
        return self.ask_levels[-1] if self.ask_levels else None

    @property
    def best_bid(self) -> tuple[Decimal, Decimal] | None:
        """Price and size."""
        return _numbers(self.bid_levels[-1]) if self.bid_levels else None

    @property
    def best_ask(self) -> tuple[Decimal, Decimal] | None:
        return _numbers(self.ask_levels[-1]) if self.ask_levels else None

    @property
    def crossed(self) -> bool:
        """No venue's resting book is: some update was missed or is wrong."""
        return bool(self.bid_order and self.ask_order) and self.bid_order[-1] >= -self.ask_order[-1]

    def bids(self, depth: int | None = None) -> list[tuple[Decimal, Decimal]]:
        """The best ``depth`` levels (None: all), highest price first."""
        return [_numbers(level) for level in self.bid_texts(depth)]

    def asks(self, depth: int | None = None) -> list[tuple[Decimal, Decimal]]:
        """Lowest price first."""
        return [_numbers(level) for level in self.ask_texts(depth)]

    def bid_texts(self, depth: int | None = None) -> list[Level]:
        """As ``bids``, in the venue's own digits."""
        return _best(self.bid_levels, depth)

    def ask_texts(self, depth: int | None = None) -> list[Level]:
        return _best(self.ask_levels, depth)

    def digest(self) -> str:
        """sha256 over ``B <price> <size>`` from best to worst, then ``A …``: a line each, no exponent, no trailing zero."""
        found = sha256()
        for side, levels in (("B", self.bid_texts()), ("A", self.ask_texts())):
            found.update("".join(f"{side} {plain(price)} {plain(size)}\n" for price, size in levels).encode())
        return found.hexdigest()


def plain(text: str) -> str:
    """A number's text without exponent and without zeros that say nothing."""
    written = format(Decimal(text), "f")
    return written.rstrip("0").rstrip(".") if "." in written else written


def _numbers(level: Level) -> tuple[Decimal, Decimal]:
    return Decimal(level[0]), Decimal(level[1])


def _best(levels: list[Level], depth: int | None) -> list[Level]:
    return levels[::-1] if depth is None else levels[: -depth - 1 : -1]


def _key(level: Level, sign: float) -> float:
    price, size = level
    if not (_number(price) and _number(size)):
        raise BadLevel(f"not a level: {size} at {price}")
    number, quantity = float(price), float(size)
    if not (0.0 < number < MOST and 0.0 <= quantity < MOST) or (len(price) > DIGITS and _is_long(price)):
        raise BadLevel(f"not a level: {size} at {price}")
    return number * sign


def _is_long(price: str) -> bool:
    return len(Decimal(price).normalize().as_tuple().digits) > DIGITS


def _set(levels: list[Level], order: list[float], changes: Sequence[Level], keys: list[float], depth: int) -> None:
    """Many changes at once are sorted in afterwards, few one by one."""
    if len(changes) * MANY > len(order):
        known = dict(zip(order, levels, strict=True))
        for key, level in zip(keys, changes, strict=True):
            if float(level[1]):
                known[key] = level
            else:
                known.pop(key, None)
        order[:] = sorted(known)
        levels[:] = map(known.__getitem__, order)
    else:
        for key, level in zip(keys, changes, strict=True):
            _set_one(levels, order, key, level)
    if changes and depth and len(order) > depth:
        del order[:-depth], levels[:-depth]


def _set_one(levels: list[Level], order: list[float], key: float, level: Level) -> None:
    at = bisect_left(order, key)
    known, some = at < len(order) and order[at] == key, bool(float(level[1]))
    if known and some:
        levels[at] = level
    elif known:
        del order[at], levels[at]
    elif some:
        order.insert(at, key)
        levels.insert(at, level)
