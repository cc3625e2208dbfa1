"""One websocket from its beginning to its end."""

import asyncio
import contextlib
import ipaddress
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from adapters.base import Connection

FRAME_MOST = 16 * 1024 * 1024
QUEUED_MOST = 4096
PING_S = 10.0
FIRST_FRAME_S = 1.0


class Link:
    """``begun`` is called when it is open, ``take`` with each frame, ``flows`` once frames flow, or should. ``delivers`` is done then."""

    def __init__(
        self,
        connection: Connection,
        begun: Callable[["Link"], None],
        take: Callable[["Link", bytes], None],
        flows: Callable[["Link"], None],
        address: Callable[[Connection], Awaitable[str]],
    ) -> None:
        self.id = ""
        self.beside = ""
        self.slot = 0
        self.expected: int | None = None
        self.socket: ClientConnection | None = None
        self.delivers: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._connection = connection
        self._begun = begun
        self._take = take
        self._flows = flows
        self._address = address

    async def run(self) -> None:
        """Until it breaks: OSError, WebSocketException, TimeoutError or VenueError."""
        url = await self._address(self._connection)
        async with connect(
            url,
            max_size=FRAME_MOST,
            max_queue=QUEUED_MOST,
            ping_interval=PING_S,
            ping_timeout=PING_S,
            open_timeout=PING_S,
            close_timeout=1.0,
            compression=None,
            proxy=None if _loopback(url) else True,
        ) as socket:
            self._begun(self)
            for message in self._connection.subscribe:
                await socket.send(message)
            self.socket = socket
            pinging = asyncio.create_task(self._ping(socket))
            try:
                await self._receive(socket)
            finally:
                self.socket = None
                pinging.cancel()

    async def _ping(self, socket: ClientConnection) -> None:
        """The venue's own, where it wants one; a connection that is gone is found by who receives."""
        if self._connection.ping:
            with contextlib.suppress(WebSocketException, OSError):
                while True:
                    await asyncio.sleep(self._connection.ping_s)
                    await socket.send(self._connection.ping)

    async def _receive(self, socket: ClientConnection) -> None:
        try:
            async with asyncio.timeout(FIRST_FRAME_S):
                self._take(self, await socket.recv(decode=False))
        except TimeoutError:
            pass  # a quiet market: the snapshots need not wait for it
        self._flows(self)
        self.delivers.set_result(None)
        while True:
            self._take(self, await socket.recv(decode=False))


def _loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
