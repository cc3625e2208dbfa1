"""Gate.io's public frames of perpetuals and futures, to records. Pure.

The venue's pages (www.gate.com/docs/developers/futures/ws/en): ``futures.order_book_update``, ``futures.trades``,
``futures.book_ticker``, ``futures.tickers``, ``futures.public_liquidates``. Sizes are contracts; the sign of a trade's is its
side. Times are milliseconds.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from adapters.base import BadFrame, Parsed, Reading
from adapters.gateio.symbols import spelled
from adapters.parsing import MOST, Millis, Number, named, positive, quoted, text_of, told
from topics.market import BookDelta, BookSnapshot, Funding, Liquidation, OpenInterest, Quote, Ticker, Trade
from topics.record import Level, Side


class LevelData(msgspec.Struct):
    p: str
    s: Decimal


class BookUpdate(msgspec.Struct):
    """``{"t":1615366381417,"s":"BTC_USD","U":2517661101,"u":2517661113,"b":[{"p":"54672.1","s":0}],
    "a":[{"p":"54743.6","s":0},{"p":"54742","s":95}]}``
    """

    t: Millis
    s: str
    U: Number
    u: Number
    b: list[LevelData]
    a: list[LevelData]
    full: bool = False


class BookBody(msgspec.Struct):
    """``GET /api/v4/futures/usdt/order_book?contract=…&with_id=true``, times in seconds and their parts.

    ``{"id":123456,"current":1623898993.123,"update":1623898993.121,"asks":[{"p":"1.52","s":100}],"bids":[{"p":"1.17",
    "s":150}]}``
    """

    id: Number
    asks: list[LevelData]
    bids: list[LevelData]
    update: Decimal = Decimal(0)


class TradeData(msgspec.Struct):
    """A size below 0 is a seller's that took.

    ``{"size":-108,"id":27753479,"create_time":1545136464,"create_time_ms":1545136464123,"price":"96.4","contract":"BTC_USD"}``
    """

    size: Decimal
    id: Number
    price: Decimal
    contract: str
    create_time: Number = 0
    create_time_ms: Millis = 0


class BookTicker(msgspec.Struct):
    """``{"t":1615366379123,"u":2517661076,"s":"BTC_USD","b":"54696.6","B":37000,"a":"54696.7","A":47061}``"""

    t: Millis
    u: Number
    s: str
    b: str
    B: Decimal
    a: str
    A: Decimal


class TickerData(msgspec.Struct):
    """``total_size`` is open interest. The time is the frame's.

    ``{"contract":"BTC_USD","last":"118.4","change_percentage":"0.77","funding_rate":"-0.000114","funding_rate_indicative":
    "0.01875","mark_price":"118.35","index_price":"118.36","total_size":"73648","volume_24h":"745487577"}``
    """

    contract: str
    last: Decimal | None = None
    mark_price: Decimal | None = None
    index_price: Decimal | None = None
    funding_rate: Decimal | None = None
    total_size: Decimal | None = None


class LiquidationData(msgspec.Struct):
    """A size below 0 is a sale.

    ``{"price":215.1,"size":-124,"time":1541486601,"time_ms":1541486601123,"contract":"BTC_USD"}``
    """

    price: Decimal
    size: Decimal
    contract: str
    time_ms: Millis


class _Book(msgspec.Struct):
    result: BookUpdate


class _Trades(msgspec.Struct):
    result: list[TradeData]


class _Quote(msgspec.Struct):
    result: BookTicker


class _Tickers(msgspec.Struct):
    result: list[TickerData]
    time: Number
    time_ms: Millis = 0


class _Liquidations(msgspec.Struct):
    result: list[LiquidationData]


_book = msgspec.json.Decoder(_Book)
_trades = msgspec.json.Decoder(_Trades)
_quote = msgspec.json.Decoder(_Quote)
_tickers = msgspec.json.Decoder(_Tickers)
_liquidations = msgspec.json.Decoder(_Liquidations)
_body = msgspec.json.Decoder(BookBody)


def begun(body: bytes, reading: Reading) -> Sequence[Parsed]:
    """A snapshot over REST."""
    d = _body.decode(body)
    if not 0 <= d.update < 9_000_000_000:
        raise BadFrame(f"not a time: {d.update}")
    return (_snapshot(d.bids, d.asks, d.id, int(d.update * 1_000_000_000), reading),)


def _snapshot(
    bids: list[LevelData], asks: list[LevelData], sequence: int, ts_event: int, reading: Reading
) -> BookSnapshot:
    return BookSnapshot(
        instrument=reading.instrument,
        bids=_levels(bids),
        asks=_levels(asks),
        sequence=sequence,
        ts_event=ts_event or reading.ts_venue or reading.ts_init,
        ts_init=reading.ts_init,
    )


def _levels(levels: list[LevelData]) -> tuple[Level, ...]:
    return tuple([(level.p, text_of(level.s)) for level in levels])


def _changed(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _book.decode(frame).result
    named(d.s, spelled(reading.instrument), reading)
    if d.u < d.U:
        raise BadFrame(f"update ids run backwards: {d.U} to {d.u}")
    if d.full:
        return (_snapshot(d.b, d.a, d.u, d.t * 1_000_000, reading),)
    return (
        BookDelta(
            instrument=reading.instrument,
            bids=_levels(d.b),
            asks=_levels(d.a),
            first_sequence=d.U,
            sequence=d.u,
            ts_event=d.t * 1_000_000,
            ts_init=reading.ts_init,
        ),
    )


def _traded(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    wanted = spelled(reading.instrument)
    return [
        Trade(
            instrument=reading.instrument,
            trade_id=str(d.id),
            price=positive(d.price, "price"),
            size=positive(abs(d.size), "size"),
            aggressor=Side.SELL if d.size < 0 else Side.BUY,
            ts_event=_ns(d.create_time, d.create_time_ms),
            ts_init=reading.ts_init,
        )
        for d in _trades.decode(frame).result
        if d.contract == wanted
    ]


def _quoted(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    d = _quote.decode(frame).result
    named(d.s, spelled(reading.instrument), reading)
    if not d.b or not d.a:
        return None
    bid, ask = Decimal(d.b), Decimal(d.a)
    quoted(bid, d.B, ask, d.A)
    return (
        Quote(
            instrument=reading.instrument,
            best_bid=bid,
            bid_size=d.B,
            best_ask=ask,
            ask_size=d.A,
            sequence=d.u,
            ts_event=d.t * 1_000_000,
            ts_init=reading.ts_init,
        ),
    )


def _ticked(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d, instrument, wanted, out = _tickers.decode(frame), reading.instrument, spelled(reading.instrument), list[Parsed]()
    ts, ts_init = _ns(d.time, d.time_ms), reading.ts_init
    for t in d.result:
        if t.contract != wanted:
            continue
        last, mark, index = told(t.last), told(t.mark_price), told(t.index_price)
        if last is not None or mark is not None or index is not None:
            out.append(Ticker(instrument=instrument, last=last, mark=mark, index=index, ts_event=ts, ts_init=ts_init))
        if t.funding_rate is not None and -1 < t.funding_rate < 1:
            out.append(Funding(instrument=instrument, rate=t.funding_rate, ts_event=ts, ts_init=ts_init))
        if t.total_size is not None and 0 <= t.total_size < MOST:
            out.append(OpenInterest(instrument=instrument, open_interest=t.total_size, ts_event=ts, ts_init=ts_init))
    return out


def _liquidated(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    wanted = spelled(reading.instrument)
    return [
        Liquidation(
            instrument=reading.instrument,
            side=Side.SELL if d.size < 0 else Side.BUY,
            price=positive(d.price, "price"),
            size=positive(abs(d.size), "size"),
            ts_event=d.time_ms * 1_000_000,
            ts_init=reading.ts_init,
        )
        for d in _liquidations.decode(frame).result
        if d.contract == wanted
    ]


def _ns(seconds: int, millis: int) -> int:
    if seconds >= 9_000_000_000:
        raise BadFrame(f"not a time: {seconds}")
    return millis * 1_000_000 or seconds * 1_000_000_000


CHANNELS: Final[dict[str, Callable[[bytes, Reading], Sequence[Parsed] | None]]] = {
    "futures.order_book_update": _changed,
    "futures.trades": _traded,
    "futures.book_ticker": _quoted,
    "futures.tickers": _ticked,
    "futures.public_liquidates": _liquidated,
}
