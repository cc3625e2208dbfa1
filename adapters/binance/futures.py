"""The public frames of Binance's futures, where they differ from spot's. Pure.

The venue's pages: "Websocket Market Streams" and "Market Data" of developers.binance.com/docs/derivatives, under
usds-margined-futures and coin-margined-futures. A delta says with ``pu`` where the one before ended: it begins at ``pu + 1``,
for ``U`` skips the changes of no level. A snapshot is joined where ``pu <= lastUpdateId <= u``.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal

import msgspec

from adapters.base import BadFrame, Parsed, Reading
from adapters.binance.futures_definition import FuturesInfo, definitions
from adapters.binance.parser import (
    AGGREGATE,
    BEST,
    LEVELS,
    BookTicker,
    DepthBody,
    Dialect,
    Levels,
    Millis,
    Sequence_,
    TradeFrame,
    kind,
    quoted,
    traded,
)
from adapters.parsing import named, positive, side_of
from topics import native
from topics.market import BookDelta, BookSnapshot, Funding, Liquidation, OpenInterest, Ticker
from topics.record import InstrumentId

MOST_RATE = Decimal(1000)


class FuturesDepth(msgspec.Struct, tag_field="e", tag="depthUpdate", gc=False):
    """The page's "Diff. Book Depth Streams", ``<symbol>@depth@100ms``; T is the matching engine's time.

    ``{"e":"depthUpdate","E":1626992741037,"T":1626992741024,"s":"SUSHIUSDT","U":600859599090,"u":600859600917,
    "pu":600859598061,"b":[["7.5040","813"],["7.6090","0"]],"a":[["7.6150","1563"]]}``, and COIN-M's have ``"ps":"BTCUSD"``.
    """

    T: Millis
    s: str
    U: Sequence_
    u: Sequence_
    pu: Sequence_
    b: Levels
    a: Levels


class FuturesTrade(TradeFrame, tag_field="e", tag="trade"):
    """``<symbol>@trade``, on no page. X tells of what kind: MARKET, of the insurance fund, or NA, which is none.

    ``{"e":"trade","E":1723161256322,"T":1723161256322,"s":"BTCUSDT","t":5266583935,"p":"61800.30","q":"0.006",
    "X":"MARKET","m":false}``
    """

    X: str = ""


class FuturesTicker(BookTicker, gc=False):
    """The page's "Individual Symbol Book Ticker Streams", with times: ``{"e":"bookTicker","u":600859600576,
    "s":"SUSHIUSDT","b":"7.6110","B":"2","a":"7.6120","A":"297","T":1626992741012,"E":1626992741017}``
    """

    T: Millis = 0


class FuturesDepthBody(DepthBody):
    """The page's "Order Book", ``GET /fapi/v1/depth``; only COIN-M's names its symbol.

    ``{"lastUpdateId":1007198635033,"E":1723161257835,"T":1723161257823,"symbol":"BTCUSD_PERP","pair":"BTCUSD",
    "bids":[["61804.7","35"]],"asks":[…]}``
    """

    T: Millis = 0
    symbol: str = ""


class MarkPrice(msgspec.Struct, tag_field="e", tag="markPriceUpdate"):
    """The page's "Mark Price Stream", ``<symbol>@markPrice``; r is the funding rate, due at T, empty where there is none.

    ``{"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT","p":"11794.15000000","i":"11784.62659091",
    "P":"11784.25641265","r":"0.00038167","T":1562306400000}``
    """

    E: Millis
    s: str
    p: Decimal
    r: str = ""
    T: Millis = 0
    i: Decimal = Decimal(0)


class ForcedOrder(msgspec.Struct):
    s: str
    S: str
    q: Decimal
    p: Decimal
    T: Millis


class ForceOrder(msgspec.Struct, tag_field="e", tag="forceOrder"):
    """The page's "Liquidation Order Streams", ``<symbol>@forceOrder``: the last order of each second.

    ``{"e":"forceOrder","E":1568014460893,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"0.014","p":"9910",
    "ap":"9910","X":"FILLED","l":"0.014","z":"0.014","T":1568014460893}}``
    """

    o: ForcedOrder


class OpenInterestBody(msgspec.Struct):
    """The page's "Open Interest", ``GET /fapi/v1/openInterest``.

    ``{"openInterest":"10659.509","symbol":"BTCUSDT","time":1589437530011}``
    """

    openInterest: Decimal
    symbol: str
    time: Millis


def _delta(d: FuturesDepth, reading: Reading, wanted: str) -> Sequence[Parsed]:
    if d.s != wanted:
        named(d.s, wanted, reading)
    if d.u < d.U or d.u <= d.pu:
        raise BadFrame(f"update ids run backwards: {d.pu}, then {d.U} to {d.u}")
    return (
        BookDelta(
            instrument=reading.instrument,
            bids=d.b,
            asks=d.a,
            first_sequence=d.pu + 1,
            sequence=d.u,
            ts_event=d.T * 1_000_000,
            ts_init=reading.ts_init,
        ),
    )


def _snapshot(d: FuturesDepthBody, reading: Reading, wanted: str) -> Sequence[Parsed]:
    if d.symbol:
        named(d.symbol, wanted, reading)
    return (
        BookSnapshot(
            instrument=reading.instrument,
            bids=d.bids,
            asks=d.asks,
            sequence=d.lastUpdateId,
            ts_event=d.T * 1_000_000 or reading.ts_venue or reading.ts_init,
            ts_init=reading.ts_init,
        ),
    )


def _single(d: FuturesTrade, reading: Reading, wanted: str) -> Sequence[Parsed] | None:
    return None if d.X == "NA" else traded(d, "trade", reading, wanted)


def _quote(d: FuturesTicker, reading: Reading, wanted: str) -> Sequence[Parsed] | None:
    return quoted(d, d.T * 1_000_000 or reading.ts_venue or reading.ts_init, reading, wanted)


def _marked(d: MarkPrice, reading: Reading, wanted: str) -> Sequence[Parsed]:
    named(d.s, wanted, reading)
    ts_event = d.E * 1_000_000
    ticker = Ticker(
        instrument=reading.instrument,
        mark=positive(d.p, "price"),
        index=positive(d.i, "price") if d.i else None,
        ts_event=ts_event,
        ts_init=reading.ts_init,
    )
    if not d.r or not d.T:
        return (ticker,)
    rate = Decimal(d.r)
    if not -MOST_RATE < rate < MOST_RATE:
        raise BadFrame(f"not a rate: {rate}")
    funding = Funding(
        instrument=reading.instrument,
        rate=rate,
        next_ts=d.T * 1_000_000,
        ts_event=ts_event,
        ts_init=reading.ts_init,
    )
    return ticker, funding


def _liquidation(event: ForceOrder, reading: Reading, wanted: str) -> Sequence[Parsed]:
    d = event.o
    named(d.s, wanted, reading)
    return (
        Liquidation(
            instrument=reading.instrument,
            side=side_of(d.S),
            price=positive(d.p, "price"),
            size=positive(d.q, "size"),
            ts_event=d.T * 1_000_000,
            ts_init=reading.ts_init,
        ),
    )


def _open_interest(d: OpenInterestBody, reading: Reading, wanted: str) -> Sequence[Parsed]:
    named(d.symbol, wanted, reading)
    return (
        OpenInterest(
            instrument=reading.instrument,
            open_interest=positive(d.openInterest, "open interest") if d.openInterest else d.openInterest,
            ts_event=d.time * 1_000_000,
            ts_init=reading.ts_init,
        ),
    )


def _defined(info: FuturesInfo, reading: Reading, wanted: str) -> Sequence[Parsed]:
    return definitions(info, wanted, reading)


_KINDS = {
    "trade": kind(FuturesTrade, _single),
    "aggTrade": AGGREGATE,
    "bookTicker": kind(FuturesTicker, _quote, b'{"e":"bookTicker",' + BEST + b',"T":%m,"E":%#}', b"%*@bookTicker"),
    "forceOrder": kind(ForceOrder, _liquidation),
}
_DEPTH = kind(
    FuturesDepth,
    _delta,
    b'{"e":"depthUpdate","E":%#,"T":%m,"s":"%s","U":%d,"u":%d,"pu":%d,"b":' + LEVELS + b',"a":' + LEVELS + b"}",
    b"%*@depth@%*",
)
_MARK = kind(MarkPrice, _marked)


def _body(symbol: str, sequence: int, ms: int, bids: Levels, asks: Levels) -> FuturesDepthBody:
    return FuturesDepthBody(sequence, bids, asks, ms, symbol)


_SNAPSHOT = kind(FuturesDepthBody, _snapshot)._replace(
    type=_body,
    usual=native.template(
        b'{"rest":"depth","symbol":"%s","data":{"lastUpdateId":%d,"E":%#,"T":%m,"bids":'
        + LEVELS
        + b',"asks":'
        + LEVELS
        + b"}}"
    ),
)


def dialect(venue_symbol: Callable[[InstrumentId], str]) -> Dialect:
    return Dialect(
        venue_symbol=venue_symbol,
        streams=_KINDS | {"depth": _DEPTH, "markPrice": _MARK},
        events=_KINDS | {"depthUpdate": _DEPTH, "markPriceUpdate": _MARK},
        answers={
            "depth": _SNAPSHOT,
            "exchangeInfo": kind(FuturesInfo, _defined),
            "openInterest": kind(OpenInterestBody, _open_interest),
        },
        often=(_DEPTH, _KINDS["bookTicker"], AGGREGATE, _SNAPSHOT),
    )
