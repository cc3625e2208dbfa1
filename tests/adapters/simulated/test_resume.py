"""A ledger is enough to go on from: accounts, orders, executions and ids, also after a kill in the middle of a write."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.simulated.__main__ import main
from adapters.simulated.core import Core
from adapters.simulated.ledger import read_ledger
from adapters.simulated.ledger_writer import LedgerWriter
from adapters.simulated.model import NewOrder, OrderReport
from adapters.simulated.resume import ResumeError, read_remains
from tests.adapters.simulated.builders import BUY, INSTRUMENT, SELL, SYMBOL, order
from tests.adapters.simulated.running import QUIET, Client, killed, now_ms, started, until
from tests.adapters.simulated.test_core_properties import ACCOUNTS, Step, carry_out, histories, totals
from tests.adapters.simulated.test_ledger import FEES, write

PRICE_FAR = "50000"
LIMIT = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.001"}
MARKET = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
OFTEN = {"probability": 0.1, "on": ["POST order"]}
STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_LOSS", "quantity": "0.001", "stopPrice": "40000"}


def resumed(path: Path) -> Core:
    made = Core([INSTRUMENT], fees=FEES)
    made.restore(read_remains(path))
    made.reopen()
    return made


def state(made: Core) -> list[object]:
    """All that a client can ask for."""
    found: list[object] = [totals(made)]
    for account in ACCOUNTS:
        assets = {asset: one for asset, one in made.balances(account).items() if one.free or one.locked}
        found += [assets, made.open_orders(account), made.all_orders(account, SYMBOL)]
        found += [[_public(one) for one in made.executions(account, SYMBOL)]]
    return [*found, made.market(SYMBOL).depth(100)]


def _public(one: OrderReport) -> tuple[object, ...]:
    return one.order.order_id, one.trade_id, one.last_qty, one.last_px, one.fee, one.fee_asset, one.is_maker, one.ts_ns


@given(histories)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_everything_is_as_it_was(tmp_path: Path, history: list[Step]) -> None:
    path = tmp_path / f"{os.urandom(6).hex()}.jsonl"
    before = write(path, history)
    assert state(resumed(path)) == state(before)


@given(histories, st.lists(st.sampled_from([BUY, SELL]), max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_the_next_orders_meet_the_same_queue(tmp_path: Path, history: list[Step], sides: list[Any]) -> None:
    path = tmp_path / f"{os.urandom(6).hex()}.jsonl"
    before = write(path, [step for step in history if not (isinstance(step, NewOrder) and step.type.waits)])
    after = resumed(path)
    for number, side in enumerate(sides):
        new = order("ann", side, 3, 100, client_order_id=f"next{number}")
        met = [[_met(one) for one in made.submit(100, new) if isinstance(one, OrderReport)] for made in (before, after)]
        assert met[0] == met[1]


def _met(one: OrderReport) -> tuple[object, ...]:
    return one.execution, one.order.client_order_id, one.order.status, one.last_qty, one.last_px, one.counter_account


@given(histories, st.integers(1, 400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_an_operation_that_was_cut_off_did_not_happen(tmp_path: Path, history: list[Step], cut: int) -> None:
    path = tmp_path / f"{os.urandom(6).hex()}.jsonl"
    write(path, history)
    data = path.read_bytes()
    path.write_bytes(data[: max(0, len(data) - cut)])
    remains = read_remains(path)
    assert remains.size <= max(0, len(data) - cut)
    writer = LedgerWriter(path, remains)
    made = Core([INSTRUMENT], fees=FEES)
    made.restore(remains)
    writer.note("resume", time=9, life=remains.life)
    for account in ACCOUNTS:
        if account not in made.accounts():
            writer.append(made.open_account(9, account, {}))
    writer.append(carry_out(made, 10, order(made.accounts()[-1], BUY, 1, 100)))
    writer.close()
    if remains.terms:
        assert read_ledger(path).differences() == []


def test_ids_of_a_later_life_were_never_given_before(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write(path, [order("ann", SELL, 2, 100), order("bob", BUY, 1, 100)])
    for life in (1, 2):
        remains = read_remains(path)
        assert (remains.life, remains.first_id) == (life, life * 10**9)
        writer = LedgerWriter(path, remains)
        writer.note("resume", time=1, life=life)
        writer.close()


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"locked":"200.00000000"', '"locked":"100.00000000"', "open orders lock"),
        ('"seq":3', '"seq":4', "sequence number"),
        ('"type":"order"', '"type":"order', "cannot be resumed"),
    ],
)
def test_a_ledger_that_does_not_add_up_is_refused(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    path = tmp_path / "ledger.jsonl"
    write(path, [order("ann", BUY, 2, 100)])
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ResumeError, match=complaint):
        read_remains(path)


async def everything(client: Client) -> list[Any]:
    """What the account may know, but for what the market's own moves change."""
    paths: list[tuple[str, dict[str, str]]] = [
        ("openOrders", {}),
        ("allOrders", {"symbol": "BTCUSDT"}),
        ("myTrades", {"symbol": "BTCUSDT"}),
        ("account", {}),
    ]
    answers = [(await client.signed("GET", f"/api/v3/{path}", **params))[1] for path, params in paths]
    answers[-1].pop("updateTime")
    return answers


async def trade_a_little(client: Client) -> None:
    for price in (PRICE_FAR, "50001"):
        assert (await client.signed("POST", "/api/v3/order", **LIMIT, price=price))[0] == 200
    assert (await client.signed("POST", "/api/v3/order", **STOP))[0] == 200
    assert (await client.signed("POST", "/api/v3/order", **MARKET))[0] == 200


async def test_a_killed_exchange_goes_on_from_its_ledger(folder: Path) -> None:
    with killed(folder) as exchange:
        async with Client(exchange) as client:
            await trade_a_little(client)
            before = await everything(client)
            exchange.process.kill()
            exchange.process.wait()
    with started(folder, "--resume", *QUIET) as again:
        assert again.port == exchange.port
        async with Client(again) as client:
            assert await everything(client) == before
            number = before[0][0]["orderId"]
            canceled = await client.signed("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=number)
            assert (canceled[0], canceled[1]["status"]) == (200, "CANCELED")
            placed = (await client.signed("POST", "/api/v3/order", **LIMIT, price=PRICE_FAR))[1]
            assert placed["orderId"] > 10**9
            status = await client.status()
            assert status["flow"]["state"] == "playing"
            assert status["flow"]["started_ns"] < now_ms() * 10**6
        assert again.ledger().differences() == []


def test_a_folder_without_a_ledger_cannot_be_resumed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = ("--api-key", "a", "--api-secret", "b")
    assert main(["--folder", str(folder), "--resume", *keys]) == 2
    assert "cannot be resumed" in capsys.readouterr().err


async def test_no_order_is_lost_or_doubled_when_it_is_killed_under_load_with_faults(folder: Path) -> None:
    faults = orjson.dumps({"seed": 5, "error_after": OFTEN, "answer_lost": OFTEN, "answer_delayed": OFTEN}).decode()
    answered: dict[str, int] = {}
    for round_ in range(3):
        resume = ("--resume",) if round_ else ()
        with killed(folder, *resume, "--faults", faults, *QUIET) as exchange:
            async with Client(exchange) as client:
                sending = [asyncio.create_task(send_many(client, f"{round_}-{one}", answered)) for one in range(8)]
                await until(lambda: len(answered) > (round_ + 1) * 30)  # noqa: B023
                exchange.process.kill()
                await asyncio.gather(*sending)
    with started(folder, "--resume", *QUIET) as exchange:
        ledger = exchange.ledger()
        assert ledger.differences() == []
        written = [one["client_order_id"] for one in ledger.orders.values()]
        assert len(written) == len(set(written))
        for name, order_id in answered.items():
            assert ledger.orders["main", order_id]["client_order_id"] == name
        async with Client(exchange) as client:
            params = {"symbol": "BTCUSDT", "limit": 1000}
            known = (await client.signed("GET", "/api/v3/allOrders", **params))[1]
            assert {one["clientOrderId"] for one in known} == set(written)
            assert {one["clientOrderId"]: one["status"] for one in known} == {
                one["client_order_id"]: one["status"] for one in ledger.orders.values()
            }


async def send_many(client: Client, prefix: str, answered: dict[str, int]) -> None:
    """Until the exchange is gone; notes what it heard of."""
    for number in range(1000):
        name = f"{prefix}-{number}"
        order = MARKET if number % 2 else LIMIT | {"price": PRICE_FAR}
        try:
            status, answer = await client.signed("POST", "/api/v3/order", **order, newClientOrderId=name)
        except aiohttp.ClientConnectorError:
            return
        except aiohttp.ClientError:
            continue
        if status == 200:
            answered[name] = answer["orderId"]
