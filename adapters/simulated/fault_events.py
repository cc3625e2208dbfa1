"""Faults of user data events: dropped, repeated, delayed, reordered, per listening connection."""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

from adapters.simulated.hub import Connection
from adapters.simulated.injector import Injector

FAULTS = ("event_dropped", "event_repeated", "event_delayed", "event_reordered")
ABOUT = {"e": "event", "x": "execution", "i": "order_id", "c": "client_order_id", "t": "trade_id"}


class Line:
    """One connection's way out: while it stands still events queue up; those held go after the next one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._queue: list[bytes] = []
        self._held: list[bytes] = []
        self._stops = 0

    def push(self, frame: bytes) -> None:
        self._out(frame)
        self._release()

    def stand_still(self, delay_ns: int) -> None:
        self._stops += 1
        asyncio.get_running_loop().call_later(delay_ns / 1e9, self._go_on)

    def hold(self, frame: bytes, delay_ns: int) -> None:
        """Until the next event, or alone after the delay."""
        self._held.append(frame)
        asyncio.get_running_loop().call_later(delay_ns / 1e9, self._release)

    def _release(self) -> None:
        held, self._held = self._held, []
        for frame in held:
            self._out(frame)

    def _out(self, frame: bytes) -> None:
        if self._stops > 0:
            self._queue.append(frame)
        else:
            self._connection.offer(frame)

    def _go_on(self) -> None:
        self._stops -= 1
        if self._stops > 0:
            return
        queue, self._queue = self._queue, []
        for frame in queue:
            self._connection.offer(frame)


class EventFaults:
    """Stands between the hub and its listeners."""

    def __init__(self, injector: Injector) -> None:
        self._injector = injector
        self._lines: WeakKeyDictionary[Connection, Line] = WeakKeyDictionary()

    def send(self, connection: Connection, account: str, event: Any, frame: bytes) -> None:
        if connection not in self._lines:
            if not any(self._injector.is_active(name) for name in FAULTS):
                connection.offer(frame)
                return
            self._lines[connection] = Line(connection)
        about = {"account": account, **{ours: event[theirs] for theirs, ours in ABOUT.items() if theirs in event}}
        self._inject(self._lines[connection], frame, about)

    def _inject(self, line: Line, frame: bytes, about: dict[str, Any]) -> None:
        draw = self._injector.draw
        if draw("event_dropped", **about) is not None:
            return
        delay = draw("event_delayed", **about)
        if delay is not None:
            line.stand_still(delay)
        wait = draw("event_reordered", **about)
        if wait is not None:
            line.hold(frame, wait)
            return
        line.push(frame)
        if draw("event_repeated", **about) is not None:
            line.push(frame)
