"""Stop orders, order tests, cancelReplace and amendments on a real server: to a plain client, and to unmodified ccxt."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import ccxt
import pytest

from tests.adapters.simulated.running import Client, Exchange, receive, until, ws_params

SYMBOL = "BTC/USDT"
RATE = {"symbol": "BTCUSDT"}
LIMIT = {**RATE, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.002", "price": "50000"}
REPLACE = {**LIMIT, "price": "50001", "cancelReplaceMode": "STOP_ON_FAILURE"}
AMENDED = {
    *("symbol", "orderId", "orderListId", "origClientOrderId", "clientOrderId", "price", "qty", "executedQty"),
    *("preventedQty", "quoteOrderQty", "cumulativeQuoteQty", "status", "timeInForce", "type", "side", "workingTime"),
    "selfTradePreventionMode",
}


async def placed(client: Client, **params: str) -> Any:
    status, answer = await client.signed("POST", "/api/v3/order", **LIMIT | params)
    assert status == 200
    return answer


async def found(client: Client, order_id: int) -> Any:
    return (await client.signed("GET", "/api/v3/order", **RATE, orderId=order_id))[1]


async def replace(client: Client, **params: object) -> tuple[int, Any]:
    return await client.signed("POST", "/api/v3/order/cancelReplace", **{**REPLACE, **params})


async def amend(client: Client, **params: object) -> tuple[int, Any]:
    return await client.signed("PUT", "/api/v3/order/amend/keepPriority", **RATE, **params)


async def test_an_order_test_checks_and_places_nothing(client: Client) -> None:
    before = (await client.status())["counts"]["orders"]
    path = "/api/v3/order/test"
    assert await client.signed("POST", path, **LIMIT) == (200, {})
    told = (await client.signed("POST", path, **LIMIT, computeCommissionRates="true"))[1]
    assert told["standardCommissionForOrder"] == {"maker": "0.00100000", "taker": "0.00100000"}
    for bad, code in (({"price": "1"}, -1013), ({"side": "HOLD"}, -1117), ({"newOrderRespType": "ALL"}, -1130)):
        status, answer = await client.signed("POST", path, **LIMIT | bad)
        assert (status, answer["code"]) == (400, code)
    assert (await client.status())["counts"]["orders"] == before


async def test_a_stop_order_waits_and_says_so(client: Client) -> None:
    stop = {**RATE, "side": "SELL", "type": "STOP_LOSS", "quantity": "0.001", "stopPrice": "40000"}
    acknowledged = (await client.signed("POST", "/api/v3/order", **stop))[1]
    assert acknowledged.keys() == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
    waiting = await found(client, acknowledged["orderId"])
    assert (waiting["status"], waiting["isWorking"], waiting["workingTime"]) == ("NEW", False, -1)
    assert waiting["stopPrice"] == "40000.00000000"
    gone = (await client.signed("DELETE", "/api/v3/order", **RATE, orderId=acknowledged["orderId"]))[1]
    assert (gone["status"], gone["stopPrice"]) == ("CANCELED", "40000.00000000")
    status, answer = await client.signed("POST", "/api/v3/order", **stop | {"stopPrice": "90000"})
    assert (status, answer) == (400, {"code": -2010, "msg": "Order would trigger immediately."})


async def test_a_triggered_stop_is_told_as_new_on_the_book_and_then_traded(client: Client) -> None:
    async with client.socket("/ws-api/v3") as socket:
        await socket.send_json({"id": 1, "method": "userDataStream.subscribe.signature", "params": ws_params()})
        await receive(socket, lambda message: message.get("id") == 1)
        name = await near_stop(client)
        events: list[Any] = []
        while not events or events[-1]["X"] != "FILLED":
            message = await receive(socket, lambda one: one.get("event", {}).get("c") == name)
            events.append(message["event"])
    assert [(one["x"], one["X"], "W" in one) for one in events[:2]] == [("NEW", "NEW", False), ("NEW", "NEW", True)]
    assert {one["x"] for one in events[2:]} == {"TRADE"}
    assert {one["P"] for one in events} == {events[0]["P"]}
    order = await found(client, events[0]["i"])
    assert (order["status"], order["isWorking"], order["type"]) == ("FILLED", True, "STOP_LOSS")


async def near_stop(client: Client) -> str:
    """A stop just below the last price, which the flow reaches soon; placed until it does not trigger at once."""

    async def try_it() -> bool:
        price = Decimal((await client.call("GET", "/api/v3/ticker/price", **RATE))[1]["price"]) - Decimal("0.01")
        stop = {**RATE, "side": "SELL", "type": "STOP_LOSS", "quantity": "0.001", "stopPrice": str(price)}
        return (await client.signed("POST", "/api/v3/order", **stop, newClientOrderId="near-stop"))[0] == 200

    await until(try_it)
    return "near-stop"


async def test_cancel_replace_ends_the_old_order_and_places_the_new(client: Client, exchange: Exchange) -> None:
    old = await placed(client, newClientOrderId="replaced")
    names = {"newClientOrderId": "replacing", "cancelNewClientOrderId": "the-cancel"}
    status, answer = await replace(client, cancelOrderId=old["orderId"], **names)
    assert (status, answer["cancelResult"], answer["newOrderResult"]) == (200, "SUCCESS", "SUCCESS")
    assert answer["cancelResponse"]["origClientOrderId"] == "replaced"
    assert answer["cancelResponse"]["clientOrderId"] == "the-cancel"
    assert answer["newOrderResponse"]["fills"] == []
    assert (await found(client, old["orderId"]))["status"] == "CANCELED"
    new = answer["newOrderResponse"]["orderId"]
    assert exchange.ledger().orders["main", new]["client_order_id"] == "replacing"
    assert (await client.signed("DELETE", "/api/v3/order", **RATE, orderId=new))[0] == 200


async def test_cancel_replace_stops_or_goes_on_when_there_is_nothing_to_cancel(client: Client) -> None:
    status, answer = await replace(client, cancelOrderId=999_999_999)
    unknown = {"code": -2011, "msg": "Unknown order sent."}
    assert (status, answer["code"], answer["msg"]) == (400, -2022, "Order cancel-replace failed.")
    assert answer["data"] == {
        "cancelResult": "FAILURE",
        "newOrderResult": "NOT_ATTEMPTED",
        "cancelResponse": unknown,
        "newOrderResponse": None,
    }
    status, answer = await replace(client, cancelOrderId=999_999_999, cancelReplaceMode="ALLOW_FAILURE")
    assert (status, answer["code"]) == (409, -2021)
    assert (answer["data"]["cancelResult"], answer["data"]["newOrderResult"]) == ("FAILURE", "SUCCESS")
    assert answer["data"]["cancelResponse"] == unknown
    new = answer["data"]["newOrderResponse"]["orderId"]
    assert (await client.signed("DELETE", "/api/v3/order", **RATE, orderId=new))[0] == 200


async def test_cancel_replace_tells_a_new_order_that_failed(client: Client, exchange: Exchange) -> None:
    maker = {"type": "LIMIT_MAKER", "price": "70000"}
    new = {name: value for name, value in (REPLACE | maker).items() if name != "timeInForce"}
    for mode, old_id, code, status, result in (
        ("STOP_ON_FAILURE", (await placed(client))["orderId"], -2021, 409, "SUCCESS"),
        ("ALLOW_FAILURE", 999_999_999, -2022, 400, "FAILURE"),
    ):
        params = new | {"cancelReplaceMode": mode, "cancelOrderId": old_id}
        got, answer = await client.signed("POST", "/api/v3/order/cancelReplace", **params)
        assert (got, answer["code"]) == (status, code)
        assert (answer["data"]["cancelResult"], answer["data"]["newOrderResult"]) == (result, "FAILURE")
        refused = {"code": -2010, "msg": "Order would immediately match and take."}
        assert answer["data"]["newOrderResponse"] == refused
        if result == "SUCCESS":
            assert exchange.ledger().orders["main", old_id]["status"] == "CANCELED"


async def test_cancel_replace_looks_at_filters_and_parameters_first(client: Client) -> None:
    old = (await placed(client))["orderId"]
    cases = [
        ({"quantity": "0.00001"}, -1013),
        ({"cancelReplaceMode": "MAYBE"}, -1130),
        ({"cancelOrderId": ""}, -1100),
        ({"newClientOrderId": "x" * 40}, -1100),
    ]
    for params, code in cases:
        status, answer = await replace(client, **{"cancelOrderId": old, **params})
        assert (status, answer["code"], "data" in answer) == (400, code, False)
    assert (await replace(client))[1]["code"] == -1102
    restricted = await replace(client, cancelOrderId=old, cancelRestrictions="ONLY_PARTIALLY_FILLED")
    assert restricted[1]["data"]["cancelResponse"]["code"] == -2011
    assert (await found(client, old))["status"] == "NEW"
    assert (await client.signed("DELETE", "/api/v3/order", **RATE, orderId=old))[0] == 200


async def test_an_amendment_shrinks_the_order_and_is_told(client: Client, exchange: Exchange) -> None:
    old = await placed(client, newClientOrderId="before")
    async with client.socket("/ws-api/v3") as socket:
        await socket.send_json({"id": 1, "method": "userDataStream.subscribe.signature", "params": ws_params()})
        await receive(socket, lambda message: message.get("id") == 1)
        status, answer = await amend(client, origClientOrderId="before", newQty="0.001", newClientOrderId="after")
        assert (status, answer.keys()) == (200, {"transactTime", "executionId", "amendedOrder"})
        amended = answer["amendedOrder"]
        assert amended.keys() == AMENDED
        assert (amended["orderId"], amended["origClientOrderId"], amended["clientOrderId"], amended["qty"]) == (
            *(old["orderId"], "before", "after", "0.00100000"),
        )
        told = (await receive(socket, lambda one: one.get("event", {}).get("x") == "REPLACED"))["event"]
        assert (told["c"], told["C"], told["q"], told["X"], told["w"]) == ("after", "before", "0.00100000", "NEW", True)
        assert told["I"] == answer["executionId"]
        freed = await receive(socket, lambda one: one["event"]["e"] == "outboundAccountPosition")
        assert freed["event"]["B"][0]["a"] == "USDT"
    line = exchange.ledger().orders["main", old["orderId"]]
    assert (line["event"], line["qty"], line["replaced_id"]) == ("REPLACED", "0.00100000", "before")
    for params, code in (
        ({"newQty": "0.001"}, -2038),
        ({"newQty": "0.005"}, -2038),
        ({"newQty": "0"}, -1013),
        ({}, -1102),
    ):
        assert (await amend(client, orderId=old["orderId"], **params))[1]["code"] == code
    assert (await amend(client, newQty="0.001"))[1]["code"] == -1102
    assert (await amend(client, orderId=999_999_999, newQty="0.001"))[1] == {
        "code": -2038,
        "msg": "Unknown order sent.",
    }
    assert (await client.signed("DELETE", "/api/v3/order", **RATE, orderId=old["orderId"]))[0] == 200


async def test_the_websocket_api_replaces_and_amends_too(client: Client) -> None:
    old = await placed(client)
    async with client.socket("/ws-api/v3") as socket:
        params = ws_params(**RATE, orderId=old["orderId"], newQty="0.0015")
        await socket.send_json({"id": 1, "method": "order.amend.keepPriority", "params": params})
        answer = await receive(socket, lambda message: message["id"] == 1)
        assert (answer["status"], answer["result"]["amendedOrder"]["qty"]) == (200, "0.00150000")
        new = {**REPLACE, "type": "LIMIT_MAKER", "price": "70000", "cancelOrderId": old["orderId"]}
        del new["timeInForce"]
        await socket.send_json({"id": 2, "method": "order.cancelReplace", "params": ws_params(**new)})
        answer = await receive(socket, lambda message: message["id"] == 2)
        assert (answer["status"], answer["error"]["code"]) == (409, -2021)
        assert answer["error"]["data"]["cancelResult"] == "SUCCESS"
        await socket.send_json({"id": 3, "method": "order.test", "params": ws_params(**LIMIT)})
        assert (await receive(socket, lambda message: message["id"] == 3))["result"] == {}


async def far(client: Any, times: str) -> str:
    ticker = (await client.fetch_bids_asks([SYMBOL]))[SYMBOL]
    return str((Decimal(ticker["bid"]) * Decimal(times)).quantize(Decimal("0.01")))


async def test_ccxt_edits_an_order(ccxt_client: Any) -> None:
    first = await ccxt_client.create_order(SYMBOL, "limit", "buy", "0.001", await far(ccxt_client, "0.97"))
    price = await far(ccxt_client, "0.96")
    second = await ccxt_client.edit_order(
        first["id"], SYMBOL, "limit", "buy", "0.002", price, {"clientOrderId": "edited"}
    )
    assert second["id"] != first["id"]
    assert (await ccxt_client.fetch_order(first["id"], SYMBOL))["status"] == "canceled"
    now = await ccxt_client.fetch_order(second["id"], SYMBOL)
    assert (now["status"], now["clientOrderId"], Decimal(now["amount"])) == ("open", "edited", Decimal("0.002"))
    with pytest.raises(ccxt.BadResponse, match="-2022"):
        await ccxt_client.edit_order(first["id"], SYMBOL, "limit", "buy", "0.002", price)
    await ccxt_client.cancel_order(second["id"], SYMBOL)


@pytest.mark.parametrize(
    ("kind", "side", "trigger", "times", "venue_type"),
    [
        ("limit", "sell", "triggerPrice", "0.95", "STOP_LOSS_LIMIT"),
        ("market", "sell", "stopLossPrice", "0.95", "STOP_LOSS"),
        ("market", "buy", "triggerPrice", "1.05", "STOP_LOSS"),
        ("limit", "sell", "takeProfitPrice", "1.05", "TAKE_PROFIT_LIMIT"),
        ("market", "buy", "takeProfitPrice", "0.95", "TAKE_PROFIT"),
    ],
)
async def test_ccxt_places_stops(
    ccxt_client: Any, kind: str, side: str, trigger: str, times: str, venue_type: str
) -> None:
    stop = await far(ccxt_client, times)
    price = stop if kind == "limit" else None
    placed = await ccxt_client.create_order(SYMBOL, kind, side, "0.001", price, {trigger: stop})
    order = await ccxt_client.fetch_order(placed["id"], SYMBOL)
    assert (order["info"]["type"], order["status"], order["triggerPrice"]) == (venue_type, "open", f"{stop}000000")
    assert (await ccxt_client.cancel_order(placed["id"], SYMBOL))["status"] == "canceled"


async def test_ccxt_tests_and_amends_an_order(ccxt_client: Any) -> None:
    price = await far(ccxt_client, "0.97")
    await ccxt_client.create_order(SYMBOL, "limit", "buy", "0.002", price, {"test": True})
    assert await ccxt_client.fetch_open_orders(SYMBOL) == []
    order = await ccxt_client.create_order(SYMBOL, "limit", "buy", "0.002", price, {"clientOrderId": "amended"})
    params = {"symbol": "BTCUSDT", "orderId": order["id"], "newQty": "0.001", "newClientOrderId": "amended"}
    answer = await ccxt_client.request("order/amend/keepPriority", ["private"], "PUT", params)
    assert answer["amendedOrder"]["clientOrderId"] == "amended"
    assert Decimal((await ccxt_client.fetch_order(order["id"], SYMBOL))["amount"]) == Decimal("0.001")
    with pytest.raises(ccxt.ExchangeError, match="-2038"):
        await ccxt_client.request("order/amend/keepPriority", ["private"], "PUT", params)
    await ccxt_client.cancel_order(order["id"], SYMBOL)
