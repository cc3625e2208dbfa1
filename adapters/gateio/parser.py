"""Gate.io's public frames, to records; here those of spot (``futures`` has the others). Pure. Accepted are notifications of
version 4, and our own wrappings.

The venue's pages (www.gate.com/docs/developers/apiv4/ws/en): ``spot.order_book_update``, ``spot.trades``,
``spot.book_ticker``, ``spot.tickers``, and "Retrieve order book" of its REST API. Numbers are strings of digits and stay
exact. Times are milliseconds.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from adapters.base import BadFrame, Parsed, Reading, read_own
from adapters.gateio import futures
from adapters.gateio.definition import contracts, definitions
from adapters.gateio.symbols import FUTURES, spelled, venue_symbol
from adapters.gateio.wire import BookBody, BookTicker, BookUpdate, TickerData, TradeData
from adapters.parsing import UNREADABLE, Millis, named, positive, quoted, side_of, text_in, told
from topics.market import BookDelta, BookSnapshot, Quote, Ticker, Trade
from topics.record import Level

CHANNEL: Final = b'"channel":"'
UPDATE: Final = b'"event":"update"'
LAST_MS: Final = Decimal(9_000_000_000_000)


class _Book(msgspec.Struct):
    result: BookUpdate


class _Trade(msgspec.Struct):
    result: TradeData


class _Quote(msgspec.Struct):
    result: BookTicker


class _Ticker(msgspec.Struct):
    result: TickerData
    time: int
    time_ms: Millis = 0


class _Error(msgspec.Struct, frozen=True):
    code: int = 0
    message: str = ""


class _Head(msgspec.Struct):
    """What is no update: ``{"time":1,"channel":"spot.trades","event":"subscribe","error":{"code":2,"message":"…"}}``"""

    channel: str = ""
    event: str = ""
    error: _Error | None = None


_book = msgspec.json.Decoder(_Book)
_trade = msgspec.json.Decoder(_Trade)
_quote = msgspec.json.Decoder(_Quote)
_ticker = msgspec.json.Decoder(_Ticker)
_body = msgspec.json.Decoder(BookBody)
_head = msgspec.json.Decoder(_Head)


def parse(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    """See ``adapters.base.Parser``."""
    try:
        if UPDATE in frame:
            return _update(text_in(frame, CHANNEL), frame, reading)
        return _other(frame, reading)
    except UNREADABLE as error:
        raise BadFrame(f"not a frame of this venue: {error}") from error


def _other(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    own = read_own(frame)
    if own is not None:
        named(own.symbol, venue_symbol(reading.instrument), reading)
        return _answer(own.what, own.body, reading) if own.event is None else (own.event,)
    head = _head.decode(frame)
    if head.error is not None:
        raise BadFrame(f"the venue says: {head.error.message} ({head.error.code})")
    return _update(head.channel, frame, reading) if head.event == "update" else None


def _update(channel: str, frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    """Both markets spell alike: BadFrame for a frame of the other one."""
    read = _CHANNELS.get(channel)
    if read is None:
        return None
    if channel.startswith("futures.") != venue_symbol(reading.instrument).startswith(FUTURES):
        raise BadFrame(f"{channel} is not about {reading.instrument}")
    return read(frame, reading)


def _answer(what: str, body: bytes, reading: Reading) -> Sequence[Parsed] | None:
    match what:
        case "depth" if venue_symbol(reading.instrument) != spelled(reading.instrument):
            return futures.begun(body, reading)
        case "depth":
            d = _body.decode(body)
            return (_snapshot(d.bids, d.asks, d.id, d.update, reading),)
        case "definition":
            return definitions(body, reading)
        case "contract":
            return contracts(body, reading)
    return None


def _snapshot(
    bids: tuple[Level, ...], asks: tuple[Level, ...], sequence: int, time_ms: int, reading: Reading
) -> BookSnapshot:
    return BookSnapshot(
        instrument=reading.instrument,
        bids=bids,
        asks=asks,
        sequence=sequence,
        ts_event=time_ms * 1_000_000 or reading.ts_venue or reading.ts_init,
        ts_init=reading.ts_init,
    )


def _changed(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _book.decode(frame).result
    named(d.s, spelled(reading.instrument), reading)
    if d.u < d.U:
        raise BadFrame(f"update ids run backwards: {d.U} to {d.u}")
    if d.full:
        return (_snapshot(d.b, d.a, d.u, d.t, reading),)
    return (
        BookDelta(
            instrument=reading.instrument,
            bids=d.b,
            asks=d.a,
            first_sequence=d.U,
            sequence=d.u,
            ts_event=d.t * 1_000_000,
            ts_init=reading.ts_init,
        ),
    )


def _traded(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _trade.decode(frame).result
    named(d.currency_pair, spelled(reading.instrument), reading)
    if not 0 <= d.create_time_ms < LAST_MS:
        raise BadFrame(f"trade {d.id}: not a time: {d.create_time_ms}")
    return (
        Trade(
            instrument=reading.instrument,
            trade_id=str(d.id),
            price=positive(d.price, "price"),
            size=positive(d.amount, "size"),
            aggressor=side_of(d.side),
            ts_event=int(d.create_time_ms * 1_000_000),
            ts_init=reading.ts_init,
        ),
    )


def _quoted(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    d = _quote.decode(frame).result
    named(d.s, spelled(reading.instrument), reading)
    if not d.b or not d.a:
        return None
    bid, bid_size, ask, ask_size = Decimal(d.b), Decimal(d.B), Decimal(d.a), Decimal(d.A)
    quoted(bid, bid_size, ask, ask_size)
    return (
        Quote(
            instrument=reading.instrument,
            best_bid=bid,
            bid_size=bid_size,
            best_ask=ask,
            ask_size=ask_size,
            sequence=d.u,
            ts_event=d.t * 1_000_000,
            ts_init=reading.ts_init,
        ),
    )


def _ticked(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    d = _ticker.decode(frame)
    named(d.result.currency_pair, spelled(reading.instrument), reading)
    last = told(d.result.last)
    if last is None:
        return None
    if not 0 <= d.time < LAST_MS // 1000:
        raise BadFrame(f"not a time: {d.time}")
    ts_event = d.time_ms * 1_000_000 or d.time * 1_000_000_000
    return (Ticker(instrument=reading.instrument, last=last, ts_event=ts_event, ts_init=reading.ts_init),)


_CHANNELS: Final[dict[str, Callable[[bytes, Reading], Sequence[Parsed] | None]]] = {
    "spot.order_book_update": _changed,
    "spot.trades": _traded,
    "spot.book_ticker": _quoted,
    "spot.tickers": _ticked,
    **futures.CHANNELS,
}
