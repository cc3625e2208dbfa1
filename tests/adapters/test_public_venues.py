"""What each venue is asked for over REST, against a server that writes it down."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
from aiohttp import web

from adapters.base import Endpoints, Rest, VenueRefused
from adapters.registry import market_data


class Asked(NamedTuple):
    """The requests of one venue, as method, path and query (or body); no ``depth``: books begin in the stream. ``listed``:
    definitions are asked for as one list.
    """

    symbol: str
    definition: str
    clock: str
    clock_answer: str
    clock_ms: int
    depth: str = ""
    listed: bool = False


VENUES = {
    "deribit": Asked(
        "BTC-PERPETUAL",
        "GET /api/v2/public/get_instrument?instrument_name=BTC-PERPETUAL",
        "GET /api/v2/public/get_time",
        '{"jsonrpc":"2.0","result":1550147385946}',
        1550147385946,
    ),
    "kucoin": Asked(
        "BTC-USDT",
        "GET /api/v2/symbols/BTC-USDT",
        "GET /api/v1/timestamp",
        '{"code":"200000","data":1546837113087}',
        1546837113087,
        "GET /api/v1/market/orderbook/level2_100?symbol=BTC-USDT",
    ),
    "kucoin futures": Asked(
        "futures|XBTUSDTM",
        "GET /api/v1/contracts/XBTUSDTM",
        "GET /api/v1/timestamp",
        '{"code":"200000","data":1546837113087}',
        1546837113087,
        "GET /api/v1/level2/snapshot?symbol=XBTUSDTM",
    ),
    "gateio": Asked(
        "BTC_USDT",
        "GET /api/v4/spot/currency_pairs/BTC_USDT",
        "GET /api/v4/spot/time",
        '{"server_time":1597026383085}',
        1597026383085,
        "GET /api/v4/spot/order_book?currency_pair=BTC_USDT&limit=100&with_id=true",
    ),
    "gateio futures": Asked(
        "futures|BTC_USDT",
        "GET /api/v4/futures/usdt/contracts/BTC_USDT",
        "GET /api/v4/spot/time",
        '{"server_time":1597026383085}',
        1597026383085,
        "GET /api/v4/futures/usdt/order_book?contract=BTC_USDT&limit=100&with_id=true",
    ),
    "bitstamp": Asked(
        "btcusd",
        "GET /api/v2/trading-pairs-info/",
        "GET /api/v2/ticker/btcusd/",
        '{"timestamp":"1641343695","last":"1"}',
        1641343695000,
        "GET /api/v2/order_book/btcusd/",
        listed=True,
    ),
    "bitmex": Asked(
        "XBTUSD",
        "GET /api/v1/instrument?symbol=XBTUSD",
        "GET /api/v1/",
        '{"name":"BitMEX API","version":"2","timestamp":1527782519000}',
        1527782519000,
    ),
    "hyperliquid": Asked(
        "BTC",
        'POST /info {"type":"meta"}',
        'POST /info {"type":"exchangeStatus"}',
        '{"specialStatuses":null,"time":1737918843542}',
        1737918843542,
    ),
}


@asynccontextmanager
async def answering(venue: str, body: str) -> AsyncIterator[tuple[Rest, list[str]]]:
    """The venue's client, and what it asks a server that always answers the same."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        sent = (await request.text()).replace(" ", "")
        asked.append(f"{request.method} {request.path_qs}{' ' if sent else ''}{sent}")
        return web.Response(text=body, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    rest = market_data(venue).rest(Endpoints(f"http://127.0.0.1:{runner.addresses[0][1]}"))
    try:
        yield rest, asked
    finally:
        await rest.close()
        await runner.cleanup()


@pytest.mark.parametrize("venue", VENUES)
async def test_each_request_goes_where_the_venue_documents_it(venue: str) -> None:
    expected = VENUES[venue]
    async with answering(venue.partition(" ")[0], expected.clock_answer) as (rest, asked):
        what = "contract" if "futures" in venue else "definition"
        wrapped = f'{{"rest":"{what}","symbol":"{expected.symbol}","data":{expected.clock_answer}}}'
        if expected.listed:
            with pytest.raises(VenueRefused, match="not in the venue's list"):
                await rest.definition(expected.symbol)
        else:
            assert await rest.definition(expected.symbol) == wrapped.encode()
        assert await rest.time_ms() == expected.clock_ms
        if expected.depth:
            assert await rest.depth(expected.symbol) == wrapped.replace(what, "depth", 1).encode()
        else:
            with pytest.raises(VenueRefused, match="stream"):
                await rest.depth(expected.symbol)
        assert asked == [x for x in (expected.definition, expected.clock, expected.depth) if x]


@pytest.mark.parametrize(
    ("venue", "path", "before", "rows", "after"),
    [
        (
            "binance_usdm",
            "/fapi/v1/exchangeInfo",
            '{"timezone":"UTC","symbols":[',
            {"BTCUSDT": '{"symbol":"BTCUSDT","a":1.10}', "ETHUSDT": '{"symbol":"ETHUSDT"}'},
            "]}",
        ),
        (
            "kraken_futures",
            "/derivatives/api/v3/instruments",
            '{"result":"success","instruments":[',
            {"PI_XBTUSD": '{"symbol":"pi_xbtusd","tickSize":0.50}', "PF_ETHUSD": '{"symbol":"PF_ETHUSD"}'},
            "]}",
        ),
        (
            "bitstamp",
            "/api/v2/trading-pairs-info/",
            "[",
            {"btcusd": '{"name":"BTC/USD","url_symbol":"btcusd"}', "ethusd": '{"url_symbol":"ethusd"}'},
            "]",
        ),
    ],
)
async def test_of_a_list_of_all_instruments_each_is_told_its_own_row_and_one_answer_serves_for_all(
    venue: str, path: str, before: str, rows: dict[str, str], after: str
) -> None:
    async with answering(venue, f"{before}{','.join(rows.values())}{after}") as (rest, asked):
        for symbol, row in rows.items():
            frame = (await rest.definition(symbol)).decode()
            assert frame.partition('"data":')[2] == f"{before}{row}{after}}}"
        assert asked == [f"GET {path}"]
        with pytest.raises(VenueRefused, match="NOPE is not in the venue's list"):
            await rest.definition("NOPE")
