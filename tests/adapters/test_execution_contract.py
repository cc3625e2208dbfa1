"""The contract of execution adapters, on ccxt and the simulated exchange, and on the matching core in this process."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import pytest

from adapters.binance import execution, private
from adapters.binance.execution import BinanceExecution
from adapters.binance.private import order_report
from adapters.execution import KeyPermissions, OrderReport
from adapters.paper import PaperExecution
from adapters.simulated.core import Core
from adapters.simulated.instruments import TABLE
from adapters.simulated.model import NewOrder, OrderType, Side
from adapters.simulated.units import decimal, units
from tests.adapters.contract_execution import BTC, ExecutionContract, Trading
from tests.adapters.simulated.running import API_KEY, API_SECRET, Client, Exchange, started
from topics.record import TimeInForce


@contextlib.asynccontextmanager
async def listening(trading: Trading) -> AsyncIterator[Trading]:
    await trading.adapter.connect()
    task = asyncio.create_task(trading.listen())
    try:
        await trading.until(lambda: trading.heard, "the stream is up")
        yield trading
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await trading.adapter.close()


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    folder = tmp_path_factory.mktemp("exchange")
    with started(folder, "--symbols", "BTCUSDT", "--seed", "3") as running:
        yield running


class TestBinanceOnTheSimulatedExchange(ExecutionContract):
    @pytest.fixture
    async def trading(self, exchange: Exchange) -> AsyncIterator[Trading]:
        adapter = BinanceExecution(
            "sim",
            API_KEY,
            API_SECRET,
            rest_url=f"http://{exchange.address}/api/v3",
            ws_api_url=f"ws://{exchange.address}/ws-api/v3",
        )

        async def touch() -> tuple[Decimal, Decimal]:
            async with Client(exchange) as client:
                found = await client.touch("BTCUSDT")
            return Decimal(found["bidPrice"]), Decimal(found["askPrice"])

        async with listening(Trading(adapter, touch, time.time_ns)) as made:
            yield made

    async def test_the_venue_says_what_a_key_may_do(self, trading: Trading) -> None:
        told = await trading.adapter.key_permissions()  # type: ignore[attr-defined]
        assert told == KeyPermissions(may_withdraw=False, ip_restricted=True)

    async def test_lists_longer_than_a_page_are_read_to_their_end(
        self, trading: Trading, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        since = trading.now_ns() - 1_000_000_000
        _, ask = await trading.touch()
        orders = [trading.order(ask + 100, time_in_force=TimeInForce.IOC) for _ in range(5)]
        for order in orders:
            await trading.adapter.submit(order)
        whole = (await trading.adapter.recent_orders(BTC, since), await trading.adapter.executions(BTC, since))
        monkeypatch.setattr(execution, "PAGE", 2)
        in_pages = (await trading.adapter.recent_orders(BTC, since), await trading.adapter.executions(BTC, since))
        ids = ([o.venue_order_id for o in in_pages[0]], [e.trade_id for e in in_pages[1]])
        assert ids == ([o.venue_order_id for o in whole[0]], [e.trade_id for e in whole[1]])
        assert {o.venue_client_id for o in orders} <= {o.venue_client_id for o in in_pages[0]}

    async def test_an_order_on_a_symbol_listed_since_is_read_and_an_unreadable_one_hides_no_other(
        self, trading: Trading, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        adapter = trading.adapter
        assert isinstance(adapter, BinanceExecution)
        (order, _), (other, accepted) = await trading.rest(), await trading.rest()
        adapter._symbols.relist({})
        found = {o.venue_client_id for o in await adapter.open_orders()}
        assert {order.venue_client_id, other.venue_client_id} <= found

        def reads(o: Any, symbols: Any) -> OrderReport:
            if str(o["orderId"]) == accepted.venue_order_id:
                raise KeyError("a status of the future")
            return order_report(o, symbols)

        monkeypatch.setattr(private, "order_report", reads)
        found = {o.venue_client_id for o in await adapter.open_orders()}
        assert order.venue_client_id in found
        assert other.venue_client_id not in found


class TestTheCoreInThisProcess(ExecutionContract):
    @pytest.fixture
    async def trading(self) -> AsyncIterator[Trading]:
        core = Core([TABLE["BTCUSDT"]])
        ticks = iter(range(1_700_000_000_000_000_000, 1_800_000_000_000_000_000, 1_000_000))
        core.open_account(next(ticks), "main", {"BTC": units("10"), "USDT": units("1000000")})
        core.open_account(next(ticks), "other", {"BTC": units("10"), "USDT": units("1000000")})
        for side, price in ((Side.BUY, "60000"), (Side.SELL, "60010")):
            core.submit(next(ticks), quote_of("other", side, price))

        async def touch() -> tuple[Decimal, Decimal]:
            market = core.market("BTCUSDT")
            best = [market.best(Side.BUY), market.best(Side.SELL)]
            bid, ask = (decimal(level[0]) for level in best if level is not None)
            return bid, ask

        trading = Trading(PaperExecution("sim", core, "main", lambda: next(ticks)), touch, lambda: next(ticks))
        async with listening(trading) as made:
            yield made


def quote_of(account: str, side: Side, price: str) -> NewOrder:
    return NewOrder(
        account=account,
        symbol="BTCUSDT",
        side=side,
        type=OrderType.LIMIT,
        client_order_id=f"{account}-{side}",
        qty=units("1"),
        price=units(price),
    )
