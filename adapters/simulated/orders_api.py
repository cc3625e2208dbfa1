"""The venue's private methods, the same for REST and the WebSocket API: parameters in, an answer or `ApiError` out.

https://developers.binance.com/docs/binance-spot-api-docs/rest-api/trading-endpoints
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeVar

from adapters.simulated import filters, wire
from adapters.simulated.model import (
    Event,
    NewOrder,
    Order,
    OrderReport,
    OrderType,
    Refused,
    SelfTradePrevention,
    Side,
    Status,
    TimeInForce,
)
from adapters.simulated.requests import ApiError, Params, missing, unneeded
from adapters.simulated.venue import Venue

Json = dict[str, Any]
E = TypeVar("E", bound=StrEnum)
DEFAULT_LIMIT, MAX_LIMIT = 500, 1000
NEITHER_ID = "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
UNSUPPORTED = {
    "STOP_LOSS": "Stop loss orders are not supported for this symbol.",
    "STOP_LOSS_LIMIT": "Stop loss limit orders are not supported for this symbol.",
    "TAKE_PROFIT": "Take profit orders are not supported for this symbol.",
    "TAKE_PROFIT_LIMIT": "Take profit limit orders are not supported for this symbol.",
}


def symbol_of(venue: Venue, params: Params) -> str:
    symbol = params.required("symbol")
    if symbol not in venue.core.instruments:
        raise ApiError.of(filters.INVALID_SYMBOL)
    return symbol


def place(venue: Venue, account: str, params: Params) -> Json:
    new = new_order(venue, account, params)
    shape = _shape(params, new)
    venue.budget.count_order(wire.ms(venue.now()), account)
    events = _carry_out(venue, venue.core.submit(venue.now(), new), new.symbol)
    own = [one for one in _reports(events) if one.order.client_order_id == new.client_order_id]
    return wire.placed([one for one in own if one.order.order_id == own[0].order.order_id], shape)


def cancel(venue: Venue, account: str, params: Params) -> Json:
    order = _named(venue, account, params)
    if order is None or not order.status.open:
        raise ApiError.of(filters.UNKNOWN_ORDER)
    _check_restrictions(order, params.text("cancelRestrictions"))
    cancel_id = params.client_id("newClientOrderId") or venue.next_client_id()
    events = venue.core.cancel(venue.now(), account, order.symbol, order_id=order.order_id, cancel_id=cancel_id)
    return wire.canceled(_reports(_carry_out(venue, events, order.symbol))[0])


def cancel_all(venue: Venue, account: str, params: Params) -> list[Json]:
    symbol = symbol_of(venue, params)
    events = venue.core.cancel_all(venue.now(), account, symbol, venue.next_client_id())
    return [wire.canceled(report) for report in _reports(_carry_out(venue, events, symbol))]


def query(venue: Venue, account: str, params: Params) -> Json:
    order = _named(venue, account, params)
    if order is None:
        raise ApiError.of(filters.NO_SUCH_ORDER)
    return wire.order(order)


def open_orders(venue: Venue, account: str, params: Params) -> list[Json]:
    symbol = symbol_of(venue, params) if "symbol" in params else None
    return [wire.order(order) for order in venue.core.open_orders(account, symbol)]


def all_orders(venue: Venue, account: str, params: Params) -> list[Json]:
    orders = venue.core.all_orders(account, symbol_of(venue, params))
    first = params.integer("orderId")
    chosen = [one for one in orders if first is None or one.order_id >= first]
    chosen = [one for one in chosen if _within(one.created_ns, params)]
    return [wire.order(one) for one in _page(chosen, params, forward=first is not None or "startTime" in params)]


def my_trades(venue: Venue, account: str, params: Params) -> list[Json]:
    trades = venue.core.executions(account, symbol_of(venue, params))
    order_id, first = params.integer("orderId"), params.integer("fromId")
    chosen = [one for one in trades if order_id is None or one.order.order_id == order_id]
    chosen = [one for one in chosen if first is None or one.trade_id >= first]
    chosen = [one for one in chosen if _within(one.ts_ns, params)]
    return [wire.my_trade(one) for one in _page(chosen, params, forward=first is not None or "startTime" in params)]


def account_status(venue: Venue, account: str, params: Params) -> Json:
    answer = wire.account(venue.core, account, venue.now())
    if params.text("omitZeroBalances") == "true":
        answer["balances"] = [
            one for one in answer["balances"] if one["free"] != wire.ZERO or one["locked"] != wire.ZERO
        ]
    return answer


# Details


def new_order(venue: Venue, account: str, params: Params) -> NewOrder:
    """The request as the core takes it, or the venue's complaint about a parameter."""
    symbol = symbol_of(venue, params)
    side = _one_of(Side, params.required("side"), -1117, "Invalid side.")
    kind = _type(params.required("type"))
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
        price=0 if kind is OrderType.MARKET else _positive(params, "price", "Invalid price."),
        quote_qty=_positive(params, "quoteOrderQty", "Invalid quote order quantity.")
        if "quoteOrderQty" in params
        else 0,
        self_trade_prevention=None if mode is None else _mode(mode),
    )


def _type(name: str) -> OrderType:
    if name in UNSUPPORTED:
        raise ApiError(-1013, UNSUPPORTED[name])
    return _one_of(OrderType, name, -1116, "Invalid orderType.")


def _check_unneeded(params: Params, kind: OrderType) -> None:
    never = ("stopPrice", "trailingDelta", "icebergQty")
    names = {
        OrderType.LIMIT: (*never, "quoteOrderQty"),
        OrderType.LIMIT_MAKER: (*never, "quoteOrderQty", "timeInForce"),
        OrderType.MARKET: (*never, "price", "timeInForce"),
    }[kind]
    for name in names:
        if name in params:
            raise unneeded(name)


def _time_in_force(params: Params, kind: OrderType) -> TimeInForce:
    if kind is not OrderType.LIMIT:
        return TimeInForce.GTC
    return _one_of(TimeInForce, params.required("timeInForce"), -1115, "Invalid timeInForce.")


def _quantity(params: Params, kind: OrderType) -> int:
    if kind is OrderType.MARKET and "quoteOrderQty" in params:
        if "quantity" in params:
            raise unneeded("quantity")
        return 0
    return _positive(params, "quantity", "Invalid quantity.")


def _quote_quantity(params: Params) -> int:
    if "quoteOrderQty" not in params:
        return 0
    return _positive(params, "quoteOrderQty", "Invalid quote order qty.")


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


def _shape(params: Params, new: NewOrder) -> str:
    shape = params.text("newOrderRespType")
    if shape is None:
        return "ACK" if new.type is OrderType.LIMIT_MAKER else "FULL"
    if shape not in ("ACK", "RESULT", "FULL"):
        raise ApiError(-1130, "Data sent for parameter 'newOrderRespType' is not valid.")
    return shape


def _named(venue: Venue, account: str, params: Params) -> Order | None:
    symbol = symbol_of(venue, params)
    order_id, client_order_id = params.integer("orderId"), params.text("origClientOrderId")
    if order_id is None and client_order_id is None:
        raise ApiError(-1102, NEITHER_ID)
    return venue.core.order(account, symbol, order_id=order_id, client_order_id=client_order_id)


def _check_restrictions(order: Order, restriction: str | None) -> None:
    only = {"ONLY_NEW": Status.NEW, "ONLY_PARTIALLY_FILLED": Status.PARTIALLY_FILLED}
    if restriction in only and order.status is not only[restriction]:
        raise ApiError(-2011, "Order was not canceled due to cancel restrictions.")


def _carry_out(venue: Venue, events: list[Event], symbol: str) -> list[Event]:
    if isinstance(events[0], Refused):
        venue.counts["refused"] += 1
        raise ApiError.of(events[0])
    venue.commit(events, symbol)
    return events


def _reports(events: list[Event]) -> list[OrderReport]:
    return [event for event in events if isinstance(event, OrderReport)]


def _within(ts_ns: int, params: Params) -> bool:
    start, end = params.integer("startTime"), params.integer("endTime")
    return (start is None or wire.ms(ts_ns) >= start) and (end is None or wire.ms(ts_ns) <= end)


T = TypeVar("T")


def _page(items: list[T], params: Params, *, forward: bool) -> list[T]:
    """The first of them when a beginning was named, else the latest; always in ascending order."""
    limit = params.integer("limit")
    limit = DEFAULT_LIMIT if limit is None else min(limit, MAX_LIMIT)
    if limit == 0:
        raise missing("limit")
    return items[:limit] if forward else items[-limit:]
