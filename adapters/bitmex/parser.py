"""BitMEX's public frames, to records. Pure, with a memory: rows of a book have ids, and those of older streams tell their
price only when they are put in. Accepted are the tables below, and our own wrappings.

The venue's page: www.bitmex.com/app/wsAPI ("orderBookL2", "trade", "quote", "instrument", "liquidation"). Numbers are JSON
numbers, and their digits are kept; sizes are contracts. Times are ISO 8601.

Nothing numbers the frames. What can be seen is that a row is put in that is there, or is changed or taken out and is not:
that is a BadFrame, and the end of the book until the venue sends the table anew.
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec

from adapters.base import BadFrame, Parsed, Reading, Session, read_own
from adapters.bitmex.definition import definitions
from adapters.bitmex.rows import BookRow, InstrumentRow, LiquidationRow, QuoteRow, TradeRow
from adapters.bitmex.symbols import venue_symbol
from adapters.parsing import (
    MOST,
    NEWEST,
    UNREADABLE,
    iso_ns,
    named,
    newest,
    positive,
    quoted,
    remembered,
    side_of,
    text_in,
    text_of,
    told,
)
from topics.market import BookDelta, BookSnapshot, Funding, Liquidation, OpenInterest, Quote, Ticker, Trade
from topics.record import Level

TABLE: Final = b'{"table":"'
FULL: Final = "orderBookL2"
BOOK: Final = "table"
"""In the memory: the table that the book is from, beside a price for each ``<id><side>`` and the newest time."""


Action = Literal["partial", "insert", "update", "delete"]


class _Books(msgspec.Struct):
    table: str
    action: Action
    data: list[BookRow]


class _Trades(msgspec.Struct):
    action: Action
    data: list[TradeRow]


class _Quotes(msgspec.Struct):
    data: list[QuoteRow]


class _Instruments(msgspec.Struct):
    data: list[InstrumentRow]


class _Liquidations(msgspec.Struct):
    action: Action
    data: list[LiquidationRow]


class _Head(msgspec.Struct):
    """What is no table: ``{"status":400,"error":"Unknown or expired symbol.","meta":{},"request":{"op":"subscribe"}}``"""

    table: str = ""
    error: str = ""


_books = msgspec.json.Decoder(_Books)
_trades = msgspec.json.Decoder(_Trades)
_quotes = msgspec.json.Decoder(_Quotes)
_instruments = msgspec.json.Decoder(_Instruments)
_liquidations = msgspec.json.Decoder(_Liquidations)
_head = msgspec.json.Decoder(_Head)


def parse(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    """See ``adapters.base.Parser``."""
    try:
        if not frame.startswith(TABLE):
            return _other(frame, reading)
        read = _TABLES.get(text_in(frame, TABLE))
        return None if read is None else read(frame, reading)
    except UNREADABLE as error:
        raise BadFrame(f"not a frame of this venue: {error}") from error


def _other(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    if frame == b"pong":
        return None
    own = read_own(frame)
    if own is None:
        head = _head.decode(frame)
        if head.error:
            raise BadFrame(f"the venue says: {head.error}")
        read = _TABLES.get(head.table)
        return None if read is None else read(frame, reading)
    named(own.symbol, venue_symbol(reading.instrument), reading)
    if own.event is None:
        return definitions(own.body, reading) if own.what == "definition" else None
    if isinstance(own.event, Session) and not own.event.beside:
        reading.memory.clear()
    return (own.event,)


def _changed(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    d, wanted, memory = _books.decode(frame), venue_symbol(reading.instrument), reading.memory
    if d.action == "partial":
        if d.table != FULL and memory.get(BOOK) == FULL:
            return None  # the best levels of a book that is known in full
        known = memory.get(NEWEST, "0")
        memory.clear()
        memory[BOOK], memory[NEWEST] = d.table, known
    elif memory.get(BOOK) != d.table:
        return None  # the venue says: drop what comes before the table
    change, bids, asks = _CHANGES[d.action], list[Level](), list[Level]()
    for row in d.data:
        if row.symbol == wanted:
            (bids if row.side == "Buy" else asks).append(change(row, memory))
    return (_book(d, tuple(bids), tuple(asks), reading),)


def _put(row: BookRow, memory: dict[str, str]) -> Level:
    key = f"{row.id}{row.side}"
    if row.price is None or row.size is None:
        raise BadFrame(f"row {row.id} is put in without price or size")
    if key in memory:
        raise BadFrame(f"row {row.id} is put in and was there")
    price = memory[key] = text_of(row.price)
    return price, text_of(row.size)


def _update(row: BookRow, memory: dict[str, str]) -> Level:
    price = memory.get(f"{row.id}{row.side}")
    if price is None or row.size is None:
        raise BadFrame(f"row {row.id} is changed and was not there, or has no size")
    return price, text_of(row.size)


def _take(row: BookRow, memory: dict[str, str]) -> Level:
    price = memory.pop(f"{row.id}{row.side}", None)
    if price is None:
        raise BadFrame(f"row {row.id} is taken out and was not there")
    return price, "0"


_CHANGES: Final[dict[str, Callable[[BookRow, dict[str, str]], Level]]] = {
    "partial": _put,
    "insert": _put,
    "update": _update,
    "delete": _take,
}


def _book(d: _Books, bids: tuple[Level, ...], asks: tuple[Level, ...], reading: Reading) -> BookSnapshot | BookDelta:
    told_at = d.data[-1].timestamp if d.data else ""
    ts_event = iso_ns(told_at) if told_at and d.action != "partial" else newest(reading)
    kind = BookSnapshot if d.action == "partial" else BookDelta
    return kind(instrument=reading.instrument, bids=bids, asks=asks, ts_event=ts_event, ts_init=reading.ts_init)


def _traded(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    """A partial is not news: what was traded before we listened, or was told already."""
    d, wanted = _trades.decode(frame), venue_symbol(reading.instrument)
    if d.action != "insert":
        return None
    return [
        Trade(
            instrument=reading.instrument,
            trade_id=row.trdMatchID,
            price=positive(row.price, "price"),
            size=positive(row.size, "size"),
            aggressor=side_of(row.side),
            ts_event=remembered(iso_ns(row.timestamp), reading),
            ts_init=reading.ts_init,
        )
        for row in d.data
        if row.symbol == wanted
    ]


def _quoted(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    wanted, out = venue_symbol(reading.instrument), list[Parsed]()
    for row in _quotes.decode(frame).data:
        bid, bid_size, ask, ask_size = row.bidPrice, row.bidSize, row.askPrice, row.askSize
        if row.symbol != wanted or not bid or not bid_size or not ask or not ask_size:
            continue
        quoted(bid, bid_size, ask, ask_size)
        out.append(
            Quote(
                instrument=reading.instrument,
                best_bid=bid,
                bid_size=bid_size,
                best_ask=ask,
                ask_size=ask_size,
                ts_event=remembered(iso_ns(row.timestamp), reading),
                ts_init=reading.ts_init,
            )
        )
    return out


def _told(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    instrument, wanted, out = reading.instrument, venue_symbol(reading.instrument), list[Parsed]()
    for row in _instruments.decode(frame).data:
        if row.symbol != wanted:
            continue
        ts = remembered(iso_ns(row.timestamp), reading) if row.timestamp else newest(reading)
        last, mark, index = told(row.lastPrice), told(row.markPrice), told(row.indicativeSettlePrice)
        if last is not None or mark is not None or index is not None:
            prices = Ticker(
                instrument=instrument, last=last, mark=mark, index=index, ts_event=ts, ts_init=reading.ts_init
            )
            out.append(prices)
        if row.openInterest is not None and 0 <= row.openInterest < MOST:
            interest = OpenInterest(
                instrument=instrument, open_interest=row.openInterest, ts_event=ts, ts_init=reading.ts_init
            )
            out.append(interest)
        if row.fundingRate is not None and -1 < row.fundingRate < 1:
            due = iso_ns(row.fundingTimestamp) if row.fundingTimestamp else 0
            rate = Funding(
                instrument=instrument, rate=row.fundingRate, next_ts=due, ts_event=ts, ts_init=reading.ts_init
            )
            out.append(rate)
    return out


def _liquidated(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    d, wanted = _liquidations.decode(frame), venue_symbol(reading.instrument)
    if d.action != "insert":
        return None
    ts_event = newest(reading)
    return [
        Liquidation(
            instrument=reading.instrument,
            side=side_of(row.side),
            price=positive(row.price, "price"),
            size=positive(row.leavesQty, "size"),
            ts_event=ts_event,
            ts_init=reading.ts_init,
        )
        for row in d.data
        if row.symbol == wanted and row.price is not None and row.leavesQty is not None
    ]


_TABLES: Final[dict[str, Callable[[bytes, Reading], Sequence[Parsed] | None]]] = {
    "orderBookL2": _changed,
    "orderBookL2_25": _changed,
    "trade": _traded,
    "quote": _quoted,
    "instrument": _told,
    "liquidation": _liquidated,
}
