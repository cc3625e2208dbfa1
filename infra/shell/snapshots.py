"""Snapshots of a stage's state on the tape, so that a replay need not begin at the start.

When one is due the states are encoded, which costs as much as a checkpoint in which every key has changed; the pieces
are then written a few at each turn of the loop, so that a big state does not hold up the records. A crash in between
leaves an incomplete snapshot, which readers pass over. A snapshot is a fact about the input's prefix: it is true whether or not its
checkpoint was committed, and has no coordinate.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping

from infra.shell.live import STATES
from topics.record import Record
from topics.system import StageSnapshot

PIECE = 256 * 1024
TURN = 512 * 1024
"""Bytes of state in one Kafka record, and written in one turn of the loop."""
OVERHEAD = 200
"""Of what stands around each piece."""

Entries = list[tuple[bytes, bytes]]
Note = Callable[[list[Record]], None]


class Snapshots:
    """``take`` when it is ``due``, ``write_some`` at every turn. ``every_s`` 0: never."""

    def __init__(self, stage: str, topic: str, topic_id: str, every_s: float, note: Note) -> None:
        self._stage, self._topic, self._topic_id = stage, topic, topic_id
        self._every_s = every_s
        self._note = note
        self._due = time.monotonic() + every_s
        self._taken: dict[int, int] = {}
        self._waiting: deque[Iterator[StageSnapshot]] = deque()

    @property
    def wanted(self) -> bool:
        return self._every_s > 0

    def due(self, offsets: Mapping[int, int]) -> bool:
        """Some partition went on since its last one. Not while that is still being written."""
        if not self.wanted or self._waiting or time.monotonic() < self._due:
            return False
        return any(offset != self._taken.get(p) for p, offset in offsets.items())

    def take(self, entries: Mapping[int, Entries], offsets: Mapping[int, int]) -> int:
        """Of each partition that went on since its last snapshot; how many. They are cut as they are written."""
        self._due = time.monotonic() + self._every_s
        news = [p for p in entries if p in offsets and offsets[p] != self._taken.get(p)]
        for partition in news:
            self._taken[partition] = offsets[partition]
            self._waiting.append(self._of(partition, offsets[partition], entries[partition], time.time_ns()))
        return len(news)

    def _of(self, partition: int, offset: int, entries: Entries, ts: int) -> Iterator[StageSnapshot]:
        n = sum(max(1, -(-len(value) // PIECE)) for _, value in entries)
        for i, (key, state) in enumerate(pieces(entries)):
            yield StageSnapshot(
                stage=self._stage,
                topic=self._topic,
                topic_id=self._topic_id,
                partition=partition,
                offset=offset,
                i=i,
                n=n,
                key=key,
                state=state,
                ts_init=ts,
            )

    def write_some(self) -> None:
        """One Kafka record's worth."""
        if not self._waiting:
            return
        taken: list[Record] = []
        size = 0
        for one in self._waiting[0]:
            taken.append(one)
            size += len(one.state) + OVERHEAD
            if size >= TURN:
                break
        else:
            self._waiting.popleft()
        if taken:
            self._note(taken)

    def write_all(self) -> None:
        while self._waiting:
            self.write_some()


def pieces(entries: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[str | None, bytes]]:
    """(key, part of its state); the fence has no key."""
    for entry, value in entries:
        key = entry[len(STATES) :].decode() if entry.startswith(STATES) else None
        for start in range(0, max(1, len(value)), PIECE):
            yield key, value[start : start + PIECE]
