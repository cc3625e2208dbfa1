"""Market and user data to WebSocket connections: a frame is serialised once and fanned out as bytes.

Each connection has a bounded queue; one that does not read is cut off, so that it holds up nobody. `send_event` and
`is_missing` are where faults take hold.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import WSMsgType, web

QUEUE_LIMIT = 20_000


class Connection:
    """One socket: `offer` never waits; `pump` writes until the socket closes."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request, limit: int = QUEUE_LIMIT) -> None:
        self.streams: dict[str, None] = {}
        self.combined = False
        self._socket = socket
        self._transport = request.transport
        self._limit = limit
        self._queue: deque[bytes] = deque()
        self._ready = asyncio.Event()
        self.cut_off = False

    def offer(self, frame: bytes) -> None:
        if len(self._queue) >= self._limit:
            self.cut()
            return
        self._queue.append(frame)
        self._ready.set()

    def answer(self, message: Any) -> None:
        self.offer(orjson.dumps(message))

    def cut(self) -> None:
        self.cut_off = True
        self._queue.clear()
        self._ready.set()
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Going away, politely but not for long."""
        try:
            await asyncio.wait_for(self._socket.close(code=1001, message=b"server stops"), timeout=0.5)
        except TimeoutError:
            self.cut()

    async def pump(self) -> None:
        """Writes what is offered; returns when the connection is lost or cut off."""
        try:
            while not self.cut_off:
                await self._ready.wait()
                self._ready.clear()
                while self._queue:
                    await self._socket.send_frame(self._queue.popleft(), WSMsgType.TEXT)
        except (ConnectionError, RuntimeError):
            self._queue.clear()


class Hub:
    """Who listens to what. Stream names are the venue's: `btcusdt@depth@100ms`, `btcusdt@trade`, …"""

    def __init__(self) -> None:
        self._by_stream: defaultdict[str, dict[Connection, None]] = defaultdict(dict)
        self._by_account: defaultdict[str, dict[tuple[Connection, int], None]] = defaultdict(dict)
        self._connections: dict[Connection, None] = {}
        self.frames = 0
        self.send_event: Callable[[Connection, str, Any, bytes], None] = _offer
        self.is_missing: Callable[[str], bool] = lambda stream: False

    def add(self, connection: Connection) -> None:
        self._connections[connection] = None

    def connections(self) -> list[Connection]:
        return list(self._connections)

    def drop(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
        self.unsubscribe(connection, list(connection.streams))
        for listeners in self._by_account.values():
            for key in [key for key in listeners if key[0] is connection]:
                del listeners[key]

    def subscribe(self, connection: Connection, streams: list[str]) -> None:
        for stream in streams:
            connection.streams[stream] = None
            self._by_stream[stream][connection] = None

    def unsubscribe(self, connection: Connection, streams: list[str]) -> None:
        for stream in streams:
            connection.streams.pop(stream, None)
            self._by_stream[stream].pop(connection, None)

    def listen(self, connection: Connection, account: str) -> int:
        """Send the account's events there; the answer is the subscription's id on that connection."""
        taken = {key[1] for listeners in self._by_account.values() for key in listeners if key[0] is connection}
        subscription = next(number for number in range(len(taken) + 1) if number not in taken)
        self._by_account[account][connection, subscription] = None
        return subscription

    def accounts_of(self, connection: Connection) -> list[str]:
        """Whose events it listens to."""
        return [name for name, listeners in self._by_account.items() if any(key[0] is connection for key in listeners)]

    def stop_listening(self, connection: Connection, subscription: int | None) -> None:
        for listeners in self._by_account.values():
            for key in [key for key in listeners if key[0] is connection and subscription in (None, key[1])]:
                del listeners[key]

    def publish(self, streams: tuple[str, ...], message: Any) -> None:
        """One message under one or several names; nothing is serialised when nobody listens."""
        self.frames += 1
        if any(self._by_stream.get(stream) for stream in streams):
            self.publish_bytes(streams, orjson.dumps(message))

    def publish_bytes(self, streams: tuple[str, ...], data: bytes) -> None:
        if not any(self._by_stream.get(stream) for stream in streams) or self.is_missing(streams[0]):
            return
        for stream in streams:
            wrapped: bytes | None = None
            for connection in list(self._by_stream.get(stream, ())):
                if connection.combined:
                    wrapped = wrapped or b'{"stream":"' + stream.encode() + b'","data":' + data + b"}"
                    connection.offer(wrapped)
                else:
                    connection.offer(data)

    def tell(self, account: str, event: Any) -> None:
        listeners = self._by_account.get(account)
        if not listeners:
            return
        data = orjson.dumps(event)
        for connection, subscription in list(listeners):
            frame = b'{"subscriptionId":' + str(subscription).encode() + b',"event":' + data + b"}"
            self.send_event(connection, account, event, frame)


def _offer(connection: Connection, account: str, event: Any, frame: bytes) -> None:
    connection.offer(frame)
