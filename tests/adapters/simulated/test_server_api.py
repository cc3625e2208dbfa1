"""The server to a plain client: refusals by code, answers' shapes, streams, WebSocket API, operator's endpoints."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.adapters.simulated.running import API_KEY, Client, Exchange, now_ms, receive, sign, until, ws_params

LIMIT = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.001",
    "price": "50000",
}
MARKET = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001"}


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in LIMIT.items() if key != name}


@pytest.mark.parametrize(
    ("params", "code"),
    [
        (without("symbol"), -1102),
        (without("price"), -1102),
        (without("timeInForce"), -1102),
        (without("quantity"), -1102),
        (LIMIT | {"symbol": "XYZUSDT"}, -1121),
        (LIMIT | {"side": "HOLD"}, -1117),
        (LIMIT | {"type": "PEG"}, -1116),
        (LIMIT | {"type": "STOP_LOSS"}, -1106),
        (LIMIT | {"type": "STOP_LOSS_LIMIT"}, -1102),
        (LIMIT | {"type": "STOP_LOSS_LIMIT", "stopPrice": "0"}, -1013),
        (LIMIT | {"type": "STOP_LOSS_LIMIT", "stopPrice": "50000.001"}, -1013),
        (LIMIT | {"type": "TAKE_PROFIT_LIMIT", "stopPrice": "90000"}, -2010),
        (LIMIT | {"type": "STOP_LOSS_LIMIT", "stopPrice": "1", "trailingDelta": "10"}, -1106),
        (LIMIT | {"timeInForce": "DAY"}, -1115),
        (LIMIT | {"quantity": "abc"}, -1100),
        (LIMIT | {"quantity": "-1"}, -1100),
        (LIMIT | {"quantity": "0.000000001"}, -1111),
        (LIMIT | {"quantity": "0"}, -1013),
        (LIMIT | {"price": "50000.001"}, -1013),
        (LIMIT | {"quantity": "0.0010001"}, -1013),
        (LIMIT | {"quantity": "0.00001"}, -1013),
        (LIMIT | {"price": "1"}, -1013),
        (LIMIT | {"newClientOrderId": "x" * 37}, -1100),
        (LIMIT | {"stopPrice": "1"}, -1106),
        (LIMIT | {"selfTradePreventionMode": "MAYBE"}, -1130),
        (LIMIT | {"newOrderRespType": "ALL"}, -1130),
        (MARKET | {"price": "1"}, -1106),
        (LIMIT | {"quantity": "100", "price": "60000"}, -2010),
    ],
)
async def test_bad_orders_are_refused_with_the_venues_codes(client: Client, params: dict[str, str], code: int) -> None:
    before = await client.status()
    status, answer = await client.signed("POST", "/api/v3/order", **params)
    assert (status, answer["code"]) == (400, code)
    assert (await client.status())["counts"]["orders"] == before["counts"]["orders"]


async def test_requests_without_key_signature_or_time_are_refused(client: Client) -> None:
    path, key = "/api/v3/account", {"X-MBX-APIKEY": API_KEY}
    query = f"timestamp={now_ms()}"
    old, early = f"timestamp={now_ms() - 6000}", f"timestamp={now_ms() + 5000}"
    wide = f"timestamp={now_ms()}&recvWindow=60001"
    cases = [
        (query, {}, 401, -2014),
        (f"{query}&signature=00", {"X-MBX-APIKEY": "nobody"}, 401, -2015),
        (query, key, 400, -1102),
        (f"signature={sign('')}", key, 400, -1102),
        (f"{query}&signature=00", key, 400, -1022),
        (f"{old}&signature={sign(old)}", key, 400, -1021),
        (f"{early}&signature={sign(early)}", key, 400, -1021),
        (f"{wide}&signature={sign(wide)}", key, 400, -1131),
    ]
    for payload, headers, status, code in cases:
        answer = await client.send("GET", path, payload, headers)
        assert (answer[0], answer[1]["code"]) == (status, code), payload
    longer = f"timestamp={now_ms() - 6000}&recvWindow=10000"
    assert (await client.send("GET", path, f"{longer}&signature={sign(longer)}", key))[0] == 200


async def test_the_shape_of_the_answer_is_the_one_asked_for(client: Client) -> None:
    shapes = {
        shape: (await client.signed("POST", "/api/v3/order", **MARKET, newOrderRespType=shape))[1]
        for shape in ("ACK", "RESULT", "FULL")
    }
    assert shapes["ACK"].keys() == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
    assert shapes["RESULT"]["status"] == "FILLED"
    assert "fills" not in shapes["RESULT"]
    assert sum(Decimal(one["qty"]) for one in shapes["FULL"]["fills"]) == Decimal("0.001")


async def test_a_client_order_id_is_refused_twice_and_found_by(client: Client) -> None:
    order = LIMIT | {"newClientOrderId": "twice"}
    assert (await client.signed("POST", "/api/v3/order", **order))[0] == 200
    status, answer = await client.signed("POST", "/api/v3/order", **order)
    assert (status, answer) == (400, {"code": -2010, "msg": "Duplicate order sent."})
    names = {"symbol": "BTCUSDT", "origClientOrderId": "twice"}
    assert (await client.signed("GET", "/api/v3/order", **names))[1]["status"] == "NEW"
    canceled = (await client.signed("DELETE", "/api/v3/order", **names, newClientOrderId="the-cancel"))[1]
    assert (canceled["origClientOrderId"], canceled["clientOrderId"]) == ("twice", "the-cancel")
    assert (await client.signed("DELETE", "/api/v3/order", **names))[1]["code"] == -2011
    assert (await client.signed("GET", "/api/v3/order", symbol="BTCUSDT", orderId=999999999))[1]["code"] == -2013
    assert (await client.signed("GET", "/api/v3/order", symbol="BTCUSDT"))[1]["code"] == -1102


async def test_all_open_orders_are_canceled_at_once(client: Client) -> None:
    for _ in range(3):
        await client.signed("POST", "/api/v3/order", **LIMIT)
    assert len((await client.signed("GET", "/api/v3/openOrders"))[1]) == 3
    answers = (await client.signed("DELETE", "/api/v3/openOrders", symbol="BTCUSDT"))[1]
    assert [one["status"] for one in answers] == ["CANCELED"] * 3
    assert (await client.signed("DELETE", "/api/v3/openOrders", symbol="BTCUSDT"))[1]["code"] == -2011
    assert (await client.signed("GET", "/api/v3/openOrders", symbol="BTCUSDT"))[1] == []


async def test_trades_can_be_paged_from_an_id(client: Client) -> None:
    for _ in range(3):
        await client.signed("POST", "/api/v3/order", **MARKET)
    trades = (await client.signed("GET", "/api/v3/myTrades", symbol="BTCUSDT"))[1]
    ids = [one["id"] for one in trades]
    assert ids == sorted(set(ids))
    page = (await client.signed("GET", "/api/v3/myTrades", symbol="BTCUSDT", fromId=ids[1], limit=2))[1]
    assert [one["id"] for one in page] == ids[1:3]
    assert (await client.signed("GET", "/api/v3/myTrades", symbol="BTCUSDT", startTime=now_ms() + 60_000))[1] == []


async def test_unknown_paths_and_methods_are_not_found(client: Client) -> None:
    async with client._session.get(f"http://{client.exchange.address}/api/v3/nothing") as answer:
        assert answer.status == 404


async def test_depth_updates_follow_each_other_and_the_snapshot(client: Client) -> None:
    async with client.socket("/ws/btcusdt@depth@100ms") as socket:
        first = await receive(socket, lambda message: message["e"] == "depthUpdate")
        snapshot = (await client.call("GET", "/api/v3/depth", symbol="BTCUSDT", limit=1000))[1]
        bids, asks = dict(snapshot["bids"]), dict(snapshot["asks"])
        last, applied = first["u"], 0
        while applied < 10:
            update = await receive(socket, lambda message: True)
            assert update["U"] == last + 1
            last = update["u"]
            if update["u"] > snapshot["lastUpdateId"]:
                fold(bids, update["b"])
                fold(asks, update["a"])
                applied += 1
    assert max(map(Decimal, bids)) < min(map(Decimal, asks))


def fold(side: dict[str, str], changes: list[list[str]]) -> None:
    for price, qty in changes:
        if Decimal(qty):
            side[price] = qty
        else:
            side.pop(price, None)


async def test_streams_are_subscribed_listed_and_left(client: Client) -> None:
    async with client.socket("/stream") as socket:
        names = ["btcusdt@trade", "btcusdt@bookTicker"]
        await socket.send_json({"method": "SUBSCRIBE", "params": names, "id": 1})
        assert await receive(socket, lambda message: "id" in message) == {"result": None, "id": 1}
        frame = await receive(socket, lambda message: message.get("stream") == "btcusdt@trade")
        assert frame["data"].keys() == {"e", "E", "s", "t", "p", "q", "T", "m", "M"}
        ticker = await receive(socket, lambda message: message.get("stream") == "btcusdt@bookTicker")
        assert ticker["data"].keys() == {"u", "s", "b", "B", "a", "A"}
        await socket.send_json({"method": "UNSUBSCRIBE", "params": names[:1], "id": 2})
        await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 3})
        assert (await receive(socket, lambda message: message.get("id") == 3))["result"] == names[1:]
        await socket.send_str("nonsense")
        assert "error" in await receive(socket, lambda message: "error" in message)


async def test_combined_and_raw_paths_name_their_streams(client: Client) -> None:
    async with client.socket("/stream?streams=ethusdt@trade/solusdt@trade") as socket:
        await receive(socket, lambda message: message["data"]["s"] == "ETHUSDT")
        await receive(socket, lambda message: message["data"]["s"] == "SOLUSDT")
    async with client.socket("/ws/ethusdt@bookTicker") as socket:
        assert (await receive(socket, lambda message: True))["s"] == "ETHUSDT"


async def test_user_data_comes_in_order_with_every_field(client: Client) -> None:
    async with client.socket("/ws-api/v3") as socket:
        subscribe = {"id": "a", "method": "userDataStream.subscribe.signature", "params": ws_params()}
        await socket.send_json(subscribe)
        answer = await receive(socket, lambda message: message.get("id") == "a")
        assert answer["result"] == {"subscriptionId": 0}
        placed = (await client.signed("POST", "/api/v3/order", **MARKET, newClientOrderId="mine"))[1]
        events = [await event(socket)]
        while events[-1]["e"] != "outboundAccountPosition":
            events.append(await event(socket))
        assert [one.get("x") for one in events] == ["NEW", *["TRADE"] * len(placed["fills"]), None]
        trade = events[1]
        assert (trade["i"], trade["c"], trade["t"]) == (placed["orderId"], "mine", placed["fills"][0]["tradeId"])
        assert {one["a"] for one in events[-1]["B"]} == {"BTC", "USDT"}
        account = (await client.signed("GET", "/api/v3/account"))[1]
        held = {one["asset"]: one["free"] for one in account["balances"]}
        assert all(held[one["a"]] == one["f"] for one in events[-1]["B"])


async def event(socket: Any) -> Any:
    message = await receive(socket, lambda message: "event" in message)
    assert message["subscriptionId"] == 0
    return message["event"]


async def test_the_websocket_api_answers_and_refuses_by_id(client: Client) -> None:
    async with client.socket("/ws-api/v3") as socket:
        await socket.send_json({"id": 1, "method": "ping"})
        assert (await receive(socket, lambda message: message["id"] == 1))["result"] == {}
        await socket.send_json({"id": 2, "method": "time"})
        assert (
            abs((await receive(socket, lambda message: message["id"] == 2))["result"]["serverTime"] - now_ms()) < 5000
        )
        bad = ws_params() | {"signature": "00"}
        await socket.send_json({"id": 3, "method": "account.status", "params": bad})
        refused = await receive(socket, lambda message: message["id"] == 3)
        assert (refused["status"], refused["error"]["code"]) == (400, -1022)
        await socket.send_json({"id": 4, "method": "order.place", "params": ws_params(**LIMIT)})
        placed = await receive(socket, lambda message: message["id"] == 4)
        assert (placed["status"], placed["result"]["status"]) == (200, "NEW")
        number = placed["result"]["orderId"]
        await socket.send_json(
            {"id": 5, "method": "order.cancel", "params": ws_params(symbol="BTCUSDT", orderId=number)}
        )
        assert (await receive(socket, lambda message: message["id"] == 5))["result"]["status"] == "CANCELED"


async def test_a_deposit_is_told_and_written(client: Client, exchange: Exchange) -> None:
    async with client.socket("/ws-api/v3") as socket:
        await socket.send_json({"id": 1, "method": "userDataStream.subscribe.signature", "params": ws_params()})
        await receive(socket, lambda message: message.get("id") == 1)
        wish = b'{"account":"main","asset":"SOL","amount":"2.5"}'
        async with client._session.post(f"http://{exchange.address}/control/deposit", data=wish) as answer:
            assert answer.status == 200
        told = await event(socket)
        assert (told["e"], told["a"], told["d"]) == ("balanceUpdate", "SOL", "2.50000000")
    assert exchange.ledger().deposits["main", "SOL"] == Decimal("2002.5")


async def test_an_answer_leaves_after_its_lines_are_in_the_ledger(client: Client, exchange: Exchange) -> None:
    for _ in range(10):
        placed = (await client.signed("POST", "/api/v3/order", **MARKET))[1]
        written = [one for one in exchange.ledger().executions if one.order_id == placed["orderId"]]
        assert [str(one.trade_id) for one in written] == [str(one["tradeId"]) for one in placed["fills"]]
    assert exchange.ledger().differences() == []


async def test_status_says_how_far_the_flow_is(client: Client) -> None:
    before = (await client.status())["flow"]
    assert before["state"] == "playing"

    async def moved() -> bool:
        return bool((await client.status())["flow"]["played"] > before["played"])

    await until(moved)
