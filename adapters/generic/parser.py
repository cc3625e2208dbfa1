"""What ccxt.pro told, as ``watching`` writes it, to records. Pure, with a memory of the trades that came last. One parser for
all venues; ccxt's structures: docs.ccxt.com, "Order Book Structure", "Trade Structure", "Ticker Structure", "Market Structure".

Each book is whole: what changed between two of them and back is not seen. They are marked ``sampled``.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from adapters.base import BadFrame, Parsed, Reading, read_own
from adapters.generic.symbols import kind_of, venue_symbol
from adapters.parsing import UNREADABLE, Millis, named, positive, quoted, side_of, told
from topics.market import BookSnapshot, Instrument, InstrumentStatus, Quote, Ticker, Trade, TradingStatus
from topics.record import Level

RECENT: Final = "trades"
RECENT_MOST: Final = 16_384
"""Characters of remembered trade ids, each between commas."""


class BookFrame(msgspec.Struct, tag_field="ccxt", tag="book"):
    """``{"ccxt":"book","symbol":"BTC/USDT","depth":100,"bids":[["65083.66","0.2"]],"asks":[["65083.67","0.3"]],
    "timestamp":1786310816618,"nonce":12}``. ``depth``: where it was cut off, 0: nowhere.
    """

    symbol: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    depth: int = 0
    timestamp: Millis | None = None
    nonce: int | None = None


class TradeData(msgspec.Struct):
    price: Decimal
    amount: Decimal
    timestamp: Millis
    id: str | None = None
    side: str | None = None


class TradesFrame(msgspec.Struct, tag_field="ccxt", tag="trades"):
    """``{"ccxt":"trades","symbol":"BTC/USDT","trades":[{"id":"7","price":"65083.66","amount":"0.1","side":"buy",
    "timestamp":1786310816618}]}``; a side may be missing: then nobody knows who took, and the trade is passed over.
    """

    symbol: str
    trades: list[TradeData]


class TickerFrame(msgspec.Struct, tag_field="ccxt", tag="ticker"):
    """``{"ccxt":"ticker","symbol":"BTC/USDT","bid":"65083.66","bidVolume":"0.2","ask":"65083.67","askVolume":"0.3",
    "last":"65083.66","markPrice":null,"indexPrice":null,"timestamp":1786310816618}``
    """

    symbol: str
    bid: Decimal | None = None
    bidVolume: Decimal | None = None
    ask: Decimal | None = None
    askVolume: Decimal | None = None
    last: Decimal | None = None
    markPrice: Decimal | None = None
    indexPrice: Decimal | None = None
    timestamp: Millis | None = None


class MarketBody(msgspec.Struct):
    """``{"base":"BTC","quote":"USDT","tick":"0.01","lot":"0.00001","contractSize":null,"active":true,"minAmount":"0.00001",
    "maxAmount":null,"minCost":"5","maxCost":null,"maker":"0.001","taker":"0.001"}``: what is needed of ccxt's market.
    """

    base: str
    quote: str
    tick: Decimal
    lot: Decimal
    contractSize: Decimal | None = None
    active: bool | None = None
    minAmount: Decimal | None = None
    maxAmount: Decimal | None = None
    minCost: Decimal | None = None
    maxCost: Decimal | None = None
    maker: Decimal | None = None
    taker: Decimal | None = None


_frame = msgspec.json.Decoder(BookFrame | TradesFrame | TickerFrame)
_market = msgspec.json.Decoder(MarketBody)


def parse(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    """See ``adapters.base.Parser``."""
    try:
        own = read_own(frame)
        if own is not None:
            named(own.symbol, venue_symbol(reading.instrument), reading)
            if own.event is not None:
                return (own.event,)
            return _defined(_market.decode(own.body), reading) if own.what == "market" else None
        told = _frame.decode(frame)
        named(told.symbol, venue_symbol(reading.instrument), reading)
        if isinstance(told, BookFrame):
            return (_book(told, reading),)
        return _trades(told, reading) if isinstance(told, TradesFrame) else _ticker(told, reading)
    except UNREADABLE as error:
        raise BadFrame(f"not a frame of ours: {error}") from error


def _time(timestamp: int | None, reading: Reading) -> int:
    return timestamp * 1_000_000 if timestamp else reading.ts_venue or reading.ts_init


def _book(d: BookFrame, reading: Reading) -> BookSnapshot:
    return BookSnapshot(
        instrument=reading.instrument,
        bids=d.bids,
        asks=d.asks,
        depth=max(d.depth, 0),
        sampled=True,
        sequence=d.nonce if d.nonce is not None and 0 <= d.nonce < 2**62 else 0,
        ts_event=_time(d.timestamp, reading),
        ts_init=reading.ts_init,
    )


def _trades(d: TradesFrame, reading: Reading) -> list[Parsed]:
    out: list[Parsed] = []
    recent = reading.memory.get(RECENT, ",")
    for trade in d.trades:
        if trade.side is None or (trade.id and f",{trade.id}," in recent):
            continue
        record = Trade(
            instrument=reading.instrument,
            trade_id=trade.id or "",
            price=positive(trade.price, "price"),
            size=positive(trade.amount, "size"),
            aggressor=side_of(trade.side),
            ts_event=trade.timestamp * 1_000_000,
            ts_init=reading.ts_init,
        )
        out.append(record)
        recent += f"{trade.id}," if trade.id else ""
    reading.memory[RECENT] = recent if len(recent) <= RECENT_MOST else recent[recent.find(",", -RECENT_MOST) :]
    return out


def _ticker(d: TickerFrame, reading: Reading) -> list[Parsed]:
    out: list[Parsed] = []
    instrument, ts_event, ts_init = reading.instrument, _time(d.timestamp, reading), reading.ts_init
    if d.bid and d.bidVolume and d.ask and d.askVolume:
        quoted(d.bid, d.bidVolume, d.ask, d.askVolume)
        quote = Quote(
            instrument=instrument,
            best_bid=d.bid,
            bid_size=d.bidVolume,
            best_ask=d.ask,
            ask_size=d.askVolume,
            ts_event=ts_event,
            ts_init=ts_init,
        )
        out.append(quote)
    last, mark, index = told(d.last), told(d.markPrice), told(d.indexPrice)
    if last is not None or mark is not None or index is not None:
        out.append(Ticker(instrument=instrument, last=last, mark=mark, index=index, ts_event=ts_event, ts_init=ts_init))
    return out


def _defined(d: MarketBody, reading: Reading) -> Sequence[Parsed]:
    tradable = d.active is not False
    return (
        Instrument(
            instrument=reading.instrument,
            venue=reading.venue,
            venue_symbol=venue_symbol(reading.instrument),
            base=d.base,
            quote=d.quote,
            tick_size=positive(d.tick, "tick"),
            lot_size=positive(d.lot, "lot"),
            min_qty=told(d.minAmount),
            max_qty=told(d.maxAmount),
            min_notional=told(d.minCost),
            max_notional=told(d.maxCost),
            multiplier=told(d.contractSize) or Decimal(1),
            kind=kind_of(reading.instrument),
            inverse=reading.instrument.endswith("-INV"),
            maker_fee=_fee(d.maker),
            taker_fee=_fee(d.taker),
            tradable=tradable,
            sampled=True,
            ts_init=reading.ts_init,
        ),
        InstrumentStatus(
            instrument=reading.instrument,
            status=TradingStatus.TRADING if tradable else TradingStatus.HALTED,
            ts_event=reading.ts_venue or reading.ts_init,
            ts_init=reading.ts_init,
        ),
    )


def _fee(fraction: Decimal | None) -> Decimal | None:
    return fraction if fraction is not None and -1 < fraction < 1 else None
