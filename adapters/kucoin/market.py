"""KuCoin's spot market data: where it is, what to subscribe to, how it spells instruments. Pure, but for the REST
client it opens.
"""

from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

import msgspec

from adapters.base import Answer, BookRules, Connection, Endpoints, MarketData, Parser, Rest, Snapshots
from adapters.catalogs import Catalog
from adapters.kucoin import parser, symbols
from adapters.parsing import text_in
from topics.record import InstrumentId, Venue

STREAM_URL = "wss://ws-api-spot.kucoin.com"
TOPICS = ("/market/level2", "/market/match", "/market/ticker")
SYMBOLS_PER_CONNECTION = 100  # of 300 topics, each of one symbol
PING = '{"id":"1","type":"ping"}'
PING_S = 18.0
MOST_S = 24 * 3600.0  # a token's life
CATALOGS = (Catalog("/symbols", "definition", "symbol", ("data",)),)
RULES = BookRules(Snapshots.REST, settles=True)


class KucoinMarketData(MarketData):
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

    def symbols_in(self, frame: bytes, url: str = "") -> Sequence[str]:
        symbol = text_in(frame, parser.TOPIC, 128).partition(":")[2].partition("_")[0]
        return (symbol,) if symbol else ()

    def answer(self, url: str, body: bytes) -> Answer | None:
        if b'"sequence":' in body[:200] and b'"bids":' in body:
            return Answer("depth", parse_qs(urlsplit(url).query).get("symbol", [""])[0])
        if b'"priceIncrement":' in body[:2000] and body.count(b'"symbol":', 0, 4000) == 1:
            return Answer("definition", text_in(body, b'"symbol":"'))
        return None

    @property
    def catalogs(self) -> tuple[Catalog, ...]:
        return CATALOGS

    def connections(self, endpoints: Endpoints, venue_symbols: Sequence[str]) -> Sequence[Connection]:
        """The venue's own URL is asked for (``address``)."""
        url = endpoints.ws_url or STREAM_URL
        parts = [
            venue_symbols[i : i + SYMBOLS_PER_CONNECTION] for i in range(0, len(venue_symbols), SYMBOLS_PER_CONNECTION)
        ]
        return [
            Connection(
                url,
                tuple(part),
                tuple(_subscription(topic, part, n) for n, topic in enumerate(TOPICS)),
                PING,
                PING_S,
                MOST_S,
            )
            for part in parts
        ]

    async def address(self, rest: Rest, connection: Connection) -> str:
        """A URL of one's own stands as it is."""
        from adapters.kucoin.public import address

        return await address(rest) if connection.url == STREAM_URL else connection.url

    def rest(self, endpoints: Endpoints) -> Rest:
        from adapters.kucoin.public import API
        from adapters.public_rest import PublicRest

        return PublicRest(API, endpoints)


def _subscription(topic: str, venue_symbols: Sequence[str], number: int) -> str:
    message = {"id": str(number), "type": "subscribe", "topic": f"{topic}:{','.join(venue_symbols)}", "response": True}
    return msgspec.json.encode(message).decode()


MARKET_DATA = KucoinMarketData()
