"""Bybit's spelling of instruments. Its markets spell alike (``BTCUSDT`` is a pair and a perpetual), so the market stands
before the symbol: ``spot|BTCUSDT`` is ``<venue>:BTC-USDT``, ``linear|BTCUSDT`` is ``…:BTC-USDT-PERP``.

``linear|BTCPERP`` is in USDC; ``linear|BTCUSDT-26SEP25`` and ``linear|BTC-26SEP25`` (in USDC) are dated; ``inverse|BTCUSD`` and
``inverse|BTCUSDU25`` are quoted in USD and paid in BTC; U is September, and its day the last Friday.
Page: bybit-exchange.github.io/docs/v5/enum#symbol
"""

import re
from calendar import FRIDAY, monthcalendar
from functools import lru_cache

from adapters.base import MARKET_MARK
from topics import native
from topics.record import InstrumentId, Venue

SPOT, LINEAR, INVERSE = MARKETS = ("spot", "linear", "inverse")
QUOTES = tuple(
    """
    USDT USDC USDE USD1 USDQ USDR RLUSD FDUSD XUSD USAT DAI BTC ETH SOL MNT
    EUR BRL BRZ TRY PLN USD GBP AED
    """.split()  # noqa: SIM905
)
MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
CODES = "FGHJKMNQUVXZ"
_INSTRUMENT = re.compile(r"[^:]+:([A-Z0-9]+)-([A-Z0-9]+?)(?:-(PERP|(\d\d)(\d\d)(\d\d)))?\Z", re.ASCII)
_DATED = re.compile(r"([A-Z0-9]+?)(USDT)?-(\d{1,2})([A-Z]{3})(\d\d)\Z", re.ASCII)
_QUARTERLY = re.compile(r"([A-Z0-9]+)USD([FGHJKMNQUVXZ])(\d\d)\Z", re.ASCII)


@lru_cache(4096)
def venue_symbol(instrument: InstrumentId) -> str:
    """ValueError unless one of its markets could have it."""
    found = _INSTRUMENT.match(instrument)
    if found is None:
        raise _none(instrument)
    base, quote, end = found[1], found[2], found[3]
    if end is None:
        return f"{SPOT}{MARKET_MARK}{base}{quote}"
    if quote not in ("USD", "USDT", "USDC"):
        raise _none(instrument)
    market = INVERSE if quote == "USD" else LINEAR
    if end == "PERP":
        return f"{market}{MARKET_MARK}{base}{'PERP' if quote == 'USDC' else quote}"
    year, month, day = found[4], int(found[5]), int(found[6])
    if not 1 <= month <= 12 or not 1 <= day <= 31:
        raise _none(instrument)
    if market == LINEAR:
        return f"{market}{MARKET_MARK}{base}{'USDT' if quote == 'USDT' else ''}-{day:02d}{MONTHS[month - 1]}{year}"
    if day != _last_friday(2000 + int(year), month):
        raise _none(instrument)
    return f"{market}{MARKET_MARK}{base}USD{CODES[month - 1]}{year}"


@lru_cache(4096)
def instrument_of(venue: Venue, symbol: str) -> InstrumentId:
    """ValueError where the market or the spelling is not known."""
    market, _, own = symbol.partition(MARKET_MARK)
    found = _READERS[market](own) if market in _READERS else ""
    if not found or venue_symbol(f"{venue}:{found}") != symbol:
        raise ValueError(f"not a symbol of this venue: {symbol!r} (like linear|BTCUSDT)")
    return f"{venue}:{found}"


def _spot(own: str) -> str:
    fitting = [quote for quote in QUOTES if own.endswith(quote) and len(own) > len(quote)]
    quote = max(fitting, key=len, default="")
    return f"{own.removesuffix(quote)}-{quote}" if quote else ""


def _linear(own: str) -> str:
    if dated := _DATED.match(own):
        base, quote, day, month, year = dated.groups()
        number = MONTHS.index(month) + 1 if month in MONTHS else 0
        return f"{base}-{quote or 'USDC'}-{year}{number:02d}{int(day):02d}"
    for ending, quote in (("PERP", "USDC"), ("USDT", "USDT")):
        if own.endswith(ending) and len(own) > len(ending):
            return f"{own.removesuffix(ending)}-{quote}-PERP"
    return ""


def _inverse(own: str) -> str:
    if dated := _QUARTERLY.match(own):
        year, month = int(dated[3]), CODES.index(dated[2]) + 1
        return f"{dated[1]}-USD-{year:02d}{month:02d}{_last_friday(2000 + year, month):02d}"
    return f"{own.removesuffix('USD')}-USD-PERP" if own.endswith("USD") else ""


def _last_friday(year: int, month: int) -> int:
    return max(week[FRIDAY] for week in monthcalendar(year, month))


def _none(instrument: InstrumentId) -> ValueError:
    return ValueError(f"no such instrument at this venue: {instrument!r} (like bybit:BTC-USDT-PERP)")


_READERS = {SPOT: _spot, LINEAR: _linear, INVERSE: _inverse}


def market_of(url: str) -> str:
    """``wss://stream.bybit.com/v5/public/linear``: the last part of the path; "" where it is none of the three."""
    last = url.partition("?")[0].rstrip("/").rpartition("/")[2]
    return last if last in MARKETS else ""


_TOPIC = re.compile(rb'"topic":\s*"([^"]{1,80})"')
_first = native.template(b'{"topic":"%s"%.')


def symbols_in(frame: bytes, url: str = "") -> tuple[str, ...]:
    """From the topic: its last part. Without a known address: inverse where it is in USD, else linear."""
    if (topic := _first(frame)) is not None:
        return _of_topic(topic[0], url)
    found = _TOPIC.search(frame)
    return () if found is None else _of_topic(found[1].decode("ascii", "replace"), url)


@lru_cache(4096)
def _of_topic(topic: str, url: str) -> tuple[str, ...]:
    own = topic.rpartition(".")[2]
    market = market_of(url) or (INVERSE if _inverse(own) else LINEAR)
    return (f"{market}{MARKET_MARK}{own}",)
