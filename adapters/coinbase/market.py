"""Coinbase's market data: where it is, what to subscribe to, how it spells instruments. Pure, but for the REST client
it opens.
"""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from adapters.base import Answer, BookRules, Connection, Endpoints, MarketData, Rest, Snapshots, in_parts
from adapters.catalogs import Catalog
from adapters.coinbase import parser, symbols

STREAM_URL = "wss://advanced-trade-ws.coinbase.com"
CHANNELS = ("level2", "market_trades", "ticker")
PRODUCTS_PER_CONNECTION = 20  # a book begins with some megabytes
BESIDE = re.compile(rb'"channel":"(?!l2_data)|"type":"error"')
CATALOGS = (Catalog("/products", "product", "product_id", ("products",), alone=True),)
RULES = BookRules(Snapshots.STREAM, chained=False, beside=BESIDE.search)
_SEQUENCE = re.compile(rb'"sequence_num":\s*(\d{1,18})[,}]')
_PRODUCT = re.compile(r"/products/([^/]+)/?\Z")


class CoinbaseMarketData(MarketData):
    """See ``adapters.base.MarketData``."""

    rules = RULES
    catalogs = CATALOGS
    parse = staticmethod(parser.parse)
    venue_symbol = staticmethod(symbols.venue_symbol)
    instrument_of = staticmethod(symbols.instrument_of)
    symbols_in = staticmethod(symbols.symbols_in)

    def sequence_in(self, frame: bytes) -> int | None:
        found = _SEQUENCE.search(frame, 0, 300)
        return None if found is None else int(found[1])

    def answer(self, url: str, body: bytes) -> Answer | None:
        """One product; a list of all of them is about no one instrument."""
        found = _PRODUCT.search(urlsplit(url).path)
        return None if found is None else Answer("product", found[1])

    def connections(self, endpoints: Endpoints, venue_symbols: Sequence[str]) -> Sequence[Connection]:
        """A message a channel; heartbeats keep quiet channels from being closed, and their numbers show what was lost."""
        url = endpoints.ws_url.rstrip("/") or STREAM_URL
        groups = in_parts(venue_symbols, PRODUCTS_PER_CONNECTION)
        return [
            Connection(url, group, (_message("heartbeats"), *(_message(channel, group) for channel in CHANNELS)))
            for group in groups
        ]

    def resubscribe(self, venue_symbol: str) -> Sequence[str]:
        return (
            _message("level2", (venue_symbol,), kind="unsubscribe"),
            _message("level2", (venue_symbol,)),
        )

    def rest(self, endpoints: Endpoints) -> Rest:
        from adapters.coinbase.public import API
        from adapters.public_rest import PublicRest

        return PublicRest(API, endpoints)


def _message(channel: str, products: Sequence[str] = (), kind: str = "subscribe") -> str:
    """``{"type":"subscribe","product_ids":["BTC-USD"],"channel":"level2"}``; heartbeats are of no product."""
    about = {"product_ids": list(products)} if products else {}
    return msgspec.json.encode({"type": kind, **about, "channel": channel}).decode()


MARKET_DATA = CoinbaseMarketData()
