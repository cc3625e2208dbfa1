"""The gateway's hand on the tape: what is written is folded at once, in the order of its coordinates, and can be
awaited until it is durable.
"""

import asyncio
from collections.abc import Callable, Sequence

from infra.edge import Edge
from pipelines.gateway.state import State
from topics import wire
from topics.catalog import ORDERS_EVENTS, VENUE_PRIVATE
from topics.orders import ControlDone, Fact, ReconciliationDifference
from topics.record import Record
from topics.routes import Subscriptions, group

MAX_BEHIND = 10_000


class Listener(asyncio.Queue[Fact | ReconciliationDifference | ControlDone | None]):
    """Every fact, until there is no room for one more: ``overrun``, and nothing is told any more."""

    def __init__(self) -> None:
        super().__init__(MAX_BEHIND)
        self.overrun = False

    def tell(self, fact: Fact | ReconciliationDifference | ControlDone | None) -> None:
        if self.full():
            self.overrun = True
        if not self.overrun:
            self.put_nowait(fact)


class Tape:
    """One writer. Facts count in the book from the moment they are written, acknowledged or not: that errs on the
    side of exposure.
    """

    def __init__(self, edge: Edge, state: State, subscriptions: Subscriptions) -> None:
        self.records = 0
        self.heard: Callable[[Record], None] = lambda fact: None
        self._edge = edge
        self._state = state
        self._subscriptions = subscriptions
        self._listeners: set[Listener] = set()
        self._unacknowledged: set[asyncio.Future[int]] = set()
        state.book.epoch, state.book.n = edge.epoch, edge.n

    def write(self, records: Sequence[Record]) -> "asyncio.Future[list[int]]":
        """Write and fold; the future is done when the broker has acknowledged all of it."""
        loop = asyncio.get_running_loop()
        acknowledged: list[asyncio.Future[int]] = []
        for (topic, key), events in group(records, self._subscriptions).items():
            future: asyncio.Future[int] = loop.create_future()
            self._edge.publish_raw(topic, key, wire.encode(events), future=future)
            acknowledged.append(future)
            self._unacknowledged.add(future)
            future.add_done_callback(self._unacknowledged.discard)
            self.records += 1
            if topic is ORDERS_EVENTS:
                self._fold(events)
        return asyncio.gather(*acknowledged)

    async def settled(self) -> None:
        """Until all that was written so far is acknowledged; EdgeFailed when it is not."""
        if waiting := set(self._unacknowledged):
            done, _ = await asyncio.wait(waiting)
            for future in done:
                if not future.cancelled():
                    future.result()

    def _fold(self, facts: Sequence[Record]) -> None:
        self._state.book.n = self._edge.n
        for fact in facts:
            self._state.book.fold(fact)  # type: ignore[arg-type]
            self.heard(fact)
            for listener in self._listeners:
                listener.tell(fact)  # type: ignore[arg-type]

    def record(self, recv_ns: int, frame: str) -> None:
        """A private frame or answer, as received and without its secrets, before anything is made of it."""
        self._edge.publish_raw(VENUE_PRIVATE, self._state.account, f"{recv_ns} {frame}".encode())

    def listen(self) -> Listener:
        """A queue of every fact from here on; None at the end. Give it back with ``forget``."""
        listener = Listener()
        self._listeners.add(listener)
        return listener

    def forget(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    def end(self) -> None:
        for listener in self._listeners:
            listener.tell(None)
