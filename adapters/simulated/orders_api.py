"""The venue's private methods, the same for REST and the WebSocket API: parameters in, an answer or `ApiError` out.

https://developers.binance.com/docs/binance-spot-api-docs/rest-api/trading-endpoints
"""

from __future__ import annotations

from typing import Any, TypeVar

from adapters.simulated import filters, wire
from adapters.simulated.model import Event, NewOrder, Order, OrderReport, Refused, Status
from adapters.simulated.order_params import answer_shape, new_order, symbol_of
from adapters.simulated.requests import ApiError, Params, missing
from adapters.simulated.venue import Venue

Json = dict[str, Any]
DEFAULT_LIMIT, MAX_LIMIT = 500, 1000
NEITHER_ID = "Param '{}' or '{}' must be sent, but both were empty/null!"


def place(venue: Venue, account: str, params: Params) -> Json:
    new = new_order(venue, account, params)
    shape = answer_shape(params, new)
    venue.budget.count_order(wire.ms(venue.now()), account)
    return submit(venue, new, shape)


def submit(venue: Venue, new: NewOrder, shape: str) -> Json:
    events = carry_out(venue, venue.core.submit(venue.now(), new), new.symbol)
    own = [one for one in reports_in(events) if one.order.client_order_id == new.client_order_id]
    return wire.placed([one for one in own if one.order.order_id == own[0].order.order_id], shape)


def cancel(venue: Venue, account: str, params: Params) -> Json:
    cancel_id = params.client_id("newClientOrderId") or venue.next_client_id()
    restriction = params.text("cancelRestrictions")
    return cancel_named(venue, named(venue, account, params), cancel_id, restriction)


def cancel_named(venue: Venue, order: Order | None, cancel_id: str, restriction: str | None) -> Json:
    if order is None or not order.status.open:
        raise ApiError.of(filters.UNKNOWN_ORDER)
    _check_restrictions(order, restriction)
    events = venue.core.cancel(venue.now(), order.account, order.symbol, order_id=order.order_id, cancel_id=cancel_id)
    return wire.canceled(reports_in(carry_out(venue, events, order.symbol))[0])


def cancel_all(venue: Venue, account: str, params: Params) -> list[Json]:
    symbol = symbol_of(venue, params)
    events = venue.core.cancel_all(venue.now(), account, symbol, venue.next_client_id())
    return [wire.canceled(report) for report in reports_in(carry_out(venue, events, symbol))]


def query(venue: Venue, account: str, params: Params) -> Json:
    order = named(venue, account, params)
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


def key_permissions(venue: Venue, account: str, params: Params) -> Json:
    """https://developers.binance.com/docs/wallet/account/api-key-permission: a key that trades spot and cannot withdraw."""
    allowed = {"enableReading": True, "enableSpotAndMarginTrading": True}
    refused = ("enableWithdrawals", "enableInternalTransfer", "enableMargin", "enableFutures", "enableVanillaOptions")
    others = dict.fromkeys((*refused, "permitsUniversalTransfer", "enablePortfolioMarginTrading"), False)
    return {"ipRestrict": True, "createTime": 1_623_840_271_000, **allowed, **others}


# Details


def named(
    venue: Venue, account: str, params: Params, by_id: str = "orderId", by_client: str = "origClientOrderId"
) -> Order | None:
    """The order that the request means, of the account's own."""
    symbol = symbol_of(venue, params)
    order_id, client_order_id = params.integer(by_id), params.text(by_client)
    if order_id is None and client_order_id is None:
        raise ApiError(-1102, NEITHER_ID.format(by_client, by_id))
    return venue.core.order(account, symbol, order_id=order_id, client_order_id=client_order_id)


def _check_restrictions(order: Order, restriction: str | None) -> None:
    only = {"ONLY_NEW": Status.NEW, "ONLY_PARTIALLY_FILLED": Status.PARTIALLY_FILLED}
    if restriction is not None and restriction not in only:
        raise ApiError(-1145, "Invalid cancelRestrictions")
    if restriction is not None and order.status is not only[restriction]:
        raise ApiError(-2011, "Order was not canceled due to cancel restrictions.")


def carry_out(venue: Venue, events: list[Event], symbol: str) -> list[Event]:
    if isinstance(events[0], Refused):
        venue.counts["refused"] += 1
        raise ApiError.of(events[0])
    venue.commit(events, symbol)
    return events


def reports_in(events: list[Event]) -> list[OrderReport]:
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
