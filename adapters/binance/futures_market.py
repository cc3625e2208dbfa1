"""The market data of Binance's futures: what USD-M and COIN-M share, by a table. Pure, but for the REST client it opens."""

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from adapters.base import Answer, Connection, Endpoints, MarketData, Parser, Rest
from adapters.binance import futures
from adapters.binance.futures_symbols import Spelling
from adapters.binance.market import CATALOG, RULES, combined_streams, parameter
from adapters.binance.parser import parser
from adapters.binance.symbols import symbols_in
from topics.record import InstrumentId, Venue

_SYMBOL = re.compile(rb'"symbol":\s*"(\w{1,40})"')


class Tier(NamedTuple):
    """An address and the streams it has."""

    url: str
    streams: tuple[str, ...]


class Site(NamedTuple):
    """What is a venue's own. ``api``: the beginning of ccxt's names of its requests."""

    spelling: Spelling
    tiers: tuple[Tier, ...]
    sandbox_url: str
    api: str


class FuturesMarketData(MarketData):
    """See ``adapters.base.MarketData``."""

    rules = RULES
    catalogs = (CATALOG,)
    asks_open_interest = True
    symbols_in = staticmethod(symbols_in)

    def __init__(self, site: Site) -> None:
        self._site = site
        self._parse = parser(futures.dialect(site.spelling.venue_symbol))

    @property
    def parse(self) -> Parser:
        return self._parse

    def venue_symbol(self, instrument: InstrumentId) -> str:
        return self._site.spelling.venue_symbol(instrument)

    def instrument_of(self, venue: Venue, venue_symbol: str) -> InstrumentId:
        return self._site.spelling.instrument_of(venue, venue_symbol)

    def answer(self, url: str, body: bytes) -> Answer | None:
        """Depth snapshots, wherever they were asked for; open interest; definitions that were asked for by one contract."""
        if body.startswith(b'{"lastUpdateId"'):
            return Answer("depth", parameter(url, "symbol") or _symbol_at_the_beginning(body))
        if body.startswith(b'{"timezone"') and (symbol := parameter(url, "symbol")):
            return Answer("exchangeInfo", symbol)
        if urlsplit(url).path.endswith("/openInterest"):
            return Answer("openInterest", parameter(url, "symbol"))
        return None

    def connections(self, endpoints: Endpoints, venue_symbols: Sequence[str]) -> Sequence[Connection]:
        """Everything from one address where it is not the real venue."""
        every = tuple(stream for tier in self._site.tiers for stream in tier.streams)
        if endpoints.ws_url:
            url = endpoints.ws_url.rstrip("/")
            tiers: tuple[Tier, ...] = (Tier(url if urlsplit(url).path else f"{url}/stream", every),)
        else:
            tiers = (Tier(self._site.sandbox_url, every),) if endpoints.sandbox else self._site.tiers
        return [c for tier in tiers for c in combined_streams(tier.url, venue_symbols, tier.streams)]

    def rest(self, endpoints: Endpoints) -> Rest:
        from adapters.binance.futures_public import api
        from adapters.public_rest import PublicRest

        return PublicRest(api(self._site.api), endpoints)


def _symbol_at_the_beginning(body: bytes) -> str:
    found = _SYMBOL.search(body, 0, 300)
    return found[1].decode() if found else ""
