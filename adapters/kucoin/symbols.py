"""KuCoin's spelling of instruments. Spot is ours: ``BTC-USDT``. Its perpetuals are of another market, which stands before them::

futures|XBTUSDTM   <venue>:BTC-USDT-PERP     linear, as in USDC
futures|XBTUSDM    <venue>:BTC-USD-PERP      inverse
"""

import re
from functools import lru_cache

from adapters.base import MARKET_MARK
from topics.record import InstrumentId, Venue

FUTURES = f"futures{MARKET_MARK}"
_PAIR = re.compile(r"[A-Z0-9]+-[A-Z0-9]+\Z", re.ASCII)
_OURS = re.compile(r"([A-Z0-9]+)-(USDT|USDC|USD)-PERP\Z", re.ASCII)
_THEIRS = re.compile(r"([A-Z0-9]+?)(USDT|USDC|USD)M\Z", re.ASCII)


@lru_cache(4096)
def venue_symbol(instrument: InstrumentId) -> str:
    """ValueError unless it is a spot pair or a perpetual."""
    symbol = instrument.partition(":")[2]
    perpetual = _OURS.match(symbol)
    if perpetual is not None and perpetual[1] != "XBT":
        return f"{FUTURES}{'XBT' if perpetual[1] == 'BTC' else perpetual[1]}{perpetual[2]}M"
    if not _PAIR.match(symbol):
        raise ValueError(
            f"not an instrument of this venue: {instrument!r} (like kucoin:BTC-USDT, kucoin:BTC-USDT-PERP)"
        )
    return symbol


@lru_cache(4096)
def instrument_of(venue: Venue, symbol: str) -> InstrumentId:
    """ValueError for what is neither pair nor perpetual: dated contracts have no name here."""
    if symbol.startswith(FUTURES):
        found = _THEIRS.match(symbol.removeprefix(FUTURES))
        if found is not None and found[1] != "BTC":
            return f"{venue}:{'BTC' if found[1] == 'XBT' else found[1]}-{found[2]}-PERP"
    elif _PAIR.match(symbol):
        return f"{venue}:{symbol}"
    raise ValueError(f"neither a pair nor a perpetual: {symbol!r}")
