"""Gate.io's spelling of spot instruments: ``BTC_USDT`` is ``<venue>:BTC-USDT``."""

import re
from functools import lru_cache

from topics.record import InstrumentId, Venue

_OURS = re.compile(r"[^:]+:([A-Z0-9]+)-([A-Z0-9]+)\Z")
_THEIRS = re.compile(r"([A-Z0-9]+)_([A-Z0-9]+)\Z")


@lru_cache(4096)
def venue_symbol(instrument: InstrumentId) -> str:
    """ValueError unless it is a spot instrument."""
    found = _OURS.match(instrument)
    if found is None:
        raise ValueError(f"not a spot instrument of this venue: {instrument!r} (like gateio:BTC-USDT)")
    return f"{found[1]}_{found[2]}"


@lru_cache(4096)
def instrument_of(venue: Venue, symbol: str) -> InstrumentId:
    """ValueError for what is no pair."""
    found = _THEIRS.match(symbol)
    if found is None:
        raise ValueError(f"not a pair: {symbol!r}")
    return f"{venue}:{found[1]}-{found[2]}"
