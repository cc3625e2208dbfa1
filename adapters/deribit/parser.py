"""Deribit's public frames, to records. Pure. Accepted are notifications of JSON-RPC, and our own wrappings.

The venue's pages: docs.deribit.com, "Subscriptions" (``book.{instrument_name}.{interval}``, ``trades.…``, ``ticker.…``,
``quote.…``) and ``/public/get_instrument``. Numbers are JSON numbers, and their digits are kept. Times are milliseconds.
Sizes are what the venue calls amounts: US dollars of inverse futures, else units of the base currency.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final, Literal

import msgspec

from adapters.base import BadFrame, Parsed, Reading, read_own
from adapters.deribit.definition import definitions
from adapters.deribit.symbols import venue_symbol
from adapters.parsing import MOST, UNREADABLE, Millis, Number, named, positive, quoted, side_of, text_in, text_of, told
from topics.market import BookDelta, BookSnapshot, Funding, Liquidation, OpenInterest, Quote, Ticker, Trade
from topics.record import Level

Changes = tuple[tuple[Literal["new", "change", "delete"], Decimal, Decimal], ...]


class BookData(msgspec.Struct):
    """``book.{instrument_name}.{interval}``: the first is whole; each later one names the one before it. Older ones have no
    type.

    ``{"type":"change","timestamp":1626993724000,"prev_change_id":13169025645,"instrument_name":"ETH-30JUL21-2800-C",
    "change_id":13169025661,"bids":[["change",0.0015,4614.0]],"asks":[["delete",0.017,0.0]]}``
    """

    timestamp: Millis
    instrument_name: str
    change_id: Number
    bids: Changes
    asks: Changes
    type: Literal["", "snapshot", "change"] = ""
    prev_change_id: Number | None = None


class TradeData(msgspec.Struct):
    """``trades.{instrument_name}.{interval}``, several in a frame. ``liquidation``: whose position the venue closed,
    the maker's ("M"), the taker's ("T") or both.

    ``{"trade_seq":30289442,"trade_id":"48079269","timestamp":1590484512188,"tick_direction":2,"price":8950,
    "mark_price":8948.9,"instrument_name":"BTC-PERPETUAL","index_price":8955.88,"direction":"sell","amount":10}``
    """

    trade_id: str
    timestamp: Millis
    price: Decimal
    instrument_name: str
    direction: str
    amount: Decimal
    liquidation: Literal["", "M", "T", "MT"] = ""


class TickerData(msgspec.Struct):
    """``ticker.{instrument_name}.{interval}`` and, without the prices beside the book, ``quote.{instrument_name}``. A side
    that is empty is 0. ``current_funding``: of perpetuals, that of 8 hours.

    ``{"timestamp":1626993723632,"state":"open","open_interest":12685.0,"mark_price":0.001972,"last_price":0.002,
    "instrument_name":"ETH-30JUL21-2800-C","index_price":2006.72,"best_bid_price":0.0015,"best_bid_amount":4714.0,
    "best_ask_price":0.0025,"best_ask_amount":873.0}``
    """

    timestamp: Millis
    instrument_name: str
    best_bid_price: Decimal | None = None
    best_bid_amount: Decimal | None = None
    best_ask_price: Decimal | None = None
    best_ask_amount: Decimal | None = None
    last_price: Decimal | None = None
    mark_price: Decimal | None = None
    index_price: Decimal | None = None
    open_interest: Decimal | None = None
    current_funding: Decimal | None = None


class _BookParams(msgspec.Struct):
    data: BookData


class _TradeParams(msgspec.Struct):
    data: list[TradeData]


class _TickerParams(msgspec.Struct):
    data: TickerData


class _Book(msgspec.Struct):
    params: _BookParams


class _Trades(msgspec.Struct):
    params: _TradeParams


class _Ticker(msgspec.Struct):
    params: _TickerParams


class _Channel(msgspec.Struct, frozen=True):
    channel: str = ""


class _Head(msgspec.Struct):
    """What a frame may be that does not begin as notifications do."""

    params: _Channel = _Channel()
    error: msgspec.Raw = msgspec.Raw(b"")


_book = msgspec.json.Decoder(_Book)
_trades = msgspec.json.Decoder(_Trades)
_ticker = msgspec.json.Decoder(_Ticker)
_head = msgspec.json.Decoder(_Head)

NOTIFICATION: Final = b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"'
AT: Final = len(NOTIFICATION)


def parse(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    """See ``adapters.base.Parser``."""
    try:
        if not frame.startswith(NOTIFICATION):
            return _other(frame, reading)
        read = _CHANNELS.get(frame[AT : frame.find(b".", AT, AT + 32)])
        return None if read is None else read(frame, reading)
    except UNREADABLE as error:
        raise BadFrame(f"not a frame of this venue: {error}") from error


def _other(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    own = read_own(frame)
    if own is not None:
        named(own.symbol, venue_symbol(reading.instrument), reading)
        if own.event is not None:
            return (own.event,)
        return definitions(own.body, reading) if own.what == "definition" else None
    head = _head.decode(frame)
    if bytes(head.error):
        raise BadFrame(f"the venue says: {bytes(head.error).decode(errors='replace')}")
    read = _CHANNELS.get(head.params.channel.partition(".")[0].encode())
    return None if read is None else read(frame, reading)


def _changed(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    if text_in(frame, b'"channel":"').count(".") > 2:
        return None  # grouped, and cut off at a depth: book.{instrument_name}.{group}.{depth}.{interval}
    d = _book.decode(frame).params.data
    named(d.instrument_name, venue_symbol(reading.instrument), reading)
    if d.type == "snapshot" or not (d.type or d.prev_change_id):
        return (
            BookSnapshot(
                instrument=reading.instrument,
                bids=_levels(d.bids),
                asks=_levels(d.asks),
                sequence=d.change_id,
                ts_event=d.timestamp * 1_000_000,
                ts_init=reading.ts_init,
            ),
        )
    if d.prev_change_id is None or d.prev_change_id >= d.change_id:
        raise BadFrame(f"change {d.change_id} does not follow {d.prev_change_id}")
    return (
        BookDelta(
            instrument=reading.instrument,
            bids=_levels(d.bids),
            asks=_levels(d.asks),
            first_sequence=d.prev_change_id + 1,
            sequence=d.change_id,
            ts_event=d.timestamp * 1_000_000,
            ts_init=reading.ts_init,
        ),
    )


def _levels(changes: Changes) -> tuple[Level, ...]:
    return tuple(
        [(text_of(price), "0" if action == "delete" else text_of(amount)) for action, price, amount in changes]
    )


def _traded(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    out: list[Parsed] = []
    for d in _trades.decode(frame).params.data:
        named(d.instrument_name, venue_symbol(reading.instrument), reading)
        taker, price, size = side_of(d.direction), positive(d.price, "price"), positive(d.amount, "size")
        ts_event = d.timestamp * 1_000_000
        out.append(
            Trade(
                instrument=reading.instrument,
                trade_id=d.trade_id,
                price=price,
                size=size,
                aggressor=taker,
                ts_event=ts_event,
                ts_init=reading.ts_init,
            )
        )
        out += [
            Liquidation(
                instrument=reading.instrument,
                side=taker if party == "T" else taker.opposite,
                price=price,
                size=size,
                ts_event=ts_event,
                ts_init=reading.ts_init,
            )
            for party in d.liquidation
        ]
    return out


def _ticked(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _ticker.decode(frame).params.data
    named(d.instrument_name, venue_symbol(reading.instrument), reading)
    ts, instrument, ts_init = d.timestamp * 1_000_000, reading.instrument, reading.ts_init
    out = _quote(d, ts, reading)
    last, mark, index = told(d.last_price), told(d.mark_price), told(d.index_price)
    if last is not None or mark is not None or index is not None:
        out.append(
            Ticker(instrument=instrument, last=last, mark=mark, index=index, ts_event=ts, ts_init=ts_init),
        )
    if d.open_interest is not None and 0 <= d.open_interest < MOST:
        out.append(
            OpenInterest(instrument=instrument, open_interest=d.open_interest, ts_event=ts, ts_init=ts_init),
        )
    if d.current_funding is not None and -1 < d.current_funding < 1:
        out.append(Funding(instrument=instrument, rate=d.current_funding, ts_event=ts, ts_init=ts_init))
    return out


def _quote(d: TickerData, ts_event: int, reading: Reading) -> list[Parsed]:
    """Nothing where a side is empty."""
    bid, ask, bid_size, ask_size = d.best_bid_price, d.best_ask_price, d.best_bid_amount, d.best_ask_amount
    if not bid or not ask or not bid_size or not ask_size:
        return []
    quoted(bid, bid_size, ask, ask_size)
    return [
        Quote(
            instrument=reading.instrument,
            best_bid=bid,
            bid_size=bid_size,
            best_ask=ask,
            ask_size=ask_size,
            ts_event=ts_event,
            ts_init=reading.ts_init,
        )
    ]


_CHANNELS: Final[dict[bytes, Callable[[bytes, Reading], Sequence[Parsed] | None]]] = {
    b"book": _changed,
    b"trades": _traded,
    b"ticker": _ticked,
    b"quote": _ticked,
}
