"""One of a venue's websockets: frames to the writer as received. A connection that breaks is opened again; each begins
with a session line. Where the venue numbers a connection's frames, a number that does not follow is a hole line.
"""

import asyncio
import contextlib
import ipaddress
import logging
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from adapters.base import Connection, hole_frame, session_frame
from pipelines.ingest.backoff import backoff_s
from pipelines.ingest.writer import RawWriter

log = logging.getLogger("tapedeck.ingest")

FRAME_MOST = 16 * 1024 * 1024
QUEUED_MOST = 4096
PING_S = 10.0
FIRST_FRAME_S = 1.0
STABLE_S = 10.0


class Stream:
    """``opened`` is called with the symbols once frames flow on a new connection, or should: snapshots taken then are not
    older than the stream. ``session`` names the n-th connection.
    """

    def __init__(
        self,
        name: str,
        connection: Connection,
        writer: RawWriter,
        session: Callable[[int], str],
        opened: Callable[[Sequence[str]], None],
        sequence_in: Callable[[bytes], int | None],
        number: int = 1,
    ) -> None:
        self.connected = False
        self.connections = 0
        self.holes = 0
        self.problem = ""
        self.symbols = connection.symbols
        self._id = f"{name}.{number}"
        self._name = name
        self._connection = connection
        self._writer = writer
        self._session = session
        self._opened = opened
        self._sequence_in = sequence_in
        self._expected: int | None = None
        self._socket: ClientConnection | None = None

    async def run(self) -> None:
        """Until cancelled. A state is told once, when it changes."""
        failures = 0
        while True:
            began = time.monotonic()
            try:
                await self._connect()
            except (OSError, WebSocketException, TimeoutError) as error:
                self._lost(error)
            failures = 0 if time.monotonic() - began > STABLE_S else failures + 1
            await asyncio.sleep(backoff_s(failures - 1 if failures else 0))

    async def send(self, messages: Sequence[str]) -> None:
        """To the venue; nothing where there is no connection, since a new one begins anew."""
        if self._socket is not None:
            with contextlib.suppress(WebSocketException, OSError):
                for message in messages:
                    await self._socket.send(message)

    async def _connect(self) -> None:
        async with connect(
            self._connection.url,
            max_size=FRAME_MOST,
            max_queue=QUEUED_MOST,
            ping_interval=PING_S,
            ping_timeout=PING_S,
            open_timeout=PING_S,
            close_timeout=1.0,
            compression=None,
            proxy=None if _loopback(self._connection.url) else True,
        ) as socket:
            self._begin()
            for message in self._connection.subscribe:
                await socket.send(message)
            self._socket = socket
            pinging = asyncio.create_task(self._ping(socket))
            try:
                await self._receive(socket)
            finally:
                self._socket = None
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
                self._take(await socket.recv(decode=False))
        except TimeoutError:
            pass  # a quiet market: the snapshots need not wait for it
        if self._connection.has_books:
            self._opened(self.symbols)
        while True:
            self._take(await socket.recv(decode=False))

    def _take(self, frame: bytes) -> None:
        number = self._sequence_in(frame)
        if number is not None:
            expected, self._expected = self._expected, number + 1
            if expected is not None and number != expected:
                self.holes += 1
                log.warning("%s: frame %s came where %s was due", self._name, number, expected)
                for symbol in self.symbols:
                    self._writer.wrapped(symbol, hole_frame(expected, number, symbol))
        self._writer.frame(frame, self._id, self._connection.url)

    def _begin(self) -> None:
        self.connections += 1
        self.connected, self.problem, self._expected = True, "", None
        log.info("%s: connected to %s", self._name, self._connection.url)
        self._writer.opened(self._id, self._connection.url)
        for symbol in self.symbols if self._connection.has_books else ():
            self._writer.wrapped(symbol, session_frame(self._session(self.connections), symbol))

    def _lost(self, error: Exception) -> None:
        was_connected, self.connected = self.connected, False
        problem = " ".join(str(error).split()) or type(error).__name__
        if was_connected:
            log.warning("%s: connection lost (%s), connecting again", self._name, problem)
        elif not self.problem:
            log.warning(
                "%s: no connection to %s (%s), trying again until there is one",
                self._name,
                self._connection.url,
                problem,
            )
        self.problem = problem


def _loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
