"""Unmodified ccxt and ccxt.pro trade on the exchange."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from decimal import Decimal
from typing import Any

import ccxt
import pytest

from tests.adapters.simulated.running import Exchange, until

SYMBOL = "BTC/USDT"


async def far_below(client: Any) -> str:
    """A price on the tick that does not trade soon."""
    ticker = await client.fetch_bids_asks([SYMBOL])
    return str((Decimal(ticker[SYMBOL]["bid"]) * Decimal("0.98")).quantize(Decimal("0.01")))


async def test_markets_have_ticks_lots_and_limits(ccxt_client: Any) -> None:
    market = ccxt_client.market(SYMBOL)
    assert Decimal(market["precision"]["price"]) == Decimal("0.01")
    assert Decimal(market["precision"]["amount"]) == Decimal("0.00001")
    assert market["limits"]["cost"]["min"] == "5.00000000"
    assert market["active"]


async def test_an_order_is_placed_found_and_canceled(ccxt_client: Any) -> None:
    price = await far_below(ccxt_client)
    placed = await ccxt_client.create_order(SYMBOL, "limit", "buy", "0.001", price, {"clientOrderId": "ccxt-1"})
    assert (placed["status"], placed["clientOrderId"], placed["price"]) == ("open", "ccxt-1", f"{price}000000")
    assert [one["id"] for one in await ccxt_client.fetch_open_orders(SYMBOL)] == [placed["id"]]
    assert (await ccxt_client.fetch_order(placed["id"], SYMBOL))["status"] == "open"
    canceled = await ccxt_client.cancel_order(placed["id"], SYMBOL)
    assert (canceled["status"], canceled["info"]["origClientOrderId"]) == ("canceled", "ccxt-1")
    assert await ccxt_client.fetch_open_orders(SYMBOL) == []
    assert (await ccxt_client.fetch_order(placed["id"], SYMBOL))["status"] == "canceled"


async def test_a_market_order_fills_with_fees_and_trades(ccxt_client: Any, exchange: Exchange) -> None:
    before = await ccxt_client.fetch_balance()
    placed = await ccxt_client.create_order(SYMBOL, "market", "buy", "0.01", None, {"clientOrderId": "ccxt-2"})
    assert placed["status"] == "closed"
    assert Decimal(placed["filled"]) == Decimal("0.01")
    trades = await ccxt_client.fetch_my_trades(SYMBOL, params={"orderId": placed["id"]})
    assert sum(Decimal(one["amount"]) for one in trades) == Decimal("0.01")
    assert {one["fee"]["currency"] for one in trades} == {"BTC"}
    after = await ccxt_client.fetch_balance()
    assert Decimal(after["BTC"]["total"]) - Decimal(before["BTC"]["total"]) == Decimal("0.01") * Decimal("0.999")
    ledger = exchange.ledger()
    assert ledger.differences() == []
    assert sum(one.qty for one in ledger.executions if one.client_order_id == "ccxt-2") == Decimal("0.01")


async def test_post_only_at_the_touch_fills_as_maker(ccxt_client: Any, exchange: Exchange) -> None:
    async def quote_and_look() -> bool:
        ticker = (await ccxt_client.fetch_bids_asks([SYMBOL]))[SYMBOL]
        try:
            await ccxt_client.create_order(SYMBOL, "limit", "buy", "0.001", ticker["bid"], {"postOnly": True})
        except ccxt.OrderImmediatelyFillable:
            return False
        await asyncio.sleep(0.3)
        return any(one.maker for one in exchange.ledger().executions)

    await until(quote_and_look, 30.0)
    for one in await ccxt_client.fetch_open_orders(SYMBOL):
        with suppress(ccxt.OrderNotFound):
            await ccxt_client.cancel_order(one["id"], SYMBOL)


@pytest.mark.parametrize(
    ("order", "error"),
    [
        (("limit", "sell", "90", "70000", {}), ccxt.InsufficientFunds),
        (("limit", "buy", "0.001", "70000", {"postOnly": True}), ccxt.OrderImmediatelyFillable),
        (("limit", "buy", "0.00001", "60000", {}), ccxt.BadRequest),
    ],
)
async def test_refusals_raise_what_ccxt_has_for_them(
    ccxt_client: Any, order: tuple[str, str, str, str, dict[str, Any]], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await ccxt_client.create_order(SYMBOL, *order)


async def test_an_unknown_order_raises_order_not_found(ccxt_client: Any) -> None:
    with pytest.raises(ccxt.OrderNotFound):
        await ccxt_client.cancel_order("99999999", SYMBOL)
    with pytest.raises(ccxt.OrderNotFound):
        await ccxt_client.fetch_order("99999999", SYMBOL)


async def test_public_streams_are_watched(ccxt_client: Any) -> None:
    async with asyncio.timeout(20):
        trades = await ccxt_client.watch_trades(SYMBOL)
        assert Decimal(trades[-1]["price"]) > 0
        for _ in range(3):
            book = await ccxt_client.watch_order_book(SYMBOL)
            assert book["bids"][0][0] < book["asks"][0][0]
        tickers = await ccxt_client.watch_bids_asks([SYMBOL])
        assert Decimal(tickers[SYMBOL]["bid"]) < Decimal(tickers[SYMBOL]["ask"])


async def test_orders_trades_and_balances_are_watched(ccxt_client: Any) -> None:
    watched = [
        asyncio.create_task(ccxt_client.watch_balance()),
        asyncio.create_task(ccxt_client.watch_my_trades(SYMBOL)),
    ]
    async with asyncio.timeout(20):
        first = asyncio.create_task(ccxt_client.watch_orders(SYMBOL))
        await until(lambda: subscribed(ccxt_client))
        placed = await ccxt_client.create_order(SYMBOL, "market", "buy", "0.002", None, {"clientOrderId": "watched"})
        orders = await first
        assert orders[-1]["id"] == placed["id"]
        balance, trades = await asyncio.gather(*watched)
        assert Decimal(balance["BTC"]["free"]) > 0
        assert trades[-1]["order"] == placed["id"]


def subscribed(client: Any) -> bool:
    """ccxt has its answer to the subscription."""
    sockets = [one for url, one in client.clients.items() if "ws-api" in url]
    return any("spot" in one.subscriptions and not one.futures.keys() - waiting(one) for one in sockets)


def waiting(socket: Any) -> set[str]:
    return {name for name in socket.futures if not name.isdigit() and not name.startswith("authenticate")}


async def test_orders_go_over_the_websocket_api_too(ccxt_client: Any) -> None:
    async with asyncio.timeout(20):
        price = await far_below(ccxt_client)
        placed = await ccxt_client.create_order_ws(SYMBOL, "limit", "buy", "0.001", price, {"clientOrderId": "ws-1"})
        assert placed["status"] == "open"
        found = await ccxt_client.fetch_order_ws(placed["id"], SYMBOL)
        assert found["clientOrderId"] == "ws-1"
        assert (await ccxt_client.cancel_order_ws(placed["id"], SYMBOL))["status"] == "canceled"


async def test_a_clock_that_is_off_and_a_wrong_key_are_told_apart(exchange: Exchange, ccxt_client: Any) -> None:
    ccxt_client.secret = "wrong"
    with pytest.raises(ccxt.AuthenticationError, match="-1022"):
        await ccxt_client.fetch_balance()
    ccxt_client.secret = "secret-of-the-tests"
    ccxt_client.nonce = lambda: ccxt_client.milliseconds() - 60_000
    with pytest.raises(ccxt.InvalidNonce):
        await ccxt_client.fetch_balance()
    ccxt_client.apiKey = "unknown"
    with pytest.raises(ccxt.AuthenticationError, match="-2015"):
        await ccxt_client.fetch_balance()
