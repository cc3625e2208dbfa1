"""The books of an archive over time: how wide and how deep, and when they were not whole. Folded from ``market.events`` as a
subscriber would.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

from pipelines import archive_reader
from pipelines.archive_reader import Row
from topics import wire
from topics.book import BadLevel, Book
from topics.catalog import MARKET_EVENTS
from topics.coordinates import Coordinate
from topics.market import BookDelta, BookSnapshot, Gap
from topics.record import InstrumentId, Level

NEAR = 0.001
"""Depth is what rests within a thousandth (10 basis points) of the mid."""
ABOUT_BOOKS = '"type":"(BookDelta|BookSnapshot|Gap)"'


@dataclass(frozen=True)
class BookLook:
    """A book in a slot of time: its mean spread over the changes, in basis points, and the sizes near the mid at the end."""

    time: datetime
    spread: float
    bids: float
    asks: float


@dataclass(frozen=True)
class Broken:
    """A book from a gap to the next snapshot; the end of the recording where none came."""

    began: datetime
    ended: datetime
    reason: str

    @property
    def length_s(self) -> float:
        return (self.ended - self.began).total_seconds()


Looks = dict[InstrumentId, list[BookLook]]
Breaks = dict[InstrumentId, list[Broken]]


def looks(archive: Path, instruments: Collection[InstrumentId], first: int, width: int) -> tuple[Looks, Breaks]:
    """Of these instruments, in slots of ``width`` ns from ``first`` on."""
    states = {name: _Look(first, width) for name in instruments}
    if not states:
        return {}, {}
    last = first
    for event in _book_events(archive):
        last = max(last, event.ts_init)
        state = states.get(event.instrument)
        if state is not None:
            state.fold(event)
    for state in states.values():
        state.end(last)
    return (
        {name: state.looks for name, state in states.items() if state.looks},
        {name: state.broken for name, state in states.items() if state.broken},
    )


def _book_events(archive: Path) -> Iterator[Any]:
    """Those of books, each instrument's in its order; what was delivered again is left out."""
    for partition in archive_reader.partitions(archive, MARKET_EVENTS):
        newest: dict[tuple[str, str], tuple[int, int]] = {}
        for row in archive_reader.rows(archive, MARKET_EVENTS, partition, holding=ABOUT_BOOKS):
            if not _is_again(newest, row):
                for event in wire.decode(row.value or b"", MARKET_EVENTS.types):
                    if isinstance(event, BookDelta | BookSnapshot | Gap):
                        yield event


def _is_again(newest: dict[tuple[str, str], tuple[int, int]], row: Row) -> bool:
    if row.src is None:
        return False
    try:
        at = Coordinate.decode(row.src.encode())
    except ValueError:
        return False
    which, place = (at.producer, at.source), (at.major, at.minor)
    if place <= newest.get(which, (-1, -1)):
        return True
    newest[which] = place
    return False


@dataclass
class _Look:
    first: int
    width: int
    looks: list[BookLook] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    _book: Book | None = None
    _slot: int = -1
    _spreads: float = 0.0
    _count: int = 0
    _gap: Gap | None = None

    def fold(self, event: BookDelta | BookSnapshot | Gap) -> None:
        slot = (event.ts_init - self.first) // self.width
        if slot > self._slot:
            self._look()
            self._slot = slot
        if isinstance(event, Gap):
            self._book, self._gap = None, self._gap or event
        elif isinstance(event, BookSnapshot):
            self._whole_again(event.ts_init)
            self._book = Book.of(event)
        elif self._book is not None:
            self._apply(self._book, event)

    def end(self, last: int) -> None:
        self._look()
        self._whole_again(last)

    def _apply(self, book: Book, delta: BookDelta) -> None:
        try:
            book.apply(delta)
        except BadLevel:
            self._book = None
            return
        if book.bid_order and book.ask_order:
            bid, ask = book.bid_order[-1], -book.ask_order[-1]
            self._spreads += 2e4 * (ask - bid) / (ask + bid)
            self._count += 1

    def _whole_again(self, now: int) -> None:
        if self._gap is not None:
            self.broken.append(Broken(_time(self._gap.ts_init), _time(now), self._gap.reason))
            self._gap = None

    def _look(self) -> None:
        book = self._book
        if book is not None and self._count and book.bid_order and book.ask_order:
            mid = (book.bid_order[-1] - book.ask_order[-1]) / 2
            bids = _resting(book.bid_order, book.bid_levels, mid * (1 - NEAR))
            asks = _resting(book.ask_order, book.ask_levels, -mid * (1 + NEAR))
            time = _time(self.first + self._slot * self.width)
            self.looks.append(BookLook(time, self._spreads / self._count, bids, asks))
        self._spreads, self._count = 0.0, 0


def _resting(order: Sequence[float], levels: Sequence[Level], worst: float) -> float:
    """The sizes from the best level up to a key."""
    near = takewhile(lambda one: one[0] >= worst, zip(reversed(order), reversed(levels), strict=True))
    return sum(float(size) for _, (_, size) in near)


def _time(ns: int) -> datetime:
    return datetime.fromtimestamp(ns / 1e9, UTC)


__all__ = ["BookLook", "Broken", "looks"]
