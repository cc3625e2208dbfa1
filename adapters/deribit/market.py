"""Deribit's market data: where it is, what to subscribe to, how it spells instruments. Pure, but for the REST client
it opens.
"""

import re
from collections.abc import Sequence

import msgspec

from adapters.base import Answer, BookRules, Connection, Endpoints, MarketData, Rest, Snapshots, in_parts
from adapters.catalogs import Catalog
from adapters.deribit import parser, symbols
from adapters.parsing import text_in

STREAM_URL = "wss://www.deribit.com/ws/api/v2"
SANDBOX_STREAM_URL = "wss://test.deribit.com/ws/api/v2"
CHANNELS = ("book.{}.100ms", "trades.{}.100ms", "ticker.{}.100ms")  # "raw" is for those who logged in
CHANNELS_PER_MESSAGE = 90
SYMBOLS_PER_CONNECTION = 150  # of 500 channels
PING = '{"jsonrpc":"2.0","id":9999,"method":"public/test","params":{}}'
PING_S = 25.0
CATALOGS = (Catalog("/get_instruments", "definition", "instrument_name", ("result",)),)
BESIDE = re.compile(rb'"channel":"(?!book)|"(?:error|result)":')
RULES = BookRules(Snapshots.STREAM, beside=BESIDE.search)


class DeribitMarketData(MarketData):
    """See ``adapters.base.MarketData``."""

    rules = RULES
    catalogs = CATALOGS
    parse = staticmethod(parser.parse)
    venue_symbol = staticmethod(symbols.venue_symbol)
    instrument_of = staticmethod(symbols.instrument_of)

    def symbols_in(self, frame: bytes, url: str = "") -> Sequence[str]:
        channel = text_in(frame, b'"channel":"').split(".")
        return (channel[1],) if len(channel) > 1 else ()

    def answer(self, url: str, body: bytes) -> Answer | None:
        """Definitions of one instrument; an answer about all of a currency is about none in particular."""
        if b'"tick_size":' in body[:4096] and body.count(b'"instrument_name":', 0, 65_536) == 1:
            return Answer("definition", text_in(body, b'"instrument_name":"'))
        return None

    def connections(self, endpoints: Endpoints, venue_symbols: Sequence[str]) -> Sequence[Connection]:
        url = endpoints.ws_url or (SANDBOX_STREAM_URL if endpoints.sandbox else STREAM_URL)
        parts = in_parts(venue_symbols, SYMBOLS_PER_CONNECTION)
        return [Connection(url, part, _subscriptions(part), PING, PING_S) for part in parts]

    def resubscribe(self, venue_symbol: str) -> Sequence[str]:
        book = [CHANNELS[0].format(venue_symbol)]
        return _message("public/unsubscribe", book, 1), _message("public/subscribe", book, 2)

    def rest(self, endpoints: Endpoints) -> Rest:
        from adapters.deribit.public import API
        from adapters.public_rest import PublicRest

        return PublicRest(API, endpoints)


def _subscriptions(venue_symbols: Sequence[str]) -> tuple[str, ...]:
    channels = [channel.format(symbol) for symbol in venue_symbols for channel in CHANNELS]
    parts = in_parts(channels, CHANNELS_PER_MESSAGE)
    return tuple(_message("public/subscribe", part, n) for n, part in enumerate(parts, start=1))


def _message(method: str, channels: Sequence[str], number: int) -> str:
    message = {"jsonrpc": "2.0", "id": number, "method": method, "params": {"channels": channels}}
    return msgspec.json.encode(message).decode()


MARKET_DATA = DeribitMarketData()
