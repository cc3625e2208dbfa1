"""What Bybit's tickers tell: the best bid and ask, last, mark and index, funding and open interest, as far as they changed."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from adapters.base import BadFrame, Parsed, Reading
from adapters.parsing import positive
from topics.market import Funding, OpenInterest, Quote, Ticker
from topics.record import Level

MOST_RATE = Decimal(1000)
MOST_MS = 9_000_000_000_000
KEPT = ("bid1Price", "bid1Size", "ask1Price", "ask1Size", "fundingRate", "nextFundingTime")


class TickerData(msgspec.Struct):
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
    known = {} if whole else {name: reading.memory[name] for name in KEPT if name in reading.memory}
    new = {name: text for name in KEPT if (text := getattr(d, name)) is not None}
    known.update(new)
    found = (
        _quote(known, ts_event, reading) if new.keys() & KEPT[:4] else None,
        _ticker(d, ts_event, reading),
        _funding(known, ts_event, reading) if new.keys() & KEPT[4:] else None,
        _open_interest(d, ts_event, reading),
    )
    for name in KEPT:
        reading.memory.pop(name, None)
    reading.memory.update(known)
    return [record for record in found if record is not None]


def top(
    bids: tuple[Level, ...], asks: tuple[Level, ...], whole: bool, ts_event: int, reading: Reading
) -> Sequence[Parsed]:
    """A quote of a book of one level; a level of size 0 is gone."""
    known = {} if whole else {name: reading.memory[name] for name in KEPT[:4] if name in reading.memory}
    for side, levels in (("bid1", bids), ("ask1", asks)):
        for price, size in sorted(levels, key=_removed_first):
            if Decimal(size) or known.get(f"{side}Price") == price:
                known[f"{side}Price"], known[f"{side}Size"] = price, size
    quote = _quote(known, ts_event, reading)
    reading.memory.update(known)
    return () if quote is None else (quote,)


def _removed_first(level: Level) -> bool:
    return bool(Decimal(level[1]))


def _quote(known: dict[str, str], ts_event: int, reading: Reading) -> Quote | None:
    bid, bid_size, ask, ask_size = (Decimal(known.get(name) or 0) for name in KEPT[:4])
    if not (bid and bid_size and ask and ask_size):
        return None
    if bid >= ask:
        raise BadFrame(f"not a quote: {bid} / {ask}")
    return Quote(
        instrument=reading.instrument,
        best_bid=positive(bid, "price"),
        bid_size=positive(bid_size, "size"),
        best_ask=positive(ask, "price"),
        ask_size=positive(ask_size, "size"),
        ts_event=ts_event,
        ts_init=reading.ts_init,
    )


def _ticker(d: TickerData, ts_event: int, reading: Reading) -> Ticker | None:
    if not (d.lastPrice or d.markPrice or d.indexPrice):
        return None
    return Ticker(
        instrument=reading.instrument,
        last=_price(d.lastPrice),
        mark=_price(d.markPrice),
        index=_price(d.indexPrice),
        ts_event=ts_event,
        ts_init=reading.ts_init,
    )


def _price(text: str | None) -> Decimal | None:
    number = Decimal(text or 0)
    return positive(number, "price") if number else None


def _funding(known: dict[str, str], ts_event: int, reading: Reading) -> Funding | None:
    if not known.get("fundingRate"):
        return None
    rate, due = Decimal(known["fundingRate"]), known.get("nextFundingTime") or "0"
    if not -MOST_RATE < rate < MOST_RATE:
        raise BadFrame(f"not a rate: {rate}")
    if not (due.isascii() and due.isdigit() and len(due) < 20 and int(due) <= MOST_MS):
        raise BadFrame(f"not a time: {due!r}")
    return Funding(
        instrument=reading.instrument,
        rate=rate,
        next_ts=int(due) * 1_000_000,
        ts_event=ts_event,
        ts_init=reading.ts_init,
    )


def _open_interest(d: TickerData, ts_event: int, reading: Reading) -> OpenInterest | None:
    if not d.openInterest:
        return None
    number = Decimal(d.openInterest)
    return OpenInterest(
        instrument=reading.instrument,
        open_interest=positive(number, "open interest") if number else number,
        ts_event=ts_event,
        ts_init=reading.ts_init,
    )
