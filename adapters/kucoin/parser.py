"""KuCoin's public frames, to records; here those of spot (``futures`` has the others). Pure, with a memory of the newest
time. Accepted are messages of topics, and our own wrappings.

The venue's pages (www.kucoin.com/docs): "Level2 - Market Data" ``/market/level2:{symbol}``, "Match Execution Data"
``/market/match:{symbol}``, "Ticker" ``/market/ticker:{symbol}``, "Index Price" and "Mark Price" ``/indicator/…``, and "Get
Full OrderBook". Numbers are strings of digits and stay exact. Times are milliseconds, a match's nanoseconds.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from adapters.base import BadFrame, Parsed, Reading, read_own
from adapters.kucoin import futures
from adapters.kucoin.definition import definitions
from adapters.kucoin.symbols import FUTURES, venue_symbol
from adapters.kucoin.wire import FullBook, Indicator, Level2, Match, Rows, TickerData
from adapters.parsing import (
    UNREADABLE,
    named,
    newest,
    positive,
    quoted,
    remembered,
    side_of,
    text_in,
    told,
    whole,
)
from topics.market import BookDelta, BookSnapshot, Quote, Ticker, Trade
from topics.record import Level

TOPIC: Final = b'"topic":"'


class _Level2(msgspec.Struct):
    data: Level2


class _Match(msgspec.Struct):
    data: Match


class _Ticker(msgspec.Struct):
    data: TickerData


class _Indicator(msgspec.Struct):
    data: Indicator


class _FullBook(msgspec.Struct):
    data: FullBook


class _Head(msgspec.Struct):
    """A frame of no topic: ``{"id":"5","type":"error","code":404,"data":"topic … is not found"}``"""

    type: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")


_level2 = msgspec.json.Decoder(_Level2)
_match = msgspec.json.Decoder(_Match)
_ticker = msgspec.json.Decoder(_Ticker)
_indicator = msgspec.json.Decoder(_Indicator)
_full_book = msgspec.json.Decoder(_FullBook)
_head = msgspec.json.Decoder(_Head)


def parse(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    """See ``adapters.base.Parser``."""
    try:
        own = read_own(frame)
        if own is not None:
            named(own.symbol, venue_symbol(reading.instrument), reading)
            return _answer(own.what, own.body, reading) if own.event is None else (own.event,)
        kind, _, symbol = text_in(frame, TOPIC, 128).partition(":")
        read = _TOPICS.get(kind)
        if read is None:
            if not kind:
                _refused(frame)
            return None
        named(f"{FUTURES}{symbol}" if kind in futures.TOPICS else symbol, venue_symbol(reading.instrument), reading)
        return read(frame, reading)
    except UNREADABLE as error:
        raise BadFrame(f"not a frame of this venue: {error}") from error


def _refused(frame: bytes) -> None:
    """BadFrame for the venue's errors."""
    head = _head.decode(frame)
    if head.type == "error":
        raise BadFrame(f"the venue says: {bytes(head.data).decode(errors='replace')}")


def _answer(what: str, body: bytes, reading: Reading) -> Sequence[Parsed] | None:
    match what:
        case "depth" if venue_symbol(reading.instrument).startswith(FUTURES):
            return futures.begun(body, reading)
        case "depth":
            return _snapshot(body, reading)
        case "contract":
            return futures.defined(body, reading)
        case "definition":
            return definitions(body, reading)
    return None


def _snapshot(body: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _full_book.decode(body).data
    return (
        BookSnapshot(
            instrument=reading.instrument,
            bids=d.bids,
            asks=d.asks,
            sequence=whole(d.sequence, "sequence"),
            ts_event=remembered(d.time * 1_000_000, reading),
            ts_init=reading.ts_init,
        ),
    )


def _changed(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _level2.decode(frame).data
    named(d.symbol, venue_symbol(reading.instrument), reading)
    if d.sequenceEnd < d.sequenceStart:
        raise BadFrame(f"sequences run backwards: {d.sequenceStart} to {d.sequenceEnd}")
    return (
        BookDelta(
            instrument=reading.instrument,
            bids=_levels(d.changes.bids),
            asks=_levels(d.changes.asks),
            first_sequence=d.sequenceStart,
            sequence=d.sequenceEnd,
            ts_event=d.time * 1_000_000 or newest(reading),
            ts_init=reading.ts_init,
        ),
    )


def _levels(rows: Rows) -> tuple[Level, ...]:
    """In the order of their own numbers, should one price have changed twice."""
    if len(rows) > 1:
        rows = tuple(sorted(rows, key=lambda row: whole(row[2], "sequence")))
    return tuple([(price, size) for price, size, _ in rows if price != "0"])


def _matched(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _match.decode(frame).data
    named(d.symbol, venue_symbol(reading.instrument), reading)
    return (
        Trade(
            instrument=reading.instrument,
            trade_id=d.tradeId,
            price=positive(d.price, "price"),
            size=positive(d.size, "size"),
            aggressor=side_of(d.side),
            ts_event=remembered(whole(d.time, "time"), reading),
            ts_init=reading.ts_init,
        ),
    )


def _ticked(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _ticker.decode(frame).data
    ts_event = remembered(d.time * 1_000_000, reading) or newest(reading)
    out: list[Parsed] = []
    if d.bestBid and d.bestBidSize and d.bestAsk and d.bestAskSize:
        quoted(d.bestBid, d.bestBidSize, d.bestAsk, d.bestAskSize)
        out.append(
            Quote(
                instrument=reading.instrument,
                best_bid=d.bestBid,
                bid_size=d.bestBidSize,
                best_ask=d.bestAsk,
                ask_size=d.bestAskSize,
                sequence=whole(d.sequence, "sequence"),
                ts_event=ts_event,
                ts_init=reading.ts_init,
            )
        )
    if (last := told(d.price)) is not None:
        out.append(Ticker(instrument=reading.instrument, last=last, ts_event=ts_event, ts_init=reading.ts_init))
    return out


def _index(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _indicator.decode(frame).data
    price, ts = positive(d.value, "price"), d.timestamp * 1_000_000
    return (Ticker(instrument=reading.instrument, index=price, ts_event=ts, ts_init=reading.ts_init),)


def _mark(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _indicator.decode(frame).data
    price, ts = positive(d.value, "price"), d.timestamp * 1_000_000
    return (Ticker(instrument=reading.instrument, mark=price, ts_event=ts, ts_init=reading.ts_init),)


_TOPICS: Final[dict[str, Callable[[bytes, Reading], Sequence[Parsed] | None]]] = {
    "/market/level2": _changed,
    "/market/match": _matched,
    "/market/ticker": _ticked,
    "/indicator/index": _index,
    "/indicator/markPrice": _mark,
    **futures.TOPICS,
}
