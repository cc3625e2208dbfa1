"""Keeps one instrument's book true to what the venue sends, or says that it is not. Pure; yields what goes on the tape.

``adapters.base.BookRules`` say how. A book that begins with an answer of REST (``Snapshots.REST``): deltas are kept while
no snapshot has come; those inside the snapshot are dropped; the first one after it must span ``sequence + 1``. One that the
venue begins in its stream (``Snapshots.STREAM``): each snapshot begins it anew, and deltas before the first are passed over.

From then on each delta must begin exactly where the last one ended, or be newer where the venue does not say where it
begins. One that is not newer and tells of no later time is a copy. A connection that lost frames (``Hole``), a checksum
that is not the venue's, a step, a level that cannot be, a crossed book: each is a ``Gap``, and asks for a new beginning.

Where several connections deliver the same (``Overlap``) the first copy counts. A delta that is ahead is held for a moment,
since another connection may bring what is missing; one that begins inside the book is taken, since its sizes are absolute.
"""

from bisect import bisect_left
from typing import NamedTuple
from zlib import crc32

import msgspec

from adapters.base import BookRules, Gone, Hole, Parser, Session, Snapshots
from pipelines.overlap import Overlap
from topics import native
from topics.book import Book
from topics.market import BookDelta, BookSnapshot, Gap, ResyncRequested
from topics.record import InstrumentId, Record, Venue

WAITING_MOST = 1_000
"""Deltas kept without a snapshot; more would not be worth their place in the state."""

ASK_AGAIN_NS = 5_000_000_000

HOLD_NS = 250_000_000
"""By receive time: how long a delta that is ahead waits for another connection to bring what is missing."""

HELD_MOST = 200

SEEN = 50
"""Levels of a side, spread over all of it, by which a book is known again."""

STILL_NS = 1_000_000_000
"""By receive time: a later time with an earlier number is no copy once the book has stood still for so long. Until then it may
be one: connections may tell slightly different times, and some venues tell none with a delta.
"""


class Source(NamedTuple):
    """What an instrument's frames are read and judged by."""

    venue: Venue
    instrument: InstrumentId
    venue_symbol: str
    rules: BookRules
    parse: Parser


class Held(msgspec.Struct):
    """A delta that is ahead of the book, received at ``ts``."""

    delta: BookDelta
    checksum: int | None
    ts: int


class BookState(msgspec.Struct):
    """``book`` is None while it is not to be trusted; ``bridged`` once a delta has followed the snapshot;
    ``asked_at``: since when we wait; ``ahead``: of a live book, in order; ``spare``: an answer of REST that a live book did
    not need and was newer than it; ``crossed_at``: the venue's time since which the book is crossed, ``crossed_update`` the
    last update that left it so; ``recent``: what a book that is compared with such answers took
    since ``recent_since``, ``compared`` how often it was as they say; ``began_with``, ``began_at``: of a book without numbers, what
    its snapshot said and how many updates there were. The rest are counts: ``updates``
    a live book took, ``resyncs`` of books that came back after a gap, ``copies`` of deltas that were known already.
    """

    book: Book | None = None
    bridged: bool = False
    waiting: list[BookDelta] = []
    asked_at: int = 0
    ts_event: int = 0
    moved_at: int = 0
    lost: bool = False
    updates: int = 0
    gaps: int = 0
    resyncs: int = 0
    copies: int = 0
    verified: int = 0
    failed: int = 0
    ahead: list[Held] = []
    spare: BookSnapshot | None = None
    recent: list[BookDelta] = []
    recent_since: int = 0
    crossed_at: int = 0
    crossed_update: int = -2
    compared: int = 0
    began_with: int = 0
    began_at: int = 0
    overlap: Overlap = msgspec.field(default_factory=Overlap)


def on_delta(state: BookState, source: Source, delta: BookDelta, now: int, checksum: int | None = None) -> list[Record]:
    """The delta and what was held for it, if it continues the book; nothing while waiting or if it is known already; else
    a Gap.
    """
    crossed = native.follow(state, delta, now)  # the usual case, compiled; what it does not take is judged here
    if crossed is None:
        out = _follow(state, source, delta, now, checksum)
    elif crossed or checksum is not None:
        out = _taken(state, source, delta, now, checksum, crossed)
    else:
        out = [delta]
    return out + _rejoin(state, source, now) if state.ahead else out


def overdue(state: BookState, source: Source, now: int) -> list[Record]:
    """A Gap where what is held has waited too long; to be asked at every line while something is."""
    if now - min(held.ts for held in state.ahead) <= HOLD_NS:
        return []
    return _give_up(state, source, now)


def _follow(state: BookState, source: Source, delta: BookDelta, now: int, checksum: int | None) -> list[Record]:
    book = state.book
    if book is None:
        return _wait(state, source, delta, now)
    if (judged := _out_of_order(state, source, book, delta, now, checksum)) is not None:
        return judged
    try:
        crossed = _take(state, book, delta, now)
    except ValueError as error:
        return _lose(state, source, str(error), now)
    return _taken(state, source, delta, now, checksum, crossed)


def _taken(
    state: BookState, source: Source, delta: BookDelta, now: int, checksum: int | None, crossed: bool
) -> list[Record]:
    if crossed and not _settling(state, source, delta):
        return _lose(state, source, "crossed book", now)
    return [delta, *_prove(state, source, checksum, now)]


def _out_of_order(
    state: BookState, source: Source, book: Book, delta: BookDelta, now: int, checksum: int | None
) -> list[Record] | None:
    """None where it may be taken."""
    first, last, expected = delta.first_sequence, delta.sequence, book.sequence + 1
    if not last or first == expected:
        return None
    if last < expected:
        return _behind(state, source, delta, now, expected)
    several = state.overlap.at(now)
    if first > expected and several:
        return _hold(state, source, Held(delta, checksum, now), now)
    if first > expected or (first and state.bridged and not several):
        return _lose(state, source, "sequence", now, expected, delta)
    return None


def _take(state: BookState, book: Book, delta: BookDelta, now: int) -> bool:
    """As ``native.follow`` does. Whether the book is crossed by it; ValueError as ``Book.apply``."""
    crossed = book.apply(delta)
    state.bridged = True
    state.ts_event, state.moved_at = delta.ts_event, now
    state.updates += 1
    return crossed


def _settling(state: BookState, source: Source, delta: BookDelta) -> bool:
    """Whether a crossed book may still be one that has not heard the rest of what happened at that time."""
    goes_on = state.crossed_update == state.updates - 1
    if not source.rules.settles or (goes_on and delta.ts_event > state.crossed_at):
        return False
    if not goes_on:
        state.crossed_at = delta.ts_event
    state.crossed_update = state.updates
    return True


def on_snapshot(
    state: BookState, source: Source, snapshot: BookSnapshot, now: int, checksum: int | None = None
) -> list[Record]:
    """The snapshot and every waiting delta that continues it. Where the venue begins books itself each of its snapshots
    counts, but for copies; else a live book needs none (it is kept for the gap that it may have come before), and one that
    is too old is asked for again.
    """
    if state.book is not None and source.rules.snapshots is Snapshots.REST:
        state.spare = snapshot if snapshot.sequence > state.book.sequence else None
        return []
    if state.book is not None and _is_copy(state, state.book, snapshot):
        return []
    try:
        book = Book.of(snapshot)
    except ValueError as error:
        return _refuse(state, source, str(error), now)
    if book.crossed:
        return _refuse(state, source, "crossed snapshot", now)
    if state.waiting and snapshot.sequence + 1 < min(delta.first_sequence for delta in state.waiting):
        return [_ask(state, source, "snapshot older than the stream", now)]
    state.updates += state.book is not None
    state.book, state.bridged, state.ts_event = book, source.rules.snapshots is Snapshots.STREAM, snapshot.ts_event
    state.resyncs += state.lost
    state.lost, state.asked_at, state.moved_at = False, 0, now
    state.began_with, state.began_at = _content(snapshot), state.updates
    waiting, state.waiting = state.waiting, []
    out: list[Record] = [snapshot, *_prove(state, source, checksum, now)]
    for delta in waiting:
        out += on_delta(state, source, delta, now)
    return out + _rejoin(state, source, now) if state.ahead else out


def renew(
    state: BookState, source: Source, why: str, snapshot: BookSnapshot, after: list[BookDelta], now: int
) -> list[Record]:
    """A Gap, and the book begins anew with a snapshot and what came after it."""
    state.book, state.bridged, state.waiting, state.ahead, state.spare = None, False, after, [], None
    gap = _gap(state, source, why, now)
    return gap + on_snapshot(state, source, msgspec.structs.replace(snapshot, ts_init=now), now)


def on_session(state: BookState, source: Source, session: Session, now: int) -> list[Record]:
    """A new connection. Beside another one that still delivers it changes nothing. Else what came before may have holes;
    where books begin with an answer of REST, ingest sends one without being asked.
    """
    state.overlap.began(session)
    if session.beside:
        return []
    was_live = state.book is not None
    state.book, state.bridged, state.waiting, state.ahead, state.asked_at = None, False, [], [], now
    state.spare, state.recent = None, []
    return _gap(state, source, "reconnected", now) if was_live else []


def on_gone(state: BookState, source: Source, gone: Gone, now: int) -> list[Record]:
    """Another one carries on."""
    state.overlap.ended(now)
    return []


def on_hole(state: BookState, source: Source, hole: Hole, now: int) -> list[Record]:
    if state.book is None:
        return []
    state.book, state.ahead, state.spare = None, [], None
    gap = _gap(state, source, "connection", now, hole.expected, hole.got)
    return [*gap, _ask(state, source, "connection", now)]


def on_unreadable(state: BookState, source: Source, now: int) -> list[Record]:
    return _lose(state, source, "unreadable frame", now)


def _behind(state: BookState, source: Source, delta: BookDelta, now: int, expected: int) -> list[Record]:
    """Not newer than the book: inside the snapshot, or a copy. A later time with an earlier number is neither."""
    may_be_copy = now - state.moved_at <= STILL_NS and state.overlap.at(now)
    if state.bridged and delta.ts_event > state.ts_event and not may_be_copy:
        return _lose(state, source, "sequence", now, expected, delta)
    state.copies += state.bridged
    return []


def _hold(state: BookState, source: Source, held: Held, now: int) -> list[Record]:
    place = bisect_left(state.ahead, _order(held), key=_order)
    if place < len(state.ahead) and _order(state.ahead[place]) == _order(held):
        state.copies += 1
        return []
    state.ahead.insert(place, held)
    return _give_up(state, source, now) if len(state.ahead) > HELD_MOST else []


def _order(held: Held) -> tuple[int, int]:
    return held.delta.first_sequence, held.delta.sequence


def _rejoin(state: BookState, source: Source, now: int) -> list[Record]:
    """What was held and joins the book by now."""
    out: list[Record] = []
    while state.ahead and state.book is not None and state.ahead[0].delta.first_sequence <= state.book.sequence + 1:
        held = state.ahead.pop(0)
        out += _follow(state, source, held.delta, now, held.checksum)
    return out


def _give_up(state: BookState, source: Source, now: int) -> list[Record]:
    """What is missing came on no connection."""
    held = [one.delta for one in state.ahead]
    expected = 0 if state.book is None else state.book.sequence + 1
    out = _lose(state, source, "sequence", now, expected, held[0])
    if state.waiting:
        state.waiting = held
    return out


def _is_copy(state: BookState, book: Book, snapshot: BookSnapshot) -> bool:
    """Where nothing is numbered: the very book that this one began with, after it has moved on."""
    if snapshot.sequence == 0:
        return state.updates > state.began_at and _content(snapshot) == state.began_with
    return snapshot.sequence <= book.sequence and snapshot.ts_event <= state.ts_event


def _content(snapshot: BookSnapshot) -> int:
    """Of a book without a number: how many levels it has, and some hundred of them."""
    if snapshot.sequence:
        return 0
    sides = [(len(side), side[:: len(side) // SEEN + 1]) for side in (snapshot.bids, snapshot.asks)]
    return crc32(repr(sides).encode())


def _prove(state: BookState, source: Source, checksum: int | None, now: int) -> list[Record]:
    if checksum is None or source.rules.checksum is None or state.book is None:
        return []
    if source.rules.checksum(state.book) == checksum:
        state.verified += 1
        return []
    state.failed += 1
    return _lose(state, source, "checksum", now)


def _wait(state: BookState, source: Source, delta: BookDelta, now: int) -> list[Record]:
    if source.rules.snapshots is Snapshots.REST:
        state.waiting.append(delta)
        if len(state.waiting) > WAITING_MOST:
            del state.waiting[: WAITING_MOST // 2]
    if state.asked_at == 0:
        state.asked_at = now
    return [_ask(state, source, "no snapshot yet", now)] if now - state.asked_at >= ASK_AGAIN_NS else []


def _refuse(state: BookState, source: Source, why: str, now: int) -> list[Record]:
    """A snapshot that cannot be; in a stream of them it takes the place of the book that was."""
    if state.book is not None:
        return _lose(state, source, why, now)
    return [_ask(state, source, why, now)]


def _lose(
    state: BookState, source: Source, why: str, now: int, expected: int = 0, got: BookDelta | None = None
) -> list[Record]:
    spare, known = state.spare, 0 if state.book is None else state.book.sequence
    state.book, state.bridged, state.waiting, state.ahead, state.spare = None, False, [], [], None
    if got is not None and source.rules.snapshots is Snapshots.REST:
        state.waiting.append(got)
    gap = _gap(state, source, why, now, expected, expected if got is None else got.first_sequence or got.sequence)
    if spare is not None and spare.sequence >= known:
        return gap + on_snapshot(state, source, msgspec.structs.replace(spare, ts_init=now), now)
    return [*gap, _ask(state, source, why, now)]


def _gap(state: BookState, source: Source, why: str, now: int, expected: int = 0, got: int = 0) -> list[Record]:
    state.gaps += 1
    state.lost = True
    return [Gap(instrument=source.instrument, reason=why, expected=expected, got=got, ts_init=now)]


def _ask(state: BookState, source: Source, why: str, now: int) -> ResyncRequested:
    state.asked_at = now
    return ResyncRequested(venue=source.venue, venue_symbol=source.venue_symbol, reason=why, ts_init=now)
