"""Binance spot's market data: where it is, what to subscribe to, how it spells instruments. Pure, but for the REST
client it opens.
"""

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

import msgspec

from adapters.base import Endpoints, Parser, Rest
from adapters.binance import parser, symbols
from topics.record import InstrumentId, Venue

STREAM_URL = "wss://stream.binance.com:9443"
SANDBOX_STREAM_URL = "wss://stream.testnet.binance.vision"
STREAMS = ("depth@100ms", "trade", "bookTicker")
PARAMS_PER_MESSAGE = 100  # a message with a few hundred streams is refused


class BinanceMarketData:
    """See ``adapters.base.MarketData``."""

    @property
    def parse(self) -> Parser:
        return parser.parse

    def venue_symbol(self, instrument: InstrumentId) -> str:
        return symbols.venue_symbol(instrument)

    def instrument_of(self, venue: Venue, venue_symbol: str) -> InstrumentId:
        return symbols.instrument_of(venue, venue_symbol)

    def symbol_in(self, frame: bytes) -> str:
        return symbols.symbol_in(frame)

    def stream_url(self, endpoints: Endpoints) -> str:
        """The combined stream: a URL with a path is taken as it stands."""
        url = endpoints.ws_url.rstrip("/") or (SANDBOX_STREAM_URL if endpoints.sandbox else STREAM_URL)
        return url if urlsplit(url).path else f"{url}/stream"

    def subscribe(self, venue_symbols: Iterable[str]) -> Sequence[str]:
        streams = [f"{symbol.lower()}@{stream}" for symbol in venue_symbols for stream in STREAMS]
        parts = [streams[i : i + PARAMS_PER_MESSAGE] for i in range(0, len(streams), PARAMS_PER_MESSAGE)]
        messages = [{"method": "SUBSCRIBE", "params": part, "id": n} for n, part in enumerate(parts, start=1)]
        return [msgspec.json.encode(message).decode() for message in messages]

    def rest(self, endpoints: Endpoints) -> Rest:
        from adapters.binance.public import BinancePublicRest

        return BinancePublicRest(endpoints)


MARKET_DATA = BinanceMarketData()
