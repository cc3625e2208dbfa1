"""Hyperliquid's public frames, to records. Pure, with a memory of the newest time and of the trades that came last: a subscription begins with some
that were told already. Accepted are the channels below, and our own wrappings.

The venue's page: "Websocket", "Subscriptions" of hyperliquid.gitbook.io (``l2Book``, ``trades``, ``bbo``,
``activeAssetCtx``). Numbers are strings of digits and stay exact. Times are milliseconds.

Each book is whole, of twenty levels a side, and its time is its number: an older one is no news.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from adapters.base import BadFrame, Parsed, Reading, read_own
from adapters.hyperliquid.definition import definitions
from adapters.hyperliquid.symbols import venue_symbol
from adapters.parsing import (
    MOST,
    UNREADABLE,
    Millis,
    Number,
    named,
    newest,
    positive,
    quoted,
    remembered,
    side_of,
    text_in,
    told,
)
from topics.market import BookSnapshot, Funding, OpenInterest, Quote, Ticker, Trade
from topics.record import Level

CHANNEL: Final = b'"channel":"'
RECENT: Final = "trades"
RECENT_MOST: Final = 4096
"""Characters of remembered trade ids, each between commas."""


class LevelData(msgspec.Struct):
    """``n`` orders stand there."""

    px: str
    sz: str


class BookData(msgspec.Struct):
    """``l2Book``: bids, then asks.

    ``{"channel":"l2Book","data":{"coin":"BTC","levels":[[{"n":5,"px":"105055.0","sz":"3.03622"}],
    [{"n":13,"px":"105056.0","sz":"6.34472"}]],"time":1737918843542}}``
    """

    coin: str
    levels: tuple[list[LevelData], list[LevelData]]
    time: Millis


class TradeData(msgspec.Struct):
    """``trades``, several in a frame; side is the taker's, B or A.

    ``{"channel":"trades","data":[{"coin":"BTC","hash":"0x0000…","px":"105056.0","side":"B","sz":"0.02222",
    "tid":917211710228416,"time":1737918847000,"users":["0x8a43…","0x6802…"]}]}``
    """

    coin: str
    px: Decimal
    side: str
    sz: Decimal
    tid: Number
    time: Millis


class BboData(msgspec.Struct):
    """``bbo``: bid and ask, null where a side is empty.

    ``{"channel":"bbo","data":{"coin":"BTC","time":1708622398623,"bbo":[{"px":"19900","sz":"1","n":1},
    {"px":"20100","sz":"1","n":1}]}}``
    """

    coin: str
    time: Millis
    bbo: tuple[LevelData | None, LevelData | None]


class ContextData(msgspec.Struct):
    """``activeAssetCtx``, of no time; funding is that of an hour. Spot's has no funding, oracle and interest.

    ``{"channel":"activeAssetCtx","data":{"coin":"BTC","ctx":{"dayNtlVlm":"1169046.29406","funding":"0.0000125",
    "impactPxs":["14.3047","14.3444"],"markPx":"14.3161","midPx":"14.314855","openInterest":"688.11","oraclePx":"14.32",
    "premium":"0.00031774","prevDayPx":"15.322"}}}``
    """

    markPx: Decimal | None = None
    oraclePx: Decimal | None = None
    funding: Decimal | None = None
    openInterest: Decimal | None = None


class _Asset(msgspec.Struct):
    coin: str
    ctx: ContextData


class _Book(msgspec.Struct):
    data: BookData


class _Trades(msgspec.Struct):
    data: list[TradeData]


class _Bbo(msgspec.Struct):
    data: BboData


class _Context(msgspec.Struct):
    data: _Asset


class _Error(msgspec.Struct):
    """``{"channel":"error","data":"Invalid subscription {\\"type\\":\\"l2Book\\",\\"coin\\":\\"X\\"}"}``"""

    channel: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")


_book = msgspec.json.Decoder(_Book)
_trades = msgspec.json.Decoder(_Trades)
_bbo = msgspec.json.Decoder(_Bbo)
_context = msgspec.json.Decoder(_Context)
_error = msgspec.json.Decoder(_Error)


def parse(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    """See ``adapters.base.Parser``."""
    try:
        read = _CHANNELS.get(text_in(frame, CHANNEL))
        return _other(frame, reading) if read is None else read(frame, reading)
    except UNREADABLE as error:
        raise BadFrame(f"not a frame of this venue: {error}") from error


def _other(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    own = read_own(frame)
    if own is None:
        found = _error.decode(frame)
        if found.channel == "error":
            raise BadFrame(f"the venue says: {bytes(found.data).decode(errors='replace')}")
        return None
    named(own.symbol, venue_symbol(reading.instrument), reading)
    if own.event is not None:
        return (own.event,)
    return definitions(own.body, reading) if own.what == "definition" else None


def _begun(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _book.decode(frame).data
    named(d.coin, venue_symbol(reading.instrument), reading)
    bids, asks = d.levels
    return (
        BookSnapshot(
            instrument=reading.instrument,
            bids=_levels(bids),
            asks=_levels(asks),
            sequence=d.time,
            ts_event=remembered(d.time * 1_000_000, reading),
            ts_init=reading.ts_init,
        ),
    )


def _levels(levels: list[LevelData]) -> tuple[Level, ...]:
    return tuple([(level.px, level.sz) for level in levels])


def _traded(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    wanted, out = venue_symbol(reading.instrument), list[Parsed]()
    recent = reading.memory.get(RECENT, ",")
    for d in _trades.decode(frame).data:
        named(d.coin, wanted, reading)
        if f",{d.tid}," in recent:
            continue
        trade = Trade(
            instrument=reading.instrument,
            trade_id=str(d.tid),
            price=positive(d.px, "price"),
            size=positive(d.sz, "size"),
            aggressor=side_of(d.side),
            ts_event=d.time * 1_000_000,
            ts_init=reading.ts_init,
        )
        recent += f"{d.tid},"
        out.append(trade)
    reading.memory[RECENT] = recent if len(recent) <= RECENT_MOST else recent[recent.index(",", -RECENT_MOST) :]
    return out


def _quoted(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    d = _bbo.decode(frame).data
    named(d.coin, venue_symbol(reading.instrument), reading)
    bid, ask = d.bbo
    if bid is None or ask is None:
        return None
    best_bid, bid_size, best_ask, ask_size = Decimal(bid.px), Decimal(bid.sz), Decimal(ask.px), Decimal(ask.sz)
    quoted(best_bid, bid_size, best_ask, ask_size)
    return (
        Quote(
            instrument=reading.instrument,
            best_bid=best_bid,
            bid_size=bid_size,
            best_ask=best_ask,
            ask_size=ask_size,
            ts_event=d.time * 1_000_000,
            ts_init=reading.ts_init,
        ),
    )


def _told(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d, out = _context.decode(frame).data, list[Parsed]()
    named(d.coin, venue_symbol(reading.instrument), reading)
    instrument, ts, ts_init = reading.instrument, newest(reading), reading.ts_init
    mark, index, rate, interest = told(d.ctx.markPx), told(d.ctx.oraclePx), d.ctx.funding, d.ctx.openInterest
    if mark is not None or index is not None:
        out.append(Ticker(instrument=instrument, mark=mark, index=index, ts_event=ts, ts_init=ts_init))
    if rate is not None and -1 < rate < 1:
        out.append(Funding(instrument=instrument, rate=rate, ts_event=ts, ts_init=ts_init))
    if interest is not None and 0 <= interest < MOST:
        out.append(OpenInterest(instrument=instrument, open_interest=interest, ts_event=ts, ts_init=ts_init))
    return out


_CHANNELS: Final[dict[str, Callable[[bytes, Reading], Sequence[Parsed] | None]]] = {
    "l2Book": _begun,
    "trades": _traded,
    "bbo": _quoted,
    "activeAssetCtx": _told,
    "activeSpotAssetCtx": _told,
}
