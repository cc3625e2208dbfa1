"""Gate.io's market data: where it is, what to subscribe to, how it spells instruments. Pure, but for the REST
client it opens.
"""

import re
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

import msgspec

from adapters.base import Answer, BookRules, Connection, Endpoints, MarketData, Rest, Snapshots, in_parts, own_symbol
from adapters.catalogs import Catalog
from adapters.gateio import parser, symbols
from adapters.parsing import text_in

STREAM_URL = "wss://api.gateio.ws/ws/v4/"
FUTURES_URL = "wss://fx-ws.gateio.ws/v4/ws/"
SYMBOLS_PER_CONNECTION = 50
TIME = 1_600_000_000  # the venue wants one, and does not look at it where nobody logs in
PING_S = 15.0
CHANNELS = ("trades", "book_ticker", "tickers")
CATALOGS = (
    Catalog("/spot/currency_pairs", "definition", "id"),
    Catalog("/contracts", "contract", "name", market=lambda url: symbols.FUTURES),
)
BESIDE = re.compile(rb'"channel":"(?!(?:spot|futures)\.order_book)')
RULES = BookRules(Snapshots.REST, beside=BESIDE.search)


_CONTRACT = re.compile(rb'"(?:s|contract)":"([^"]{1,40})"')


class GateioMarketData(MarketData):
    """See ``adapters.base.MarketData``."""

    rules = RULES
    catalogs = CATALOGS
    parse = staticmethod(parser.parse)
    venue_symbol = staticmethod(symbols.venue_symbol)
    instrument_of = staticmethod(symbols.instrument_of)

    def symbols_in(self, frame: bytes, url: str = "") -> Sequence[str]:
        if b'"futures.' in frame[:80]:
            found = dict.fromkeys(_CONTRACT.findall(frame))
            return [symbols.FUTURES + symbol.decode("ascii", "replace") for symbol in found]
        symbol = text_in(frame, b'"s":"') or text_in(frame, b'"currency_pair":"')
        return (symbol,) if symbol else ()

    def answer(self, url: str, body: bytes) -> Answer | None:
        parts, market = urlsplit(url), symbols.FUTURES if "/futures/" in url or "/delivery/" in url else ""
        if b'"asks":' in body and b'"bids":' in body and b'"id":' in body[:64]:
            symbol = parse_qs(parts.query).get("contract" if market else "currency_pair", [""])[0]
            return Answer("depth", f"{market}{symbol}")
        if body.startswith(b'{"id":') and b'"trade_status":' in body:
            return Answer("definition", text_in(body, b'"id":"'))
        if market and body.startswith(b"{") and b'"order_price_round":' in body:
            return Answer("contract", market + text_in(body, b'"name":"'))
        return None

    def connections(self, endpoints: Endpoints, venue_symbols: Sequence[str]) -> Sequence[Connection]:
        """One or more for each market."""
        markets: dict[str, list[str]] = {}
        for symbol in venue_symbols:
            markets.setdefault(_url(symbol), []).append(symbol)
        return [
            Connection(endpoints.ws_url or url, part, _subscriptions(part), _ping(part[0]), PING_S)
            for url, found in markets.items()
            for part in in_parts(found, SYMBOLS_PER_CONNECTION)
        ]

    def rest(self, endpoints: Endpoints) -> Rest:
        from adapters.gateio.public import API
        from adapters.public_rest import PublicRest

        return PublicRest(API, endpoints)


def _url(symbol: str) -> str:
    market = symbols.settled(symbol)
    if market is None:
        return STREAM_URL
    kind, settle = market
    return f"{FUTURES_URL}{'delivery/' if kind == 'Delivery' else ''}{settle}"


def _ping(symbol: str) -> str:
    return f'{{"time":{TIME},"channel":"{"futures" if symbols.settled(symbol) else "spot"}.ping"}}'


def _subscriptions(venue_symbols: Sequence[str]) -> tuple[str, ...]:
    """One message a book, one for all of each other channel; of one market."""
    own = [own_symbol(symbol) for symbol in venue_symbols]
    if symbols.settled(venue_symbols[0]) is None:
        books = [_message("spot.order_book_update", [symbol, "100ms"]) for symbol in own]
        return (*books, *[_message(f"spot.{channel}", own) for channel in CHANNELS])
    books = [_message("futures.order_book_update", [symbol, "100ms", "100"]) for symbol in own]
    return (*books, *[_message(f"futures.{channel}", own) for channel in (*CHANNELS, "public_liquidates")])


def _message(channel: str, payload: Sequence[str]) -> str:
    return msgspec.json.encode({"time": TIME, "channel": channel, "event": "subscribe", "payload": payload}).decode()


MARKET_DATA = GateioMarketData()
