"""Bybit's market data: where it is, what to subscribe to, how it spells instruments. Pure, but for the REST client it
opens. Limits: bybit-exchange.github.io/docs/v5/ws/connect
"""

from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

import msgspec

from adapters.base import (
    MARKET_MARK,
    Answer,
    BookRules,
    Connection,
    Endpoints,
    MarketData,
    Parser,
    Rest,
    Snapshots,
    own_symbol,
)
from adapters.bybit import parser, symbols
from adapters.catalogs import Catalog
from topics.record import InstrumentId, Venue

STREAM_URL = "wss://stream.bybit.com"
SANDBOX_STREAM_URL = "wss://stream-testnet.bybit.com"
PATH = "/v5/public/"
BOOK = "orderbook.200"
TOPICS = (BOOK, "publicTrade", "tickers")
ARGS_PER_MESSAGE = 10  # spot's limit; derivatives have none
ARGS_PER_CONNECTION = 400  # of derivatives at most 21,000 characters
PING, PING_S = '{"op":"ping"}', 20.0
RULES = BookRules(Snapshots.STREAM)


def _asked(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def _market(url: str) -> str:
    return f"{_asked(url).get('category', '')}{MARKET_MARK}"


CATALOGS = (Catalog("/instruments-info", "instruments-info", "symbol", ("result", "list"), market=_market),)


class BybitMarketData(MarketData):
    """See ``adapters.base.MarketData``."""

    @property
    def parse(self) -> Parser:
        return parser.parse

    @property
    def rules(self) -> BookRules:
        return RULES

    def venue_symbol(self, instrument: InstrumentId) -> str:
        return symbols.venue_symbol(instrument)

    def instrument_of(self, venue: Venue, venue_symbol: str) -> InstrumentId:
        return symbols.instrument_of(venue, venue_symbol)

    symbols_in = staticmethod(symbols.symbols_in)

    def answer(self, url: str, body: bytes) -> Answer | None:
        """One instrument's definition; a list of all of a market is about no one instrument."""
        asked = _asked(url)
        if not urlsplit(url).path.endswith("/instruments-info") or not {"category", "symbol"} <= asked.keys():
            return None
        return Answer("instruments-info", f"{asked['category']}{MARKET_MARK}{asked['symbol']}")

    @property
    def catalogs(self) -> tuple[Catalog, ...]:
        return CATALOGS

    def connections(self, endpoints: Endpoints, venue_symbols: Sequence[str]) -> Sequence[Connection]:
        """One a market at least: each has its own address, ``…/v5/public/linear``."""
        host = endpoints.ws_url.rstrip("/") or (SANDBOX_STREAM_URL if endpoints.sandbox else STREAM_URL)
        most = ARGS_PER_CONNECTION // (len(TOPICS) + 1)
        return [
            _connection(f"{host}{PATH}{market}", mine[i : i + most], market)
            for market in symbols.MARKETS
            if (mine := [symbol for symbol in venue_symbols if symbol.partition(MARKET_MARK)[0] == market])
            for i in range(0, len(mine), most)
        ]

    def resubscribe(self, venue_symbol: str) -> Sequence[str]:
        topics = [f"{BOOK}.{own_symbol(venue_symbol)}"]
        return _message("unsubscribe", topics), _message("subscribe", topics)

    def rest(self, endpoints: Endpoints) -> Rest:
        from adapters.bybit.public import API
        from adapters.public_rest import PublicRest

        return PublicRest(API, endpoints)


def _connection(url: str, venue_symbols: Sequence[str], market: str) -> Connection:
    kinds = (*TOPICS, "orderbook.1" if market == symbols.SPOT else "allLiquidation")
    topics = [f"{kind}.{own_symbol(symbol)}" for symbol in venue_symbols for kind in kinds]
    parts = [topics[i : i + ARGS_PER_MESSAGE] for i in range(0, len(topics), ARGS_PER_MESSAGE)]
    messages = tuple(_message("subscribe", part) for part in parts)
    return Connection(url, tuple(venue_symbols), messages, PING, PING_S)


def _message(op: str, topics: Sequence[str]) -> str:
    return msgspec.json.encode({"op": op, "args": topics}).decode()


MARKET_DATA = BybitMarketData()
