"""Kraken's market data: where it is, what to subscribe to. Pure, but for the REST client it opens."""

import re
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

import msgspec

from adapters.base import Answer, BookRules, Connection, Endpoints, MarketData, Rest, Snapshots, in_parts
from adapters.catalogs import Catalog
from adapters.kraken import parser, symbols
from adapters.kraken.checksum import checksum

STREAM_URL = "wss://ws.kraken.com/v2"
DEPTH = 1000
PAIRS_PER_MESSAGE = 50
PING = '{"method":"ping"}'
PING_S = 30.0  # a connection on which nothing was sent for a minute is closed
BOOK: dict[str, object] = {"channel": "book", "depth": DEPTH}
CHANNELS: tuple[dict[str, object], ...] = (
    BOOK,
    {"channel": "trade", "snapshot": False},
    {"channel": "ticker", "event_trigger": "bbo"},
)
BESIDE = re.compile(
    rb'\A\s*\{\s*"(?:channel"\s*:\s*"(?!book)|event"|error"|method")|"(?:trade|ticker|spread|ohlc[-\d]*)",\s*"[^"]+"\]\Z'
)
CATALOGS = (Catalog("/AssetPairs", "AssetPairs", "wsname", ("result",)),)
RULES = BookRules(Snapshots.STREAM, chained=False, checksum=checksum, beside=BESIDE.search)


class KrakenMarketData(MarketData):
    """See ``adapters.base.MarketData``."""

    rules = RULES
    catalogs = CATALOGS
    parse = staticmethod(parser.parse)
    venue_symbol = staticmethod(symbols.venue_symbol)
    instrument_of = staticmethod(symbols.instrument_of)
    symbols_in = staticmethod(symbols.symbols_in)

    def answer(self, url: str, body: bytes) -> Answer | None:
        """Definitions that were asked for by one pair in the spelling of its streams (``pair=XBT/USD``)."""
        parts = urlsplit(url)
        pair = parse_qs(parts.query).get("pair", [""])[0]
        return Answer("AssetPairs", pair) if parts.path.endswith("/AssetPairs") and "/" in pair else None

    def connections(self, endpoints: Endpoints, venue_symbols: Sequence[str]) -> Sequence[Connection]:
        messages = [
            _message("subscribe", params, part)
            for part in in_parts(venue_symbols, PAIRS_PER_MESSAGE)
            for params in CHANNELS
        ]
        return [Connection(endpoints.ws_url or STREAM_URL, tuple(venue_symbols), tuple(messages), PING, PING_S)]

    def resubscribe(self, venue_symbol: str) -> Sequence[str]:
        return tuple(_message(method, BOOK, [venue_symbol]) for method in ("unsubscribe", "subscribe"))

    def rest(self, endpoints: Endpoints) -> Rest:
        from adapters.public_rest import PublicApi, PublicRest, Request

        api = PublicApi(
            "kraken",
            definition=lambda symbol: Request("AssetPairs", "publicGetAssetPairs", {"pair": symbol}),
            clock=Request("Time", "publicGetTime", {}),
            clock_ms=lambda answer: int(answer["result"]["unixtime"]) * 1000,
        )
        return PublicRest(api, endpoints)


def _message(method: str, params: dict[str, object], venue_symbols: Sequence[str]) -> str:
    return msgspec.json.encode({"method": method, "params": {**params, "symbol": list(venue_symbols)}}).decode()


MARKET_DATA = KrakenMarketData()
