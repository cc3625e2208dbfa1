"""The venue's websocket: frames to the writer as received. A connection that breaks is opened again; each begins with
a session line.
"""

import asyncio
import ipaddress
import logging
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from adapters.base import session_frame
from pipelines.ingest.backoff import backoff_s
from pipelines.ingest.writer import RawWriter

log = logging.getLogger("tapedeck.ingest")

FRAME_MOST = 16 * 1024 * 1024
QUEUED_MOST = 4096
PING_S = 10.0
FIRST_FRAME_S = 1.0
STABLE_S = 10.0


class Stream:
    """``opened`` is called once frames flow on a new connection, or should: snapshots taken then are not older than
    the stream.
    """

    def __init__(
        self,
        name: str,
        url: str,
        subscribe: Sequence[str],
        symbols: Sequence[str],
        writer: RawWriter,
        session: Callable[[int], str],
        opened: Callable[[], None],
    ) -> None:
        self.connected = False
        self.connections = 0
        self.problem = ""
        self._name = name
        self._url = url
        self._subscribe = subscribe
        self._symbols = symbols
        self._writer = writer
        self._session = session
        self._opened = opened

    async def run(self) -> None:
        """Until cancelled. A state is told once, when it changes."""
        failures = 0
        while True:
            began = time.monotonic()
            try:
                await self._connection()
            except (OSError, WebSocketException, TimeoutError) as error:
                self._lost(error)
            failures = 0 if time.monotonic() - began > STABLE_S else failures + 1
            await asyncio.sleep(backoff_s(failures - 1 if failures else 0))

    async def _connection(self) -> None:
        async with connect(
            self._url,
            max_size=FRAME_MOST,
            max_queue=QUEUED_MOST,
            ping_interval=PING_S,
            ping_timeout=PING_S,
            open_timeout=PING_S,
            close_timeout=1.0,
            compression=None,
            proxy=None if _loopback(self._url) else True,
        ) as socket:
            self._begin()
            for message in self._subscribe:
                await socket.send(message)
            await self._receive(socket)

    async def _receive(self, socket: ClientConnection) -> None:
        try:
            async with asyncio.timeout(FIRST_FRAME_S):
                self._writer.frame(await socket.recv(decode=False))
        except TimeoutError:
            pass  # a quiet market: the snapshots need not wait for it
        self._opened()
        while True:
            self._writer.frame(await socket.recv(decode=False))

    def _begin(self) -> None:
        self.connections += 1
        self.connected, self.problem = True, ""
        log.info("%s: connected to %s", self._name, self._url)
        for symbol in self._symbols:
            self._writer.wrapped(symbol, session_frame(self._session(self.connections), symbol))

    def _lost(self, error: Exception) -> None:
        was_connected, self.connected = self.connected, False
        problem = " ".join(str(error).split()) or type(error).__name__
        if was_connected:
            log.warning("%s: connection lost (%s), connecting again", self._name, problem)
        elif not self.problem:
            log.warning("%s: no connection to %s (%s), trying again until there is one", self._name, self._url, problem)
        self.problem = problem


def _loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
