"""Field names and types equal the venue's own, recorded by others: gocryptotrader's testdata for Binance."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import orjson
import pytest

from adapters.simulated.market_api import budget_rows
from adapters.simulated.requests import Budget
from tests.adapters.simulated.running import Client, receive, ws_params

RATE = {"symbol": "BTCUSDT"}
# What the venue added after these answers were recorded (its changelog and present documentation).
ADDED = {
    "order": {"orderListId", "origQuoteOrderQty", "workingTime", "selfTradePreventionMode"},
    "cancel": {"orderListId", "origQuoteOrderQty", "selfTradePreventionMode"},
    "account": {
        *("commissionRates", "brokered", "requireSelfTradePrevention", "preventSor", "permissions", "uid"),
    },
    "executionReport": {"V"},
}
# Features that this exchange does not have, and says so.
ABSENT_FILTERS = {"ICEBERG_PARTS", "MARKET_LOT_SIZE", "TRAILING_DELTA"}
ADDED_FILTERS = {"MAX_NUM_ORDER_AMENDS"}


def differences(ours: Any, theirs: Any, added: set[str] = set(), path: str = "") -> list[str]:  # noqa: B006
    """Where names or types differ; lists are compared by their first items."""
    if isinstance(theirs, dict):
        if not isinstance(ours, dict):
            return [f"{path}: no object"]
        found = [f"{path}.{name}: not theirs" for name in ours.keys() - theirs.keys() - added]
        for name, value in theirs.items():
            if name not in ours:
                found.append(f"{path}.{name}: missing")
            else:
                found += differences(ours[name], value, set(), f"{path}.{name}")
        return found
    if isinstance(theirs, list):
        if not isinstance(ours, list):
            return [f"{path}: no list"]
        return differences(ours[0], theirs[0], added, f"{path}[]") if ours and theirs else []
    return [] if type(ours) is type(theirs) else [f"{path}: {ours!r} is not like {theirs!r}"]


@pytest.fixture(scope="module")
def recorded(data_dir: Path) -> Any:
    path = data_dir / "gocryptotrader-http" / "binance_http.json.gz"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    return orjson.loads(gzip.decompress(path.read_bytes()))["routes"]


@pytest.fixture(scope="module")
def recorded_events(data_dir: Path) -> dict[str, Any]:
    path = data_dir / "gocryptotrader-http" / "binance_wsHandleData.json"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    frames = [orjson.loads(line)["data"] for line in path.read_bytes().splitlines() if line.strip()]
    return {frame["e"]: frame for frame in frames}


def theirs(recorded: Any, path: str, verb: str = "GET", **query: str) -> Any:
    answers = [
        one["data"]
        for one in recorded[path][verb]
        if one["data"] is not None and all(f"{name}={value}" in one["queryString"] for name, value in query.items())
    ]
    return answers[0]


async def test_market_data_answers_have_the_venues_fields(client: Client, recorded: Any) -> None:
    for path in ("depth", "trades", "aggTrades", "ticker/bookTicker", "ticker/price", "ticker/24hr"):
        _, ours = await client.call("GET", f"/api/v3/{path}", **RATE)
        assert differences(ours, theirs(recorded, f"/api/v3/{path}", **RATE)) == [], path


async def test_exchange_info_has_the_venues_fields_and_filters(client: Client, recorded: Any) -> None:
    _, ours = await client.call("GET", "/api/v3/exchangeInfo")
    venue = theirs(recorded, "/api/v3/exchangeInfo")
    assert differences({**ours, "rateLimits": []}, {**venue, "rateLimits": [], "symbols": ours["symbols"]}) == []
    mine = next(one for one in ours["symbols"] if one["symbol"] == "BTCUSDT")
    known = next(one for one in venue["symbols"] if one["symbol"] == "BTCUSDT")
    assert differences({**mine, "filters": []}, {**known, "filters": []}) == []
    filters = {one["filterType"]: one for one in known["filters"]}
    assert filters.keys() - {one["filterType"] for one in mine["filters"]} == ABSENT_FILTERS
    same = [one for one in mine["filters"] if one["filterType"] not in ADDED_FILTERS]
    assert [one for one in same if one != filters[one["filterType"]]] == []
    assert {one["filterType"] for one in mine["filters"]} == (filters.keys() - ABSENT_FILTERS) | ADDED_FILTERS
    assert sorted(mine["orderTypes"]) == sorted(known["orderTypes"])
    assert (mine["cancelReplaceAllowed"], mine["amendAllowed"]) == (True, True)
    assert mine["defaultSelfTradePreventionMode"] == known["defaultSelfTradePreventionMode"]


async def test_rate_limits_have_the_venues_fields(recorded: Any) -> None:
    venue = theirs(recorded, "/api/v3/exchangeInfo")["rateLimits"]
    assert all(row in venue for row in budget_rows(Budget(weight_limit=6000, order_limit=100)))


async def test_private_answers_have_the_venues_fields(client: Client, recorded: Any) -> None:
    order = {**RATE, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.001", "price": "50000"}
    _, placed = await client.signed("POST", "/api/v3/order", **order)
    names = {**RATE, "orderId": placed["orderId"]}
    gone = theirs(recorded, "/api/v3/order", "DELETE")
    pairs = [
        ("account", await client.signed("GET", "/api/v3/account"), theirs(recorded, "/api/v3/account")),
        ("order", await client.signed("GET", "/api/v3/order", **names), theirs(recorded, "/api/v3/order")),
        ("order", await client.signed("GET", "/api/v3/openOrders"), theirs(recorded, "/api/v3/openOrders")),
        ("order", await client.signed("GET", "/api/v3/allOrders", **RATE), theirs(recorded, "/api/v3/allOrders")),
        ("cancel", await client.signed("DELETE", "/api/v3/order", **names), gone),
    ]
    for kind, (status, ours), venue in pairs:
        assert status == 200
        assert differences(ours, venue, ADDED[kind]) == [], kind


async def test_user_data_events_have_the_venues_fields(client: Client, recorded_events: dict[str, Any]) -> None:
    async with client.socket("/ws-api/v3") as socket:
        await socket.send_json({"id": 1, "method": "userDataStream.subscribe.signature", "params": ws_params()})
        order = {**RATE, "side": "BUY", "type": "MARKET", "quantity": "0.001"}
        assert (await client.signed("POST", "/api/v3/order", **order))[0] == 200
        traded = (await receive(socket, lambda one: one.get("event", {}).get("x") == "TRADE"))["event"]
        assert differences(traded, recorded_events["executionReport"], ADDED["executionReport"]) == []
        moved = (await receive(socket, lambda one: one["event"]["e"] == "outboundAccountPosition"))["event"]
        assert differences(moved, recorded_events["outboundAccountPosition"]) == []


@pytest.mark.parametrize(("stream", "kind"), [("trade", "trade"), ("depth@100ms", "depthUpdate")])
async def test_market_frames_have_the_venues_fields(client: Client, data_dir: Path, stream: str, kind: str) -> None:
    name = f"btcusdt@{stream}"
    with gzip.open(data_dir / "hftbacktest" / "spot" / "btcusdt_20240808.gz", "rb") as lines:
        venue = next(frame for frame in map(parsed, lines) if frame.get("stream") == name and both_sides(frame))
    async with client.socket(f"/stream?streams={name}") as socket:
        ours = await receive(socket, lambda message: message["data"]["e"] == kind and both_sides(message))
    assert differences(ours, venue) == []


def parsed(line: bytes) -> Any:
    return orjson.loads(line.partition(b" ")[2])


def both_sides(frame: Any) -> bool:
    data = frame["data"]
    return "U" not in data or bool(data["a"] and data["b"])
