"""Coinbase's public REST requests: definitions and the time. Books begin in its stream."""

from adapters.public_rest import PublicApi, Request


def _definition(venue_symbol: str) -> Request:
    return Request("product", "v3PublicGetBrokerageMarketProductsProductId", {"product_id": venue_symbol})


API = PublicApi(
    ccxt_id="coinbase",
    definition=_definition,
    clock=Request("time", "v3PublicGetBrokerageTime", {}),
    clock_ms=lambda answer: int(answer["epochMillis"]),
)
