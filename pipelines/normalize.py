"""normalize: ``market.raw`` to ``market.events``, keyed by instrument; marks and definitions also to
``portfolio.inbox``.

A frame that cannot be read becomes a dead letter and the stage goes on; if it was a book delta, the next one shows
the hole. Kinds of frames that are passed over are counted in the state. Lines that name no instrument have a state of
their own, under ``<venue>:``.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from adapters.base import (
    ANSWER,
    BadFrame,
    Checked,
    Gone,
    Hole,
    MarketData,
    Parsed,
    Parser,
    Reading,
    Session,
    is_damaged,
)
from adapters.registry import market_data
from pipelines import book_orders, compared
from pipelines import synchronizer as sync
from pipelines.marks import MarkState, best, sample
from pipelines.overlap import LATELY_NS, LINGER_NS, Told
from pipelines.raw import UNREADABLE, Line, decode_lines
from topics import market
from topics.catalog import MARKET_RAW
from topics.coordinates import At
from topics.record import Record, Venue
from topics.stage import Outputs, Stage
from topics.system import DeadLetter

NAME = "normalize"
LETTER_MOST = 64 * 1024
"""Bytes of an unreadable frame in its dead letter; the whole is in ``market.raw``, at the coordinates that the letter
names.
"""

OUTPUTS: tuple[type[Record], ...] = (
    market.BookSnapshot,
    market.BookDelta,
    market.BookOrders,
    market.BookOrderAdded,
    market.BookOrderChanged,
    market.BookOrderRemoved,
    market.BookOrdersLost,
    market.Trade,
    market.Quote,
    market.Ticker,
    market.Funding,
    market.OpenInterest,
    market.Liquidation,
    market.Instrument,
    market.InstrumentStatus,
    market.Gap,
    market.Mark,
    market.ResyncRequested,
    DeadLetter,
)


class MarketState(msgspec.Struct):
    """One instrument's market, as far as it must be known to go on."""

    book: sync.BookState = msgspec.field(default_factory=sync.BookState)
    marks: MarkState = msgspec.field(default_factory=MarkState)
    definition: market.Instrument | None = None
    status: market.TradingStatus | None = None
    memory: dict[str, str] = {}
    ts_venue: int = 0
    trades: int = 0
    quotes: int = 0
    passed_over: int = 0
    unreadable: int = 0
    told: Told = msgspec.field(default_factory=Told)
    orders: book_orders.OrdersState | None = None

    @property
    def tradable(self) -> bool:
        return self.definition is not None and self.definition.tradable


def normalize_stage(venues: Mapping[Venue, str]) -> Stage[MarketState]:
    """``venues``: each configured venue's adapter. ValueError when there is no such adapter."""
    adapters = {venue: market_data(adapter) for venue, adapter in venues.items()}
    sources = Sources(adapters)

    def on_event(state: MarketState | None, line: Line, at: At) -> tuple[MarketState, Outputs]:
        if state is None:
            state = MarketState()
        key = line.key
        try:
            source = sources[key]
            parsed = source.parse(line.frame, Reading(source.venue, key, line.ts, state.ts_venue, state.memory))
        except ValueError as error:
            state.unreadable += 1
            return state, [_letter(line, at, str(error)), *_unreadable(state, sources, line)]
        if parsed is None:
            state.passed_over += 1
            if source.rules.chained or not is_damaged(line.frame):
                return state, ()
            return state, _unreadable(state, sources, line)
        if len(parsed) == 1 and not state.book.ahead:
            event = parsed[0]
            return state, _HANDLERS[type(event)](state, source, event, line)
        out = sync.overdue(state.book, source, line.ts) if state.book.ahead else []
        for event in parsed:
            out += _HANDLERS[type(event)](state, source, event, line)
        return state, out

    return Stage(
        name=NAME,
        input=MARKET_RAW,
        state_type=MarketState,
        state_key=attrgetter("key"),
        on_event=on_event,
        decode=decode_lines,
        outputs=OUTPUTS,
    )


Adapters = Mapping[Venue, MarketData]


class Sources(dict[str, sync.Source]):
    """By instrument, made when first asked for; ValueError says why a line with this key cannot be read."""

    def __init__(self, adapters: Adapters) -> None:
        super().__init__()
        self._adapters = adapters

    def __missing__(self, key: str) -> sync.Source:
        if key == UNREADABLE:
            raise ValueError("not a line: <recv_ns> <key> <frame>")
        venue, _, name = key.partition(":")
        adapter = self._adapters.get(venue)
        if adapter is None:
            raise ValueError(f"no venue named {venue!r}")
        symbol = adapter.venue_symbol(key) if name else ""
        parse = adapter.parse if name else _of_none(adapter.parse)
        source = self[key] = sync.Source(venue, key, symbol, adapter.rules, parse)
        return source


def _of_none(parse: Parser) -> Parser:
    """For lines that name no instrument: what would be about one is passed over, what the venue refuses is still told."""

    def parse_nameless(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
        try:
            return parse(frame, reading) and None
        except BadFrame:
            raise
        except ValueError:
            return None

    return parse_nameless


def _letter(line: Line, at: At, reason: str) -> DeadLetter:
    return DeadLetter(
        stage=NAME,
        topic=MARKET_RAW.name,
        partition=at.partition,
        offset=at.offset,
        reason=reason[:500],
        payload=line.frame[:LETTER_MOST],
        key=line.key.encode(),
    )


def _unreadable(state: MarketState, sources: Mapping[str, sync.Source], line: Line) -> Sequence[Record]:
    """It may have been one of the book's changes: the book ends here, unless another connection brings them too, or the frame
    is plainly of another kind.
    """
    if state.book.book is None or state.book.overlap.at(line.ts) or line.frame.startswith(ANSWER):
        return ()
    source = sources[line.key]
    if source.rules.beside is not None and source.rules.beside(line.frame) and not is_damaged(line.frame):
        return ()
    return sync.on_unreadable(state.book, source, line.ts)


def _on_session(state: MarketState, source: sync.Source, event: Session, line: Line) -> Sequence[Record]:
    if not event.beside:
        state.marks.forget()
        state.ts_venue = 0
    if not state.book.overlap.at(line.ts):
        state.told.forget()
    out = sync.on_session(state.book, source, event, line.ts)
    if state.orders is not None and not event.beside:
        out += book_orders.on_new_connection(state.orders, source, line.ts)
    return out


def _on_gone(state: MarketState, source: sync.Source, event: Gone, line: Line) -> Sequence[Record]:
    return sync.on_gone(state.book, source, event, line.ts)


def _on_hole(state: MarketState, source: sync.Source, event: Hole, line: Line) -> Sequence[Record]:
    return sync.on_hole(state.book, source, event, line.ts)


def _on_checked(state: MarketState, source: sync.Source, event: Checked, line: Line) -> Sequence[Record]:
    if isinstance(event.change, market.BookDelta):
        return _on_delta(state, source, event.change, line, event.checksum)
    return _on_snapshot(state, source, event.change, line, event.checksum)


def _on_snapshot(
    state: MarketState, source: sync.Source, event: market.BookSnapshot, line: Line, checksum: int | None = None
) -> Sequence[Record]:
    on_snapshot = compared.on_snapshot if source.rules.compared else sync.on_snapshot
    out = on_snapshot(state.book, source, event, line.ts, checksum)
    return [*out, *_book_mark(state, line)] if out else out


def _on_delta(
    state: MarketState, source: sync.Source, event: market.BookDelta, line: Line, checksum: int | None = None
) -> Sequence[Record]:
    if event.ts_event > state.ts_venue or not state.book.overlap.at(line.ts):
        state.ts_venue = event.ts_event
    on_delta = compared.on_delta if source.rules.compared else sync.on_delta
    out = on_delta(state.book, source, event, line.ts, checksum)
    out += _book_mark(state, line)
    return out


def _on_orders(state: MarketState, source: sync.Source, event: market.BookOrders, line: Line) -> Sequence[Record]:
    return book_orders.on_orders(_orders(state), source, event, line.ts)


def _on_order(state: MarketState, source: sync.Source, event: book_orders.Event, line: Line) -> Sequence[Record]:
    return book_orders.on_event(_orders(state), source, event, line.ts)


def _on_orders_lost(
    state: MarketState, source: sync.Source, event: market.BookOrdersLost, line: Line
) -> Sequence[Record]:
    return book_orders.on_lost(_orders(state), source, event, line.ts)


def _orders(state: MarketState) -> book_orders.OrdersState:
    """Only of instruments whose orders are told."""
    if state.orders is None:
        state.orders = book_orders.OrdersState()
    return state.orders


def _on_trade(state: MarketState, source: sync.Source, event: market.Trade, line: Line) -> Sequence[Record]:
    if state.told.is_copy(event, LINGER_NS if state.book.overlap.at(line.ts) else LATELY_NS):
        return ()
    state.ts_venue = event.ts_event
    state.trades += 1
    return (event,)


def _on_quote(state: MarketState, source: sync.Source, event: market.Quote, line: Line) -> Sequence[Record]:
    if state.book.overlap.at(line.ts) and state.told.is_stale(event, line.ts):
        return ()
    state.quotes += 1
    marks, tradable, now = state.marks, state.tradable, line.ts
    marks.quote(event.best_bid, event.best_ask, now)
    if not marks.asks(tradable, now - marks.told_at):
        return (event,)
    return [event, *sample(marks, line.key, tradable, state.ts_venue or now, now)]


def _on_told(
    state: MarketState, source: sync.Source, event: market.Ticker | market.Funding, line: Line
) -> Sequence[Record]:
    return (event,)


def _on_definition(state: MarketState, source: sync.Source, event: market.Instrument, line: Line) -> Sequence[Record]:
    """Only what changed is told; the time we heard it is no change."""
    known = state.definition
    if known is not None and msgspec.structs.replace(event, ts_init=known.ts_init) == known:
        return ()
    state.definition = event
    return (event,)


def _on_status(state: MarketState, source: sync.Source, event: market.InstrumentStatus, line: Line) -> Sequence[Record]:
    if event.status is state.status:
        return ()
    state.status = event.status
    return (event,)


def _book_mark(state: MarketState, line: Line) -> Sequence[Record]:
    """Where the venue streams no quotes of its own, or none of late, the book's top is the mark, and a quote beside it; a book
    that is not to be trusted has none. So a mark is never older than what it was last confirmed by.
    """
    marks, tradable, now = state.marks, state.tradable, line.ts
    book = state.book.book
    if not marks.hear(book, tradable, now):
        return ()
    told = sample(marks, line.key, tradable, state.ts_venue or now, now)
    if book is None or not told or marks.quotes_speak(now):
        return told
    return [best(book, line.key, state.ts_venue or now, now), *told]


_HANDLERS: dict[type, Callable[[MarketState, sync.Source, Any, Line], Sequence[Record]]] = {
    Session: _on_session,
    Gone: _on_gone,
    Hole: _on_hole,
    Checked: _on_checked,
    market.BookSnapshot: _on_snapshot,
    market.BookDelta: _on_delta,
    market.BookOrders: _on_orders,
    market.BookOrderAdded: _on_order,
    market.BookOrderChanged: _on_order,
    market.BookOrderRemoved: _on_order,
    market.BookOrdersLost: _on_orders_lost,
    market.Trade: _on_trade,
    market.Quote: _on_quote,
    market.Ticker: _on_told,
    market.Funding: _on_told,
    market.OpenInterest: _on_told,
    market.Liquidation: _on_told,
    market.Instrument: _on_definition,
    market.InstrumentStatus: _on_status,
}
