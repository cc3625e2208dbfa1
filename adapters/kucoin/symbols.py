"""KuCoin spells spot instruments as we do: ``BTC-USDT``."""

import re
from functools import lru_cache

from topics.record import InstrumentId, Venue

_PAIR = re.compile(r"[A-Z0-9]+-[A-Z0-9]+\Z")


@lru_cache(4096)
def venue_symbol(instrument: InstrumentId) -> str:
    """ValueError unless it is a spot instrument."""
    symbol = instrument.partition(":")[2]
    if not _PAIR.match(symbol):
        raise ValueError(f"not a spot instrument of this venue: {instrument!r} (like kucoin:BTC-USDT)")
    return symbol


@lru_cache(4096)
def instrument_of(venue: Venue, symbol: str) -> InstrumentId:
    """ValueError for what is no pair."""
    if not _PAIR.match(symbol):
        raise ValueError(f"not a pair: {symbol!r}")
    return f"{venue}:{symbol}"
