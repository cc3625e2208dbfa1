"""Bitstamp's public requests. It has none for its clock: that of its ticker is in seconds."""

from adapters.bitstamp.market import PAIRS
from adapters.public_rest import PublicApi, Request


def _depth(venue_symbol: str) -> Request:
    return Request("depth", "publicGetOrderBookPair", {"pair": venue_symbol})


def _orders(venue_symbol: str) -> Request:
    """Every order with its id; levels are made of them."""
    return Request("depth", "publicGetOrderBookPair", {"pair": venue_symbol, "group": 2})


def _definition(venue_symbol: str) -> Request:
    return Request("definition", "publicGetTradingPairsInfo", {})


def api(orders: bool = False) -> PublicApi:
    return PublicApi(
        ccxt_id="bitstamp",
        depth=_orders if orders else _depth,
        definition=_definition,
        clock=Request("time", "publicGetTickerPair", {"pair": "btcusd"}),
        clock_ms=lambda answer: int(answer["timestamp"]) * 1000,
        catalog=PAIRS,
    )
