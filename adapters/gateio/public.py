"""Gate.io's public requests. The venue tells the best 100 levels of a side: what lies deeper is known once it changes."""

from adapters.public_rest import PublicApi, Request


def _depth(venue_symbol: str) -> Request:
    return Request("depth", "publicSpotGetOrderBook", {"currency_pair": venue_symbol, "limit": 100, "with_id": "true"})


def _definition(venue_symbol: str) -> Request:
    return Request("definition", "publicSpotGetCurrencyPairsCurrencyPair", {"currency_pair": venue_symbol})


API = PublicApi(
    ccxt_id="gate",
    depth=_depth,
    definition=_definition,
    clock=Request("time", "publicSpotGetTime", {}),
    clock_ms=lambda answer: int(answer["server_time"]),
)
