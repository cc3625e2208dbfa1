"""Fan-out: everybody gets the frame, and one that does not read is cut off and holds up nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from adapters.simulated.hub import Connection, Hub
from tests.adapters.simulated.running import until

FRAME = b'{"big":"' + b"x" * 100_000 + b'"}'


@asynccontextmanager
async def serving(hub: Hub, limit: int) -> AsyncIterator[str]:
    """A server whose sockets listen to one stream."""

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        connection = Connection(socket, request, limit)
        hub.add(connection)
        hub.subscribe(connection, ["one"])
        await connection.pump()
        hub.drop(connection)
        return socket

    app = web.Application()
    app.add_routes([web.get("/", handle)])
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def test_a_client_that_does_not_read_is_cut_off_and_the_others_go_on() -> None:
    hub = Hub()
    async with (
        serving(hub, 50) as url,
        aiohttp.ClientSession() as session,
        session.ws_connect(url) as reader,
        session.ws_connect(url) as sleeper,
    ):
        await until(lambda: len(hub.connections()) == 2)
        sleeper._response.connection.protocol.pause_reading()  # type: ignore[union-attr]
        for _ in range(5000):
            hub.publish_bytes(("one",), FRAME)
            assert len((await reader.receive_str()).encode()) == len(FRAME)
            if len(hub.connections()) == 1:
                break
        assert len(hub.connections()) == 1
        hub.publish_bytes(("one",), b"{}")
        assert await reader.receive_str() == "{}"
