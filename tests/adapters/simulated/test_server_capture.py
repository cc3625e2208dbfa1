"""A capture played by the server: the gate, the frames, our orders beside the recorded book, the end."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.adapters.simulated.running import QUIET, Client, Exchange, killed, now_ms, receive, started, until

LINES, SPEED = 6000, 20
NAMES = "btcusdt@depth@100ms/btcusdt@trade/btcusdt@bookTicker"


@pytest.fixture(scope="module")
def lines(data_dir: Path) -> list[bytes]:
    with gzip.open(data_dir / "hftbacktest" / "spot" / "btcusdt_20240808.gz", "rb") as file:
        return list(islice(file, LINES))


@pytest.fixture
def exchange(folder: Path, tmp_path: Path, lines: list[bytes]) -> Iterator[Exchange]:
    """The first minute of a capture, held at the gate."""
    part = tmp_path / "part.gz"
    part.write_bytes(gzip.compress(b"".join(lines), 1))
    arguments = ("--capture", str(part), "--speed", str(SPEED), "--wait-for-start", "--balance", "BTC=2")
    with started(folder, *arguments, "--order-limit", "0", "--weight-limit", "0") as running:
        yield running


async def ended(client: Client) -> bool:
    return bool((await client.status())["flow"]["state"] == "ended")


def untimed(frame: Any) -> Any:
    return {name: value for name, value in frame.items() if name == "e" or name not in ("E", "T")}


async def test_frames_are_the_recorded_ones_but_for_their_times(client: Client, lines: list[bytes]) -> None:
    recorded = [orjson.loads(line.partition(b" ")[2]) for line in lines]
    wanted = [message["data"] for message in recorded if "stream" in message]
    async with client.socket(f"/stream?streams={NAMES}") as socket:
        assert (await client.status())["flow"]["state"] == "waiting"
        snapshot = (await client.call("GET", "/api/v3/depth", symbol="BTCUSDT", limit=1000))[1]
        assert snapshot == next(message for message in recorded if "lastUpdateId" in message)
        before = now_ms()
        async with client._session.post(f"http://{client.exchange.address}/control/start") as answer:
            assert answer.status == 200
        got = [(await receive(socket, lambda message: True))["data"] for _ in wanted]
    assert [untimed(frame) for frame in got] == [untimed(frame) for frame in wanted]
    depth_times = [frame["E"] for frame in got if frame.get("e") == "depthUpdate"]
    recorded_times = [frame["E"] for frame in wanted if frame.get("e") == "depthUpdate"]
    assert depth_times == sorted(depth_times)
    assert before <= depth_times[0]
    assert depth_times[-1] <= now_ms()
    played = depth_times[-1] - depth_times[0]
    assert abs(played - (recorded_times[-1] - recorded_times[0]) / SPEED) <= 2


async def test_a_killed_capture_goes_on_where_it_would_be(folder: Path, tmp_path: Path, lines: list[bytes]) -> None:
    part = tmp_path / "part.gz"
    part.write_bytes(gzip.compress(b"".join(lines), 1))
    arguments = ("--capture", str(part), "--speed", "4", "--balance", "BTC=2", *QUIET)
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
    with killed(folder, *arguments) as exchange:
        async with Client(exchange) as client:
            opening = (await client.call("GET", "/api/v3/depth", symbol="BTCUSDT"))[1]["lastUpdateId"]
            assert (await client.signed("POST", "/api/v3/order", **order, price="40000"))[0] == 200
            before = (await client.signed("GET", "/api/v3/openOrders"))[1]
            await until(lambda: has_played(client, 300))
            exchange.process.kill()
            exchange.process.wait()
    with started(folder, "--resume", *arguments) as again:
        async with Client(again) as client:
            played = (await client.status())["flow"]["played"]
            assert played > 300
            assert (await client.signed("GET", "/api/v3/openOrders"))[1] == before
            assert (await client.call("GET", "/api/v3/depth", symbol="BTCUSDT"))[1]["lastUpdateId"] > opening
            await until(lambda: has_played(client, played + 300))
        assert again.ledger().differences() == []


async def has_played(client: Client, frames: int) -> bool:
    return bool((await client.status())["flow"]["played"] > frames)


async def test_our_orders_fill_beside_the_recording_and_it_keeps_serving_after_the_end(
    client: Client, exchange: Exchange
) -> None:
    order = {"symbol": "BTCUSDT", "quantity": "0.01", "timeInForce": "GTC", "type": "LIMIT"}
    touch = await client.touch("BTCUSDT")
    for side, price in (("BUY", touch["bidPrice"]), ("SELL", touch["askPrice"])):
        assert (await client.signed("POST", "/api/v3/order", **order, side=side, price=price))[0] == 200
    taken = (await client.signed("POST", "/api/v3/order", **order, side="BUY", price=touch["askPrice"]))[1]
    assert Decimal(taken["executedQty"]) == Decimal("0.01")
    assert all(one["tradeId"] >= 10**12 for one in taken["fills"])
    await client.call("POST", "/control/start")

    async def at_the_end() -> bool:
        return await ended(client)

    await until(at_the_end, 60.0)
    status = (await client.status())["flow"]
    assert (status["share"], status["played"]) == (1.0, LINES)
    trades = (await client.signed("GET", "/api/v3/myTrades", symbol="BTCUSDT"))[1]
    assert any(one["isMaker"] for one in trades)
    assert len({one["id"] for one in trades}) == len(trades)
    assert exchange.ledger().differences() == []
    assert len(exchange.ledger().executions) == len(trades)
    bids = (await client.call("GET", "/api/v3/depth", symbol="BTCUSDT", limit=5))[1]["bids"]
    assert bids == (await client.call("GET", "/api/v3/depth", symbol="BTCUSDT", limit=5))[1]["bids"]
