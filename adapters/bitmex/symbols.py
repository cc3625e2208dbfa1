"""BitMEX's spelling of instruments; bitcoin is XBT there. A future's letter is its month, and it ends on that month's last
Friday ("Contract Series Guide")::

    XBTUSD      <venue>:BTC-USD-PERP          ETHUSD_ETH  <venue>:ETH-USD-PERP-INV  beside ETHUSD, which is no inverse
    XBTUSDT     <venue>:BTC-USDT-PERP         XBTU21      <venue>:BTC-USD-210924
    XBT_USDT    <venue>:BTC-USDT    spot      ETHUSDU21   <venue>:ETH-USD-210924
                                              XRPU21      <venue>:XRP-BTC-210924
"""

import re
from datetime import date, timedelta
from functools import lru_cache

from topics.record import InstrumentId, Venue

MONTHS = "FGHJKMNQUVXZ"
QUOTES = ("USDT", "USDC", "USD", "EUR", "XBT")
_OURS = re.compile(
    r"[^:]+:(?P<base>[A-Z0-9]+)-(?P<quote>[A-Z0-9]+)(?:-(?:(?P<kind>PERP|PERP-INV)|(?P<date>\d{6})))?\Z", re.ASCII
)
_FUTURE = re.compile(rf"(?P<stem>[A-Z0-9]+?)(?P<month>[{MONTHS}])(?P<year>\d\d)\Z", re.ASCII)
_SPOT = re.compile(r"([A-Z0-9]+)_([A-Z0-9]+)\Z")


@lru_cache(4096)
def venue_symbol(instrument: InstrumentId) -> str:
    """ValueError unless the venue can have it."""
    found = _OURS.match(instrument)
    if found is None or "XBT" in (found["base"], found["quote"]):
        raise ValueError(f"not an instrument of this venue: {instrument!r} (like bitmex:BTC-USD-PERP)")
    base, quote = _theirs(found["base"]), _theirs(found["quote"])
    if found["date"]:
        return _future(base, quote, found["date"], instrument)
    match found["kind"]:
        case "PERP":
            return f"{base}{quote}"
        case "PERP-INV":
            return f"{base}USD_{base}"
        case _:
            return f"{base}_{quote}"


@lru_cache(4096)
def instrument_of(venue: Venue, symbol: str) -> InstrumentId:
    """ValueError for indices and what else is no instrument of these kinds."""
    spot, future = _SPOT.match(symbol), _FUTURE.match(symbol)
    if spot is not None:
        name = f"{_ours(spot[1])}-{_ours(spot[2])}"
        if spot[1] == f"{spot[2]}USD":
            name = f"{_ours(spot[2])}-USD-PERP-INV"
    elif future is not None:
        stem = "XBTUSD" if future["stem"] == "XBT" else future["stem"]
        pair = _pair(stem) or f"{_ours(stem)}-BTC"
        name = f"{pair}-{_last_friday(2000 + int(future['year']), MONTHS.index(future['month']) + 1):%y%m%d}"
    else:
        name = f"{_pair(symbol)}-PERP"
    instrument = f"{venue}:{name}"
    if not _OURS.match(instrument) or venue_symbol(instrument) != symbol:
        raise ValueError(f"not an instrument that is known: {symbol!r}")
    return instrument


def _future(base: str, quote: str, day: str, instrument: str) -> str:
    year, month = 2000 + int(day[:2]), int(day[2:4])
    if not 1 <= month <= 12 or f"{_last_friday(year, month):%y%m%d}" != day:
        raise ValueError(f"not a last Friday of a month: {instrument!r}")
    stem = base if quote == "XBT" or (base, quote) == ("XBT", "USD") else f"{base}{quote}"
    return f"{stem}{MONTHS[month - 1]}{year % 100:02}"


def _pair(stem: str) -> str:
    for quote in QUOTES:
        if stem.endswith(quote) and len(stem) > len(quote):
            return f"{_ours(stem.removesuffix(quote))}-{_ours(quote)}"
    return ""


def _last_friday(year: int, month: int) -> date:
    last = date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
    return last - timedelta(days=(last.weekday() - 4) % 7)


def _ours(currency: str) -> str:
    return "BTC" if currency == "XBT" else currency


def _theirs(currency: str) -> str:
    return "XBT" if currency == "BTC" else currency
