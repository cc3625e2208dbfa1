"""The gateway's hand on the tape: what is written is folded at once, in the order of its coordinates, and can be
awaited until it is durable.

What one turn of the event loop writes goes out at its end: neighbours of one topic and key in one record, so that fifty
decisions cost one acknowledgement. Their order on the tape is the order in which they were folded.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from infra.edge import Edge, EdgeFailed
from pipelines.gateway.state import State
from topics import wire
from topics.catalog import ORDERS_EVENTS, VENUE_PRIVATE, Topic
from topics.coordinates import Coordinate
from topics.orders import ControlDone, Fact, ReconciliationDifference
from topics.record import Record
from topics.routes import Subscriptions, group

MAX_BEHIND = 10_000
EVENTS_MOST = 200
"""In one record."""


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


Durable = asyncio.Future[list[int]]
"""Done when the broker has acknowledged all of it: the offsets."""


@dataclass
class Open:
    """A record that is not given to the broker yet."""

    topic: Topic
    key: str
    coordinate: Coordinate
    events: list[Record] = field(default_factory=list)
    waiting: list[Durable] = field(default_factory=list)

    def settle(self, done: "asyncio.Future[int]") -> None:
        """Each of those who wait has a future of its own: who gives up waiting takes nothing from the others."""
        error = done.exception()
        for one in self.waiting:
            if one.done():
                continue
            if error is None:
                one.set_result([done.result()])
            else:
                one.set_exception(error)


class Tape:
    """One writer. Facts count in the book from the moment they are written, acknowledged or not: that errs on the
    side of exposure.
    """

    def __init__(self, edge: Edge, state: State, subscriptions: Subscriptions) -> None:
        self.records = 0
        self.events = 0
        self.heard: Callable[[Record], None] = lambda fact: None
        self.failed: Callable[[BaseException], None] = lambda error: None
        self._edge = edge
        self._state = state
        self._subscriptions = subscriptions
        self._listeners: set[Listener] = set()
        self._open: list[Open] = []
        self._last: dict[Topic, Open] = {}
        self._unacknowledged: set[asyncio.Future[int]] = set()
        self._failure: EdgeFailed | None = None
        state.book.epoch, state.book.n = edge.epoch, edge.n

    def write(self, records: Sequence[Record]) -> Durable:
        """Fold, and write at the end of this turn. EdgeFailed, and nothing folded, once something could not be written."""
        if self._failure is not None:
            raise EdgeFailed(str(self._failure))
        parts: list[Durable] = []
        for (topic, key), events in group(records, self._subscriptions).items():
            one = self._room_for(topic, key)
            one.events += events
            parts.append(asyncio.get_running_loop().create_future())
            one.waiting.append(parts[-1])
            self.events += len(events)
            if topic is ORDERS_EVENTS:
                self._fold(one.coordinate.minor, events)
        return parts[0] if len(parts) == 1 else asyncio.ensure_future(_all(parts))

    def _room_for(self, topic: Topic, key: str) -> Open:
        """A record in which only what comes next to each other on the topic stands together."""
        last = self._last.get(topic)
        if last is not None and last.key == key and len(last.events) < EVENTS_MOST and not topic.compacted:
            return last
        if not self._open:
            asyncio.get_running_loop().call_soon(self.flush)
        self._last[topic] = one = Open(topic, key, self._edge.next())
        self._open.append(one)
        return one

    def flush(self) -> None:
        """Give what is written to the producer."""
        opened, self._open, self._last = self._open, [], {}
        for one in opened:
            future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            future.add_done_callback(one.settle)
            try:
                if self._failure is not None:
                    raise self._failure
                self._edge.publish_raw(one.topic, one.key, wire.encode(one.events), future=future, under=one.coordinate)
            except EdgeFailed as error:
                self._failure = error
                future.set_exception(error)
                continue
            except BaseException as error:
                self.failed(error)
                raise
            self._unacknowledged.add(future)
            future.add_done_callback(self._unacknowledged.discard)
            self.records += 1
        if self._failure is not None:
            self.failed(self._failure)

    async def settled(self) -> None:
        """Until all that was written so far is acknowledged; EdgeFailed when it is not."""
        self.flush()
        if waiting := set(self._unacknowledged):
            done, _ = await asyncio.wait(waiting)
            for future in done:
                if not future.cancelled():
                    future.result()

    def _fold(self, n: int, facts: Sequence[Record]) -> None:
        self._state.book.n = n
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
        self.flush()
        for listener in self._listeners:
            listener.tell(None)


async def _all(parts: Sequence[Durable]) -> list[int]:
    return [offset for found in await asyncio.gather(*parts) for offset in found]
