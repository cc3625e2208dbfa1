"""Each fault on a real server: what the client sees, what the ledger says, what is written down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from tests.adapters.simulated.running import QUIET, Client, Exchange, now_ms, receive, started, until, ws_params

ALWAYS = {"probability": 1}
ONCE = {"probability": 1, "most": 1}
LIMIT = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.001",
    "price": "50000",
}
PLACE = {"on": ["POST order"]}
SUBSCRIBE = "userDataStream.subscribe.signature"


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    with started(tmp_path_factory.mktemp("exchange"), "--symbols", "BTCUSDT", *QUIET) as running:
        yield running


@pytest.fixture
async def client(exchange: Exchange) -> AsyncIterator[Client]:
    async with Client(exchange) as made:
        yield made
        assert (await misbehave(made))[0] == 200
        await made.signed("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")


async def misbehave(client: Client, **profile: Any) -> tuple[int, Any]:
    url = f"http://{client.exchange.address}/control/faults"
    async with client._session.post(url, data=orjson.dumps(profile)) as answer:
        return answer.status, orjson.loads(await answer.read())


def lines(exchange: Exchange) -> list[Any]:
    return [orjson.loads(line) for line in (exchange.folder / "faults.jsonl").read_bytes().splitlines()]


def told(exchange: Exchange) -> Any:
    """The newest injected fault."""
    return lines(exchange)[-1]


async def open_ids(client: Client) -> list[str]:
    return [one["clientOrderId"] for one in (await client.signed("GET", "/api/v3/openOrders"))[1]]


async def listening(client: Client, socket: Any) -> Any:
    await socket.send_json({"id": "listen", "method": SUBSCRIBE, "params": ws_params()})
    await receive(socket, lambda message: message.get("id") == "listen")
    return socket


async def answered(socket: Any, number: int) -> Any:
    return await receive(socket, lambda message: message.get("id") == number)


async def event(socket: Any) -> tuple[str, str]:
    """(execution type, client order id) of the next execution report."""
    got = (await receive(socket, lambda message: message.get("event", {}).get("e") == "executionReport"))["event"]
    return got["x"], got["c"]


async def closed(socket: Any) -> bool:
    """Whether it closes before long."""
    async with asyncio.timeout(10):
        while True:
            message = await socket.receive()
            if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                return True


async def test_a_profile_is_shown_and_a_wrong_one_changes_nothing(client: Client) -> None:
    status, answer = await misbehave(client, seed=4, error_before={"probability": 0.5, "on": ["GET ping"]})
    assert (status, answer["profile"]["seed"]) == (200, 4)
    refused, said = await misbehave(client, eror_before=ALWAYS)
    assert (refused, said) == (400, {"msg": "no fault profile: Object contains unknown field `eror_before`"})
    shown = (await client.call("GET", "/control/faults"))[1]
    assert shown["profile"] == answer["profile"] == (await client.status())["faults"]["profile"]


async def test_an_answer_is_lost_after_the_order_was_accepted(client: Client, exchange: Exchange) -> None:
    await misbehave(client, answer_lost=ONCE | PLACE)
    with pytest.raises(aiohttp.ClientError):
        await client.signed("POST", "/api/v3/order", **LIMIT, newClientOrderId="lost")
    assert await open_ids(client) == ["lost"]
    line = told(exchange)
    assert (line["fault"], line["request"], line["status"]) == ("answer_lost", "POST order", 200)
    assert (line["client_order_id"], line["symbol"]) == ("lost", "BTCUSDT")
    assert exchange.ledger().orders["main", line["order_id"]]["status"] == "NEW"


async def test_an_answer_comes_late_and_others_overtake_it(client: Client) -> None:
    await misbehave(client, answer_delayed=ONCE | PLACE | {"min_ms": 400, "max_ms": 400})
    before = time.monotonic()
    late = asyncio.create_task(client.signed("POST", "/api/v3/order", **LIMIT, newClientOrderId="late"))

    async def accepted() -> bool:
        return await open_ids(client) == ["late"]

    await until(accepted)
    assert not late.done()
    assert (await late)[0] == 200
    assert time.monotonic() - before >= 0.4


@pytest.mark.parametrize(("fault", "accepted"), [("error_before", []), ("error_after", ["which"])])
async def test_a_5xx_does_not_tell_whether_the_order_was_accepted(
    client: Client, exchange: Exchange, fault: str, accepted: list[str]
) -> None:
    await misbehave(client, **{fault: ONCE | PLACE})
    status, answer = await client.signed("POST", "/api/v3/order", **LIMIT, newClientOrderId="which")
    assert status in (500, 502, 503, 504)
    assert answer["code"] in (-1000, -1001, -1006, -1007)
    assert await open_ids(client) == accepted
    assert told(exchange)["fault"] == fault


async def test_429_says_when_to_come_again_and_does_nothing(client: Client) -> None:
    await misbehave(client, rate_limited=ONCE | PLACE | {"retry_after_s": 7})
    status, answer = await client.signed("POST", "/api/v3/order", **LIMIT)
    assert (status, answer["code"], client.last_headers["Retry-After"]) == (429, -1003, "7")
    assert await open_ids(client) == []


async def test_the_websocket_api_has_the_same_faults(client: Client, exchange: Exchange) -> None:
    async with client.socket("/ws-api/v3") as socket:
        wanted = [("rate_limited", 429), ("error_before", None), ("error_after", None), ("answer_repeated", 200)]
        for number, (fault, status) in enumerate(wanted):
            await misbehave(client, **{fault: ONCE | PLACE})
            params = ws_params(**LIMIT, newClientOrderId=fault)
            await socket.send_json({"id": number, "method": "order.place", "params": params})
            answer = await answered(socket, number)
            assert answer["status"] == status or (status is None and answer["status"] >= 500)
            assert told(exchange)["fault"] == fault
        assert (await receive(socket, lambda message: True))["id"] == 3
        assert await open_ids(client) == ["error_after", "answer_repeated"]
        await misbehave(client, answer_lost=ONCE | PLACE)
        params = ws_params(**LIMIT, newClientOrderId="lost")
        await socket.send_json({"id": 9, "method": "order.place", "params": params})
        assert await closed(socket)
        assert "lost" in await open_ids(client)


async def test_an_event_is_dropped(client: Client) -> None:
    async with client.socket("/ws-api/v3") as socket:
        await listening(client, socket)
        await misbehave(client, event_dropped=ONCE)
        for name in ("unheard", "heard"):
            await client.signed("POST", "/api/v3/order", **LIMIT, newClientOrderId=name)
        assert await event(socket) == ("NEW", "heard")


async def test_an_event_is_repeated(client: Client) -> None:
    async with client.socket("/ws-api/v3") as socket:
        await listening(client, socket)
        await misbehave(client, event_repeated=ONCE)
        await client.signed("POST", "/api/v3/order", **LIMIT, newClientOrderId="twice")
        assert [await event(socket), await event(socket)] == [("NEW", "twice")] * 2


async def test_an_event_comes_after_its_successor(client: Client) -> None:
    async with client.socket("/ws-api/v3") as socket:
        await listening(client, socket)
        await misbehave(client, event_reordered=ONCE | {"min_ms": 10_000, "max_ms": 10_000})
        order = {name: value for name, value in LIMIT.items() if name not in ("price", "timeInForce")}
        await client.signed("POST", "/api/v3/order", **order | {"type": "MARKET"}, newClientOrderId="turned")
        assert [await event(socket), await event(socket)] == [("TRADE", "turned"), ("NEW", "turned")]


async def test_an_event_without_successor_comes_after_its_time(client: Client) -> None:
    async with client.socket("/ws-api/v3") as socket:
        await listening(client, socket)
        await misbehave(client, event_reordered={"probability": 1, "min_ms": 50, "max_ms": 60})
        await client.signed("POST", "/api/v3/order", **LIMIT, newClientOrderId="alone")
        assert await event(socket) == ("NEW", "alone")


async def test_delayed_events_keep_their_order(client: Client) -> None:
    async with client.socket("/ws-api/v3") as socket:
        await listening(client, socket)
        await misbehave(client, event_delayed=ONCE | {"min_ms": 300, "max_ms": 300})
        before = time.monotonic()
        for name in ("first", "second"):
            await client.signed("POST", "/api/v3/order", **LIMIT, newClientOrderId=name)
        assert [await event(socket), await event(socket)] == [("NEW", "first"), ("NEW", "second")]
        assert time.monotonic() - before >= 0.3


@pytest.mark.parametrize("fault", ["market_disconnected", "user_disconnected"])
async def test_sockets_of_one_kind_are_cut(client: Client, exchange: Exchange, fault: str) -> None:
    async with client.socket("/ws/btcusdt@trade") as market, client.socket("/ws-api/v3") as private:
        await listening(client, private)
        await receive(market, lambda message: True)
        await misbehave(client, **{fault: ALWAYS})
        broken, whole = (market, private) if fault == "market_disconnected" else (private, market)
        assert await closed(broken)
        await misbehave(client)
        assert not whole.closed
        await client.signed("POST", "/api/v3/order", **LIMIT, newClientOrderId="still")
        await receive(whole, lambda message: True)
    assert fault in {line["fault"] for line in lines(exchange)}


async def test_a_missing_depth_update_leaves_a_gap(client: Client, exchange: Exchange) -> None:
    async with client.socket("/ws/btcusdt@depth@100ms") as socket:
        last = (await receive(socket, lambda message: True))["u"]
        await misbehave(client, depth_missing=ONCE)
        gaps = 0
        while not gaps:
            update = await receive(socket, lambda message: True)
            gaps += update["U"] != last + 1
            last = update["u"]
        following = await receive(socket, lambda message: True)
        assert following["U"] == last + 1
    assert (told(exchange)["fault"], told(exchange)["symbol"]) == ("depth_missing", "BTCUSDT")


async def test_a_depth_snapshot_is_older_than_the_stream(client: Client) -> None:
    await misbehave(client, snapshot_lags=ALWAYS | {"min_ms": 60_000, "max_ms": 60_000})
    async with client.socket("/ws/btcusdt@depth@100ms") as socket:
        await receive(socket, lambda message: True)
        second = await receive(socket, lambda message: True)
        lagging = (await client.call("GET", "/api/v3/depth", symbol="BTCUSDT"))[1]
        assert lagging["lastUpdateId"] < second["U"]
        assert lagging["bids"]
        await misbehave(client)
        fresh = (await client.call("GET", "/api/v3/depth", symbol="BTCUSDT"))[1]
        assert fresh["lastUpdateId"] >= second["u"]


async def test_the_clock_is_off_and_what_is_played_is_not(client: Client) -> None:
    await misbehave(client, time_offset_ms=-30_000)
    served = (await client.call("GET", "/api/v3/time"))[1]["serverTime"]
    assert -35_000 < served - now_ms() < -25_000
    assert (await client.signed("GET", "/api/v3/account"))[1]["code"] == -1021
    played = (await client.status())["flow"]["played"]

    async def goes_on() -> bool:
        return bool((await client.status())["flow"]["played"] > played)

    await until(goes_on)
    await misbehave(client)
    assert (await client.signed("GET", "/api/v3/account"))[0] == 200


async def test_a_maintenance_closes_everything_and_ends(client: Client, exchange: Exchange) -> None:
    async with client.socket("/ws/btcusdt@trade") as market, client.socket("/ws-api/v3") as private:
        await misbehave(client, maintenance=ONCE | {"min_ms": 1500, "max_ms": 1500})
        assert (await client.signed("POST", "/api/v3/order", **LIMIT))[0] == 503
        assert (await client.call("GET", "/api/v3/ping"))[0] == 503
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await client.socket("/ws/btcusdt@trade")
        assert await closed(market)
        assert await closed(private)
    assert (await client.status())["faults"]["maintenance_ms_left"] > 0
    assert told(exchange)["delay_ms"] == 1500

    async def open_again() -> bool:
        return (await client.call("GET", "/api/v3/ping"))[0] == 200

    await until(open_again)
    assert await open_ids(client) == []


async def test_the_ledger_is_the_truth_under_all_faults_and_every_fault_is_counted(
    client: Client, exchange: Exchange
) -> None:
    often = {"probability": 0.2}
    quick = often | {"min_ms": 1, "max_ms": 30}
    await misbehave(
        client,
        seed=11,
        answer_lost=often,
        answer_delayed=quick,
        error_before=often,
        error_after=often,
        rate_limited=often,
        event_delayed=quick,
        event_repeated=often,
        event_reordered=quick,
        event_dropped=often,
    )
    sent = [f"all{number}" for number in range(60)]
    async with client.socket("/ws-api/v3") as socket:
        await listening(client, socket)
        await asyncio.gather(*(attempt(client, name) for name in sent))
    status = (await misbehave(client))[1]
    ledger = exchange.ledger()
    assert ledger.differences() == []
    accepted = [one["client_order_id"] for one in ledger.orders.values() if one["client_order_id"].startswith("all")]
    assert len(accepted) == len(set(accepted))
    refused = [one for one in lines(exchange) if one["fault"] in ("error_before", "rate_limited")]
    assert len(accepted) < len(sent)
    assert len(refused) >= len(sent) - len(accepted)
    written = [line["fault"] for line in lines(exchange) if line["fault"] != "profile"]
    assert status["counts"] == {name: written.count(name) for name in set(written)}


async def attempt(client: Client, name: str) -> None:
    try:
        await client.signed("POST", "/api/v3/order", **LIMIT, newClientOrderId=name)
    except aiohttp.ClientError:
        return


async def test_a_profile_may_be_in_force_from_the_start(folder: Path) -> None:
    with started(folder, "--faults", '{"time_offset_ms":60000}', "--time-offset-ms", "-20000") as exchange:
        async with Client(exchange) as client:
            served = (await client.call("GET", "/api/v3/time"))[1]["serverTime"]
            assert 35_000 < served - now_ms() < 45_000
