"""The table of what can be asked: REST method and path, WebSocket API method, weight, and the function that answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from adapters.simulated import amend_api, market_api, orders_api
from adapters.simulated.requests import Params
from adapters.simulated.venue import Venue

Public = Callable[[Venue, Params], Any]
Private = Callable[[Venue, str, Params], Any]


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Exactly one of `public` and `private` is set; a private one needs a signature. An empty name: not offered."""

    verb: str
    path: str
    ws_method: str
    weight: int
    public: Public | None = None
    private: Private | None = None

    @property
    def request(self) -> str:
        """`POST order`: how faults name it."""
        return f"{self.verb} {self.path}"


def _public(path: str, ws_method: str, weight: int, answer: Public) -> Endpoint:
    return Endpoint(verb="GET", path=path, ws_method=ws_method, weight=weight, public=answer)


def _private(verb: str, path: str, ws_method: str, weight: int, answer: Private) -> Endpoint:
    return Endpoint(verb=verb, path=path, ws_method=ws_method, weight=weight, private=answer)


ENDPOINTS = (
    _public("ping", "ping", 1, market_api.ping),
    _public("time", "time", 1, market_api.time),
    _public("exchangeInfo", "exchangeInfo", 20, market_api.exchange_info),
    _public("depth", "depth", 5, market_api.depth),
    _public("trades", "trades.recent", 25, market_api.trades),
    _public("aggTrades", "trades.aggregate", 4, market_api.agg_trades),
    _public("ticker/bookTicker", "ticker.book", 2, market_api.book_ticker),
    _public("ticker/price", "ticker.price", 2, market_api.ticker_price),
    _public("ticker/24hr", "ticker.24hr", 2, market_api.ticker_24hr),
    _private("POST", "order", "order.place", 1, orders_api.place),
    _private("POST", "order/test", "order.test", 1, amend_api.test),
    _private("POST", "order/cancelReplace", "order.cancelReplace", 1, amend_api.cancel_replace),
    _private("PUT", "order/amend/keepPriority", "order.amend.keepPriority", 4, amend_api.amend),
    _private("GET", "order", "order.status", 4, orders_api.query),
    _private("DELETE", "order", "order.cancel", 1, orders_api.cancel),
    _private("GET", "openOrders", "openOrders.status", 6, orders_api.open_orders),
    _private("DELETE", "openOrders", "openOrders.cancelAll", 1, orders_api.cancel_all),
    _private("GET", "allOrders", "allOrders", 20, orders_api.all_orders),
    _private("GET", "myTrades", "myTrades", 20, orders_api.my_trades),
    _private("GET", "account", "account.status", 20, orders_api.account_status),
)

WALLET = (_private("GET", "account/apiRestrictions", "", 1, orders_api.key_permissions),)
"""Under /sapi/v1; REST alone."""

REQUESTS = frozenset(one.request for one in ENDPOINTS)
