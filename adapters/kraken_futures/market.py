"""Kraken Futures' market data: where it is, what to subscribe to. Pure, but for the REST client it opens."""

import re
from collections.abc import Sequence

import msgspec

from adapters.base import BookRules, Connection, Endpoints, MarketData, Rest, Snapshots, in_parts
from adapters.catalogs import Catalog
from adapters.kraken_futures import parser, symbols
from adapters.parsing import iso_ns

STREAM_URL = "wss://futures.kraken.com/ws/v1"
SANDBOX_STREAM_URL = "wss://demo-futures.kraken.com/ws/v1"
FEEDS = ("book", "trade", "ticker")
PRODUCTS_PER_MESSAGE = 50
CATALOG = Catalog("/instruments", "instruments", "symbol", ("instruments",))
BESIDE = re.compile(rb'"feed":"(?!book)|"event":')
RULES = BookRules(Snapshots.STREAM, beside=BESIDE.search, settles=True)


class KrakenFuturesMarketData(MarketData):
    """See ``adapters.base.MarketData``. A recorded answer of the REST side is about all products: none is read from it.

    The venue wants a ping a minute; those of the websocket itself, which are sent anyway, count.
    """

    rules = RULES
    catalogs = (CATALOG,)
    parse = staticmethod(parser.parse)
    venue_symbol = staticmethod(symbols.venue_symbol)
    instrument_of = staticmethod(symbols.instrument_of)
    symbols_in = staticmethod(symbols.symbols_in)

    def connections(self, endpoints: Endpoints, venue_symbols: Sequence[str]) -> Sequence[Connection]:
        url = endpoints.ws_url or (SANDBOX_STREAM_URL if endpoints.sandbox else STREAM_URL)
        messages = [
            _message("subscribe", feed, part)
            for part in in_parts(venue_symbols, PRODUCTS_PER_MESSAGE)
            for feed in FEEDS
        ]
        return [Connection(url, tuple(venue_symbols), tuple(messages))]

    def resubscribe(self, venue_symbol: str) -> Sequence[str]:
        return tuple(_message(event, "book", [venue_symbol]) for event in ("unsubscribe", "subscribe"))

    def rest(self, endpoints: Endpoints) -> Rest:
        from adapters.public_rest import PublicApi, PublicRest, Request

        request = Request("instruments", "publicGetInstruments", {})
        api = PublicApi(
            "krakenfutures",
            definition=lambda symbol: request,
            clock=request,
            clock_ms=lambda answer: iso_ns(answer["serverTime"]) // 1_000_000,
            catalog=CATALOG,
        )
        return PublicRest(api, endpoints)


def _message(event: str, feed: str, venue_symbols: Sequence[str]) -> str:
    return msgspec.json.encode({"event": event, "feed": feed, "product_ids": list(venue_symbols)}).decode()


MARKET_DATA = KrakenFuturesMarketData()
