"""A small real server that sends what a test tells it to: a venue's stream and REST answers, with troubles on demand."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

from aiohttp import WSMsgType, web
from aiohttp.test_utils import unused_port


class ScriptedVenue:
    """``bodies``: what each REST path answers, by its last part; every websocket is the stream. ``trouble``: status codes to answer
    with first, once each.
    """

    def __init__(self) -> None:
        self.port = unused_port()
        self.bodies: dict[str, Callable[[], bytes]] = {}
        self.trouble: list[int] = []
        self.asked: Counter[str] = Counter()
        self.answered: list[bytes] = []
        self.subscribed: list[Any] = []
        self.sockets: list[web.WebSocketResponse] = []
        self._runner: web.AppRunner | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        await self.drop()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def send(self, *frames: bytes) -> None:
        """On every connection that is up."""
        for socket in list(self.sockets):
            await self.send_on(socket, *frames)

    async def send_on(self, socket: web.WebSocketResponse, *frames: bytes) -> None:
        with suppress(ConnectionError):
            for frame in frames:
                await socket.send_str(frame.decode())

    async def drop(self) -> None:
        """Every connection ends without a word."""
        for socket in list(self.sockets):
            self.abort(socket)
        await asyncio.sleep(0)

    def abort(self, socket: web.WebSocketResponse) -> None:
        transport = socket._req.transport if socket._req is not None else None
        if transport is not None:
            transport.abort()
        self.sockets.remove(socket)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        return await (self._stream(request) if "Upgrade" in request.headers else self._rest(request))

    async def _rest(self, request: web.Request) -> web.Response:
        what = request.path.rstrip("/").rpartition("/")[2]
        self.asked[what] += 1
        if self.trouble:
            return web.Response(status=self.trouble.pop(0), text="<html>trouble</html>")
        self.answered.append(self.bodies[what]())
        return web.Response(body=self.answered[-1], content_type="application/json")

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        with suppress(ConnectionError):
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    asked = message.json()
                    self.subscribed.append(asked)
                    if "id" in asked:
                        await socket.send_json({"result": None, "id": asked["id"]})
                    if socket not in self.sockets:
                        self.sockets.append(socket)
        if socket in self.sockets:
            self.sockets.remove(socket)
        return socket
