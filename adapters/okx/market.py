"""OKX's market data: where it is, what to subscribe to. Pure, but for the REST client it opens."""

import re
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

import msgspec

from adapters.base import Answer, BookRules, Connection, Endpoints, MarketData, Rest, Snapshots, in_parts
from adapters.catalogs import Catalog
from adapters.okx import parser, symbols
from adapters.okx.checksum import checksum

STREAM_URL = "wss://ws.okx.com:8443/ws/v5/public"
SANDBOX_STREAM_URL = "wss://wspap.okx.com:8443/ws/v5/public"
PING = "ping"
PING_S = 20.0  # a connection without a message for 30 s is closed
ARGS_PER_MESSAGE = 100  # a message may have 64 KiB
BESIDE = re.compile(rb'"channel":"(?!book)|"event":')
CATALOGS = (Catalog("/public/instruments", "instruments", "instId", ("data",)),)
RULES = BookRules(Snapshots.STREAM, chained=False, checksum=checksum, beside=BESIDE.search)

CHANNELS = {
    "spot": ("books", "bbo-tbt", "trades", "tickers"),
    "linear": ("books", "bbo-tbt", "trades", "tickers", "mark-price", "funding-rate", "open-interest"),
    "inverse": ("books", "bbo-tbt", "trades", "tickers", "mark-price", "funding-rate", "open-interest"),
    "future": ("books", "bbo-tbt", "trades", "tickers", "mark-price", "open-interest"),
    "option": ("books", "bbo-tbt", "trades", "tickers", "mark-price", "open-interest"),
}
TYPES = {"spot": "SPOT", "linear": "SWAP", "inverse": "SWAP", "future": "FUTURES", "option": "OPTION"}


class OkxMarketData(MarketData):
    """See ``adapters.base.MarketData``."""

    rules = RULES
    catalogs = CATALOGS
    parse = staticmethod(parser.parse)
    venue_symbol = staticmethod(symbols.venue_symbol)
    instrument_of = staticmethod(symbols.instrument_of)
    symbols_in = staticmethod(symbols.symbols_in)

    def answer(self, url: str, body: bytes) -> Answer | None:
        """Definitions that were asked for by one instrument."""
        parts = urlsplit(url)
        name = parse_qs(parts.query).get("instId", [""])[0]
        return Answer("instruments", name) if parts.path.endswith("/public/instruments") and name else None

    def connections(self, endpoints: Endpoints, venue_symbols: Sequence[str]) -> Sequence[Connection]:
        url = endpoints.ws_url or (SANDBOX_STREAM_URL if endpoints.sandbox else STREAM_URL)
        kinds = {symbol: _kind(symbol) for symbol in venue_symbols}
        args = [{"channel": channel, "instId": symbol} for symbol, kind in kinds.items() for channel in CHANNELS[kind]]
        types = sorted({TYPES[kind] for kind in kinds.values()} - {"SPOT"})
        args += [{"channel": "liquidation-orders", "instType": kind} for kind in types]
        parts = in_parts(args, ARGS_PER_MESSAGE)
        messages = tuple(_message("subscribe", part) for part in parts)
        return [Connection(url, tuple(venue_symbols), messages, PING, PING_S)]

    def resubscribe(self, venue_symbol: str) -> Sequence[str]:
        args = [{"channel": "books", "instId": venue_symbol}]
        return (_message("unsubscribe", args), _message("subscribe", args))

    def rest(self, endpoints: Endpoints) -> Rest:
        from adapters.public_rest import PublicApi, PublicRest, Request

        def definition(symbol: str) -> Request:
            kind = _kind(symbol)
            family = {"instFamily": "-".join(symbol.split("-")[:2])} if kind == "option" else {}
            params = {"instType": TYPES[kind], "instId": symbol, **family}
            return Request("instruments", "publicGetPublicInstruments", params)

        clock = Request("time", "publicGetPublicTime", {})
        return PublicRest(PublicApi("okx", definition, clock, lambda answer: int(answer["data"][0]["ts"])), endpoints)


def _kind(venue_symbol: str) -> str:
    return symbols.kind_of(symbols.instrument_of("", venue_symbol))


def _message(op: str, args: Sequence[dict[str, str]]) -> str:
    return msgspec.json.encode({"op": op, "args": args}).decode()


MARKET_DATA = OkxMarketData()
