"""Hyperliquid's market data: where it is, what to subscribe to, how it spells instruments. Pure, but for the REST client it
opens.
"""

import re
from collections.abc import Sequence

import msgspec

from adapters.base import BookRules, Connection, Endpoints, MarketData, Rest, Snapshots, in_parts
from adapters.hyperliquid import parser, symbols
from adapters.parsing import text_in

STREAM_URL = "wss://api.hyperliquid.xyz/ws"
SANDBOX_STREAM_URL = "wss://api.hyperliquid-testnet.xyz/ws"
CHANNELS = ("l2Book", "trades", "bbo", "activeAssetCtx")
SYMBOLS_PER_CONNECTION = 200  # of 1000 subscriptions
PING = '{"method":"ping"}'
PING_S = 30.0
BESIDE = re.compile(rb'"channel":"(?!l2Book)')
RULES = BookRules(Snapshots.STREAM, chained=False, beside=BESIDE.search)


class HyperliquidMarketData(MarketData):
    """See ``adapters.base.MarketData``."""

    rules = RULES
    parse = staticmethod(parser.parse)
    venue_symbol = staticmethod(symbols.venue_symbol)
    instrument_of = staticmethod(symbols.instrument_of)

    def symbols_in(self, frame: bytes, url: str = "") -> Sequence[str]:
        symbol = text_in(frame, b'"coin":"')
        return (symbol,) if symbol else ()

    def connections(self, endpoints: Endpoints, venue_symbols: Sequence[str]) -> Sequence[Connection]:
        url = endpoints.ws_url or (SANDBOX_STREAM_URL if endpoints.sandbox else STREAM_URL)
        parts = in_parts(venue_symbols, SYMBOLS_PER_CONNECTION)
        return [
            Connection(
                url,
                part,
                tuple(_message("subscribe", channel, symbol) for symbol in part for channel in CHANNELS),
                PING,
                PING_S,
            )
            for part in parts
        ]

    def resubscribe(self, venue_symbol: str) -> Sequence[str]:
        return _message("unsubscribe", "l2Book", venue_symbol), _message("subscribe", "l2Book", venue_symbol)

    def rest(self, endpoints: Endpoints) -> Rest:
        from adapters.hyperliquid.public import API
        from adapters.public_rest import PublicRest

        return PublicRest(API, endpoints)


def _message(method: str, channel: str, venue_symbol: str) -> str:
    message = {"method": method, "subscription": {"type": channel, "coin": venue_symbol}}
    return msgspec.json.encode(message).decode()


MARKET_DATA = HyperliquidMarketData()
