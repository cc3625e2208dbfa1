"""Kraken's public frames, to records. Pure. Accepted are frames of the websocket v2 and (for recordings) v1, and our own
wrappings.

The venue's pages: docs.kraken.com/exchange/api-reference/spot-websocket-v2 (book, trade, ticker). v2 sends JSON numbers with as
many digits as the pair has; where a recording lost zeros at their end they are put back, since checksums count them.

Passed over (None): kinds that nobody asked for, heartbeats, answers to subscriptions, trades from before the connection
(``snapshot``), quotes with an empty side. How deep a book is kept is only in the answer to its subscription; where it is
not recorded, the least of the venue's depths that a snapshot fits in is taken.
"""

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from adapters.base import BadFrame, Checked, Parsed, Reading, read_own
from adapters.kraken.definition import AssetPairs, definition
from adapters.kraken.digits import padded, padded_anew
from adapters.kraken.symbols import instrument_of, venue_symbol
from adapters.kraken.v1 import parse_old, told_of, usual
from adapters.parsing import iso_ns, positive, side_of, text_of
from topics.market import BookDelta, BookSnapshot, Trade
from topics.record import Level

DEPTHS: Final = (10, 25, 100, 500, 1000)


class WireLevel(msgspec.Struct, gc=False):
    """``{"price":85600.4,"qty":0.20401971}``"""

    price: Decimal
    qty: Decimal


class BookData(msgspec.Struct, gc=False):
    symbol: str
    bids: list[WireLevel]
    asks: list[WireLevel]
    checksum: Annotated[int, Meta(ge=0, lt=2**32)] | None = None
    timestamp: str = ""


class BookFrame(msgspec.Struct, gc=False):
    """The page's "Book": sizes are absolute, 0 removes; a snapshot looks the same.

    ``{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[],"asks":[{"price":85601.6,"qty":0.0},
    {"price":85608.0,"qty":0.04358176}],"checksum":3973935795,"timestamp":"2026-10-06T08:04:56.153890Z"}]}``
    """

    type: str
    data: list[BookData]


class TradeData(msgspec.Struct, gc=False):
    symbol: str
    side: str
    price: Decimal
    qty: Decimal
    trade_id: int
    timestamp: str


class TradeFrame(msgspec.Struct, gc=False):
    """The page's "Trade": ``{"channel":"trade","type":"update","data":[{"symbol":"MATIC/USD","side":"sell","price":0.5117,
    "qty":40.0,"ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}]}``
    """

    type: str
    data: list[TradeData]


class TickerData(msgspec.Struct, gc=False):
    symbol: str
    bid: Decimal
    bid_qty: Decimal
    ask: Decimal
    ask_qty: Decimal
    last: Decimal = Decimal(0)
    timestamp: str = ""


class TickerFrame(msgspec.Struct, gc=False):
    """The page's "Ticker": ``{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":108359.8,
    "bid_qty":0.01362603,"ask":108359.9,"ask_qty":17.17988863,"last":108359.8,"volume":2158.32346723,…}]}``
    """

    data: list[TickerData]


_Data = TypeVar("_Data", BookData, TradeData, TickerData)


class Subscribed(msgspec.Struct, gc=False):
    """``{"method":"subscribe","result":{"channel":"book","depth":10,"snapshot":true,"symbol":"ALGO/USD"},"success":true,…}``"""

    channel: str = ""
    symbol: str = ""
    depth: int = 0


class _Envelope(msgspec.Struct, gc=False):
    """Whatever else is sent; ``error`` and v1's ``errorMessage`` are the venue's refusals."""

    channel: str = ""
    method: str = ""
    result: Subscribed | None = None
    error: str | None = None
    errorMessage: str = ""


_book = msgspec.json.Decoder(BookFrame)
_trade = msgspec.json.Decoder(TradeFrame)
_ticker = msgspec.json.Decoder(TickerFrame)
_envelope = msgspec.json.Decoder(_Envelope)
_asset_pairs = msgspec.json.Decoder(AssetPairs)
_channel = re.compile(rb'\s*\{\s*"channel"\s*:\s*"([a-z_]*)"').match


def parse(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    """See ``adapters.base.Parser``."""
    try:
        if frame.startswith(b"["):
            return usual(frame, reading) or parse_old(frame, reading)
        found = _channel(frame)
        return _other(frame, reading) if found is None else _of_channel(found[1].decode(), frame, reading)
    except BadFrame:
        raise
    except (msgspec.MsgspecError, ValueError, InvalidOperation, RecursionError) as error:
        if reading.instrument.endswith(":"):
            return None  # about an instrument that is not followed
        raise BadFrame(f"not a frame of this venue: {error}") from error


def _of_channel(channel: str, frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    match channel:
        case "book":
            d = _book.decode(frame)
            return [_on_book(data, d.type, reading) for data in _ours(d.data, reading)]
        case "trade":
            t = _trade.decode(frame)
            return None if t.type == "snapshot" else [_on_trade(data, reading) for data in _ours(t.data, reading)]
        case "ticker":
            return [
                record for data in _ours(_ticker.decode(frame).data, reading) for record in _on_ticker(data, reading)
            ]
    return None


def _other(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    own = read_own(frame)
    if own is not None:
        if instrument_of(reading.venue, own.symbol) != reading.instrument:
            raise BadFrame(f"names {own.symbol!r}, not {reading.instrument}")
        if own.event is not None:
            return (own.event,)
        return definition(_asset_pairs.decode(own.body), reading) if own.what == "AssetPairs" else None
    d = _envelope.decode(frame)
    if d.error or d.errorMessage:
        raise BadFrame(f"the venue says: {d.error or d.errorMessage}")
    if d.channel:
        return _of_channel(d.channel, frame, reading)
    if d.method == "subscribe" and d.result is not None and d.result.channel == "book" and d.result.depth > 0:
        reading.memory["depth"] = str(d.result.depth)
    return None


def _ours(data: list[_Data], reading: Reading) -> list[_Data]:
    """Of frames that may be about several pairs."""
    wanted = venue_symbol(reading.instrument)
    found = [one for one in data if one.symbol == wanted]
    if not found:
        raise BadFrame(f"tells nothing of {reading.instrument}")
    return found


def _on_book(d: BookData, kind: str, reading: Reading) -> Parsed:
    ts_event = iso_ns(d.timestamp) if d.timestamp else reading.ts_venue or reading.ts_init
    change: BookDelta | BookSnapshot
    if kind == "update":
        bids, asks = padded(_texts(d.bids), _texts(d.asks), reading.memory)
        change = BookDelta(
            instrument=reading.instrument, bids=bids, asks=asks, ts_event=ts_event, ts_init=reading.ts_init
        )
    elif kind == "snapshot":
        bids, asks = padded_anew(_texts(d.bids), _texts(d.asks), reading.memory, d.checksum)
        change = BookSnapshot(
            instrument=reading.instrument,
            bids=bids,
            asks=asks,
            depth=_depth(max(len(bids), len(asks)), reading),
            ts_event=ts_event,
            ts_init=reading.ts_init,
        )
    else:
        raise BadFrame(f"neither snapshot nor update: {kind!r}")
    return change if d.checksum is None else Checked(change, d.checksum)


def _depth(levels: int, reading: Reading) -> int:
    told = reading.memory.get("depth")
    return int(told) if told else next((depth for depth in DEPTHS if depth >= levels), 0)


def _texts(levels: list[WireLevel]) -> list[Level]:
    return [(text_of(level.price), text_of(level.qty)) for level in levels]


def _on_trade(d: TradeData, reading: Reading) -> Trade:
    return Trade(
        instrument=reading.instrument,
        trade_id=str(d.trade_id),
        price=positive(d.price, "price"),
        size=positive(d.qty, "size"),
        aggressor=side_of(d.side),
        ts_event=iso_ns(d.timestamp),
        ts_init=reading.ts_init,
    )


def _on_ticker(d: TickerData, reading: Reading) -> Sequence[Parsed]:
    ts_event = iso_ns(d.timestamp) if d.timestamp else reading.ts_venue or reading.ts_init
    return told_of(d.bid, d.bid_qty, d.ask, d.ask_qty, d.last, ts_event, reading)
