"""Bitstamp's public frames, to records. Pure, with a memory of the numbers that came last. Accepted are the channels
below, and our own wrappings.

The venue's page: www.bitstamp.net/websocket/v2 (``diff_order_book_[market]``, ``live_trades_[market]``,
``funding_rate_[market]``) and "Order book" of its REST API. Numbers are strings of digits and stay exact. Times are
microseconds.

A diff's time is its number: nothing says which one comes next, so that a lost one shows only when the book is crossed. One
that comes after a later one and was not there before is a ``Hole``.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final, Literal

import msgspec

from adapters.base import BadFrame, Hole, Parsed, Reading, Session, read_own
from adapters.bitstamp.definition import definitions
from adapters.bitstamp.orders import LAST, Rows, levels, ordered, resting
from adapters.bitstamp.symbols import venue_symbol
from adapters.parsing import UNREADABLE, named, positive, text_in, whole
from topics.market import BookDelta, BookSnapshot, Funding, Trade
from topics.record import Level, Side

CHANNEL: Final = b'"channel":"'
RECENT: Final = "recent"
RECENT_MOST: Final = 64 * 17
"""Characters of remembered numbers, 16 digits and a space each."""


class Body(msgspec.Struct):
    """``GET /api/v2/order_book/[market]/``; with ``group=2`` each row is an order, and its id is third."""

    microtimestamp: str
    bids: Rows
    asks: Rows


class Diff(msgspec.Struct):
    """``diff_order_book_[market]``: sizes are absolute, 0 removes.

    ``{"data":{"timestamp":"1641343691","microtimestamp":"1641343691244908","bids":[["1.15979","993.02588113"]],
    "asks":[["1.16601","0.00000000"]]},"channel":"diff_order_book_bateur","event":"data"}``
    """

    microtimestamp: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class TradeData(msgspec.Struct):
    """``live_trades_[market]``: type 0 is a buyer's order that took, 1 a seller's.

    ``{"data":{"id":216000477,"timestamp":"1641343699","amount":0.0792,"amount_str":"0.07920000","price":3805.44,
    "price_str":"3805.44","type":0,"microtimestamp":"1641343699596000","buy_order_id":1443875737346049,
    "sell_order_id":1443875731320832},"channel":"live_trades_ethusd","event":"trade"}``
    """

    id: int
    amount_str: Decimal
    price_str: Decimal
    type: Literal[0, 1]
    microtimestamp: str


class FundingData(msgspec.Struct):
    """``funding_rate_[market]``, times in seconds.

    ``{"data":{"funding_rate":"0.0024","timestamp":"1644406050","market":"BTC/USD-PERP","next_funding_time":
    "1644406050"},"channel":"funding_rate_btcusd-perp","event":"funding_rate_saved"}``
    """

    funding_rate: Decimal
    timestamp: str
    next_funding_time: str = "0"


class _Diff(msgspec.Struct):
    data: Diff


class _Trade(msgspec.Struct):
    data: TradeData


class _Funding(msgspec.Struct):
    data: FundingData


class _Head(msgspec.Struct):
    """What tells of the connection: ``{"event":"bts:error","channel":"","data":{"code":null,"message":"Bad
    subscription string."}}``, ``{"event":"bts:subscription_succeeded","channel":"live_trades_ethusd","data":{}}``
    """

    event: str = ""
    channel: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")


_diff = msgspec.json.Decoder(_Diff)
_trade = msgspec.json.Decoder(_Trade)
_funding = msgspec.json.Decoder(_Funding)
_body = msgspec.json.Decoder(Body)
_head = msgspec.json.Decoder(_Head)


def parse(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    """See ``adapters.base.Parser``."""
    try:
        if b'"event":"bts:' in frame or b'"data":' not in frame or frame.startswith(b'{"rest":'):
            return _other(frame, reading)
        kind, _, symbol = text_in(frame, CHANNEL).rpartition("_")
        read = _CHANNELS.get(kind)
        if read is None:
            return None
        named(symbol, venue_symbol(reading.instrument), reading)
        return read(frame, reading)
    except UNREADABLE as error:
        raise BadFrame(f"not a frame of this venue: {error}") from error


def _other(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    own = read_own(frame)
    if own is not None:
        named(own.symbol, venue_symbol(reading.instrument), reading)
        if isinstance(own.event, Session) and not own.event.beside:
            reading.memory.pop(LAST, None)
        return _answer(own.what, own.body, reading) if own.event is None else (own.event,)
    head = _head.decode(frame)
    if head.event == "bts:error":
        raise BadFrame(f"the venue says: {bytes(head.data).decode(errors='replace')}")
    return None


def _answer(what: str, body: bytes, reading: Reading) -> Sequence[Parsed] | None:
    match what:
        case "depth":
            d = _body.decode(body)
            number = whole(d.microtimestamp, "microtimestamp")
            snapshot = BookSnapshot(
                instrument=reading.instrument,
                bids=levels(d.bids),
                asks=levels(d.asks),
                sequence=number,
                ts_event=_ns(number),
                ts_init=reading.ts_init,
            )
            each = [len(row) for row in (*d.bids, *d.asks)]
            if 3 not in each and (each or LAST not in reading.memory):
                return (snapshot,)  # of levels; an empty one is of orders where they are followed
            if 2 in each:
                raise BadFrame("some rows are levels, some orders")
            return (snapshot, resting(d.bids, d.asks, number, reading))
        case "definition":
            return definitions(body, reading)
    return None


def _changed(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _diff.decode(frame).data
    number = whole(d.microtimestamp, "microtimestamp")
    delta = BookDelta(
        instrument=reading.instrument,
        bids=d.bids,
        asks=d.asks,
        sequence=number,
        ts_event=_ns(number),
        ts_init=reading.ts_init,
    )
    newest = _late(d.microtimestamp, reading.memory)
    return (delta,) if not newest else (Hole(newest, number), delta)


def _late(number: str, memory: dict[str, str]) -> int:
    """The newest number before this one when this one is older, and no copy of one that was there; else 0. Kept are the
    last few, each of 16 digits and a space.
    """
    recent, padded = memory.get(RECENT, ""), f"{number:0>16} "
    newest = recent[-17:]
    if padded > newest:
        memory[RECENT] = (recent + padded)[-RECENT_MOST:]
        return 0
    return 0 if padded in recent else int(newest)


def _traded(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _trade.decode(frame).data
    return (
        Trade(
            instrument=reading.instrument,
            trade_id=str(d.id),
            price=positive(d.price_str, "price"),
            size=positive(d.amount_str, "size"),
            aggressor=Side.SELL if d.type else Side.BUY,
            ts_event=_ns(whole(d.microtimestamp, "microtimestamp")),
            ts_init=reading.ts_init,
        ),
    )


def _funded(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _funding.decode(frame).data
    if not -1 < d.funding_rate < 1:
        raise BadFrame(f"not a rate: {d.funding_rate}")
    return (
        Funding(
            instrument=reading.instrument,
            rate=d.funding_rate,
            next_ts=_ns(whole(d.next_funding_time, "time") * 1_000_000),
            ts_event=_ns(whole(d.timestamp, "time") * 1_000_000),
            ts_init=reading.ts_init,
        ),
    )


def _ns(micros: int) -> int:
    if micros >= 10**16:
        raise BadFrame(f"not a time: {micros}")
    return micros * 1000


_CHANNELS: Final[dict[str, Callable[[bytes, Reading], Sequence[Parsed] | None]]] = {
    "diff_order_book": _changed,
    "live_orders": ordered,
    "live_trades": _traded,
    "funding_rate": _funded,
}
