"""How Binance's futures spell instruments: ``BTCUSDT`` and ``BTCUSDT_210924`` of USD-M are ``<venue>:BTC-USDT-PERP`` and
``…:BTC-USDT-210924``; ``BTCUSD_PERP`` and ``BTCUSD_240927`` of COIN-M are ``…:BTC-USD-PERP`` and ``…:BTC-USD-240927``.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from topics.record import InstrumentId, Venue

_INSTRUMENT = re.compile(r"[^:]+:([A-Z0-9]+)-([A-Z0-9]+)-(PERP|\d{6})\Z", re.ASCII)
_SYMBOL = re.compile(r"([A-Z0-9]+?)(?:_(PERP|\d{6}))?\Z", re.ASCII)


class Spelling(NamedTuple):
    """``quotes``: the currencies that the venue quotes in; ``perpetual``: how it ends a perpetual's symbol."""

    quotes: tuple[str, ...]
    perpetual: str

    def venue_symbol(self, instrument: InstrumentId) -> str:
        """ValueError unless it is a contract of this venue."""
        return _venue_symbol(self, instrument)

    def instrument_of(self, venue: Venue, symbol: str) -> InstrumentId:
        """By the longest quote currency that fits; ValueError when there is none."""
        found = _SYMBOL.match(symbol)
        pair, ending = (found[1], found[2]) if found else ("", None)
        fitting = [q for q in self.quotes if pair.endswith(q) and len(pair) > len(q)]
        quote = max(fitting, key=len, default="")
        dated = ending is not None and ending != "PERP"
        if not quote or not (dated or f"_{ending}" == self.perpetual or not (ending or self.perpetual)):
            raise ValueError(f"not a contract of this venue: {symbol!r}")
        return f"{venue}:{pair.removesuffix(quote)}-{quote}-{ending if dated else 'PERP'}"


@lru_cache(4096)
def _venue_symbol(spelling: Spelling, instrument: InstrumentId) -> str:
    found = _INSTRUMENT.match(instrument)
    if found is None or found[2] not in spelling.quotes:
        raise ValueError(f"not a contract of this venue: {instrument!r}")
    ending = spelling.perpetual if found[3] == "PERP" else f"_{found[3]}"
    return f"{found[1]}{found[2]}{ending}"


USDM = Spelling(("USDT", "USDC", "BUSD", "FDUSD", "USD1", "BTC", "ETH", "BNB"), "")
COINM = Spelling(("USD",), "_PERP")
