"""KuCoin's market data: where it is, what to subscribe to, how it spells instruments. Pure, but for the REST
client it opens.
"""

import re
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

import msgspec

from adapters.base import Answer, BookRules, Connection, Endpoints, MarketData, Rest, Snapshots, in_parts, own_symbol
from adapters.catalogs import Catalog
from adapters.kucoin import parser, symbols
from adapters.parsing import text_in

STREAM_URL = "wss://ws-api-spot.kucoin.com"
FUTURES_URL = "wss://ws-api-futures.kucoin.com"
TOPICS = {
    STREAM_URL: ("/market/level2", "/market/match", "/market/ticker"),
    FUTURES_URL: (
        "/contractMarket/level2",
        "/contractMarket/execution",
        "/contractMarket/tickerV2",
        "/contract/instrument",
    ),
}
SYMBOLS_PER_CONNECTION = 100  # of 300 topics, each of one symbol
PING = '{"id":"1","type":"ping"}'
PING_S = 18.0
MOST_S = 24 * 3600.0  # a token's life
CATALOGS = (
    Catalog("/symbols", "definition", "symbol", ("data",)),
    Catalog("/contracts/active", "contract", "symbol", ("data",), market=lambda url: symbols.FUTURES),
)
BESIDE = re.compile(rb'"topic":"(?!/market/level2|/contractMarket/level2)')
RULES = BookRules(Snapshots.REST, beside=BESIDE.search, settles=True)


class KucoinMarketData(MarketData):
    """See ``adapters.base.MarketData``."""

    rules = RULES
    catalogs = CATALOGS
    parse = staticmethod(parser.parse)
    venue_symbol = staticmethod(symbols.venue_symbol)
    instrument_of = staticmethod(symbols.instrument_of)

    def symbols_in(self, frame: bytes, url: str = "") -> Sequence[str]:
        topic, _, symbol = text_in(frame, parser.TOPIC, 128).partition(":")
        symbol = symbol.partition("_")[0]
        return (f"{symbols.FUTURES}{symbol}" if topic.startswith("/contract") else symbol,) if symbol else ()

    def answer(self, url: str, body: bytes) -> Answer | None:
        if b'"sequence":' in body[:200] and b'"bids":' in body:
            parts = urlsplit(url)
            market = symbols.FUTURES if parts.path.endswith("/level2/snapshot") else ""
            symbol = parse_qs(parts.query).get("symbol", [""])[0]
            return Answer("depth", f"{market}{symbol}" if symbol else "")
        if b'"priceIncrement":' in body[:2000] and body.count(b'"symbol":', 0, 4000) == 1:
            return Answer("definition", text_in(body, b'"symbol":"'))
        return None

    def connections(self, endpoints: Endpoints, venue_symbols: Sequence[str]) -> Sequence[Connection]:
        """The venue's own URL is asked for (``address``)."""
        markets = {
            FUTURES_URL: [symbol for symbol in venue_symbols if symbol.startswith(symbols.FUTURES)],
            STREAM_URL: [symbol for symbol in venue_symbols if not symbol.startswith(symbols.FUTURES)],
        }
        return [
            Connection(
                endpoints.ws_url or url,
                part,
                tuple(_subscription(topic, part, n) for n, topic in enumerate(TOPICS[url])),
                PING,
                PING_S,
                MOST_S,
            )
            for url, mine in markets.items()
            for part in in_parts(mine, SYMBOLS_PER_CONNECTION)
        ]

    async def address(self, rest: Rest, connection: Connection) -> str:
        """A URL of one's own stands as it is."""
        from adapters.kucoin.public import address

        if connection.url not in TOPICS:
            return connection.url
        return await address(rest, connection.url == FUTURES_URL)

    def rest(self, endpoints: Endpoints) -> Rest:
        from adapters.kucoin.public import API
        from adapters.public_rest import PublicRest

        return PublicRest(API, endpoints)


def _subscription(topic: str, venue_symbols: Sequence[str], number: int) -> str:
    message = {
        "id": str(number),
        "type": "subscribe",
        "topic": f"{topic}:{','.join(map(own_symbol, venue_symbols))}",
        "response": True,
    }
    return msgspec.json.encode(message).decode()


MARKET_DATA = KucoinMarketData()
