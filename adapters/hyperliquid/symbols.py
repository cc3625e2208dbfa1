"""Hyperliquid's spelling of instruments: a coin is its perpetual, margined in USDC; a pair is spot. Large and small letters
differ::

    BTC        <venue>:BTC-USDC-PERP
    kPEPE      <venue>:kPEPE-USDC-PERP     a thousand of them
    PURR/USDC  <venue>:PURR-USDC           other pairs it only numbers (@107): they have no name here
"""

import re
from functools import lru_cache

from topics.record import InstrumentId, Venue

_OURS = re.compile(r"[^:]+:(?:([A-Za-z0-9]+)-USDC-PERP|([A-Za-z0-9]+)-([A-Za-z0-9]+))\Z")
_THEIRS = re.compile(r"([A-Za-z0-9]+)(?:/([A-Za-z0-9]+))?\Z")


@lru_cache(4096)
def venue_symbol(instrument: InstrumentId) -> str:
    """ValueError unless it is a perpetual or a spot pair."""
    found = _OURS.match(instrument)
    if found is None:
        raise ValueError(f"not an instrument of this venue: {instrument!r} (like hyperliquid:BTC-USDC-PERP)")
    return found[1] or f"{found[2]}/{found[3]}"


@lru_cache(4096)
def instrument_of(venue: Venue, symbol: str) -> InstrumentId:
    """ValueError for pairs without a name and coins of other builders."""
    found = _THEIRS.match(symbol)
    if found is None:
        raise ValueError(f"not an instrument that is known: {symbol!r}")
    return f"{venue}:{found[1]}-{found[2]}" if found[2] else f"{venue}:{found[1]}-USDC-PERP"
