"""Deribit's spelling of instruments (docs.deribit.com, "Naming")::

BTC-PERPETUAL          <venue>:BTC-USD-PERP             inverse
BTC_USDC-PERPETUAL     <venue>:BTC-USDC-PERP            linear
BTC-25MAR22            <venue>:BTC-USD-220325
BTC-24SEP21-8000-P     <venue>:BTC-USD-210924-8000-P
XRP_USDC-3JUN23-0d625-C  <venue>:XRP-USDC-230603-0.625-C   a "d" is the decimal point
ETH_BTC                <venue>:ETH-BTC                  spot
"""

import re
from datetime import date
from functools import lru_cache

from topics.record import InstrumentId, Venue

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_OURS = re.compile(
    r"[^:]+:(?P<base>[A-Z0-9]+)-(?P<quote>[A-Z0-9]+?)"
    r"(?:-(?:(?P<perpetual>PERP)|(?P<date>\d{6})(?:-(?P<strike>\d+(?:\.\d+)?)-(?P<right>[CP]))?))?\Z",
    re.ASCII,
)
_THEIRS = re.compile(
    r"(?P<base>[A-Z0-9]+)(?:_(?P<quote>[A-Z0-9]+))?"
    r"(?:-(?:(?P<perpetual>PERPETUAL)|(?P<day>[1-9]\d?)(?P<month>[A-Z]{3})(?P<year>\d\d)"
    r"(?:-(?P<strike>\d+(?:d\d+)?)-(?P<right>[CP]))?))?\Z",
    re.ASCII,
)


@lru_cache(65536)
def venue_symbol(instrument: InstrumentId) -> str:
    """ValueError unless the venue can have it."""
    found = _OURS.match(instrument)
    if found is None:
        raise ValueError(f"not an instrument of this venue: {instrument!r} (like deribit:BTC-USD-PERP)")
    base, quote = found["base"], found["quote"]
    derivative = found["perpetual"] or found["date"]
    pair = base if quote == "USD" and derivative else f"{base}_{quote}"
    if not derivative:
        return pair
    if found["perpetual"]:
        return f"{pair}-PERPETUAL"
    day = _date(2000 + int(found["date"][:2]), int(found["date"][2:4]), int(found["date"][4:]), instrument)
    expiry = f"{day.day}{MONTHS[day.month - 1]}{day.year % 100:02}"
    if not found["strike"]:
        return f"{pair}-{expiry}"
    return f"{pair}-{expiry}-{found['strike'].replace('.', 'd')}-{found['right']}"


@lru_cache(65536)
def instrument_of(venue: Venue, symbol: str) -> InstrumentId:
    """ValueError for combinations and what else is no single instrument."""
    found = _THEIRS.match(symbol)
    if found is None or (found["month"] and found["month"] not in MONTHS):
        raise ValueError(f"not an instrument that is known: {symbol!r}")
    derivative = found["perpetual"] or found["day"]
    if (found["quote"] == "USD" and derivative) or not (found["quote"] or derivative):
        raise ValueError(f"not an instrument that is known: {symbol!r}")
    pair = f"{venue}:{found['base']}-{found['quote'] or 'USD'}"
    if not derivative:
        return pair
    if found["perpetual"]:
        return f"{pair}-PERP"
    day = _date(2000 + int(found["year"]), MONTHS.index(found["month"]) + 1, int(found["day"]), symbol)
    dated = f"{pair}-{day:%y%m%d}"
    return f"{dated}-{found['strike'].replace('d', '.')}-{found['right']}" if found["strike"] else dated


def _date(year: int, month: int, day: int, name: str) -> date:
    try:
        return date(year, month, day)
    except ValueError as error:
        raise ValueError(f"no such day in {name!r}") from error
