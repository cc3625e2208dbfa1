"""Keeps one instrument's book true to a snapshot and a stream of deltas, or says that it is not. Pure; yields what
goes on the tape.

Binance's page: "How to manage a local order book correctly" (Web Socket Streams). Deltas are kept while no snapshot
has come; those inside the snapshot are dropped; the first one after it must span ``sequence + 1``; from then on each
must begin exactly where the last one ended. Whatever breaks that (a hole, a step back, a crossed book) is a ``Gap``,
and asks for a new snapshot.
"""

from typing import NamedTuple

import msgspec

from topics.book import Book
from topics.market import BookDelta, BookSnapshot, Gap, ResyncRequested
from topics.record import InstrumentId, Record, Venue

WAITING_MOST = 1_000
"""Deltas kept without a snapshot; more would not be worth their place in the state."""

ASK_AGAIN_NS = 5_000_000_000


class Source(NamedTuple):
    venue: Venue
    instrument: InstrumentId
    venue_symbol: str


class BookState(msgspec.Struct):
    """``book`` is None while it is not to be trusted; ``bridged`` once a delta has followed the snapshot;
    ``asked_at``: since when we wait.
    """

    book: Book | None = None
    bridged: bool = False
    waiting: list[BookDelta] = []
    asked_at: int = 0


def on_delta(state: BookState, source: Source, delta: BookDelta, now: int) -> list[Record]:
    """The delta, if it continues the book; nothing while waiting or if it is in the snapshot already; else a Gap."""
    book = state.book
    if book is None:
        return _wait(state, source, delta, now)
    expected = book.sequence + 1
    if not state.bridged and delta.sequence < expected:
        return []
    if delta.first_sequence > expected or (state.bridged and delta.first_sequence != expected):
        return _lose(state, source, "sequence", now, expected, delta)
    book.apply(delta)
    state.bridged = True
    if book.crossed:
        return _lose(state, source, "crossed book", now, expected, None)
    return [delta]


def on_snapshot(state: BookState, source: Source, snapshot: BookSnapshot, now: int) -> list[Record]:
    """The snapshot and every waiting delta that continues it. A live book needs none; one that is too old is asked
    for again.
    """
    if state.book is not None:
        return []
    book = Book.of(snapshot)
    if book.crossed:
        return [_ask(state, source, "crossed snapshot", now)]
    if state.waiting and snapshot.sequence + 1 < state.waiting[0].first_sequence:
        return [_ask(state, source, "snapshot older than the stream", now)]
    state.book, state.bridged = book, False
    waiting, state.waiting = state.waiting, []
    out: list[Record] = [snapshot]
    for delta in waiting:
        out += on_delta(state, source, delta, now)
    return out


def on_session(state: BookState, source: Source, now: int) -> list[Record]:
    """A new connection: what came before may have holes. Ingest sends a snapshot without being asked."""
    was_live = state.book is not None
    state.book, state.bridged, state.waiting, state.asked_at = None, False, [], now
    return [Gap(instrument=source.instrument, reason="reconnected", ts_init=now)] if was_live else []


def _wait(state: BookState, source: Source, delta: BookDelta, now: int) -> list[Record]:
    state.waiting.append(delta)
    if len(state.waiting) > WAITING_MOST:
        del state.waiting[: WAITING_MOST // 2]
    if state.asked_at == 0:
        state.asked_at = now
    return [_ask(state, source, "no snapshot yet", now)] if now - state.asked_at >= ASK_AGAIN_NS else []


def _lose(state: BookState, source: Source, why: str, now: int, expected: int, got: BookDelta | None) -> list[Record]:
    state.book, state.bridged = None, False
    state.waiting = [] if got is None else [got]
    gap = Gap(
        instrument=source.instrument,
        reason=why,
        expected=expected,
        got=expected if got is None else got.first_sequence,
        ts_init=now,
    )
    return [gap, _ask(state, source, why, now)]


def _ask(state: BookState, source: Source, why: str, now: int) -> ResyncRequested:
    state.asked_at = now
    return ResyncRequested(venue=source.venue, venue_symbol=source.venue_symbol, reason=why, ts_init=now)
