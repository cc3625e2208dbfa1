"""Bybit's market data: where it is, what to subscribe to, how it spells instruments. Pure, but for the REST client it
opens. Limits: bybit-exchange.github.io/docs/v5/ws/connect
"""

import re
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
    Rest,
    Snapshots,
    in_parts,
    own_symbol,
)
from adapters.bybit import parser, symbols
from adapters.catalogs import Catalog

STREAM_URL = "wss://stream.bybit.com"
SANDBOX_STREAM_URL = "wss://stream-testnet.bybit.com"
PATH = "/v5/public/"
BOOK = "orderbook.200"
TOPICS = (BOOK, "publicTrade", "tickers")
ARGS_PER_MESSAGE = 10  # spot's limit; derivatives have none
ARGS_PER_CONNECTION = 400  # of derivatives at most 21,000 characters
PING, PING_S = '{"op":"ping"}', 20.0
BESIDE = re.compile(rb'"topic":"(?!orderbook)|"op":')
RULES = BookRules(Snapshots.STREAM, beside=BESIDE.search)


def _asked(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def _market(url: str) -> str:
    return f"{_asked(url).get('category', '')}{MARKET_MARK}"


CATALOGS = (Catalog("/instruments-info", "instruments-info", "symbol", ("result", "list"), market=_market),)


class BybitMarketData(MarketData):
    """See ``adapters.base.MarketData``."""

    rules = RULES
    catalogs = CATALOGS
    parse = staticmethod(parser.parse)
    venue_symbol = staticmethod(symbols.venue_symbol)
    instrument_of = staticmethod(symbols.instrument_of)
    symbols_in = staticmethod(symbols.symbols_in)

    def answer(self, url: str, body: bytes) -> Answer | None:
        """One instrument's definition; a list of all of a market is about no one instrument."""
        asked = _asked(url)
        if not urlsplit(url).path.endswith("/instruments-info") or not {"category", "symbol"} <= asked.keys():
            return None
        return Answer("instruments-info", f"{asked['category']}{MARKET_MARK}{asked['symbol']}")

    def connections(self, endpoints: Endpoints, venue_symbols: Sequence[str]) -> Sequence[Connection]:
        """One a market at least: each has its own address, ``…/v5/public/linear``."""
        host = endpoints.ws_url.rstrip("/") or (SANDBOX_STREAM_URL if endpoints.sandbox else STREAM_URL)
        most = ARGS_PER_CONNECTION // (len(TOPICS) + 1)
        return [
            _connection(f"{host}{PATH}{market}", part, market)
            for market in symbols.MARKETS
            if (mine := [symbol for symbol in venue_symbols if symbol.partition(MARKET_MARK)[0] == market])
            for part in in_parts(mine, most)
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
    parts = in_parts(topics, ARGS_PER_MESSAGE)
    messages = tuple(_message("subscribe", part) for part in parts)
    return Connection(url, tuple(venue_symbols), messages, PING, PING_S)


def _message(op: str, topics: Sequence[str]) -> str:
    return msgspec.json.encode({"op": op, "args": topics}).decode()


MARKET_DATA = BybitMarketData()
