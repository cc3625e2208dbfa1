"""Keeps the resting orders of one instrument true to what the venue tells (L3), or says that they are not. Pure; yields what
goes on the tape.

They begin with an answer of REST; what is older than it is inside it. What happens to an order that is not there, or to one
twice, and an event that is missing: each is a ``BookOrdersLost``, and asks for a new beginning. The book of levels beside it
(``synchronizer``) is not concerned.
"""

import msgspec

from pipelines.synchronizer import ASK_AGAIN_NS, WAITING_MOST, Source
from topics.market import (
    BookOrderAdded,
    BookOrderChanged,
    BookOrderRemoved,
    BookOrders,
    BookOrdersLost,
    ResyncRequested,
)
from topics.order_book import BadOrder, OrderBook
from topics.record import Record

Event = BookOrderAdded | BookOrderChanged | BookOrderRemoved


class OrdersState(msgspec.Struct):
    """``book`` is None while it is not to be trusted; ``joined`` once an event has followed the answer that it began with;
    ``asked_at``: since when we wait. ``events`` a live book took, ``lost`` how often it was.
    """

    book: OrderBook | None = None
    joined: bool = False
    waiting: list[Event] = []
    asked_at: int = 0
    events: int = 0
    lost: int = 0


def on_event(state: OrdersState, source: Source, event: Event, now: int) -> list[Record]:
    book = state.book
    if book is None:
        return _wait(state, source, event, now)
    if not state.joined:
        if event.sequence <= book.sequence:
            return []
        if event.previous > book.sequence:
            return _lose(state, source, "sequence", now, event)
    try:
        book.apply(event)
    except BadOrder as error:
        return _lose(state, source, str(error), now)
    state.joined = True
    state.events += 1
    return [event]


def on_orders(state: OrdersState, source: Source, orders: BookOrders, now: int) -> list[Record]:
    """Live ones need none. An answer that is older than what waits is asked for again."""
    if state.book is not None:
        return []
    if state.waiting and (state.waiting[0].previous or state.waiting[0].sequence) > orders.sequence:
        return [_ask(state, source, "orders older than the stream", now)]
    try:
        state.book = OrderBook.of(orders)
    except BadOrder as error:
        return [_ask(state, source, str(error), now)]
    state.joined, state.asked_at = False, 0
    waiting, state.waiting = state.waiting, []
    out: list[Record] = [orders]
    for event in waiting:
        out += on_event(state, source, event, now)
    return out


def on_lost(state: OrdersState, source: Source, lost: BookOrdersLost, now: int) -> list[Record]:
    """An event is missing: what waits has a hole."""
    state.waiting = []
    return [] if state.book is None else _lose(state, source, lost.reason, now)


def on_new_connection(state: OrdersState, source: Source, now: int) -> list[Record]:
    """Ingest asks for an answer without being asked."""
    was_live = state.book is not None
    state.book, state.waiting, state.asked_at = None, [], now
    return [_lost(state, source, "reconnected", now)] if was_live else []


def _wait(state: OrdersState, source: Source, event: Event, now: int) -> list[Record]:
    state.waiting.append(event)
    if len(state.waiting) > WAITING_MOST:
        del state.waiting[: WAITING_MOST // 2]
    if state.asked_at == 0:
        state.asked_at = now
    return [_ask(state, source, "no orders yet", now)] if now - state.asked_at >= ASK_AGAIN_NS else []


def _lose(state: OrdersState, source: Source, why: str, now: int, event: Event | None = None) -> list[Record]:
    state.book, state.waiting = None, [] if event is None else [event]
    return [_lost(state, source, why, now), _ask(state, source, why, now)]


def _lost(state: OrdersState, source: Source, why: str, now: int) -> BookOrdersLost:
    state.lost += 1
    return BookOrdersLost(instrument=source.instrument, reason=why, ts_init=now)


def _ask(state: OrdersState, source: Source, why: str, now: int) -> ResyncRequested:
    state.asked_at = now
    return ResyncRequested(venue=source.venue, venue_symbol=source.venue_symbol, reason=why, ts_init=now)
