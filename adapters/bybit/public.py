"""Bybit's public REST requests: definitions and the time. Books begin in its stream."""

from adapters.base import MARKET_MARK
from adapters.public_rest import PublicApi, Request


def _definition(venue_symbol: str) -> Request:
    category, _, symbol = venue_symbol.partition(MARKET_MARK)
    params = {"category": category, "symbol": symbol}
    return Request("instruments-info", "publicGetV5MarketInstrumentsInfo", params)


API = PublicApi(
    ccxt_id="bybit",
    definition=_definition,
    clock=Request("time", "publicGetV5MarketTime", {}),
    clock_ms=lambda answer: int(answer["time"]),
)
