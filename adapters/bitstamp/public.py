"""Bitstamp's public requests. It has none for its clock: that of its ticker is in seconds."""

from adapters.public_rest import PublicApi, Request


def _depth(venue_symbol: str) -> Request:
    return Request("depth", "publicGetOrderBookPair", {"pair": venue_symbol})


def _definition(venue_symbol: str) -> Request:
    return Request("definition", "publicGetTradingPairsInfo", {})


API = PublicApi(
    ccxt_id="bitstamp",
    depth=_depth,
    definition=_definition,
    clock=Request("time", "publicGetTickerPair", {"pair": "btcusd"}),
    clock_ms=lambda answer: int(answer["timestamp"]) * 1000,
)
