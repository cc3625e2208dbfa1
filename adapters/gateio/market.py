"""Gate.io's spot market data: where it is, what to subscribe to, how it spells instruments. Pure, but for the REST
client it opens.
"""

from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

import msgspec

from adapters.base import Answer, BookRules, Connection, Endpoints, MarketData, Parser, Rest, Snapshots
from adapters.gateio import parser, symbols
from adapters.parsing import text_in
from topics.record import InstrumentId, Venue

STREAM_URL = "wss://api.gateio.ws/ws/v4/"
SYMBOLS_PER_CONNECTION = 50
TIME = 1_600_000_000  # the venue wants one, and does not look at it where nobody logs in
PING = f'{{"time":{TIME},"channel":"spot.ping"}}'
PING_S = 15.0
RULES = BookRules(Snapshots.REST)


class GateioMarketData(MarketData):
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
        symbol = text_in(frame, b'"s":"') or text_in(frame, b'"currency_pair":"')
        return (symbol,) if symbol else ()

    def answer(self, url: str, body: bytes) -> Answer | None:
        if b'"asks":' in body and b'"bids":' in body and b'"id":' in body[:64]:
            return Answer("depth", parse_qs(urlsplit(url).query).get("currency_pair", [""])[0])
        if body.startswith(b'{"id":') and b'"trade_status":' in body:
            return Answer("definition", text_in(body, b'"id":"'))
        return None

    def connections(self, endpoints: Endpoints, venue_symbols: Sequence[str]) -> Sequence[Connection]:
        url = endpoints.ws_url or STREAM_URL
        parts = [
            venue_symbols[i : i + SYMBOLS_PER_CONNECTION] for i in range(0, len(venue_symbols), SYMBOLS_PER_CONNECTION)
        ]
        return [Connection(url, tuple(part), _subscriptions(part), PING, PING_S) for part in parts]

    def rest(self, endpoints: Endpoints) -> Rest:
        from adapters.gateio.public import API
        from adapters.public_rest import PublicRest

        return PublicRest(API, endpoints)


def _subscriptions(venue_symbols: Sequence[str]) -> tuple[str, ...]:
    """One message a book, one for all of each other channel."""
    books = [_message("spot.order_book_update", [symbol, "100ms"]) for symbol in venue_symbols]
    return (
        *books,
        *[_message(channel, venue_symbols) for channel in ("spot.trades", "spot.book_ticker", "spot.tickers")],
    )


def _message(channel: str, payload: Sequence[str]) -> str:
    return msgspec.json.encode({"time": TIME, "channel": channel, "event": "subscribe", "payload": payload}).decode()


MARKET_DATA = GateioMarketData()
