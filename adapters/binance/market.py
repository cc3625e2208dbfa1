"""Binance spot's market data: where it is, what to subscribe to, how it spells instruments. Pure, but for the REST
client it opens.
"""

import re
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

import msgspec

from adapters.base import Answer, BookRules, Connection, Endpoints, MarketData, Rest, Snapshots, in_parts
from adapters.binance import parser, symbols
from adapters.catalogs import Catalog

STREAM_URL = "wss://stream.binance.com:9443"
SANDBOX_STREAM_URL = "wss://stream.testnet.binance.vision"
STREAMS = ("depth@100ms", "trade", "bookTicker")
PARAMS_PER_MESSAGE = 100  # a message with a few hundred streams is refused
STREAMS_PER_CONNECTION = 200  # of futures; spot's limit is 1024
LIFE_S = 24 * 3600.0  # then the venue ends a connection
CATALOG = Catalog("/exchangeInfo", "exchangeInfo", "symbol", ("symbols",))
BESIDE = re.compile(rb'"e":"(?!depthUpdate)|@bookTicker"')
RULES = BookRules(Snapshots.REST, beside=BESIDE.search)


class BinanceMarketData(MarketData):
    """See ``adapters.base.MarketData``."""

    rules = RULES
    catalogs = (CATALOG,)
    parse = staticmethod(parser.parse)
    venue_symbol = staticmethod(symbols.venue_symbol)
    instrument_of = staticmethod(symbols.instrument_of)
    symbols_in = staticmethod(symbols.symbols_in)

    def answer(self, url: str, body: bytes) -> Answer | None:
        """Depth snapshots, wherever they were asked for; definitions of one symbol."""
        if body.startswith(b'{"lastUpdateId"'):
            return Answer("depth", parameter(url, "symbol"))
        if body.startswith(b'{"timezone"') and (symbol := parameter(url, "symbol")):
            return Answer("exchangeInfo", symbol)
        return None

    def connections(self, endpoints: Endpoints, venue_symbols: Sequence[str]) -> Sequence[Connection]:
        """The combined stream: a URL with a path is taken as it stands."""
        url = endpoints.ws_url.rstrip("/") or (SANDBOX_STREAM_URL if endpoints.sandbox else STREAM_URL)
        url = url if urlsplit(url).path else f"{url}/stream"
        return combined_streams(url, venue_symbols, STREAMS)

    def rest(self, endpoints: Endpoints) -> Rest:
        from adapters.binance.public import BinancePublicRest

        return BinancePublicRest(endpoints)


def combined_streams(url: str, venue_symbols: Sequence[str], streams: Sequence[str]) -> list[Connection]:
    """As many connections as the limit of streams asks for, and in each as many messages."""
    most = STREAMS_PER_CONNECTION // len(streams)
    return [_connection(url, part, streams) for part in in_parts(venue_symbols, most)]


def _connection(url: str, venue_symbols: Sequence[str], streams: Sequence[str]) -> Connection:
    params = [f"{symbol.lower()}@{stream}" for symbol in venue_symbols for stream in streams]
    parts = in_parts(params, PARAMS_PER_MESSAGE)
    messages = [{"method": "SUBSCRIBE", "params": part, "id": n} for n, part in enumerate(parts, start=1)]
    subscribe = tuple(msgspec.json.encode(message).decode() for message in messages)
    has_books = any(stream.startswith("depth") for stream in streams)
    return Connection(url, tuple(venue_symbols), subscribe, most_s=LIFE_S, has_books=has_books)


def parameter(url: str, name: str) -> str:
    return parse_qs(urlsplit(url).query).get(name, [""])[0]


MARKET_DATA = BinanceMarketData()
