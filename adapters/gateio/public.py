"""Gate.io's public requests, of spot and of contracts. The venue tells the best 100 levels of a side: what lies deeper is known once it changes."""

from typing import Any

from adapters.base import own_symbol
from adapters.gateio.symbols import settled
from adapters.public_rest import PublicApi, Request


def _depth(venue_symbol: str) -> Request:
    market, symbol, most = settled(venue_symbol), own_symbol(venue_symbol), {"limit": 100, "with_id": "true"}
    if market is None:
        return Request("depth", "publicSpotGetOrderBook", {"currency_pair": symbol, **most})
    kind, settle = market
    return Request("depth", f"public{kind}GetSettleOrderBook", {"settle": settle, "contract": symbol, **most})


def _definition(venue_symbol: str) -> Request:
    market, symbol = settled(venue_symbol), own_symbol(venue_symbol)
    if market is None:
        return Request("definition", "publicSpotGetCurrencyPairsCurrencyPair", {"currency_pair": symbol})
    kind, settle = market
    about: dict[str, Any] = {"settle": settle, "contract": symbol}
    return Request("contract", f"public{kind}GetSettleContractsContract", about)


API = PublicApi(
    ccxt_id="gate",
    depth=_depth,
    definition=_definition,
    clock=Request("time", "publicSpotGetTime", {}),
    clock_ms=lambda answer: int(answer["server_time"]),
)
