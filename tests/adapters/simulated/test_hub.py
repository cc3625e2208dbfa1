"""Fan-out: everybody gets the frame, and one that does not read is cut off and holds up nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from adapters.simulated.hub import Connection, Hub
from tests.adapters.simulated.running import until

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
FRAME = b'{"big":"' + b"x" * 100_000 + b'"}'


@asynccontextmanager
async def serving(hub: Hub, limit: int) -> AsyncIterator[int]:
    """The port of a server whose sockets listen to one stream."""

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        connection = Connection(socket, request, limit)
        hub.add(connection)
        hub.subscribe(connection, ["one"])
        pump = asyncio.create_task(connection.pump())
        async for _ in socket:
            pass
        hub.drop(connection)
        pump.cancel()
        return socket

    app = web.Application()
    app.add_routes([web.get("/", handle)])
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_a_client_that_does_not_read_is_cut_off_and_the_others_go_on() -> None:
    hub = Hub()
    async with (
        serving(hub, 50) as port,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{port}/") as reader,
    ):
        sleeper = await asleep(port)
        await until(lambda: len(hub.connections()) == 2)
        for _ in range(5000):
            hub.publish_bytes(("one",), FRAME)
            assert len((await reader.receive_str()).encode()) == len(FRAME)
            if len(hub.connections()) == 1:
                break
        assert len(hub.connections()) == 1
        hub.publish_bytes(("one",), b"{}")
        assert await reader.receive_str() == "{}"
        sleeper.close()


async def asleep(port: int) -> asyncio.StreamWriter:
    """A WebSocket client that never reads a frame."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(HANDSHAKE)
    await reader.readuntil(b"\r\n\r\n")
    return writer
