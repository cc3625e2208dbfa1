"""Hyperliquid's public requests."""

from adapters.public_rest import PublicApi, Request


def _definition(venue_symbol: str) -> Request:
    return Request("definition", "publicPostInfo", {"type": "spotMeta" if "/" in venue_symbol else "meta"})


API = PublicApi(
    ccxt_id="hyperliquid",
    definition=_definition,
    clock=Request("time", "publicPostInfo", {"type": "exchangeStatus"}),
    clock_ms=lambda answer: int(answer["time"]),
)
