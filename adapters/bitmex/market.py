"""BitMEX's market data: where it is, what to subscribe to, how it spells instruments. Pure, but for the REST client it
opens.
"""

import re
from collections.abc import Sequence

import msgspec

from adapters.base import Answer, BookRules, Connection, Endpoints, MarketData, Rest, Snapshots, in_parts
from adapters.bitmex import parser, symbols
from adapters.catalogs import Catalog
from adapters.parsing import text_in

STREAM_URL = "wss://ws.bitmex.com/realtime"
SANDBOX_STREAM_URL = "wss://ws.testnet.bitmex.com/realtime"
TABLES = ("orderBookL2", "trade", "quote", "instrument", "liquidation")
SYMBOLS_PER_CONNECTION = 50
ARGS_PER_MESSAGE = 20
PING_S = 5.0
BESIDE = re.compile(rb'"table":"(?!orderBook)|"error":')
CATALOGS = (
    Catalog("/instrument/active", "definition", "symbol"),
    Catalog("/instrument", "definition", "symbol"),
)
RULES = BookRules(Snapshots.STREAM, chained=False, beside=BESIDE.search, settles=True)
_SYMBOL = re.compile(rb'"symbol":"([^"]{1,40})"')


class BitmexMarketData(MarketData):
    """See ``adapters.base.MarketData``."""

    rules = RULES
    catalogs = CATALOGS
    parse = staticmethod(parser.parse)
    venue_symbol = staticmethod(symbols.venue_symbol)
    instrument_of = staticmethod(symbols.instrument_of)

    def symbols_in(self, frame: bytes, url: str = "") -> Sequence[str]:
        """Of the rows; of the filter where a table has none."""
        rows = frame.find(b'"data":[')
        found = dict.fromkeys(_SYMBOL.findall(frame, rows)) if rows > 0 else {}
        if not found:
            filtered = text_in(frame, b'"filter":{"symbol":"')
            return (filtered,) if filtered else ()
        return [symbol.decode("ascii", "replace") for symbol in found]

    def answer(self, url: str, body: bytes) -> Answer | None:
        """Definitions of one instrument; a list of all is about none in particular."""
        if body.startswith(b'[{"symbol":"') and b'"tickSize":' in body and body.count(b'"rootSymbol":', 0, 65_536) == 1:
            return Answer("definition", text_in(body, b'"symbol":"'))
        return None

    def connections(self, endpoints: Endpoints, venue_symbols: Sequence[str]) -> Sequence[Connection]:
        url = endpoints.ws_url or (SANDBOX_STREAM_URL if endpoints.sandbox else STREAM_URL)
        parts = in_parts(venue_symbols, SYMBOLS_PER_CONNECTION)
        return [Connection(url, part, _subscriptions(part), "ping", PING_S) for part in parts]

    def resubscribe(self, venue_symbol: str) -> Sequence[str]:
        book = [f"{TABLES[0]}:{venue_symbol}"]
        return _message("unsubscribe", book), _message("subscribe", book)

    def rest(self, endpoints: Endpoints) -> Rest:
        from adapters.bitmex.public import API
        from adapters.public_rest import PublicRest

        return PublicRest(API, endpoints)


def _subscriptions(venue_symbols: Sequence[str]) -> tuple[str, ...]:
    args = [f"{table}:{symbol}" for symbol in venue_symbols for table in TABLES]
    return tuple(_message("subscribe", part) for part in in_parts(args, ARGS_PER_MESSAGE))


def _message(op: str, args: Sequence[str]) -> str:
    return msgspec.json.encode({"op": op, "args": args}).decode()


MARKET_DATA = BitmexMarketData()
