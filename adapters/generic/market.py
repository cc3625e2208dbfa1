"""The market data of a venue that ccxt.pro has. Pure, but for the clients it opens."""

import re
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from adapters.base import BookRules, Connection, Endpoints, MarketData, Rest, Sampler, Snapshots
from adapters.generic import parser, symbols
from adapters.parsing import text_in

PREFIX = "ccxt:"
_BESIDE = re.compile(rb'\{"ccxt":"(?!book)')
RULES = BookRules(Snapshots.STREAM, chained=False, beside=_BESIDE.match)


class GenericMarketData(MarketData):
    """See ``adapters.base.MarketData``. Nothing is connected here: the frames are a ``Sampler``'s."""

    def __init__(self, ccxt_id: str) -> None:
        self._ccxt_id = ccxt_id

    rules = RULES
    parse = staticmethod(parser.parse)
    venue_symbol = staticmethod(symbols.venue_symbol)
    instrument_of = staticmethod(symbols.instrument_of)

    def symbols_in(self, frame: bytes, url: str = "") -> Sequence[str]:
        symbol = text_in(frame, b'"symbol":"', 128)
        return (symbol,) if symbol else ()

    def connections(self, endpoints: Endpoints, venue_symbols: Sequence[str]) -> Sequence[Connection]:
        return ()

    def sampler(self, endpoints: Endpoints) -> Sampler:
        from adapters.generic.watching import Watching

        return Watching(self._ccxt_id, endpoints)

    def rest(self, endpoints: Endpoints) -> Rest:
        from adapters.generic.watching import MarketsRest

        return MarketsRest(self._ccxt_id, endpoints)


@cache
def market_data(ccxt_id: str) -> MarketData:
    return GenericMarketData(ccxt_id)


@cache
def has(ccxt_id: str) -> bool:
    """Whether ccxt.pro has such a venue. ccxt itself is large, and is not imported to know."""
    found = find_spec("ccxt")
    if found is None or found.origin is None or not re.fullmatch(r"[a-z0-9_]{1,40}", ccxt_id):
        return False
    return (Path(found.origin).parent / "pro" / f"{ccxt_id}.py").is_file()
