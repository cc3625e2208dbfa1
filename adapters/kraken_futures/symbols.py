"""Kraken Futures' spelling of instruments. Its first letters tell perpetual from dated and linear from inverse; as one pair
may have both, inverse ones end with ``-INV``:

    PF_XBTUSD           BTC-USD-PERP            FF_XBTUSD_250926    BTC-USD-250926
    PI_XBTUSD           BTC-USD-PERP-INV        FI_XBTUSD_210924    BTC-USD-210924-INV
    PV_XRPXBT           XRP-BTC-PERP            FV_XRPXBT_210924    XRP-BTC-210924        (in recordings)

Its REST side used small letters, which are read too.
"""

import re
from functools import lru_cache

from topics import native
from topics.record import InstrumentId, Venue

_INSTRUMENT = re.compile(r"[^:]+:([A-Z0-9]+)-(USD|BTC)-(PERP|\d{6})(-INV)?\Z", re.ASCII)
_SYMBOL = re.compile(r"([PF])(?:([FI])_([A-Z0-9]{1,20})USD|(V)_([A-Z0-9]{1,20})XBT)(?:_(\d{6}))?\Z", re.ASCII)
_OURS = {"XBT": "BTC", "XDG": "DOGE"}


@lru_cache(4096)
def venue_symbol(instrument: InstrumentId) -> str:
    """ValueError unless it is a perpetual or a dated future."""
    found = _INSTRUMENT.match(instrument)
    if found is None or found[1] in _OURS or (found[2] == "BTC" and (found[4] or found[1] == "BTC")):
        raise ValueError(f"not an instrument of this venue: {instrument!r} (like kraken_futures:BTC-USD-PERP)")
    base, quote, expiry, inverse = found.groups()
    dated = expiry != "PERP"
    kind = ("F" if dated else "P") + ("V" if quote == "BTC" else "I" if inverse else "F")
    pair = f"{'XBT' if base == 'BTC' else base}{'XBT' if quote == 'BTC' else quote}"
    return f"{kind}_{pair}{f'_{expiry}' if dated else ''}"


@lru_cache(4096)
def instrument_of(venue: Venue, symbol: str) -> InstrumentId:
    """ValueError for indices, and for kinds of products that are no more."""
    found = _SYMBOL.match(symbol.upper())
    if found is None or (found[1] == "F") != (found[6] is not None) or found[5] == "XBT":
        raise ValueError(f"not a product of this venue: {symbol!r}")
    _, kind, base, vanilla, other, expiry = found.groups()
    base, quote = (other, "BTC") if vanilla else (base, "USD")
    return f"{venue}:{_OURS.get(base, base)}-{quote}-{expiry or 'PERP'}{'-INV' if kind == 'I' else ''}"


def kind_of(instrument: InstrumentId) -> str:
    """``Instrument.kind``."""
    if instrument.endswith("-PERP"):
        return "linear"
    return "inverse" if instrument.endswith("-PERP-INV") else "future"


_of_book = native.template(b'{"feed":"book","product_id":"%s"%.')


def symbols_in(frame: bytes, url: str = "") -> tuple[str, ...]:
    """The product a frame is about."""
    if (found := _of_book(frame)) is not None:
        return found
    start = frame.find(b'"product_id"', 0, 300)
    parts = frame[start + 12 : start + 60].split(b'"', 2) if start >= 0 else ()
    return (parts[1].decode("ascii", "replace"),) if len(parts) == 3 else ()
