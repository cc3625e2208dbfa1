"""Kraken's spelling of instruments: ``BTC/USD`` is ``<venue>:BTC-USD``. Its websocket v1 and its REST side say ``XBT`` for
BTC and ``XDG`` for DOGE; both spellings are read, v2's is written.
"""

import re
from functools import lru_cache

from topics.record import InstrumentId, Venue

_INSTRUMENT = re.compile(r"[^:]+:([A-Za-z0-9.]+)-([A-Za-z0-9.]+)\Z")
_PAIR = re.compile(r"([A-Za-z0-9.]{1,20})/([A-Za-z0-9.]{1,20})\Z")
_OURS = {"XBT": "BTC", "XDG": "DOGE"}
_THEIRS = {ours: theirs for theirs, ours in _OURS.items()}


@lru_cache(4096)
def venue_symbol(instrument: InstrumentId) -> str:
    """ValueError unless it is a spot instrument."""
    base, quote = currencies(instrument)
    return f"{base}/{quote}"


@lru_cache(4096)
def old_symbol(instrument: InstrumentId) -> str:
    """As v1 and REST spell it: ``XBT/USD``."""
    base, quote = currencies(instrument)
    return f"{_THEIRS.get(base, base)}/{_THEIRS.get(quote, quote)}"


def instrument_of(venue: Venue, symbol: str) -> InstrumentId:
    """ValueError unless it is a pair."""
    found = _PAIR.match(symbol)
    if found is None:
        raise ValueError(f"not a pair of this venue: {symbol!r}")
    base, quote = found.groups()
    return f"{venue}:{_OURS.get(base, base)}-{_OURS.get(quote, quote)}"


def currencies(instrument: InstrumentId) -> tuple[str, str]:
    found = _INSTRUMENT.match(instrument)
    if found is None or found[1] in _OURS or found[2] in _OURS:
        raise ValueError(f"not a spot instrument of this venue: {instrument!r} (like kraken:BTC-USD)")
    return found[1], found[2]


_SYMBOL = re.compile(rb'"(?:symbol|pair)"\s*:\s*"([^"\\]{1,41})"')
_CATALOG = re.compile(rb'\A\s*\{\s*"channel"\s*:\s*"instrument"')


def symbols_in(frame: bytes, url: str = "") -> tuple[str, ...]:
    """The pairs a frame is about. v1's arrays end with theirs; v2's trades may be of several; its list of all pairs is
    about none.
    """
    if frame.startswith(b"["):
        end = frame.rfind(b'"')
        return _only(frame[frame.rfind(b'"', 0, end) + 1 : end]) if end > 0 else ()
    if _CATALOG.match(frame):
        return ()
    return tuple(dict.fromkeys(symbol.decode("ascii", "replace") for symbol in _SYMBOL.findall(frame)))


@lru_cache(4096)
def _only(name: bytes) -> tuple[str, ...]:
    return (name.decode("ascii", "replace"),)
