"""OKX's spelling of instruments: ours, but that a perpetual ends with ``-SWAP``. Inverse ones are quoted in USD.

    BTC-USDT                  BTC-USDT                 BTC-USD-220527            BTC-USD-220527
    BTC-USDT-SWAP             BTC-USDT-PERP            BTC-USD-220527-30000-C    BTC-USD-220527-30000-C

Linear ones that are margined in USD (``BTC-USD_UM-SWAP``) have no name of ours.
"""

import re
from functools import lru_cache

from topics.record import InstrumentId, Venue

_NAME = re.compile(r"[A-Z0-9]{1,20}-([A-Z0-9]{1,20})(?:-(SWAP|PERP|\d{6})(-[0-9.]{1,20}-[CP])?)?\Z", re.ASCII)


@lru_cache(4096)
def venue_symbol(instrument: InstrumentId) -> str:
    name = instrument.partition(":")[2]
    _check(name, "PERP", instrument)
    return f"{name[:-4]}SWAP" if name.endswith("-PERP") else name


@lru_cache(4096)
def instrument_of(venue: Venue, symbol: str) -> InstrumentId:
    _check(symbol, "SWAP", symbol)
    return f"{venue}:{symbol[:-4]}PERP" if symbol.endswith("-SWAP") else f"{venue}:{symbol}"


def kind_of(instrument: InstrumentId) -> str:
    """``Instrument.kind``."""
    parts = instrument.partition(":")[2].split("-")
    if len(parts) == 2:
        return "spot"
    if parts[2] == "PERP":
        return "inverse" if parts[1] == "USD" else "linear"
    return "future" if len(parts) == 3 else "option"


def _check(name: str, perpetual: str, told: str) -> None:
    found = _NAME.match(name)
    third, option = (None, None) if found is None else (found[2], found[3])
    if found is None or (third in ("SWAP", "PERP") and (third != perpetual or option)):
        raise ValueError(f"not an instrument of this venue: {told!r} (like okx:BTC-USDT-PERP, BTC-USDT-SWAP there)")


_NAMED = re.compile(rb'"instId"\s*:\s*"([^"\\]{1,64})"')


def symbols_in(frame: bytes, url: str = "") -> tuple[str, ...]:
    """Liquidations may be of several."""
    if frame.startswith(b'{"arg":{"channel":"books","instId":"'):
        return _only(frame[36 : frame.find(b'"', 36, 100)])
    return tuple(dict.fromkeys(name.decode("ascii", "replace") for name in _NAMED.findall(frame)))


@lru_cache(4096)
def _only(name: bytes) -> tuple[str, ...]:
    return (name.decode("ascii", "replace"),)
