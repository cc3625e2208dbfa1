"""Bitstamp's spelling of instruments: ``btcusd`` is ``<venue>:BTC-USD``, ``btcusd-perp`` is ``<venue>:BTC-USD-PERP``."""

import re
from functools import lru_cache

from topics.record import InstrumentId, Venue

_OURS = re.compile(r"[^:]+:([A-Z0-9]+)-([A-Z0-9]+)(-PERP)?\Z")
_THEIRS = re.compile(r"([a-z0-9]+)(-perp)?\Z")
QUOTES = ("USD", "EUR", "GBP", "USDT", "USDC", "RLUSD", "EURC", "PAX", "BTC", "ETH")
"""Currencies the venue quotes in: a spelling does not say where its base ends."""


@lru_cache(4096)
def venue_symbol(instrument: InstrumentId) -> str:
    """ValueError unless it is a spot pair or a perpetual."""
    found = _OURS.match(instrument)
    if found is None:
        raise ValueError(f"not an instrument of this venue: {instrument!r} (like bitstamp:BTC-USD)")
    return "".join(found.groups("")).lower()


@lru_cache(4096)
def instrument_of(venue: Venue, symbol: str) -> InstrumentId:
    """By the longest quote currency that the pair ends with; ValueError when there is none."""
    found = _THEIRS.match(symbol)
    pair = found[1].upper() if found is not None else ""
    fitting = [quote for quote in QUOTES if pair.endswith(quote) and len(pair) > len(quote)]
    if found is None or not fitting:
        raise ValueError(f"no known quote currency at the end of {symbol!r}")
    quote = max(fitting, key=len)
    return f"{venue}:{pair.removesuffix(quote)}-{quote}{(found[2] or '').upper()}"
