"""Frames of Kraken's websocket v1: arrays that end with the channel's name and the pair. Pure.

The venue's pages: docs.kraken.com/exchange/api-reference/spot-websocket-v1 (book, trade, ticker, spread). All numbers and times
are texts; times are seconds with six decimals. Trades have no ids: theirs are made from time and place in the frame.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from adapters.base import BadFrame, Checked, Parsed, Reading
from adapters.kraken.symbols import old_symbol
from adapters.parsing import named, positive, side_of
from topics import native
from topics.market import BookDelta, BookSnapshot, Quote, Ticker, Trade
from topics.record import Level

LATEST_NS: Final = 9_000_000_000_000_000_000


class OldLevel(msgspec.Struct, array_like=True, gc=False):
    """``["354.15000000","5.00000000","1618678133.365913"]``; a fourth, ``"r"``, says that it is told again."""

    price: str
    size: str
    time: str


class OldChange(msgspec.Struct, gc=False, rename={"whole_asks": "as", "whole_bids": "bs"}):
    """The page's "Book": sizes are absolute, 0 removes; ``c`` is the checksum after it."""

    a: tuple[OldLevel, ...] = ()
    b: tuple[OldLevel, ...] = ()
    c: str = ""
    whole_asks: tuple[OldLevel, ...] | None = None
    whole_bids: tuple[OldLevel, ...] | None = None


class OldBook(msgspec.Struct, array_like=True, gc=False):
    """``[992,{"b":[["354.15000000","5.00000000","1618678133.365913"]],"c":"2583817756"},"book-1000","XMR/USD"]``; changes
    of both sides stand in two objects; a snapshot is ``[992,{"as":[…],"bs":[…]},"book-1000","XMR/USD"]``.
    """

    channel: int
    first: OldChange
    second: OldChange | str
    name: str
    pair: str = ""


class OldTrade(msgspec.Struct, array_like=True, gc=False):
    """``["354.11000000","0.89594024","1618678142.557535","s","l",""]``"""

    price: Decimal
    size: Decimal
    time: str
    side: str


class OldTrades(msgspec.Struct, array_like=True, gc=False):
    """The page's "Trade": ``[993,[["354.11000000","0.89594024","1618678142.557535","s","l",""]],"trade","XMR/USD"]``"""

    channel: int
    trades: list[OldTrade]
    name: str
    pair: str


class OldBest(msgspec.Struct, array_like=True, gc=False):
    """``["13.253900",35,"35.72892241"]``: price, whole lots, size."""

    price: Decimal
    whole_lots: msgspec.Raw
    size: Decimal


class OldTold(msgspec.Struct, gc=False):
    """``{"a":["13.253900",35,"35.72892241"],"b":["13.232900",185,"185.18432037"],"c":["13.253900","3.71672000"],…}``"""

    a: OldBest
    b: OldBest
    c: tuple[Decimal, Decimal]


class OldTicker(msgspec.Struct, array_like=True, gc=False):
    """The page's "Ticker", told after a trade: ``[1668,{…},"ticker","WAVES/EUR"]``"""

    channel: int
    told: OldTold
    name: str
    pair: str


class OldSpread(msgspec.Struct, array_like=True, gc=False):
    """The page's "Spread": ``[1333337,["5698.40000","5700.00000","1542057299.545897","1.01234567","0.98765432"],"spread",
    "XBT/USD"]``
    """

    channel: int
    told: tuple[Decimal, Decimal, str, Decimal, Decimal]
    name: str
    pair: str


_LEVELS = b'%[["%p","%q","%t"%~]%]'
_bids = native.template(b'[%#,{"b":' + _LEVELS + b',"c":"%d"},"book-%*","%s"]')
_asks = native.template(b'[%#,{"a":' + _LEVELS + b',"c":"%d"},"book-%*","%s"]')
_book = msgspec.json.Decoder(OldBook)
_trades = msgspec.json.Decoder(OldTrades)
_ticker = msgspec.json.Decoder(OldTicker)
_spread = msgspec.json.Decoder(OldSpread)


def parse_old(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    """As ``adapters.base.Parser``, but that errors of decoding come as they are."""
    if frame.find(b'"book-', -48) >= 0:
        return _on_book(frame, reading)
    for mark, read in _KINDS.items():
        if frame.find(mark, -48) >= 0:
            return read(frame, reading)
    return None


def usual(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    """A change of one side."""
    bids = asks = ()
    if (found := _bids(frame)) is not None:
        bids, time, checksum, pair = found
    elif (found := _asks(frame)) is not None:
        asks, time, checksum, pair = found
    else:
        return None
    if pair != old_symbol(reading.instrument) or time is None:
        return None
    delta = BookDelta(instrument=reading.instrument, bids=bids, asks=asks, ts_event=time, ts_init=reading.ts_init)
    return (Checked(delta, checksum),)


def _on_book(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _book.decode(frame)
    first, second = d.first, d.second
    if isinstance(second, str):
        name, pair, checksum = second, d.name, first.c
        bids, asks = first.b, first.a
    else:
        name, pair, checksum = d.name, d.pair, second.c or first.c
        bids, asks = first.b + second.b, first.a + second.a
    if pair != old_symbol(reading.instrument):
        named(pair, old_symbol(reading.instrument), reading)
    if first.whole_asks is not None or first.whole_bids is not None:
        return _on_whole(first.whole_bids or (), first.whole_asks or (), name, reading)
    delta = BookDelta(
        instrument=reading.instrument,
        bids=_pairs(bids) if bids else (),
        asks=_pairs(asks) if asks else (),
        ts_event=_newest(bids + asks if bids and asks else bids or asks, reading),
        ts_init=reading.ts_init,
    )
    return (Checked(delta, int(checksum)) if checksum else delta,)


def _on_whole(bids: tuple[OldLevel, ...], asks: tuple[OldLevel, ...], name: str, reading: Reading) -> Sequence[Parsed]:
    depth = int(name.removeprefix("book-"))
    if depth < 1:
        raise BadFrame(f"not a depth: {name!r}")
    snapshot = BookSnapshot(
        instrument=reading.instrument,
        bids=_pairs(bids),
        asks=_pairs(asks),
        depth=depth,
        ts_event=_newest(bids + asks, reading),
        ts_init=reading.ts_init,
    )
    return (snapshot,)


def _pairs(levels: tuple[OldLevel, ...]) -> tuple[Level, ...]:
    if len(levels) == 1:
        return ((levels[0].price, levels[0].size),)
    return tuple([(level.price, level.size) for level in levels])


def _newest(levels: tuple[OldLevel, ...], reading: Reading) -> int:
    """Texts of one length sort as their numbers do, and another length is no time."""
    if not levels:
        return reading.ts_venue or reading.ts_init
    return seconds_ns(levels[0].time if len(levels) == 1 else max([level.time for level in levels]))


def seconds_ns(text: str) -> int:
    """UTC ns of ``1618678133.365913``; BadFrame for what is no such time."""
    ns = int(text.replace(".", "", 1)) * 1000 if len(text) == 17 and text[10] == "." else -1
    if not 0 <= ns < LATEST_NS:
        raise BadFrame(f"not a time: {text!r}")
    return ns


def _on_trades(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _trades.decode(frame)
    named(d.pair, old_symbol(reading.instrument), reading)
    return [
        Trade(
            instrument=reading.instrument,
            trade_id=f"{trade.time}-{n}",
            price=positive(trade.price, "price"),
            size=positive(trade.size, "size"),
            aggressor=side_of(trade.side),
            ts_event=seconds_ns(trade.time),
            ts_init=reading.ts_init,
        )
        for n, trade in enumerate(d.trades)
    ]


def _on_ticker(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _ticker.decode(frame)
    named(d.pair, old_symbol(reading.instrument), reading)
    ts = reading.ts_venue or reading.ts_init
    told = d.told
    return told_of(told.b.price, told.b.size, told.a.price, told.a.size, told.c[0], ts, reading)


def _on_spread(frame: bytes, reading: Reading) -> Sequence[Parsed]:
    d = _spread.decode(frame)
    named(d.pair, old_symbol(reading.instrument), reading)
    bid, ask, time, bid_size, ask_size = d.told
    return told_of(bid, bid_size, ask, ask_size, Decimal(0), seconds_ns(time), reading)


def told_of(
    bid: Decimal, bid_size: Decimal, ask: Decimal, ask_size: Decimal, last: Decimal, ts_event: int, reading: Reading
) -> Sequence[Parsed]:
    """A quote where both sides are there, and the last price where it is told."""
    found: list[Parsed] = []
    if bid and ask and bid_size and ask_size:
        if bid >= ask:
            raise BadFrame(f"not a quote: {bid} / {ask}")
        found.append(
            Quote(
                instrument=reading.instrument,
                best_bid=positive(bid, "bid"),
                bid_size=positive(bid_size, "size"),
                best_ask=positive(ask, "ask"),
                ask_size=positive(ask_size, "size"),
                ts_event=ts_event,
                ts_init=reading.ts_init,
            )
        )
    if last:
        last = positive(last, "price")
        found.append(Ticker(instrument=reading.instrument, last=last, ts_event=ts_event, ts_init=reading.ts_init))
    return found


_KINDS: Final[dict[bytes, Callable[[bytes, Reading], Sequence[Parsed] | None]]] = {
    b'"trade"': _on_trades,
    b'"ticker"': _on_ticker,
    b'"spread"': _on_spread,
}
