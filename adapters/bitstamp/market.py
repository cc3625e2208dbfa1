"""Bitstamp's market data: where it is, what to subscribe to, how it spells instruments. Pure, but for the REST client it
opens.
"""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from adapters.base import Answer, BookRules, Connection, Endpoints, MarketData, Rest, Snapshots, in_parts
from adapters.bitstamp import parser, symbols
from adapters.catalogs import Catalog
from adapters.parsing import text_in

STREAM_URL = "wss://ws.bitstamp.net/"
SYMBOLS_PER_CONNECTION = 50
PING = '{"event":"bts:heartbeat"}'
PING_S = 20.0
MOST_S = 90 * 24 * 3600.0
BESIDE = re.compile(rb'"channel":"(?!diff_)|"event":"bts:')
PAIRS = Catalog("/trading-pairs-info", "definition", "url_symbol")
CATALOGS = (PAIRS, Catalog("/markets", "definition", "market_symbol"))
RULES = BookRules(Snapshots.REST, chained=False, beside=BESIDE.search, compared=True)


class BitstampMarketData(MarketData):
    """See ``adapters.base.MarketData``."""

    rules = RULES
    catalogs = CATALOGS
    has_orders = True
    parse = staticmethod(parser.parse)
    venue_symbol = staticmethod(symbols.venue_symbol)
    instrument_of = staticmethod(symbols.instrument_of)

    def symbols_in(self, frame: bytes, url: str = "") -> Sequence[str]:
        symbol = text_in(frame, parser.CHANNEL).rpartition("_")[2]
        return (symbol,) if symbol else ()

    def answer(self, url: str, body: bytes) -> Answer | None:
        """Books name no pair: their URL does."""
        if b'"microtimestamp":' in body[:128] and b'"bids":' in body:
            path = urlsplit(url).path.rstrip("/")
            return Answer("depth", path.rpartition("/")[2] if "/order_book/" in path else "")
        return None

    def connections(self, endpoints: Endpoints, venue_symbols: Sequence[str]) -> Sequence[Connection]:
        url = endpoints.ws_url or STREAM_URL
        parts = in_parts(venue_symbols, SYMBOLS_PER_CONNECTION)
        return [Connection(url, part, _subscriptions(part, endpoints.orders), PING, PING_S, MOST_S) for part in parts]

    def rest(self, endpoints: Endpoints) -> Rest:
        from adapters.bitstamp.public import api
        from adapters.public_rest import PublicRest

        return PublicRest(api(endpoints.orders), endpoints)


def _subscriptions(venue_symbols: Sequence[str], orders: bool) -> tuple[str, ...]:
    """A message a channel."""
    kinds = ("diff_order_book", "live_trades", *(("live_orders",) if orders else ()))
    channels = [
        f"{channel}_{symbol}"
        for symbol in venue_symbols
        for channel in (*kinds, *(("funding_rate",) if symbol.endswith("-perp") else ()))
    ]
    messages = [{"event": "bts:subscribe", "data": {"channel": channel}} for channel in channels]
    return tuple(msgspec.json.encode(message).decode() for message in messages)


MARKET_DATA = BitstampMarketData()
