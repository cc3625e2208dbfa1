"""Coinbase Advanced Trade's public frames, to records. Pure.

The venue's pages: "Advanced Trade WebSocket Channels"
(docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels) and "Get Public Product" of its REST
API. Numbers come as strings of digits and stay exact; times are ISO 8601 with up to nine digits.

``sequence_num`` counts the frames of a connection over all channels (``sequence_in``), not the changes of a book: book
records carry no sequence of their own. Trades have ids that grow by product: each is told once, however often it comes.
The trades of a first ``snapshot`` were made before anybody listened, and are not told; those of a later one fill the hole
between two connections.

Passed over (None): heartbeats, candles, status, answers to subscriptions, quotes with an empty side.
"""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from operator import itemgetter
from typing import Any, Final, Literal

import msgspec

from adapters.base import BadFrame, Parsed, Reading, read_own
from adapters.coinbase.definition import Product, definition
from adapters.coinbase.symbols import venue_symbol
from adapters.parsing import iso_ns, named, positive, side_of
from topics import native
from topics.market import BookDelta, BookSnapshot, Quote, Ticker, Trade
from topics.record import Level


class Bid(msgspec.Struct, tag_field="side", tag="bid", gc=False):
    """``{"side":"bid","event_time":"2026-08-09T21:05:48.170326Z","price_level":"65083.66","new_quantity":"0.20371215"}``"""

    price_level: str
    new_quantity: str


class Offer(msgspec.Struct, tag_field="side", tag="offer", gc=False):
    price_level: str
    new_quantity: str


class BookEvent(msgspec.Struct):
    """The page's "Level2 Channel": the whole book once, then absolute sizes, 0 removes.

    ``{"channel":"l2_data","timestamp":"2026-08-09T21:05:48.483587501Z","sequence_num":13,"events":[{"type":"snapshot",
    "product_id":"BTC-USD","updates":[{"side":"bid",…},{"side":"offer",…}]}]}``
    """

    type: Literal["snapshot", "update"]
    product_id: str
    updates: list[Bid | Offer]


class TradeRow(msgspec.Struct):
    """``side`` is the maker's (a SELL was bought at the ask); the newest comes first.

    ``{"product_id":"BTC-USD","trade_id":"1068572090","price":"65083.67",
    "size":"0.002186","time":"2026-08-09T21:05:42.514318Z","side":"SELL"}``
    """

    product_id: str
    trade_id: str
    price: Decimal
    size: Decimal
    time: str
    side: str


class TradeEvent(msgspec.Struct):
    """The page's "Market Trades Channel", several trades of up to 250 ms in one frame."""

    type: Literal["snapshot", "update"]
    trades: list[TradeRow]


class TickerRow(msgspec.Struct):
    """``{"type":"ticker","product_id":"BTC-USD","price":"65086.18",…,"best_bid":"65083.66","best_ask":"65083.67",
    "best_bid_quantity":"0.20371215","best_ask_quantity":"0.24290402"}``
    """

    product_id: str
    price: Decimal
    best_bid: Decimal = Decimal(0)
    best_bid_quantity: Decimal = Decimal(0)
    best_ask: Decimal = Decimal(0)
    best_ask_quantity: Decimal = Decimal(0)


class TickerEvent(msgspec.Struct):
    """The page's "Ticker Channel": at each trade, at most a few times a second."""

    tickers: list[TickerRow]


class BookFrame(msgspec.Struct):
    timestamp: str
    events: list[BookEvent]


class TradeFrame(msgspec.Struct):
    events: list[TradeEvent]


class TickerFrame(msgspec.Struct):
    timestamp: str
    events: list[TickerEvent]


class Head(msgspec.Struct):
    """What any frame says of itself; an error is ``{"type":"error","message":"…"}``."""

    channel: str = ""
    type: str = ""
    message: str = ""


_usual = native.template(
    b'{"channel":"l2_data","timestamp":"%z","sequence_num":%#,"events":[{"type":"%s","product_id":"%s","updates":%['
    b'{"side":"%k","event_time":"%*","price_level":"%p","new_quantity":"%q"}%]}]}'
)
_RECORDS: Final[dict[str, type[BookDelta] | type[BookSnapshot]]] = {"update": BookDelta, "snapshot": BookSnapshot}
_book = msgspec.json.Decoder(BookFrame)
_trades = msgspec.json.Decoder(TradeFrame)
_ticker = msgspec.json.Decoder(TickerFrame)
_head = msgspec.json.Decoder(Head)
_product = msgspec.json.Decoder(Product)
_channel = re.compile(rb'\{"channel":"(\w+)"')


def parse(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    """See ``adapters.base.Parser``."""
    try:
        if (changed := _usual(frame)) is not None and (usual := _on_usual(changed, reading)) is not None:
            return usual
        found = _channel.match(frame)
        if found is None:
            return _other(frame, reading)
        read = _CHANNELS.get(found[1])
        return None if read is None else read(frame, reading, venue_symbol(reading.instrument))
    except (msgspec.MsgspecError, UnicodeDecodeError, InvalidOperation, RecursionError) as error:
        raise BadFrame(f"not a frame of this venue: {error}") from error


def _other(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    own = read_own(frame)
    if own is not None:
        wanted = venue_symbol(reading.instrument)
        named(own.symbol, wanted, reading)
        if own.event is not None:
            return (own.event,)
        return definition(_product.decode(own.body), wanted, reading) if own.what == "product" else None
    head = _head.decode(frame)
    if head.type == "error":
        raise BadFrame(f"the venue says: {head.message}")
    read = _CHANNELS.get(head.channel.encode())
    return None if read is None else read(frame, reading, venue_symbol(reading.instrument))


def _on_usual(found: tuple[Any, ...], reading: Reading) -> Sequence[Parsed] | None:
    """A change of one book."""
    ts_event, what, symbol, bids, asks = found
    record = _RECORDS.get(what)
    if record is None or symbol != venue_symbol(reading.instrument):
        return None
    return (record(instrument=reading.instrument, bids=bids, asks=asks, ts_event=ts_event, ts_init=reading.ts_init),)


def _changed(frame: bytes, reading: Reading, wanted: str) -> Sequence[Parsed]:
    d = _book.decode(frame)
    ts_event = iso_ns(d.timestamp)
    out = [_change(event, reading, ts_event) for event in d.events if event.product_id == wanted]
    return out or _about_another(d.events[0].product_id if d.events else "", reading)


def _change(event: BookEvent, reading: Reading, ts_event: int) -> BookSnapshot | BookDelta:
    bids, asks = _sides(event.updates)
    record = BookDelta if event.type == "update" else BookSnapshot
    return record(
        instrument=reading.instrument,
        bids=bids,
        asks=asks,
        ts_event=ts_event,
        ts_init=reading.ts_init,
    )


def _sides(updates: list[Bid | Offer]) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
    bids: list[Level] = []
    asks: list[Level] = []
    for update in updates:
        if type(update) is Bid:
            bids.append((update.price_level, update.new_quantity))
        else:
            asks.append((update.price_level, update.new_quantity))
    return tuple(bids), tuple(asks)


def _traded(frame: bytes, reading: Reading, wanted: str) -> Sequence[Parsed]:
    known = reading.memory.get("trade_id", "")
    newest = int(known or 0)
    events = _trades.decode(frame).events
    out: list[Parsed] = []
    for event in events:
        told = event.type == "update" or bool(known)
        mine = [(_number(row.trade_id), row) for row in event.trades if row.product_id == wanted]
        for number, row in sorted(mine, key=itemgetter(0)):
            if number > newest:
                newest = number
                if told:
                    out.append(_trade(row, reading))
    if not newest:
        return _about_another(next((r.product_id for event in events for r in event.trades), ""), reading)
    reading.memory["trade_id"] = str(newest)
    return out


def _number(trade_id: str) -> int:
    if not (trade_id.isascii() and trade_id.isdigit() and len(trade_id) < 20):
        raise BadFrame(f"not a trade's id: {trade_id!r}")
    return int(trade_id)


def _trade(row: TradeRow, reading: Reading) -> Trade:
    return Trade(
        instrument=reading.instrument,
        trade_id=row.trade_id,
        price=positive(row.price, "price"),
        size=positive(row.size, "size"),
        aggressor=side_of(row.side).opposite,
        ts_event=iso_ns(row.time),
        ts_init=reading.ts_init,
    )


def _told(frame: bytes, reading: Reading, wanted: str) -> Sequence[Parsed]:
    d = _ticker.decode(frame)
    ts_event = iso_ns(d.timestamp)
    rows = [row for event in d.events for row in event.tickers]
    out = [record for row in rows if row.product_id == wanted for record in _prices(row, reading, ts_event)]
    return out or _about_another(rows[0].product_id if rows else "", reading)


def _prices(row: TickerRow, reading: Reading, ts_event: int) -> Sequence[Parsed]:
    last = positive(row.price, "price")
    ticker = Ticker(instrument=reading.instrument, last=last, ts_event=ts_event, ts_init=reading.ts_init)
    if not (row.best_bid and row.best_ask and row.best_bid_quantity and row.best_ask_quantity):
        return (ticker,)
    quote = Quote(
        instrument=reading.instrument,
        best_bid=positive(row.best_bid, "price"),
        bid_size=positive(row.best_bid_quantity, "size"),
        best_ask=positive(row.best_ask, "price"),
        ask_size=positive(row.best_ask_quantity, "size"),
        ts_event=ts_event,
        ts_init=reading.ts_init,
    )
    if quote.best_bid >= quote.best_ask:
        raise BadFrame(f"not a quote: {row.best_bid} / {row.best_ask}")
    return (quote, ticker)


def _about_another(symbol: str, reading: Reading) -> Sequence[Parsed]:
    raise BadFrame(f"names {symbol!r}, not {reading.instrument}")


_CHANNELS: Final[dict[bytes, Callable[[bytes, Reading, str], Sequence[Parsed]]]] = {
    b"l2_data": _changed,
    b"market_trades": _traded,
    b"ticker": _told,
    b"ticker_batch": _told,
}
