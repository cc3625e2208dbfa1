"""Binance spot's public frames, to records. Pure. Accepted are combined frames ``{"stream":…,"data":…}``, raw ones,
and our own wrappings.

The venue's pages: "Web Socket Streams for Binance"
(developers.binance.com/docs/binance-spot-api-docs/web-socket-streams) and "Market Data endpoints" and "General
endpoints" of its REST API. Numbers come as strings of digits and stay exact. Times are milliseconds.

Passed over (None): kinds that nobody asked for (kline, …), answers to subscriptions, quotes with an empty
side. A frame that breaks the venue's own rules (a trade of nothing, a crossed quote, another instrument's symbol) is a
BadFrame. Whether levels are numbers is the book's to say.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from adapters.base import BadFrame, Parsed, Reading, read_own
from adapters.binance.definition import ExchangeInfo, definitions
from adapters.binance.symbols import venue_symbol
from topics.market import BookDelta, BookSnapshot, Quote, Trade
from topics.record import Level, Side

Millis = Annotated[int, Meta(ge=0, le=9_000_000_000_000)]  # past the year 2200, and as nanoseconds still 64 bits
Sequence_ = Annotated[int, Meta(ge=0, le=2**62)]
Levels = tuple[Level, ...]

LEAST: Final = Decimal("1e-18")
MOST: Final = Decimal("1e18")


class DepthUpdate(msgspec.Struct, tag_field="e", tag="depthUpdate"):
    """The page's "Diff. Depth Stream", ``<symbol>@depth@100ms``: sizes are absolute, 0 removes.

    U and u are the first and last update id inside.

    ``{"e":"depthUpdate","E":1723161255308,"s":"BTCUSDT","U":50093239203,"u":50093239207,
    "b":[["55653.87000000","0.00000000"]],"a":[["61838.04000000","0.32332000"],["61844.30000000","0.40163000"]]}``
    """

    E: Millis
    s: str
    U: Sequence_
    u: Sequence_
    b: Levels
    a: Levels


class TradeFrame(msgspec.Struct, tag_field="e", tag="trade"):
    """The page's "Trade Streams", ``<symbol>@trade``: m says that the buyer was the maker; T is the trade's time.

    ``{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,"p":"61837.63000000","q":"0.02000000",
    "T":1723161255342,"m":true,"M":true}``
    """

    s: str
    t: Sequence_
    p: Decimal
    q: Decimal
    T: Millis
    m: bool


class AggregateTrade(msgspec.Struct, tag_field="e", tag="aggTrade"):
    """The page's "Aggregate Trade Streams", ``<symbol>@aggTrade``: fills of one taker order at one price, f to l.

    ``{"e":"aggTrade","E":1634046522115,"s":"NKNUSDT","a":28404302,"p":"0.35290000","q":"318.00000000","f":43372345,
    "l":43372345,"T":1634046522114,"m":true,"M":true}``
    """

    s: str
    a: Sequence_
    p: Decimal
    q: Decimal
    T: Millis
    m: bool

    @property
    def t(self) -> int:
        return self.a


class BookTicker(msgspec.Struct):
    """The page's "Individual Symbol Book Ticker Streams", ``<symbol>@bookTicker``: no time and no kind of its own.

    ``{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000","a":"61837.64000000","A":"1.54698000"}``
    """

    u: Sequence_
    s: str
    b: Decimal
    B: Decimal
    a: Decimal
    A: Decimal


class DepthBody(msgspec.Struct):
    """The page's "Order book", ``GET /api/v3/depth``: names no symbol and no time.

    ``{"lastUpdateId":50093239218,"bids":[["61837.63000000","3.78826000"]],"asks":[["61837.64000000","1.54698000"]]}``
    """

    lastUpdateId: Sequence_
    bids: Levels
    asks: Levels


class _Combined(msgspec.Struct):
    stream: str
    data: msgspec.Raw


class _Envelope(msgspec.Struct):
    """Whatever a frame may say about its own kind, where no stream name does."""

    e: str = ""
    s: str = ""
    B: str = ""
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"")


_combined = msgspec.json.Decoder(_Combined)
_envelope = msgspec.json.Decoder(_Envelope)
_depth_update = msgspec.json.Decoder(DepthUpdate)
_trade = msgspec.json.Decoder(TradeFrame)
_aggregate_trade = msgspec.json.Decoder(AggregateTrade)
_book_ticker = msgspec.json.Decoder(BookTicker)
_depth_body = msgspec.json.Decoder(DepthBody)
_exchange_info = msgspec.json.Decoder(ExchangeInfo)


def parse(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    """See ``adapters.base.Parser``."""
    try:
        if frame.startswith(b'{"stream":'):
            combined = _combined.decode(frame)
            return _stream(combined.stream, combined.data, reading)
        return _other(frame, reading)
    except (msgspec.MsgspecError, UnicodeDecodeError, InvalidOperation, RecursionError) as error:
        raise BadFrame(f"not a frame of this venue: {error}") from error


def _stream(name: str, data: msgspec.Raw, reading: Reading) -> Sequence[Parsed] | None:
    _, _, kind = name.partition("@")
    read = _STREAMS.get(kind.partition("@")[0])
    return None if read is None else read(data, reading)


def _other(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    own = read_own(frame)
    if own is not None:
        _named(own.symbol, reading)
        return _answer(own.what, own.body, reading) if own.event is None else (own.event,)
    head = _envelope.decode(frame)
    if head.stream:
        return _stream(head.stream, head.data, reading)
    if bytes(head.error):
        raise BadFrame(f"the venue says: {bytes(head.error).decode(errors='replace')}")
    read = _EVENTS.get("bookTicker" if head.B and not head.e else head.e)
    return None if read is None else read(frame, reading)


def _answer(what: str, body: bytes, reading: Reading) -> Sequence[Parsed] | None:
    match what:
        case "depth":
            return _snapshot(body, reading)
        case "exchangeInfo":
            return definitions(_exchange_info.decode(body), reading)
    return None


def _delta(raw: Any, reading: Reading) -> Sequence[Parsed]:
    d = _depth_update.decode(raw)
    _named(d.s, reading)
    if d.u < d.U:
        raise BadFrame(f"update ids run backwards: {d.U} to {d.u}")
    return (
        BookDelta(
            instrument=reading.instrument,
            bids=d.b,
            asks=d.a,
            first_sequence=d.U,
            sequence=d.u,
            ts_event=d.E * 1_000_000,
            ts_init=reading.ts_init,
        ),
    )


def _snapshot(raw: Any, reading: Reading) -> Sequence[Parsed]:
    d = _depth_body.decode(raw)
    return (
        BookSnapshot(
            instrument=reading.instrument,
            bids=d.bids,
            asks=d.asks,
            sequence=d.lastUpdateId,
            ts_event=reading.ts_venue or reading.ts_init,
            ts_init=reading.ts_init,
        ),
    )


def _single(raw: Any, reading: Reading) -> Sequence[Parsed] | None:
    return _traded(_trade.decode(raw), reading)


def _aggregated(raw: Any, reading: Reading) -> Sequence[Parsed] | None:
    return _traded(_aggregate_trade.decode(raw), reading)


def _traded(d: TradeFrame | AggregateTrade, reading: Reading) -> Sequence[Parsed] | None:
    """Of a stream that has both kinds, the kind that came first: else each trade would count twice."""
    if reading.memory.setdefault("trades", type(d).__name__) != type(d).__name__:
        return None
    _named(d.s, reading)
    if not (LEAST <= d.p < MOST and LEAST <= d.q < MOST):
        raise BadFrame(f"trade {d.t}: no price or no quantity: {d.p} x {d.q}")
    return (
        Trade(
            instrument=reading.instrument,
            trade_id=str(d.t),
            price=d.p,
            size=d.q,
            aggressor=Side.SELL if d.m else Side.BUY,
            ts_event=d.T * 1_000_000,
            ts_init=reading.ts_init,
        ),
    )


def _quote(raw: Any, reading: Reading) -> Sequence[Parsed] | None:
    d = _book_ticker.decode(raw)
    _named(d.s, reading)
    if not d.b or not d.a:
        return None  # how the venue writes an empty side: there is no best price to tell
    if not (LEAST <= d.b < d.a < MOST and LEAST <= d.B < MOST and LEAST <= d.A < MOST):
        raise BadFrame(f"not a quote: {d.B} at {d.b} / {d.A} at {d.a}")
    return (
        Quote(
            instrument=reading.instrument,
            best_bid=d.b,
            bid_size=d.B,
            best_ask=d.a,
            ask_size=d.A,
            sequence=d.u,
            ts_event=reading.ts_venue or reading.ts_init,
            ts_init=reading.ts_init,
        ),
    )


def _named(symbol: str, reading: Reading) -> None:
    if symbol != venue_symbol(reading.instrument):
        raise BadFrame(f"names {symbol!r}, not {reading.instrument}")


_Read = Callable[[Any, Reading], Sequence[Parsed] | None]
_STREAMS: Final[dict[str, _Read]] = {"depth": _delta, "trade": _single, "aggTrade": _aggregated, "bookTicker": _quote}
_EVENTS: Final[dict[str, _Read]] = {
    "depthUpdate": _delta,
    "trade": _single,
    "aggTrade": _aggregated,
    "bookTicker": _quote,
}
