"""A new order's parameters as the venue reads them: which each type needs, which it refuses.

https://developers.binance.com/docs/binance-spot-api-docs/rest-api/trading-endpoints
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from adapters.simulated import filters
from adapters.simulated.model import NewOrder, OrderType, SelfTradePrevention, Side, TimeInForce
from adapters.simulated.requests import ApiError, Params, unneeded
from adapters.simulated.venue import Venue

E = TypeVar("E", bound=StrEnum)
TIMED = (OrderType.LIMIT, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT)
NO_STOP = "Param 'stopPrice' or 'trailingDelta' must be sent, but both were empty/null!"


def symbol_of(venue: Venue, params: Params) -> str:
    symbol = params.required("symbol")
    if symbol not in venue.core.instruments:
        raise ApiError.of(filters.INVALID_SYMBOL)
    return symbol


def new_order(venue: Venue, account: str, params: Params) -> NewOrder:
    """The request as the core takes it, or the venue's complaint about a parameter."""
    symbol = symbol_of(venue, params)
    side = _one_of(Side, params.required("side"), -1117, "Invalid side.")
    kind = _one_of(OrderType, params.required("type"), -1116, "Invalid orderType.")
    _check_unneeded(params, kind)
    mode = params.text("selfTradePreventionMode")
    return NewOrder(
        account=account,
        symbol=symbol,
        side=side,
        type=kind,
        client_order_id=params.client_id("newClientOrderId") or venue.next_client_id(),
        time_in_force=_time_in_force(params, kind),
        qty=_quantity(params, kind),
        price=_positive(params, "price", "Invalid price.") if kind.priced else 0,
        stop_price=_stop_price(params) if kind.waits else 0,
        quote_qty=_positive(params, "quoteOrderQty", "Invalid quote order quantity.")
        if "quoteOrderQty" in params
        else 0,
        self_trade_prevention=None if mode is None else _mode(mode),
    )


def _check_unneeded(params: Params, kind: OrderType) -> None:
    optional = {
        "price": kind.priced,
        "stopPrice": kind.waits,
        "timeInForce": kind in TIMED,
        "quoteOrderQty": kind is OrderType.MARKET,
        "trailingDelta": False,
        "icebergQty": False,
    }
    for name, wanted in optional.items():
        if name in params and not wanted:
            raise unneeded(name)


def _time_in_force(params: Params, kind: OrderType) -> TimeInForce:
    if kind not in TIMED:
        return TimeInForce.GTC
    return _one_of(TimeInForce, params.required("timeInForce"), -1115, "Invalid timeInForce.")


def _quantity(params: Params, kind: OrderType) -> int:
    if kind is OrderType.MARKET and "quoteOrderQty" in params:
        if "quantity" in params:
            raise unneeded("quantity")
        return 0
    return _positive(params, "quantity", "Invalid quantity.")


def _stop_price(params: Params) -> int:
    if "stopPrice" not in params:
        raise ApiError(-1102, NO_STOP)
    return _positive(params, "stopPrice", "Invalid stop price.")


def _positive(params: Params, name: str, complaint: str) -> int:
    params.required(name)
    amount = params.amount(name)
    if amount is None or amount <= 0:
        raise ApiError(-1013, complaint)
    return amount


def _mode(name: str) -> SelfTradePrevention:
    return _one_of(SelfTradePrevention, name, -1130, "Data sent for parameter 'selfTradePreventionMode' is not valid.")


def _one_of(kind: type[E], name: str, code: int, complaint: str) -> E:
    try:
        return kind(name)
    except ValueError as error:
        raise ApiError(code, complaint) from error


def answer_shape(params: Params, new: NewOrder) -> str:
    shape = params.text("newOrderRespType")
    if shape is None:
        return "FULL" if new.type in (OrderType.LIMIT, OrderType.MARKET) else "ACK"
    if shape not in ("ACK", "RESULT", "FULL"):
        raise ApiError(-1130, "Data sent for parameter 'newOrderRespType' is not valid.")
    return shape
