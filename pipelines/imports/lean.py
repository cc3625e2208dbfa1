"""Ticks of US stocks as LEAN keeps them, one zip a symbol, day and kind.

https://github.com/QuantConnect/Lean/blob/master/Data/equity/readme.md

    20131007_ibm_Trade_Tick.csv    14430270,1815200,283,P,20002020,0      ms,price,size,exchange,condition,suspicious
    20131007_ibm_Quote_Tick.csv    14400241,1800100,300,0,0,P,1,0         ms,bid,size,ask,size,exchange,condition,suspicious

Milliseconds since midnight in New York; prices times 10,000. A quote's row tells a new best bid or a new best ask, zeros
on the other side, which stays what it was. The symbol is one instrument; the exchange of a trade is in its ``trade_id``.
Suspicious rows, and times in which bid and ask cross, are passed over. Nobody says who took: the tick rule does.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from infra.captures import CaptureError
from infra.captures.files import packing
from pipelines.imports.aggressor import TickRule
from pipelines.imports.naming import Naming
from pipelines.imports.rows import Row, Tally, member, rows
from topics.market import Quote, Trade
from topics.record import InstrumentId

NEW_YORK = ZoneInfo("America/New_York")
MS = 1_000_000
DAY_MS = 86_400_000
_NAME = re.compile(r"(?P<day>\d{8})_(?P<symbol>[A-Za-z0-9.]+)_(?P<kind>Trade|Quote)_Tick\.csv", re.IGNORECASE)


def looks_like(path: Path) -> bool:
    return _NAME.fullmatch(_name(path)) is not None


def records(path: Path, naming: Naming, tally: Tally) -> Iterator[Trade | Quote]:
    """In the order of the file; ``ts_init`` is the time in the file too."""
    found = _NAME.fullmatch(_name(path))
    if found is None:
        raise CaptureError(path, "is named after no day, symbol and kind, as 20131007_ibm_Trade_Tick.csv is")
    instrument = naming.equity(found["symbol"]).instrument
    midnight = _midnight(path, found["day"])
    if found["kind"].lower() == "trade":
        yield from _trades(path, instrument, found["day"], midnight, tally)
    else:
        yield from _quotes(path, instrument, midnight, tally)


def _trades(path: Path, instrument: InstrumentId, day: str, midnight: datetime, tally: Tally) -> Iterator[Trade]:
    rule = TickRule()
    for row in rows(path):
        tally.rows[instrument] += 1
        ts, price, size = _ts(row, midnight), _price(row, 1), row.number(2, "size")
        if _suspicious(row, 6) or not price or not size:
            tally.passed_over += 1
            continue
        yield Trade(
            instrument=instrument,
            trade_id=f"{day}.{row.line}.{row.fields[3]}",
            price=price,
            size=size,
            aggressor=rule.side(price),
            ts_event=ts,
            ts_init=ts,
        )


class _Side(NamedTuple):
    price: Decimal = Decimal(0)
    size: Decimal = Decimal(0)


def _quotes(path: Path, instrument: InstrumentId, midnight: datetime, tally: Tally) -> Iterator[Quote]:
    bid = ask = _Side()
    for row in rows(path):
        tally.rows[instrument] += 1
        ts = _ts(row, midnight)
        new_bid = _Side(_price(row, 1), row.number(2, "bid's size"))
        new_ask = _Side(_price(row, 3), row.number(4, "ask's size"))
        if _suspicious(row, 8):
            tally.passed_over += 1
            continue
        bid, ask = new_bid if new_bid.price else bid, new_ask if new_ask.price else ask
        if not bid.price or not ask.price or bid.price > ask.price:
            tally.passed_over += 1
            continue
        yield Quote(
            instrument=instrument,
            best_bid=bid.price,
            bid_size=bid.size,
            best_ask=ask.price,
            ask_size=ask.size,
            ts_event=ts,
            ts_init=ts,
        )


def _price(row: Row, field: int) -> Decimal:
    """In units of a ten-thousandth, without the zeros that say nothing: 1836300 is 183.63."""
    found = row.number(field, "price").scaleb(-4)
    return found.quantize(Decimal("0.01")) if found == found.quantize(Decimal("0.01")) else found


def _suspicious(row: Row, fields: int) -> bool:
    if len(row.fields) != fields:
        raise row.wrong(f"has {len(row.fields)} fields, not {fields}")
    return row.fields[-1] != "0"


def _ts(row: Row, midnight: datetime) -> int:
    """A day on which the clocks change is not one of trading, so milliseconds since midnight are the clock's."""
    ms = row.whole(0, "time")
    if not 0 <= ms < DAY_MS:
        raise row.wrong(f"time {ms} is not within a day")
    at = midnight + timedelta(milliseconds=ms)
    since = at.replace(tzinfo=NEW_YORK).astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000) * MS


def _midnight(path: Path, day: str) -> datetime:
    try:
        return datetime.strptime(day, "%Y%m%d")  # noqa: DTZ007 - on New York's clock, see _ts
    except ValueError:
        raise CaptureError(path, f"{day} is no day") from None


def _name(path: Path) -> str:
    """LEAN's zip is named after kind and day only; the file within says all."""
    if packing(path) == "zip":
        return member(path)
    return re.sub(r"\.(gz|zst)$", "", path.name)
