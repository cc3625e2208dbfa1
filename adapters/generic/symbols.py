"""ccxt's unified spelling of instruments (docs.ccxt.com, "Contract Naming Conventions"). What a contract is settled in tells linear
from inverse; as one pair may have both, inverse ones end with ``-INV``::

    BTC/USDT                          BTC-USDT                  BTC/USDT:USDT-250926         BTC-USDT-250926
    BTC/USDT:USDT                     BTC-USDT-PERP             BTC/USD:BTC-250926           BTC-USD-250926-INV
    BTC/USD:BTC                       BTC-USD-PERP-INV          BTC/USDT:USDT-250926-50000-C BTC-USDT-250926-50000-C

Those that are settled in neither of their currencies have no name of ours.
"""

import re
from functools import lru_cache

from topics.record import InstrumentId, Venue

_C = r"[A-Za-z0-9$_.]{1,30}"
_END = r"\d{6}(?:-[0-9.]{1,20}-[CP])?"
_OURS = re.compile(rf"[^:]+:({_C})-({_C})(?:-(PERP|{_END})(-INV)?)?\Z", re.ASCII)
_THEIRS = re.compile(rf"({_C})/({_C})(?::({_C})(?:-({_END}))?)?\Z", re.ASCII)


@lru_cache(4096)
def venue_symbol(instrument: InstrumentId) -> str:
    found = _OURS.match(instrument)
    if found is None:
        raise ValueError(f"not an instrument: {instrument!r} (like bitget:BTC-USDT-PERP)")
    base, quote, end, inverse = found.groups()
    if end is None:
        return f"{base}/{quote}"
    return f"{base}/{quote}:{base if inverse else quote}{'' if end == 'PERP' else f'-{end}'}"


@lru_cache(4096)
def instrument_of(venue: Venue, symbol: str) -> InstrumentId:
    found = _THEIRS.match(symbol)
    if found is None or (found[3] is not None and found[3] not in found.groups()[:2]):
        raise ValueError(f"not an instrument that has a name here: {symbol!r}")
    base, quote, settle, end = found.groups()
    if settle is None:
        return f"{venue}:{base}-{quote}"
    return f"{venue}:{base}-{quote}-{end or 'PERP'}{'' if settle == quote else '-INV'}"


def kind_of(instrument: InstrumentId) -> str:
    """``Instrument.kind``."""
    parts = instrument.partition(":")[2].removesuffix("-INV").split("-")
    if len(parts) == 2:
        return "spot"
    if parts[2] == "PERP":
        return "inverse" if instrument.endswith("-INV") else "linear"
    return "future" if len(parts) == 3 else "option"
