"""Requests that try, replace or shrink an order; the same for REST and the WebSocket API.

https://developers.binance.com/docs/binance-spot-api-docs/rest-api/trading-endpoints
https://developers.binance.com/docs/binance-spot-api-docs/faqs/order_amend_keep_priority
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adapters.simulated import wire
from adapters.simulated.model import Amendment, NewOrder
from adapters.simulated.order_params import answer_shape, new_order, symbol_of
from adapters.simulated.orders_api import NEITHER_ID, cancel_named, carry_out, named, reports_in, submit
from adapters.simulated.requests import ApiError, Params
from adapters.simulated.units import text
from adapters.simulated.venue import Venue

Json = dict[str, Any]
PARTLY, FAILED = -2021, -2022
MESSAGES = {PARTLY: "Order cancel-replace partially failed.", FAILED: "Order cancel-replace failed."}
MODES = ("STOP_ON_FAILURE", "ALLOW_FAILURE")


def test(venue: Venue, account: str, params: Params) -> Json:
    """Parameters and filters of a new order, which goes nowhere."""
    new = new_order(venue, account, params)
    answer_shape(params, new)
    _check_filters(venue, new)
    return _commissions(venue) if params.text("computeCommissionRates") == "true" else {}


def amend(venue: Venue, account: str, params: Params) -> Json:
    """A smaller quantity; the order keeps its id and its place, its client id only when it is sent again."""
    symbol = symbol_of(venue, params)
    order_id, original = params.integer("orderId"), params.text("origClientOrderId")
    if order_id is None and original is None:
        raise ApiError(-1102, NEITHER_ID.format("origClientOrderId", "orderId"))
    params.required("newQty")
    qty = params.amount("newQty")
    if qty is None or qty <= 0:
        raise ApiError(-1013, "Invalid quantity.")
    amendment = Amendment(
        account=account,
        symbol=symbol,
        order_id=order_id,
        orig_client_order_id=original,
        client_order_id=params.client_id("newClientOrderId") or venue.next_client_id(),
        qty=qty,
    )
    return wire.amended(reports_in(carry_out(venue, venue.core.amend(venue.now(), amendment), symbol))[0])


def cancel_replace(venue: Venue, account: str, params: Params) -> Json:
    """A cancel, then a new order; parameters, filters and order count are looked at before either."""
    new = new_order(venue, account, params)
    shape, mode = answer_shape(params, new), params.required("cancelReplaceMode")
    if mode not in MODES:
        raise ApiError(-1130, "Data sent for parameter 'cancelReplaceMode' is not valid.")
    old = named(venue, account, params, "cancelOrderId", "cancelOrigClientOrderId")
    cancel_id = params.client_id("cancelNewClientOrderId") or venue.next_client_id()
    _check_filters(venue, new)
    venue.budget.count_order(wire.ms(venue.now()), account)
    canceled = _attempt(lambda: cancel_named(venue, old, cancel_id, params.text("cancelRestrictions")))
    if isinstance(canceled, ApiError) and mode == "STOP_ON_FAILURE":
        raise _failure(canceled, None)
    placed = _attempt(lambda: submit(venue, new, shape))
    if isinstance(canceled, ApiError) or isinstance(placed, ApiError):
        raise _failure(canceled, placed)
    return _results(canceled, placed)


# Details


def _check_filters(venue: Venue, new: NewOrder) -> None:
    refused = venue.core.filtered(new)
    if refused is not None:
        raise ApiError.of(refused)


def _attempt(step: Callable[[], Json]) -> Json | ApiError:
    try:
        return step()
    except ApiError as error:
        return error


def _failure(canceled: Json | ApiError, placed: Json | ApiError | None) -> ApiError:
    partly = not (isinstance(canceled, ApiError) and (placed is None or isinstance(placed, ApiError)))
    code = PARTLY if partly else FAILED
    return ApiError(code, MESSAGES[code], data=_results(canceled, placed))


def _results(canceled: Json | ApiError, placed: Json | ApiError | None) -> Json:
    return {
        "cancelResult": _result(canceled),
        "newOrderResult": _result(placed),
        "cancelResponse": _response(canceled),
        "newOrderResponse": _response(placed),
    }


def _result(answer: Json | ApiError | None) -> str:
    if answer is None:
        return "NOT_ATTEMPTED"
    return "FAILURE" if isinstance(answer, ApiError) else "SUCCESS"


def _response(answer: Json | ApiError | None) -> Json | None:
    return answer.body() if isinstance(answer, ApiError) else answer


def _commissions(venue: Venue) -> Json:
    fees = venue.core.fees()
    none = {"maker": wire.ZERO, "taker": wire.ZERO}
    return {
        "standardCommissionForOrder": {"maker": text(fees.maker), "taker": text(fees.taker)},
        "specialCommissionForOrder": none,
        "taxCommissionForOrder": none,
        "discount": {
            "enabledForAccount": False,
            "enabledForSymbol": False,
            "discountAsset": "BNB",
            "discount": wire.ZERO,
        },
    }
