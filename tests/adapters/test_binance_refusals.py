"""Refused, unknown or not sent: ccxt against a real server that answers with each row of the table."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web

from adapters.base import VenueError, VenueRefused, VenueUnreachable
from adapters.binance.execution import BinanceExecution
from adapters.execution import Accepted, NewOrder, NotSent, OrderRef, Outcome, QueryFailed, Refused, Unknown
from topics.record import OrderType, Side, TimeInForce

BTC = "binance:BTC-USDT"
REQUESTED_NS = 1_700_000_000_123_456_789
SYMBOL = {
    "symbol": "BTCUSDT",
    "status": "TRADING",
    "baseAsset": "BTC",
    "quoteAsset": "USDT",
    "baseAssetPrecision": 8,
    "quotePrecision": 8,
    "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
    "isSpotTradingAllowed": True,
    "permissions": ["SPOT"],
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000.0", "stepSize": "0.00001"},
        {"filterType": "NOTIONAL", "minNotional": "5.0", "applyMinToMarket": True, "maxNotional": "9000000.0"},
    ],
}
ORDER = {"symbol": "BTCUSDT", "orderId": 28, "clientOrderId": "c1", "transactTime": 1507725176595, "status": "NEW"}


class Venue:
    """Answers every private request with what it was told to."""

    def __init__(self) -> None:
        self.status, self.body, self.how = 200, "", "answer"
        self.requests: list[dict[str, str]] = []

    async def info(self, request: web.Request) -> web.Response:
        return web.json_response({"symbols": [SYMBOL], "rateLimits": [], "exchangeFilters": []})

    async def account(self, request: web.Request) -> web.StreamResponse:
        if self.how == "account":
            return await self.private(request)
        return web.json_response({"balances": [], "updateTime": 1})

    async def private(self, request: web.Request) -> web.StreamResponse:
        self.requests.append({**request.query, **{k: str(v) for k, v in (await request.post()).items()}})
        if self.how == "reset":
            assert request.transport is not None
            request.transport.abort()
        if self.how == "hang":
            await asyncio.sleep(30)
        if self.how == "cut":
            answer = web.StreamResponse(
                status=200, headers={"Content-Length": "500", "Content-Type": "application/json"}
            )
            await answer.prepare(request)
            await answer.write(b'{"symbol":"BTCUSDT","orderId":28')
            assert request.transport is not None
            request.transport.close()
            return answer
        kind = "application/json" if self.body.startswith(("{", "[")) else "text/html"
        return web.Response(status=self.status, text=self.body, content_type=kind)


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    made = Venue()
    app = web.Application()
    app.router.add_get("/api/v3/exchangeInfo", made.info)
    app.router.add_get("/api/v3/account", made.account)
    app.router.add_route("*", "/api/v3/{tail:.*}", made.private)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = runner.addresses[0][1]  # type: ignore[attr-defined]
    yield made
    await runner.cleanup()


@contextlib.asynccontextmanager
async def pointed(port: int, recorded: list[str] | None = None) -> AsyncIterator[BinanceExecution]:
    adapter = BinanceExecution(
        "binance",
        "the-key",
        "the-secret",
        rest_url=f"http://127.0.0.1:{port}/api/v3",
        recorder=lambda ns, text: None if recorded is None else recorded.append(text),
        timeout_ms=700,
    )
    try:
        yield adapter
    finally:
        await adapter.close()


@pytest.fixture
async def adapter(venue: Any) -> AsyncIterator[BinanceExecution]:
    async with pointed(venue.port) as made:
        await made.connect()
        yield made


NEW = NewOrder(
    venue_client_id="c1",
    instrument=BTC,
    side=Side.BUY,
    order_type=OrderType.LIMIT,
    order_qty=Decimal("0.00100"),
    price=Decimal("30000.10"),
    time_in_force=TimeInForce.GTC,
    post_only=False,
    requested_ns=REQUESTED_NS,
)


def coded(code: int, message: str) -> str:
    return f'{{"code":{code},"msg":"{message}"}}'


REFUSALS = [
    (400, coded(-1013, "Filter failure: LOT_SIZE")),
    (400, coded(-1013, "Filter failure: PRICE_FILTER")),
    (400, coded(-1013, "Filter failure: NOTIONAL")),
    (400, coded(-1021, "Timestamp for this request is outside of the recvWindow.")),
    (400, coded(-1022, "Signature for this request is not valid.")),
    (401, coded(-2014, "API-key format invalid.")),
    (401, coded(-2015, "Invalid API-key, IP, or permissions for action.")),
    (429, coded(-1003, "Too many requests.")),
    (418, coded(-1003, "Way too many requests; IP banned.")),
    (429, coded(-1015, "Too many new orders.")),
    (400, coded(-1102, "Mandatory parameter 'price' was not sent.")),
    (400, coded(-2010, "Account has insufficient balance for requested action.")),
    (400, coded(-2010, "Order would immediately match and take.")),
    (400, coded(-2010, "Order would trigger immediately.")),
]
UNKNOWNS = [
    (400, coded(-2010, "Duplicate order sent.")),
    (400, coded(-2010, "Something that nobody has seen yet.")),
    (400, coded(-2011, "Unknown order sent.")),
    (400, coded(-2013, "Order does not exist.")),
    (400, coded(-2021, "Order cancel-replace partially failed.")),
    (400, coded(-2022, "Order cancel-replace failed.")),
    (400, coded(-1000, "An unknown error occurred while processing the request.")),
    (400, coded(-1001, "Internal error; unable to process your request.")),
    (400, coded(-1006, "An unexpected response was received from the message bus.")),
    (400, coded(-1007, "Timeout waiting for response from backend server.")),
    (503, coded(-1008, "Server is currently overloaded with other requests.")),
    (500, coded(-1013, "Filter failure: LOT_SIZE")),
    (502, "<html>Bad Gateway</html>"),
    (503, ""),
    (504, "<html>Gateway Time-out</html>"),
    (403, "<html>WAF</html>"),
    (200, "<html>welcome</html>"),
    (200, ""),
    (200, "{}"),
    (200, "[]"),
    (200, '{"symbol":"BTCUSDT","orderId":2'),
    (200, '{"symbol":"BTCUSDT","orderId":null}'),
]


@pytest.mark.parametrize(("status", "body"), REFUSALS)
async def test_a_listed_code_proves_that_an_order_was_refused(
    venue: Venue, adapter: BinanceExecution, status: int, body: str
) -> None:
    venue.status, venue.body = status, body
    assert isinstance(await adapter.submit(NEW), Refused)
    assert len(venue.requests) == 1


@pytest.mark.parametrize(("status", "body"), UNKNOWNS)
async def test_everything_else_that_is_answered_is_unknown(
    venue: Venue, adapter: BinanceExecution, status: int, body: str
) -> None:
    venue.status, venue.body = status, body
    assert isinstance(await adapter.submit(NEW), Unknown)
    assert isinstance(await adapter.cancel(OrderRef(BTC, "c1"), REQUESTED_NS), Unknown)
    assert len([r for r in venue.requests if "price" in r]) == 1


@pytest.mark.parametrize("how", ["reset", "hang", "cut"])
async def test_an_answer_that_does_not_come_is_unknown_and_the_order_is_sent_once(
    venue: Venue, adapter: BinanceExecution, how: str
) -> None:
    venue.how = how
    assert isinstance(await adapter.submit(NEW), Unknown)
    assert len(venue.requests) == 1


async def test_a_refused_connection_proves_that_nothing_was_sent(adapter: BinanceExecution) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with pointed(taken.getsockname()[1]) as nowhere:
            nowhere.adopt(adapter)
            assert isinstance(await nowhere.submit(NEW), NotSent)
            with pytest.raises(VenueUnreachable):
                await nowhere.query(OrderRef(BTC, "c1"))


async def test_an_order_with_an_id_is_accepted(venue: Venue, adapter: BinanceExecution) -> None:
    import json

    venue.body = json.dumps(ORDER)
    assert await adapter.submit(NEW) == Accepted("28", 1507725176595_000_000)


async def test_an_order_is_signed_with_the_time_of_its_write_ahead_and_keeps_its_digits(
    venue: Venue, adapter: BinanceExecution
) -> None:
    venue.body = "{}"
    await adapter.submit(NEW)
    (sent,) = venue.requests
    assert (sent["timestamp"], sent["recvWindow"]) == ("1700000000123", "5000")
    assert (Decimal(sent["quantity"]), Decimal(sent["price"])) == (Decimal("0.001"), Decimal("30000.1"))
    assert (sent["newClientOrderId"], sent["timeInForce"], sent["type"]) == ("c1", "GTC", "LIMIT")


@pytest.mark.parametrize("code", [-2011, -2013])
async def test_a_query_for_an_order_that_is_not_there_says_so(
    venue: Venue, adapter: BinanceExecution, code: int
) -> None:
    venue.status, venue.body = 400, coded(code, "Order does not exist.")
    assert await adapter.query(OrderRef(BTC, "c1")) is None


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, ""), (200, "<html>"), (200, ""), (200, "{}"), (400, coded(-1001, "x")), (503, coded(-2013, "x"))],
)
async def test_a_question_without_a_usable_answer_is_no_evidence(
    venue: Venue, adapter: BinanceExecution, status: int, body: str
) -> None:
    venue.status, venue.body = status, body
    with pytest.raises(QueryFailed):
        await adapter.query(OrderRef(BTC, "c1"))


@pytest.mark.parametrize(
    ("code", "says"),
    [(-2015, "API key"), (-1022, "API key"), (-2014, "API key"), (-1021, "clock")],
)
async def test_refused_keys_and_clock_are_told_when_connecting(venue: Any, code: int, says: str) -> None:
    venue.how, venue.status, venue.body = "account", 401, coded(code, "No.")
    async with pointed(venue.port) as adapter:
        with pytest.raises(VenueRefused, match=says):
            await adapter.connect()


async def test_what_is_recorded_holds_no_secret(venue: Any) -> None:
    recorded: list[str] = []
    venue.body = '{"orderId":28}'
    async with pointed(venue.port, recorded) as adapter:
        await adapter.connect()
        outcome: Outcome = await adapter.submit(NEW)
        await adapter.cancel(OrderRef(BTC, "c1"), REQUESTED_NS)
    assert isinstance(outcome, Accepted)
    assert len([line for line in recorded if "order" in line]) == 2
    assert all("the-key" not in line and "the-secret" not in line for line in recorded)
    assert all("signature=***" in line for line in recorded)


def test_every_error_of_an_adapter_is_a_venue_error() -> None:
    assert issubclass(QueryFailed, VenueError)
