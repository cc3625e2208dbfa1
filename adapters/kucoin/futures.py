"""KuCoin's public frames of perpetuals, to records. Pure.

The venue's pages (www.kucoin.com/docs, "Futures"): "Level2 Market Data" ``/contractMarket/level2:{symbol}``, "Match execution data"
``/contractMarket/execution:{symbol}``, "Get Ticker V2" ``/contractMarket/tickerV2:{symbol}``, "Contract market data"
``/contract/instrument:{symbol}``, "Get Full Order Book". Sizes are contracts. Times are milliseconds, of trades and tickers
nanoseconds.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from adapters.base import BadFrame, Parsed, Reading, own_symbol
from adapters.kucoin.symbols import venue_symbol
from adapters.parsing import Millis, Number, named, positive, quoted, side_of, text_of, told
from topics.market import (
    BookDelta,
    BookSnapshot,
    Funding,
    Instrument,
    InstrumentStatus,
    OpenInterest,
    Quote,
    Ticker,
    Trade,
    TradingStatus,
)
from topics.record import Level, Side


class Change(msgspec.Struct):
    """One level: price, side, size (0 removes). ``{"sequence":1709400450243,"change":"90631.2,sell,2","timestamp":1731897467182}``"""

    sequence: Number
    change: str
    timestamp: Millis


class FullBook(msgspec.Struct):
    """``GET /api/v1/level2/snapshot?symbol=…``: ``{"code":"200000","data":{"sequence":1697895963339,"symbol":"XBTUSDTM",
    "bids":[[66968,51]],"asks":[[66969,7]],"ts":1729168101216000000}}``
    """

    sequence: Number
    bids: list[tuple[Decimal, Decimal]]
    asks: list[tuple[Decimal, Decimal]]
    symbol: str
    ts: Number


class Match(msgspec.Struct):
    """``side`` is the taker's. ``{"symbol":"XBTUSDTM","sequence":1794100537695,"side":"buy","size":2,"price":"90503.9",
    "takerOrderId":"247822202957807616","makerOrderId":"247822167163555840","tradeId":"1794100537695","ts":1731898619520000000}``
    """

    symbol: str
    side: str
    size: Decimal
    price: Decimal
    tradeId: str
    ts: Number


class TickerData(msgspec.Struct):
    """``{"symbol":"XBTUSDM","sequence":7,"bestBidSize":795,"bestBidPrice":"3200.0","bestAskPrice":"3600.0","bestAskSize":284,
    "ts":1553846081210004941}``
    """

    symbol: str
    bestBidPrice: Decimal
    bestBidSize: Decimal
    bestAskPrice: Decimal
    bestAskSize: Decimal
    ts: Number
    sequence: Number = 0


class Told(msgspec.Struct):
    """By the frame's subject, ``{"granularity":1000,"indexPrice":4000.23,"markPrice":4010.52,"timestamp":1551770400000}`` or
    ``{"granularity":60000,"fundingRate":-0.002966,"timestamp":1551770400000}``.
    """

    timestamp: Millis
    indexPrice: Decimal | None = None
    markPrice: Decimal | None = None
    fundingRate: Decimal | None = None


class Contract(msgspec.Struct):
    """``GET /api/v1/contracts/{symbol}``: ``{"symbol":"ETHUSDTM",…,"baseCurrency":"ETH","quoteCurrency":"USDT",
    "settleCurrency":"USDT","maxOrderQty":1000000,…,"lotSize":1,"tickSize":0.05,…,"multiplier":0.01,…,"makerFeeRate":0.0002,
    "takerFeeRate":0.0006,…,"isInverse":false,…,"openInterest":"2566974",…,"status":"Open"}``; an inverse one's multiplier is -1: contracts of 1 USD.
    """

    symbol: str
    lotSize: Decimal
    tickSize: Decimal
    multiplier: Decimal
    isInverse: bool = False
    settleCurrency: str | None = None
    maxOrderQty: Decimal | None = None
    makerFeeRate: Decimal | None = None
    takerFeeRate: Decimal | None = None
    openInterest: Decimal | None = None
    status: str = ""


class _Change(msgspec.Struct):
    data: Change


class _Match(msgspec.Struct):
    data: Match


class _Ticker(msgspec.Struct):
    data: TickerData


class _Told(msgspec.Struct):
    data: Told


class _FullBook(msgspec.Struct):
    data: FullBook


class _Contract(msgspec.Struct):
    data: Contract | list[Contract]


_change = msgspec.json.Decoder(_Change).decode
_match = msgspec.json.Decoder(_Match).decode
_ticker = msgspec.json.Decoder(_Ticker).decode
_told = msgspec.json.Decoder(_Told).decode
_full_book = msgspec.json.Decoder(_FullBook).decode
_contract = msgspec.json.Decoder(_Contract).decode


def _changed(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _change(frame).data
    parts = d.change.split(",")
    if len(parts) != 3:
        raise BadFrame(f"not a change: {d.change[:60]!r}")
    price, side, size = parts
    level = ((price, size),)
    is_bid = side_of(side) is Side.BUY
    return (
        BookDelta(
            instrument=reading.instrument,
            bids=level if is_bid else (),
            asks=() if is_bid else level,
            first_sequence=d.sequence,
            sequence=d.sequence,
            ts_event=d.timestamp * 1_000_000,
            ts_init=reading.ts_init,
        ),
    )


def begun(body: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _full_book(body).data
    named(d.symbol, own_symbol(venue_symbol(reading.instrument)), reading)
    return (
        BookSnapshot(
            instrument=reading.instrument,
            bids=_levels(d.bids),
            asks=_levels(d.asks),
            sequence=d.sequence,
            ts_event=d.ts,
            ts_init=reading.ts_init,
        ),
    )


def _levels(levels: list[tuple[Decimal, Decimal]]) -> tuple[Level, ...]:
    return tuple([(text_of(price), text_of(size)) for price, size in levels])


def _matched(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _match(frame).data
    named(d.symbol, own_symbol(venue_symbol(reading.instrument)), reading)
    return (
        Trade(
            instrument=reading.instrument,
            trade_id=d.tradeId,
            price=positive(d.price, "price"),
            size=positive(d.size, "size"),
            aggressor=side_of(d.side),
            ts_event=d.ts,
            ts_init=reading.ts_init,
        ),
    )


def _ticked(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    d = _ticker(frame).data
    if not (d.bestBidPrice and d.bestBidSize and d.bestAskPrice and d.bestAskSize):
        return None
    quoted(d.bestBidPrice, d.bestBidSize, d.bestAskPrice, d.bestAskSize)
    return (
        Quote(
            instrument=reading.instrument,
            best_bid=d.bestBidPrice,
            bid_size=d.bestBidSize,
            best_ask=d.bestAskPrice,
            ask_size=d.bestAskSize,
            sequence=d.sequence,
            ts_event=d.ts,
            ts_init=reading.ts_init,
        ),
    )


def _about(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d, out = _told(frame).data, list[Parsed]()
    instrument, ts, ts_init = reading.instrument, d.timestamp * 1_000_000, reading.ts_init
    mark, index = told(d.markPrice), told(d.indexPrice)
    if mark is not None or index is not None:
        out.append(Ticker(instrument=instrument, mark=mark, index=index, ts_event=ts, ts_init=ts_init))
    if d.fundingRate is not None and -1 < d.fundingRate < 1:
        out.append(Funding(instrument=instrument, rate=d.fundingRate, ts_event=ts, ts_init=ts_init))
    return out


def defined(body: bytes, reading: Reading) -> Sequence[Parsed]:
    """The contract's definition, status and open interest; BadFrame when it is not in there."""
    data, wanted = _contract(body).data, own_symbol(venue_symbol(reading.instrument))
    d = next((d for d in (data if isinstance(data, list) else [data]) if d.symbol == wanted), None)
    if d is None:
        raise BadFrame(f"no definition of {wanted} in it")
    base, quote = reading.instrument.partition(":")[2].split("-")[:2]
    trading, ts_event = d.status == "Open", reading.ts_venue or reading.ts_init
    out: list[Parsed] = [
        Instrument(
            instrument=reading.instrument,
            venue=reading.venue,
            venue_symbol=wanted,
            base=base,
            quote=quote,
            tick_size=positive(d.tickSize, "tick size"),
            lot_size=positive(d.lotSize, "lot size"),
            min_qty=positive(d.lotSize, "lot size"),
            max_qty=told(d.maxOrderQty),
            multiplier=positive(abs(d.multiplier), "multiplier"),
            kind="inverse" if d.isInverse else "linear",
            inverse=d.isInverse,
            settle="BTC" if d.settleCurrency == "XBT" else d.settleCurrency or "",
            maker_fee=_fee(d.makerFeeRate),
            taker_fee=_fee(d.takerFeeRate),
            tradable=trading,
            ts_init=reading.ts_init,
        ),
        InstrumentStatus(
            instrument=reading.instrument,
            status=TradingStatus.TRADING if trading else TradingStatus.HALTED,
            ts_event=ts_event,
            ts_init=reading.ts_init,
        ),
    ]
    if d.openInterest is not None and d.openInterest >= 0:
        interest, instrument = d.openInterest, reading.instrument
        out.append(
            OpenInterest(instrument=instrument, open_interest=interest, ts_event=ts_event, ts_init=reading.ts_init)
        )
    return out


def _fee(rate: Decimal | None) -> Decimal | None:
    return rate if rate is not None and -1 < rate < 1 else None


TOPICS: Final[dict[str, Callable[[bytes, Reading], Sequence[Parsed] | None]]] = {
    "/contractMarket/level2": _changed,
    "/contractMarket/execution": _matched,
    "/contractMarket/tickerV2": _ticked,
    "/contract/instrument": _about,
}
