"""What each venue is asked for over REST, against a server that writes it down."""

from typing import NamedTuple

import pytest
from aiohttp import web

from adapters.base import Endpoints, VenueRefused
from adapters.registry import market_data


class Asked(NamedTuple):
    """The requests of one venue, as method, path and query (or body); no ``depth``: books begin in the stream."""

    symbol: str
    definition: str
    clock: str
    clock_answer: str
    clock_ms: int
    depth: str = ""


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


@pytest.mark.parametrize("venue", VENUES)
async def test_each_request_goes_where_the_venue_documents_it(venue: str) -> None:
    expected, asked = VENUES[venue], list[str]()

    async def answer(request: web.Request) -> web.Response:
        body = (await request.text()).replace(" ", "")
        asked.append(f"{request.method} {request.path_qs}{' ' if body else ''}{body}")
        return web.Response(text=expected.clock_answer, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    rest = market_data(venue.partition(" ")[0]).rest(Endpoints(f"http://127.0.0.1:{runner.addresses[0][1]}"))
    try:
        what = "contract" if "futures" in venue else "definition"
        wrapped = f'{{"rest":"{what}","symbol":"{expected.symbol}","data":{expected.clock_answer}}}'
        assert await rest.definition(expected.symbol) == wrapped.encode()
        assert await rest.time_ms() == expected.clock_ms
        if expected.depth:
            assert await rest.depth(expected.symbol) == wrapped.replace(what, "depth", 1).encode()
        else:
            with pytest.raises(VenueRefused, match="stream"):
                await rest.depth(expected.symbol)
        assert asked == [x for x in (expected.definition, expected.clock, expected.depth) if x]
    finally:
        await rest.close()
        await runner.cleanup()
