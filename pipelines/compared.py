"""For venues whose stream does not show that a delta is missing (``BookRules.compared``): an answer of REST that a live book does
not need is what it is compared with, as of the same moment. A difference is a ``Gap``, and the answer begins the book anew. Pure.

An answer that is ahead of the book waits until the stream has come so far; to one that is behind the deltas since are added, as
far as they are remembered.
"""

from pipelines import synchronizer as sync
from topics.book import Book
from topics.market import BookDelta, BookSnapshot
from topics.record import Record

RECENT_MOST = 200
"""Deltas that are remembered."""


def on_delta(
    state: sync.BookState, source: sync.Source, delta: BookDelta, now: int, checksum: int | None = None
) -> list[Record]:
    out: list[Record] = []
    spare = state.spare
    if spare is not None and state.book is not None and delta.sequence > spare.sequence:
        state.spare = None
        out += _compare(state, source, spare, [], now)
    out += sync.on_delta(state, source, delta, now, checksum)
    _remember(state, out)
    return out


def on_snapshot(
    state: sync.BookState, source: sync.Source, snapshot: BookSnapshot, now: int, checksum: int | None = None
) -> list[Record]:
    book = state.book
    if book is None:
        out = sync.on_snapshot(state, source, snapshot, now, checksum)
    elif snapshot.sequence > book.sequence:
        state.spare = snapshot
        return []
    elif snapshot.sequence >= state.recent_since:
        after = [delta for delta in state.recent if delta.sequence > snapshot.sequence]
        out = _compare(state, source, snapshot, after, now)
    else:
        return []
    _remember(state, out)
    return out


def _compare(
    state: sync.BookState, source: sync.Source, snapshot: BookSnapshot, after: list[BookDelta], now: int
) -> list[Record]:
    """``after``: what the stream told since the snapshot."""
    known = state.book
    try:
        book = Book.of(snapshot)
        for delta in after:
            book.apply(delta)
    except ValueError:
        return []  # this answer proves nothing
    if known is not None and book.bids() == known.bids() and book.asks() == known.asks():
        state.compared += 1
        return []
    return sync.renew(state, source, "differs from the venue's snapshot", snapshot, after, now)


def _remember(state: sync.BookState, out: list[Record]) -> None:
    if state.book is None:
        state.recent = []
        return
    for record in out:
        if isinstance(record, BookSnapshot):
            state.recent, state.recent_since = [], record.sequence
        elif isinstance(record, BookDelta):
            state.recent.append(record)
    while len(state.recent) > RECENT_MOST:
        state.recent_since = state.recent.pop(0).sequence
