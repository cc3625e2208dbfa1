"""The fan-out: what came, per instrument what a late joiner needs, and the subscribers' queues. No I/O, one event loop.

A tail begins at the record with the instrument's last BookSnapshot. One that outgrows its bound is dropped from memory
(only where it begins is kept): a joiner then gets it from the tape.
"""

import asyncio
from collections import deque
from collections.abc import Collection
from typing import NamedTuple

from topics.coordinates import Coordinate
from topics.record import InstrumentId

SNAPSHOT = b'"type":"BookSnapshot"'
ORDERS = b'"type":"BookOrders"'
"""In a record's bytes; within a JSON string its quotes would be escaped."""
TAIL_MOST = 20_000
TAIL_BYTES = 32 * 1024 * 1024
QUEUE_MOST = 20_000
QUEUE_BYTES = 64 * 1024 * 1024


class Market(NamedTuple):
    """One record of ``market.events``."""

    partition: int
    offset: int
    key: str
    value: bytes
    src: bytes


class Fence:
    """Passes each record once: what a producer delivered again is not news."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, int], tuple[int, int]] = {}

    def is_news(self, record: Market) -> bool:
        try:
            at = Coordinate.decode(record.src)
        except ValueError:
            return True
        source, place = (at.producer, at.source, record.partition), (at.major, at.minor)
        if place <= self._last.get(source, (-1, -1)):
            return False
        self._last[source] = place
        return True


class Tail:
    """``start``: the offset of the last snapshot's record. ``records`` is empty where they are too many."""

    def __init__(self, start: Market) -> None:
        self.start = start.offset
        self.records: deque[Market] = deque()
        self._bytes = 0
        self.add(start)

    @property
    def is_whole(self) -> bool:
        return self._bytes <= TAIL_BYTES and len(self.records) > 0

    def add(self, record: Market) -> None:
        self._bytes += len(record.value)
        if self._bytes > TAIL_BYTES or len(self.records) >= TAIL_MOST:
            self.records.clear()
            self._bytes = TAIL_BYTES + 1
        else:
            self.records.append(record)


class Everything:
    """An ALL subscriber. ``overrun`` once it has missed something: it gets nothing more."""

    def __init__(self, most: int = QUEUE_MOST, most_bytes: int = QUEUE_BYTES) -> None:
        self.overrun = False
        self._waiting: deque[Market] = deque()
        self._bytes = 0
        self._most, self._most_bytes = most, most_bytes
        self._wake = asyncio.Event()

    def offer(self, record: Market) -> None:
        if self.overrun:
            return
        self._bytes += len(record.value)
        if len(self._waiting) >= self._most or self._bytes > self._most_bytes:
            self.overrun = True
            self._waiting.clear()
        else:
            self._waiting.append(record)
        self._wake.set()

    async def take(self) -> list[tuple[Market, int]]:
        """What waits, in order, with 0 skipped each; waits for the first. Empty when overrun."""
        await self._wake.wait()
        self._wake.clear()
        taken = [(record, 0) for record in self._waiting]
        self._waiting.clear()
        self._bytes = 0
        return taken


class Latest:
    """A LATEST subscriber: one record per instrument, and how many were left out before it."""

    overrun = False

    def __init__(self) -> None:
        self._waiting: dict[InstrumentId, tuple[Market, int]] = {}
        self._wake = asyncio.Event()

    def offer(self, record: Market) -> None:
        before = self._waiting.pop(record.key, None)
        self._waiting[record.key] = (record, 0 if before is None else before[1] + 1)
        self._wake.set()

    async def take(self) -> list[tuple[Market, int]]:
        """One record, so that those behind it go on being replaced while it is on its way."""
        await self._wake.wait()
        taken = self._waiting.pop(next(iter(self._waiting)))
        if not self._waiting:
            self._wake.clear()
        return [taken]


Subscriber = Everything | Latest


class Hub:
    def __init__(self) -> None:
        self.records = 0
        self.repeated = 0
        self.subscribers: dict[Subscriber, frozenset[InstrumentId]] = {}
        self.tails: dict[InstrumentId, Tail] = {}
        self.next: dict[int, int] = {}
        self._newest: dict[InstrumentId, Market] = {}
        self._fence = Fence()

    @property
    def instruments(self) -> Collection[InstrumentId]:
        """Of which something was on the tape."""
        return self._newest.keys()

    def take(self, record: Market) -> None:
        """The next record of its partition; keyless ones (ticks) have no subscriber."""
        self.next[record.partition] = record.offset + 1
        if not record.key:
            return
        if not self._fence.is_news(record):
            self.repeated += 1
            return
        self.records += 1
        self._keep(record)
        for subscriber, instruments in self.subscribers.items():
            if record.key in instruments:
                subscriber.offer(record)

    def _keep(self, record: Market) -> None:
        self._newest[record.key] = record
        if SNAPSHOT in record.value:
            self.tails[record.key] = Tail(record)
        elif record.key in self.tails:
            self.tails[record.key].add(record)

    def join_all(
        self, subscriber: Everything, instruments: Collection[InstrumentId]
    ) -> tuple[list[Market], dict[int, int]]:
        """From here on it misses nothing. What it needs before that, by partition and offset, and of each partition whose tails do not fit
        in memory the offset to read the tape from (up to ``next``).
        """
        self.subscribers[subscriber] = frozenset(instruments)
        tails = [self.tails[i] for i in sorted(set(instruments)) if i in self.tails]
        places = {i: self._newest[i].partition for i in instruments if i in self.tails}
        from_tape: dict[int, int] = {}
        for instrument, partition in places.items():
            if not self.tails[instrument].is_whole:
                start = self.tails[instrument].start
                from_tape[partition] = min(start, from_tape.get(partition, start))
        for instrument, partition in places.items():
            if partition in from_tape:
                from_tape[partition] = min(self.tails[instrument].start, from_tape[partition])
        kept = [r for tail in tails for r in tail.records if r.partition not in from_tape]
        return sorted(kept, key=lambda r: (r.partition, r.offset)), from_tape

    def join_latest(self, subscriber: Latest, instruments: Collection[InstrumentId]) -> None:
        """It gets the newest record of each at once."""
        self.subscribers[subscriber] = frozenset(instruments)
        for instrument in sorted(set(instruments)):
            if instrument in self._newest:
                subscriber.offer(self._newest[instrument])

    def leave(self, subscriber: Subscriber) -> None:
        self.subscribers.pop(subscriber, None)
