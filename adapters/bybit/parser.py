"""Bybit v5's public frames, to records. Pure.

The venue's pages: "WebSocket Stream / Public" (bybit-exchange.github.io/docs/v5/websocket/public/orderbook, …/trade,
…/ticker, …/all-liquidation) and "Get Instruments Info". Numbers come as strings of digits and stay exact; times are
milliseconds.

A delta's ``u`` is one more than the last one's. A ticker of a derivative tells what changed since the one before, so the
best bid and ask are kept in ``Reading.memory``; spot's tells none, there the book of one level does. Passed over (None): klines, answers to
subscriptions, pongs.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from adapters.base import BadFrame, Own, Parsed, Reading, Session, own_symbol, read_own
from adapters.bybit.definition import InstrumentsInfo, definition
from adapters.bybit.symbols import venue_symbol
from adapters.bybit.ticker import TickerData, told, top
from adapters.parsing import BOOK, named, of_the_book, positive, side_of
from topics import native
from topics.market import BookDelta, BookSnapshot, Liquidation, Trade
from topics.record import InstrumentId, Level

Millis = Annotated[int, Meta(ge=0, le=9_000_000_000_000)]
UpdateId = Annotated[int, Meta(ge=1, le=2**62)]


class BookData(msgspec.Struct, gc=False):
    s: str
    b: tuple[Level, ...]
    a: tuple[Level, ...]
    u: UpdateId


class BookFrame(msgspec.Struct, gc=False):
    """The page's "Orderbook", ``orderbook.200.BTCUSDT``: a snapshot, then absolute sizes, 0 removes, levels that fall off
    the end among them. ``u`` 1 begins the book anew: the venue's service was restarted.

    ``{"topic":"orderbook.200.BTCUSDT","ts":1786310816618,"type":"delta","data":{"s":"BTCUSDT","b":[["65140.4",
    "0.875077"]],"a":[["65239.1","0"]],"u":62505425,"seq":112488545865},"cts":1786310816585}``, ``cts`` by the matching engine.
    """

    topic: str
    type: Literal["snapshot", "delta"]
    ts: Millis
    data: BookData
    cts: Millis = 0


class TradeRow(msgspec.Struct, gc=False):
    """``S`` is the taker's side: ``{"T":1786310819680,"s":"BTCUSDT","S":"Sell","v":"0.004","p":"65114.20",
    "L":"MinusTick","i":"a9188a0a-82bc-50de-be60-03eedbe3cdd7","BT":false,"RPI":false,"seq":753843954913}``
    """

    T: Millis
    s: str
    S: str
    v: Decimal
    p: Decimal
    i: Annotated[str, Meta(min_length=1)]


class TradeFrame(msgspec.Struct, gc=False):
    """The page's "Trade", ``publicTrade.BTCUSDT``; its type is always ``snapshot``, and each frame is new trades."""

    data: list[TradeRow]


class TickerFrame(msgspec.Struct, gc=False):
    """The page's "Ticker", ``tickers.BTCUSDT``."""

    type: Literal["snapshot", "delta"]
    ts: Millis
    data: TickerData


class LiquidationRow(msgspec.Struct):
    """``S`` is the position's side, Buy for a long one, which a sale closes; ``p`` is the price of bankruptcy:
    ``{"T":1739502302929,"s":"ROSEUSDT","S":"Sell","v":"20000","p":"0.04499"}``
    """

    T: Millis
    s: str
    S: str
    v: Decimal
    p: Decimal


class LiquidationFrame(msgspec.Struct):
    """The page's "All Liquidation", ``allLiquidation.ROSEUSDT``."""

    data: list[LiquidationRow]


class Head(msgspec.Struct, gc=False):
    """What any frame says of itself. ``{"success":false,"ret_msg":"error:handler not found","op":"subscribe",…}``"""

    topic: str = ""
    success: bool = True
    ret_msg: str = ""


_book = msgspec.json.Decoder(BookFrame)
_trades = msgspec.json.Decoder(TradeFrame)
_ticker = msgspec.json.Decoder(TickerFrame)
_liquidations = msgspec.json.Decoder(LiquidationFrame)
_head = msgspec.json.Decoder(Head)
_info = msgspec.json.Decoder(InstrumentsInfo)
_TOPIC = b'{"topic":"'
_OTHER_BOOK = _TOPIC + b"orderbook.rpi."
"""Levels of three parts: with orders of retail price improvement told apart."""


def _parse(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    try:
        if frame.startswith(_TOPIC):
            read = _TOPICS.get(frame[10 : frame.find(b".", 10, 40)])
        else:
            own = read_own(frame)
            if own is not None:
                return _own(own, reading)
            read = _TOPICS.get(_topic_of(frame))
        return None if read is None else read(frame, reading, _own_symbol(reading.instrument))
    except (msgspec.MsgspecError, UnicodeDecodeError, InvalidOperation, RecursionError) as error:
        if frame.startswith(_OTHER_BOOK):
            return None
        raise BadFrame(f"not a frame of this venue: {error}") from error


@lru_cache(4096)
def _own_symbol(instrument: InstrumentId) -> str:
    return own_symbol(venue_symbol(instrument))


ALONE = "alone"
"""In the parser's memory: the best level was told."""

_CHANGE = (
    b'{"topic":"orderbook.%%s.%%*",%b,"data":{"s":"%%s","b":%%[["%%p","%%q"]%%],"a":%%[["%%p","%%q"]%%],'
    b'"u":%%d,"seq":%%#},"cts":%%M}'
)
parse = native.deltas(
    (_CHANGE % b'"type":"delta","ts":%M', _CHANGE % b'"ts":%M,"type":"delta"'),
    (BOOK, "ts_event", "symbol", "bids", "asks", "sequence", "ts_event"),
    _own_symbol,
    _parse,
)
"""See ``adapters.base.Parser``."""


def _topic_of(frame: bytes) -> bytes:
    head = _head.decode(frame)
    if not head.success:
        raise BadFrame(f"the venue says: {head.ret_msg}")
    return head.topic.partition(".")[0].encode()


def _own(own: Own, reading: Reading) -> Sequence[Parsed] | None:
    wanted = venue_symbol(reading.instrument)
    named(own.symbol, wanted, reading)
    if own.event is not None:
        if isinstance(own.event, Session) and not own.event.beside:
            reading.memory.pop(BOOK, None)
            reading.memory.pop(ALONE, None)
        return (own.event,)
    return definition(_info.decode(own.body), wanted, reading) if own.what == "instruments-info" else None


def _changed(frame: bytes, reading: Reading, wanted: str) -> Sequence[Parsed] | None:
    """The best level alone (``orderbook.1``) is a quote, and the book where there is no deeper one. Of several the deepest counts."""
    f = _book.decode(frame)
    d = f.data
    named(d.s, wanted, reading)
    ts_event = (f.cts or f.ts) * 1_000_000
    depth = f.topic.split(".")[1]
    if depth == "1":
        is_whole = f.type == "snapshot"
        quote = top(d.b, d.a, is_whole, ts_event, reading)
        return (*quote, *_book_of(f, ts_event, reading)) if _is_the_book(is_whole, reading.memory) else quote
    if not (
        depth.isascii() and depth.isdigit() and of_the_book(depth, int(depth[:9]), f.type == "snapshot", reading.memory)
    ):
        return None
    return _book_of(f, ts_event, reading)


def _is_the_book(is_whole: bool, memory: dict[str, str]) -> bool:
    """A deeper one that was subscribed to is there before the best level is told for the second time."""
    if is_whole and BOOK not in memory and ALONE in memory:
        of_the_book("1", 1, is_whole, memory)
    memory[ALONE] = ""
    return memory.get(BOOK, "").startswith("1 ")


def _book_of(f: BookFrame, ts_event: int, reading: Reading) -> Sequence[Parsed]:
    d = f.data
    if f.type == "delta" and d.u != 1:
        return (
            BookDelta(
                instrument=reading.instrument,
                bids=d.b,
                asks=d.a,
                first_sequence=d.u,
                sequence=d.u,
                ts_event=ts_event,
                ts_init=reading.ts_init,
            ),
        )
    return (
        BookSnapshot(
            instrument=reading.instrument,
            bids=d.b,
            asks=d.a,
            sequence=d.u,
            ts_event=ts_event,
            ts_init=reading.ts_init,
        ),
    )


def _traded(frame: bytes, reading: Reading, wanted: str) -> Sequence[Parsed]:
    return [_trade(row, reading, wanted) for row in _trades.decode(frame).data]


def _trade(row: TradeRow, reading: Reading, wanted: str) -> Trade:
    named(row.s, wanted, reading)
    return Trade(
        instrument=reading.instrument,
        trade_id=row.i,
        price=positive(row.p, "price"),
        size=positive(row.v, "size"),
        aggressor=side_of(row.S),
        ts_event=row.T * 1_000_000,
        ts_init=reading.ts_init,
    )


def _ticked(frame: bytes, reading: Reading, wanted: str) -> Sequence[Parsed]:
    f = _ticker.decode(frame)
    named(f.data.symbol, wanted, reading)
    return told(f.data, f.type == "snapshot", f.ts * 1_000_000, reading)


def _liquidated(frame: bytes, reading: Reading, wanted: str) -> Sequence[Parsed]:
    return [_liquidation(row, reading, wanted) for row in _liquidations.decode(frame).data]


def _liquidation(row: LiquidationRow, reading: Reading, wanted: str) -> Liquidation:
    named(row.s, wanted, reading)
    return Liquidation(
        instrument=reading.instrument,
        side=side_of(row.S).opposite,
        price=positive(row.p, "price"),
        size=positive(row.v, "size"),
        ts_event=row.T * 1_000_000,
        ts_init=reading.ts_init,
    )


_TOPICS: Final[dict[bytes, Callable[[bytes, Reading, str], Sequence[Parsed] | None]]] = {
    b"orderbook": _changed,
    b"publicTrade": _traded,
    b"tickers": _ticked,
    b"allLiquidation": _liquidated,
}
