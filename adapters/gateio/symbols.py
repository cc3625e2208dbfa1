"""Gate.io's spelling of instruments. Its markets spell alike, so that what is no spot pair has its market before it here::

BTC_USDT                    <venue>:BTC-USDT
futures|BTC_USDT            <venue>:BTC-USDT-PERP
futures|BTC_USD             <venue>:BTC-USD-PERP      inverse, settled in bitcoin
futures|BTC_USDT_20210924   <venue>:BTC-USDT-210924
"""

import re
from functools import lru_cache

from adapters.base import MARKET_MARK, own_symbol
from topics.record import InstrumentId, Venue

FUTURES = f"futures{MARKET_MARK}"
_OURS = re.compile(r"[^:]+:([A-Z0-9]+)-([A-Z0-9]+)(?:-(?:(PERP)|(\d{6})))?\Z", re.ASCII)
_SPOT = re.compile(r"([A-Z0-9]+)_([A-Z0-9]+)\Z")
_FUTURE = re.compile(r"([A-Z0-9]+)_([A-Z0-9]+)(?:_20(\d{6}))?\Z", re.ASCII)


@lru_cache(4096)
def venue_symbol(instrument: InstrumentId) -> str:
    """ValueError unless the venue can have it."""
    found = _OURS.match(instrument)
    if found is None:
        raise ValueError(f"not an instrument of this venue: {instrument!r} (like gateio:BTC-USDT)")
    pair = f"{found[1]}_{found[2]}"
    if found[4]:
        return f"{FUTURES}{pair}_20{found[4]}"
    return f"{FUTURES}{pair}" if found[3] else pair


@lru_cache(4096)
def spelled(instrument: InstrumentId) -> str:
    """As frames spell it, which do not name their market."""
    return own_symbol(venue_symbol(instrument))


@lru_cache(4096)
def instrument_of(venue: Venue, symbol: str) -> InstrumentId:
    """ValueError for what is neither pair nor contract."""
    if symbol.startswith(FUTURES):
        found = _FUTURE.match(symbol.removeprefix(FUTURES))
        if found is not None:
            return f"{venue}:{found[1]}-{found[2]}-{found[3] or 'PERP'}"
    else:
        found = _SPOT.match(symbol)
        if found is not None:
            return f"{venue}:{found[1]}-{found[2]}"
    raise ValueError(f"neither pair nor contract: {symbol!r}")


def settled(symbol: str) -> tuple[str, str] | None:
    """Of a contract, its market and what it is settled in; None for spot."""
    if not symbol.startswith(FUTURES):
        return None
    _, quote, *dated = symbol.split("_")
    return "Delivery" if dated else "Futures", "btc" if quote == "USD" else "usdt"
