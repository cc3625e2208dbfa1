"""OKX's public frames (``adapters.okx.wire``), to records. Pure.

Passed over (None): kinds that nobody asked for (books of five levels among them), answers to subscriptions, ``pong``, quotes
with an empty side; quotes of ``tickers`` where ``bbo-tbt`` tells them too.
"""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Final

import msgspec

from adapters.base import BadFrame, Checked, Parsed, Reading, Session, read_own
from adapters.okx import wire
from adapters.okx.definition import Instruments, definition
from adapters.okx.symbols import venue_symbol
from adapters.parsing import BOOK, named, of_the_book, positive, side_of
from topics import native
from topics.market import BookDelta, BookSnapshot, Funding, Liquidation, OpenInterest, Quote, Ticker, Trade
from topics.record import Level

LATEST_MS: Final = 9_000_000_000_000
DEPTHS: Final = {"books": 400, "books-l2-tbt": 400, "books50-l2-tbt": 50}

_UPDATE = (
    b'{"arg":{"channel":"books","instId":"%s"},"action":"update","data":[{"asks":%[["%p","%q"%~]%],'
    b'"bids":%[["%p","%q"%~]%],"ts":"%M","checksum":%i'
)
_update = native.template(_UPDATE + b"}]}")
_numbered = native.template(_UPDATE + b',"prevSeqId":%d,"seqId":%d}]}')
_book = msgspec.json.Decoder(wire.BookFrame).decode
_best = msgspec.json.Decoder(wire.BestFrame).decode
_trades = msgspec.json.Decoder(wire.TradeFrame).decode
_tickers = msgspec.json.Decoder(wire.TickerFrame).decode
_liquidations = msgspec.json.Decoder(wire.LiquidationFrame).decode
_envelope = msgspec.json.Decoder(wire.Envelope).decode
_instruments = msgspec.json.Decoder(Instruments).decode
_channel = re.compile(rb'\{"arg":\{"channel":"([a-z0-9-]+)"').match


def parse(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    """See ``adapters.base.Parser``."""
    try:
        if (usual := _usual(frame, reading)) is not None:
            return usual
        found = _channel(frame)
        if found is None:
            return _other(frame, reading)
        read = _CHANNELS.get(found[1])
        return None if read is None else read(frame, reading)
    except BadFrame:
        raise
    except (msgspec.MsgspecError, ValueError, InvalidOperation, RecursionError) as error:
        if reading.instrument.endswith(":"):
            return None  # about an instrument that is not followed
        raise BadFrame(f"not a frame of this venue: {error}") from error


def _other(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    own = read_own(frame)
    if own is not None:
        named(own.symbol, venue_symbol(reading.instrument), reading)
        if own.event is not None:
            if isinstance(own.event, Session) and not own.event.beside:
                reading.memory.pop(BOOK, None)
            return (own.event,)
        return definition(_instruments(own.body), reading) if own.what == "instruments" else None
    if frame == b"pong":
        return None
    head = _envelope(frame)
    if head.event == "error":
        raise BadFrame(f"the venue says: {head.code} {head.msg}")
    read = _CHANNELS.get(head.arg.channel.encode())
    return None if read is None or head.event else read(frame, reading)


def _on_book(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    d = _book(frame)
    if d.arg.instId != venue_symbol(reading.instrument):
        named(d.arg.instId, venue_symbol(reading.instrument), reading)
    if not of_the_book(d.arg.channel, DEPTHS[d.arg.channel], d.action == "snapshot", reading.memory):
        return None
    if len(d.data) == 1:
        return (_change(d, d.data[0], reading),)
    return [_change(d, data, reading) for data in d.data]


def _usual(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    """An update of the whole book's channel, with its checksum."""
    found = _numbered(frame) if frame.find(b'"seqId":', -40) > 0 else _update(frame)
    if found is None:
        return None
    symbol, asks, bids, ts_event, checksum, *numbers = found
    before, sequence = numbers or (-1, 0)
    if symbol != venue_symbol(reading.instrument) or not checksum or (numbers and not sequence):
        return None
    if not of_the_book("books", 0, False, reading.memory):
        return None
    delta = BookDelta(
        instrument=reading.instrument,
        bids=bids,
        asks=asks,
        first_sequence=before + 1,
        sequence=sequence,
        ts_event=ts_event,
        ts_init=reading.ts_init,
    )
    return (Checked(delta, checksum & 0xFFFFFFFF),)


def _change(frame: wire.BookFrame, d: wire.BookData, reading: Reading) -> Parsed:
    change: BookDelta | BookSnapshot
    if frame.action == "update":
        numbered = d.seqId > 0
        change = BookDelta(
            instrument=reading.instrument,
            bids=_texts(d.bids),
            asks=_texts(d.asks),
            first_sequence=d.prevSeqId + 1 if numbered else 0,
            sequence=d.seqId if numbered else 0,
            ts_event=millis_ns(d.ts),
            ts_init=reading.ts_init,
        )
    elif frame.action == "snapshot":
        change = BookSnapshot(
            instrument=reading.instrument,
            bids=_texts(d.bids),
            asks=_texts(d.asks),
            depth=DEPTHS[frame.arg.channel],
            sequence=max(d.seqId, 0),
            ts_event=millis_ns(d.ts),
            ts_init=reading.ts_init,
        )
    else:
        raise BadFrame(f"neither snapshot nor update: {frame.action!r}")
    return Checked(change, d.checksum & 0xFFFFFFFF) if d.checksum else change


def _texts(levels: list[wire.WireLevel]) -> tuple[Level, ...]:
    return tuple([(level.price, level.size) for level in levels]) if levels else ()


def millis_ns(text: str) -> int:
    """UTC ns of ``1652459225393``; BadFrame for what is no such time."""
    if not text.isdigit() or len(text) > 15 or (ms := int(text)) > LATEST_MS:
        raise BadFrame(f"not a time: {text!r}")
    return ms * 1_000_000


def _on_best(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _best(frame)
    named(d.arg.instId, venue_symbol(reading.instrument), reading)
    reading.memory["quotes"] = "bbo-tbt"
    return [
        _quote(b.bids[0].price, b.bids[0].size, b.asks[0].price, b.asks[0].size, max(b.seqId, 0), b.ts, reading)
        for b in d.data
        if b.bids and b.asks
    ]


def _quote(bid: str, bid_size: str, ask: str, ask_size: str, sequence: int, ts: str, reading: Reading) -> Quote:
    best_bid, best_ask = positive(Decimal(bid), "bid"), positive(Decimal(ask), "ask")
    if best_bid >= best_ask:
        raise BadFrame(f"not a quote: {bid} / {ask}")
    return Quote(
        instrument=reading.instrument,
        best_bid=best_bid,
        bid_size=positive(Decimal(bid_size), "size"),
        best_ask=best_ask,
        ask_size=positive(Decimal(ask_size), "size"),
        sequence=sequence,
        ts_event=millis_ns(ts),
        ts_init=reading.ts_init,
    )


def _on_trades(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    wanted = venue_symbol(reading.instrument)
    found = []
    for d in _trades(frame).data:
        named(d.instId, wanted, reading)
        trade = Trade(
            instrument=reading.instrument,
            trade_id=d.tradeId,
            price=positive(d.px, "price"),
            size=positive(d.sz, "size"),
            aggressor=side_of(d.side),
            ts_event=millis_ns(d.ts),
            ts_init=reading.ts_init,
        )
        found.append(trade)
    return found


def _on_told(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    wanted = venue_symbol(reading.instrument)
    found: list[Parsed] = []
    for d in _tickers(frame).data:
        named(d.instId, wanted, reading)
        found += _told(d, reading)
    return found


def _told(d: wire.TickerData, reading: Reading) -> Sequence[Parsed]:
    instrument, ts_init = reading.instrument, reading.ts_init
    ts_event = millis_ns(d.ts) if d.ts else reading.ts_venue or ts_init
    found: list[Parsed] = []
    if d.bidPx and d.askPx and d.bidSz and d.askSz and "quotes" not in reading.memory:
        found.append(_quote(d.bidPx, d.bidSz, d.askPx, d.askSz, 0, d.ts, reading))
    if d.last or d.markPx:
        last, mark = _price(d.last), _price(d.markPx)
        found.append(Ticker(instrument=instrument, last=last, mark=mark, ts_event=ts_event, ts_init=ts_init))
    if d.fundingRate:
        rate = Decimal(d.fundingRate)
        if not -1 < rate < 1:
            raise BadFrame(f"not a rate: {rate}")
        due = millis_ns(d.fundingTime) if d.fundingTime else 0
        found.append(Funding(instrument=instrument, rate=rate, next_ts=due, ts_event=ts_event, ts_init=ts_init))
    if d.oi and (interest := Decimal(d.oi)):
        interest = positive(interest, "open interest")
        found.append(OpenInterest(instrument=instrument, open_interest=interest, ts_event=ts_event, ts_init=ts_init))
    return found


def _price(text: str) -> Decimal | None:
    return positive(Decimal(text), "price") if text else None


def _on_liquidations(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    wanted = venue_symbol(reading.instrument)
    return [
        Liquidation(
            instrument=reading.instrument,
            side=side_of(detail.side),
            price=positive(detail.bkPx, "price"),
            size=positive(detail.sz, "size"),
            ts_event=millis_ns(detail.ts),
            ts_init=reading.ts_init,
        )
        for d in _liquidations(frame).data
        if d.instId == wanted
        for detail in d.details
    ]


_CHANNELS: Final[dict[bytes, Callable[[bytes, Reading], Sequence[Parsed] | None]]] = {
    **{channel.encode(): _on_book for channel in DEPTHS},
    b"bbo-tbt": _on_best,
    b"trades": _on_trades,
    **dict.fromkeys((b"tickers", b"mark-price", b"funding-rate", b"open-interest"), _on_told),
    b"liquidation-orders": _on_liquidations,
}
