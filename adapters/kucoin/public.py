"""KuCoin's public requests. Without a key the venue tells the best 100 levels of a side: what lies deeper is known once it
changes.
"""

from adapters.public_rest import PublicApi, Request


def _depth(venue_symbol: str) -> Request:
    return Request("depth", "publicGetMarketOrderbookLevel2100", {"symbol": venue_symbol})


def _definition(venue_symbol: str) -> Request:
    return Request("definition", "public symbols/{symbol}", {"symbol": venue_symbol, "version": "v2"})


API = PublicApi(
    ccxt_id="kucoin",
    depth=_depth,
    definition=_definition,
    clock=Request("time", "publicGetTimestamp", {}),
    clock_ms=lambda answer: int(answer["data"]),
)
