"""What Bybit's tickers tell: the best bid and ask, last, mark and index, funding and open interest, as far as they changed."""

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache

import msgspec

from adapters.base import BadFrame, Parsed, Reading
from adapters.parsing import positive
from topics.market import Funding, OpenInterest, Quote, Ticker
from topics.record import Level

MOST_RATE = Decimal(1000)
MOST_MS = 9_000_000_000_000
KEPT = ("bid1Price", "bid1Size", "ask1Price", "ask1Size", "fundingRate", "nextFundingTime")


@lru_cache(4096)  # most come again: a frame tells what changed of four
def _number(text: str) -> Decimal:
    """Of a quote; 0 for none. BadFrame for what is no price and no size."""
    number = Decimal(text)
    return positive(number, "quote") if number else number


class TickerData(msgspec.Struct, gc=False):
    """None: not told, as nothing changed; an empty text: there is none.

    ``{"symbol":"BTCUSDT","lastPrice":"65114.30",…,"markPrice":"65117.44","indexPrice":"65137.76",
    "openInterest":"59891.732",…,"nextFundingTime":"1786320000000","fundingRate":"0.0001","bid1Price":"65114.20",
    "bid1Size":"5.954","ask1Price":"65114.30","ask1Size":"10.470",…}``
    """

    symbol: str
    lastPrice: str | None = None
    markPrice: str | None = None
    indexPrice: str | None = None
    openInterest: str | None = None
    fundingRate: str | None = None
    nextFundingTime: str | None = None
    bid1Price: str | None = None
    bid1Size: str | None = None
    ask1Price: str | None = None
    ask1Size: str | None = None


def told(d: TickerData, whole: bool, ts_event: int, reading: Reading) -> Sequence[Parsed]:
    """``whole``: what was told before counts no more."""
    memory = reading.memory
    if whole:
        for name in KEPT:
            memory.pop(name, None)
    out: list[Parsed] = []
    if not (d.bid1Price is d.bid1Size is d.ask1Price is d.ask1Size is None):
        quote = _quote(
            memory.get("bid1Price") if d.bid1Price is None else d.bid1Price,
            memory.get("bid1Size") if d.bid1Size is None else d.bid1Size,
            memory.get("ask1Price") if d.ask1Price is None else d.ask1Price,
            memory.get("ask1Size") if d.ask1Size is None else d.ask1Size,
            ts_event,
            reading,
        )
        if quote is not None:
            out.append(quote)
    if d.lastPrice or d.markPrice or d.indexPrice:
        out.append(_ticker(d, ts_event, reading))
    if d.fundingRate is not None or d.nextFundingTime is not None:
        out += _funding(d, ts_event, reading)
    if d.openInterest:
        out.append(_open_interest(d.openInterest, ts_event, reading))
    return out


def top(
    bids: tuple[Level, ...], asks: tuple[Level, ...], whole: bool, ts_event: int, reading: Reading
) -> Sequence[Parsed]:
    """A quote of a book of one level; a level of size 0 is gone."""
    known = {} if whole else {name: reading.memory.get(name) for name in KEPT[:4]}
    for side, levels in (("bid1", bids), ("ask1", asks)):
        for price, size in sorted(levels, key=_removed_first):
            if Decimal(size) or known.get(f"{side}Price") == price:
                known[f"{side}Price"], known[f"{side}Size"] = price, size
    bid, bid_size, ask, ask_size = (known.get(name) for name in KEPT[:4])
    quote = _quote(bid, bid_size, ask, ask_size, ts_event, reading)
    return () if quote is None else (quote,)


def _removed_first(level: Level) -> bool:
    return bool(Decimal(level[1]))


def _quote(
    bid: str | None, bid_size: str | None, ask: str | None, ask_size: str | None, ts_event: int, reading: Reading
) -> Quote | None:
    """What it is made of is kept, once it is sound; an empty text or a 0 is an empty side."""
    best_bid, quantity, best_ask, ask_quantity = numbers = (
        _number(bid or "0"),
        _number(bid_size or "0"),
        _number(ask or "0"),
        _number(ask_size or "0"),
    )
    quote = None
    if all(numbers):
        if best_bid >= best_ask:
            raise BadFrame(f"not a quote: {bid_size} at {bid} / {ask_size} at {ask}")
        quote = Quote(
            instrument=reading.instrument,
            best_bid=best_bid,
            bid_size=quantity,
            best_ask=best_ask,
            ask_size=ask_quantity,
            ts_event=ts_event,
            ts_init=reading.ts_init,
        )
    memory = reading.memory
    memory["bid1Price"], memory["bid1Size"] = bid or "", bid_size or ""
    memory["ask1Price"], memory["ask1Size"] = ask or "", ask_size or ""
    return quote


def _ticker(d: TickerData, ts_event: int, reading: Reading) -> Ticker:
    return Ticker(
        instrument=reading.instrument,
        last=_price(d.lastPrice),
        mark=_price(d.markPrice),
        index=_price(d.indexPrice),
        ts_event=ts_event,
        ts_init=reading.ts_init,
    )


def _price(text: str | None) -> Decimal | None:
    if not text:
        return None
    number = Decimal(text)
    return positive(number, "price") if number else None


def _funding(d: TickerData, ts_event: int, reading: Reading) -> Sequence[Funding]:
    memory = reading.memory
    rate = memory.get("fundingRate", "") if d.fundingRate is None else d.fundingRate
    due = (memory.get("nextFundingTime", "") if d.nextFundingTime is None else d.nextFundingTime) or "0"
    if not (due.isascii() and due.isdigit() and len(due) < 20 and int(due) <= MOST_MS):
        raise BadFrame(f"not a time: {due!r}")
    if rate and not -MOST_RATE < Decimal(rate) < MOST_RATE:
        raise BadFrame(f"not a rate: {rate}")
    memory["fundingRate"], memory["nextFundingTime"] = rate, due
    if not rate:
        return ()
    return (
        Funding(
            instrument=reading.instrument,
            rate=Decimal(rate),
            next_ts=int(due) * 1_000_000,
            ts_event=ts_event,
            ts_init=reading.ts_init,
        ),
    )


def _open_interest(text: str, ts_event: int, reading: Reading) -> OpenInterest:
    number = Decimal(text)
    return OpenInterest(
        instrument=reading.instrument,
        open_interest=positive(number, "open interest") if number else number,
        ts_event=ts_event,
        ts_init=reading.ts_init,
    )
