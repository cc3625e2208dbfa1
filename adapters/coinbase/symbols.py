"""Coinbase's spelling of instruments: ``BTC-USD`` as ours, ``BTC-PERP-INTX`` is ``<venue>:BTC-USDC-PERP``.

Its US futures (``BIP-20DEC30-CDE``) do not say in their symbol what they are of, and have no id.
"""

import re
from functools import lru_cache

from topics.record import InstrumentId, Venue

_INSTRUMENT = re.compile(r"[^:]+:([A-Z0-9]+)-([A-Z0-9]+)(-PERP)?\Z")
_SYMBOL = re.compile(r"([A-Z0-9]+)-([A-Z0-9]+)(-INTX)?\Z")
_NAMED = re.compile(rb'"product_id":\s*"([^"]{1,40})"')
_BOOK = b'{"channel":"l2_data",'


@lru_cache(4096)
def venue_symbol(instrument: InstrumentId) -> str:
    """ValueError unless it is a spot pair, or a perpetual in USDC."""
    found = _INSTRUMENT.match(instrument)
    if found is None or (found[3] and found[2] != "USDC") or found[2] == "PERP":
        raise ValueError(f"no such instrument at this venue: {instrument!r} (like coinbase:BTC-USD)")
    return f"{found[1]}-PERP-INTX" if found[3] else f"{found[1]}-{found[2]}"


def instrument_of(venue: Venue, symbol: str) -> InstrumentId:
    """ValueError where it is neither a pair nor such a perpetual."""
    found = _SYMBOL.match(symbol)
    if found is None or bool(found[3]) != (found[2] == "PERP"):
        raise ValueError(f"not a symbol of this venue: {symbol!r}")
    return f"{venue}:{found[1]}-USDC-PERP" if found[3] else f"{venue}:{symbol}"


def symbols_in(frame: bytes, url: str = "") -> list[str]:
    """Every product that a frame names, without parsing it; a book's change names its one near its beginning."""
    first = _NAMED.search(frame, 0, 400)
    if first is not None and frame.startswith(_BOOK) and frame.find(b"]", first.end()) >= len(frame) - 4:
        return [first[1].decode("ascii", "replace")]  # of one product: its changes end with the frame
    if first is None and len(frame) <= 400:
        return []
    if first is not None and frame.rfind(b'"product_id"') == first.start():
        return [first[1].decode("ascii", "replace")]
    return [name.decode("ascii", "replace") for name in dict.fromkeys(_NAMED.findall(frame))]
