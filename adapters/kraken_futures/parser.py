"""Kraken Futures' public frames, to records. Pure.

The venue's pages: docs.kraken.com/exchange/api-reference/futures-websocket (book, trade, ticker). Numbers are JSON numbers,
kept in the digits they came in; times are milliseconds. ``seq`` of a product's book goes up by one with every frame.

Passed over (None): trades from before the connection (``trade_snapshot``), ``ticker_lite`` (it tells no sizes), answers to
subscriptions, heartbeats, what nobody asked for.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Raw

from adapters.base import BadFrame, Parsed, Reading, read_own
from adapters.kraken_futures.definition import Instruments, definition
from adapters.kraken_futures.symbols import instrument_of, venue_symbol
from adapters.parsing import named, positive, text_of
from topics import native
from topics.market import BookDelta, BookSnapshot, Funding, Liquidation, OpenInterest, Quote, Ticker, Trade
from topics.record import Level, Side

Millis = Annotated[int, Meta(ge=0, le=9_000_000_000_000)]
Sequence_ = Annotated[int, Meta(ge=1, le=2**62)]


class BookFrame(msgspec.Struct, gc=False):
    """The page's "Book": one level, its size absolute, 0 removes.

    ``{"feed":"book","product_id":"PI_ETHUSD","side":"sell","seq":26660860,"price":2004.85,"qty":4787.0,
    "timestamp":1626994927744}``
    """

    product_id: str
    side: Literal["buy", "sell"]
    seq: Sequence_
    price: Raw
    qty: Raw
    timestamp: Millis


class WireLevel(msgspec.Struct, gc=False):
    price: Decimal
    qty: Decimal


class BookSnapshotFrame(msgspec.Struct, gc=False):
    """``{"feed":"book_snapshot","product_id":"FI_BCHUSD_210730","timestamp":1626994925378,"seq":91192,"tickSize":null,
    "bids":[{"price":439.3,"qty":20108.0}],"asks":[{"price":443.6,"qty":39149.0}]}``
    """

    product_id: str
    seq: Sequence_
    timestamp: Millis
    bids: list[WireLevel]
    asks: list[WireLevel]


class TradeFrame(msgspec.Struct, gc=False):
    """The page's "Trade"; ``type`` is ``fill``, ``liquidation``, ``assignment``, ``termination`` or ``block``.

    ``{"feed":"trade","product_id":"PI_LTCUSD","uid":"e2429e31-8b9d-4195-900e-fd42be2dec89","side":"buy","type":"fill",
    "seq":5956,"time":1626994929946,"qty":320.0,"price":119.44}``
    """

    product_id: str
    uid: str
    side: Literal["buy", "sell"]
    type: str
    time: Millis
    qty: Decimal
    price: Decimal


class TickerFrame(msgspec.Struct, gc=False):
    """The page's "Ticker", once a second at most. ``relative_funding_rate`` is the running period's, as a fraction.

    ``{"feed":"ticker","product_id":"PI_XBTUSD","time":1680811086487,"bid":28060,"ask":28070,"bid_size":2844,"ask_size":1902,
    "last":28053.5,"index":28062.14,"markPrice":28064.92082724592,"openInterest":28875946,
    "relative_funding_rate":2.18013888889e-7,"next_funding_rate_time":1680811200000,…}``
    """

    product_id: str
    time: Millis
    bid: Decimal | None = None
    ask: Decimal | None = None
    bid_size: Decimal | None = None
    ask_size: Decimal | None = None
    last: Decimal | None = None
    index: Decimal | None = None
    markPrice: Decimal | None = None
    openInterest: Decimal | None = None
    relative_funding_rate: Decimal | None = None
    next_funding_rate_time: Millis = 0


class _Envelope(msgspec.Struct, gc=False):
    event: str = ""
    feed: str = ""
    message: str = ""


_book = msgspec.json.Decoder(BookFrame).decode
_usual_snapshot = native.template(
    b'{"feed":"book_snapshot","product_id":"%s","timestamp":%M,"seq":%d,"tickSize":null,'
    b'"bids":%[{"price":%P,"qty":%Q}%],"asks":%[{"price":%P,"qty":%Q}%]}'
)
_whole = msgspec.json.Decoder(BookSnapshotFrame).decode
_trade = msgspec.json.Decoder(TradeFrame).decode
_ticker = msgspec.json.Decoder(TickerFrame).decode
_envelope = msgspec.json.Decoder(_Envelope).decode
_instruments = msgspec.json.Decoder(Instruments).decode


def _parse(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    try:
        return _on_book(frame, reading) if frame.startswith(b'{"feed":"book",') else _other(frame, reading)
    except BadFrame:
        raise
    except (msgspec.MsgspecError, ValueError, InvalidOperation, RecursionError) as error:
        if reading.instrument.endswith(":"):
            return None  # about an instrument that is not followed
        raise BadFrame(f"not a frame of this venue: {error}") from error


parse = native.deltas(
    (b'{"feed":"book","product_id":"%s","side":"%k","seq":%d,"price":%n,"qty":%n,"timestamp":%M}',),
    ("symbol", "is_bid", "sequence", "price", "size", "ts_event"),
    venue_symbol,
    _parse,
)
"""See ``adapters.base.Parser``."""


def _on_book(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _book(frame)
    instrument, ts_init = reading.instrument, reading.ts_init
    if d.product_id != venue_symbol(instrument):
        named(d.product_id, venue_symbol(instrument), reading)
    level = ((str(d.price, "ascii"), str(d.qty, "ascii")),)
    seq = d.seq
    return (
        BookDelta(
            instrument=instrument,
            bids=level if d.side == "buy" else (),
            asks=() if d.side == "buy" else level,
            first_sequence=seq,
            sequence=seq,
            ts_event=d.timestamp * 1_000_000,
            ts_init=ts_init,
        ),
    )


def _other(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    own = read_own(frame)
    if own is not None:
        if instrument_of(reading.venue, own.symbol) != reading.instrument:
            raise BadFrame(f"names {own.symbol!r}, not {reading.instrument}")
        if own.event is not None:
            return (own.event,)
        return definition(_instruments(own.body), reading) if own.what == "instruments" else None
    head = _envelope(frame)
    if head.event in ("alert", "error") or head.event.endswith("_failed"):
        raise BadFrame(f"the venue says: {head.message or head.event}")
    read = _FEEDS.get(head.feed)
    return None if read is None or head.event else read(frame, reading)


def _on_snapshot(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    found = _usual_snapshot(frame)
    if found is not None and found[2]:
        product, ts_event, seq, bids, asks = found
    else:
        d = _whole(frame)
        product, ts_event, seq, bids, asks = (
            d.product_id,
            d.timestamp * 1_000_000,
            d.seq,
            _texts(d.bids),
            _texts(d.asks),
        )
    named(product, venue_symbol(reading.instrument), reading)
    snapshot = BookSnapshot(
        instrument=reading.instrument,
        bids=bids,
        asks=asks,
        sequence=seq,
        ts_event=ts_event,
        ts_init=reading.ts_init,
    )
    return (snapshot,)


def _texts(levels: list[WireLevel]) -> tuple[Level, ...]:
    return tuple([(text_of(level.price), text_of(level.qty)) for level in levels])


def _on_trade(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _trade(frame)
    named(d.product_id, venue_symbol(reading.instrument), reading)
    trade = Trade(
        instrument=reading.instrument,
        trade_id=d.uid,
        price=positive(d.price, "price"),
        size=positive(d.qty, "size"),
        aggressor=Side(d.side),
        ts_event=d.time * 1_000_000,
        ts_init=reading.ts_init,
    )
    if d.type != "liquidation":
        return (trade,)
    liquidation = Liquidation(
        instrument=reading.instrument,
        side=trade.aggressor,
        price=trade.price,
        size=trade.size,
        ts_event=trade.ts_event,
        ts_init=reading.ts_init,
    )
    return (trade, liquidation)


def _on_ticker(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _ticker(frame)
    named(d.product_id, venue_symbol(reading.instrument), reading)
    instrument, ts_event, ts_init = reading.instrument, d.time * 1_000_000, reading.ts_init
    found: list[Parsed] = [
        Ticker(
            instrument=instrument,
            last=_price(d.last),
            mark=_price(d.markPrice),
            index=_price(d.index),
            ts_event=ts_event,
            ts_init=ts_init,
        )
    ]
    if d.bid and d.bid_size and d.ask and d.ask_size:
        if d.bid >= d.ask:
            raise BadFrame(f"not a quote: {d.bid} / {d.ask}")
        found.append(
            Quote(
                instrument=instrument,
                best_bid=positive(d.bid, "bid"),
                bid_size=positive(d.bid_size, "size"),
                best_ask=positive(d.ask, "ask"),
                ask_size=positive(d.ask_size, "size"),
                ts_event=ts_event,
                ts_init=ts_init,
            )
        )
    if d.relative_funding_rate is not None:
        rate, due = d.relative_funding_rate, d.next_funding_rate_time * 1_000_000
        if not -1 < rate < 1:
            raise BadFrame(f"not a rate: {rate}")
        found.append(Funding(instrument=instrument, rate=rate, next_ts=due, ts_event=ts_event, ts_init=ts_init))
    if d.openInterest:
        interest = positive(d.openInterest, "open interest")
        found.append(OpenInterest(instrument=instrument, open_interest=interest, ts_event=ts_event, ts_init=ts_init))
    return found


def _price(number: Decimal | None) -> Decimal | None:
    return positive(number, "price") if number else None


_FEEDS: Final[dict[str, Callable[[bytes, Reading], Sequence[Parsed]]]] = {
    "book": _on_book,
    "book_snapshot": _on_snapshot,
    "trade": _on_trade,
    "ticker": _on_ticker,
}
