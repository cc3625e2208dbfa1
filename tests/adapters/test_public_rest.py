"""Against a server that answers as venues do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from adapters.base import Endpoints, VenueBusy, VenueRefused, VenueUnreachable
from adapters.public_rest import PublicApi, PublicRest, Request

API = PublicApi(
    "kraken",
    definition=lambda symbol: Request("AssetPairs", "publicGetAssetPairs", {"pair": symbol}),
    clock=Request("Time", "publicGetTime", {}),
    clock_ms=lambda answer: int(answer["result"]["unixtime"]) * 1000,
)


@asynccontextmanager
async def asking(status: int, text: str) -> AsyncIterator[tuple[PublicRest, list[str]]]:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        return web.Response(status=status, text=text, content_type="application/json", headers={"Retry-After": "7"})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    rest = PublicRest(API, Endpoints(f"http://127.0.0.1:{runner.addresses[0][1]}/"))
    try:
        yield rest, asked
    finally:
        await rest.close()
        await runner.cleanup()


async def test_an_answer_is_wrapped_as_it_came_from_another_host_with_the_venues_path() -> None:
    async with asking(200, '{"error":[], "result":{"unixtime":1616336594}}') as (rest, asked):
        assert (
            await rest.definition("XBT/USD")
            == b'{"rest":"AssetPairs","symbol":"XBT/USD","data":{"error":[], "result":{"unixtime":1616336594}}}'
        )
        assert await rest.time_ms() == 1_616_336_594_000
        assert asked == ["/0/public/AssetPairs?pair=XBT%2FUSD", "/0/public/Time"]


async def test_what_the_venue_does_not_like_is_told_apart() -> None:
    async with asking(429, "slow down") as (rest, _):
        with pytest.raises(VenueBusy) as busy:
            await rest.definition("XBT/USD")
        assert busy.value.retry_after_s == 7.0
    async with asking(500, "no") as (rest, _):
        with pytest.raises(VenueUnreachable):
            await rest.definition("XBT/USD")
    async with asking(200, '{"error":["EQuery:Unknown asset pair"]}') as (rest, _):
        with pytest.raises(VenueRefused):
            await rest.definition("XBT/USD")


async def test_an_answer_without_a_time_is_the_venues_trouble() -> None:
    async with asking(200, '{"error":[],"result":{}}') as (rest, _):
        with pytest.raises(VenueUnreachable, match="no time"):
            await rest.time_ms()


async def test_books_that_begin_in_the_stream_are_not_asked_for() -> None:
    async with asking(200, "{}") as (rest, _):
        with pytest.raises(VenueRefused, match="stream"):
            await rest.depth("XBT/USD")


def test_a_venue_without_a_sandbox_says_so() -> None:
    with pytest.raises(ValueError, match="no sandbox"):
        PublicRest(API, Endpoints(sandbox=True))
