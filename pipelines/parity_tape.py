"""A run's topics in the order in which they were recorded, for stages composed as in a backtest.

What a composed stage writes is not appended: it is expected at the place where the run recorded it, compared there byte
by byte, and only then read on, at its recorded offset. What no composed stage makes (frames, the venue's facts, ticks,
an operator's commands) is fed from the record. So every reader sees recomputed records in the recorded order; nothing
else decides what comes next, and records wait only for the stage that makes them.

After a difference the recorded record is read on, so that what comes later is judged by itself.
"""

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pipelines.archive_reader import Row
from pipelines.compose import Reader, Src, Takes, Written
from pipelines.partitioning import partition_of
from pipelines.recorded_run import Recorded
from pipelines.replay import Difference, Place, Side
from topics import wire
from topics.catalog import TOPICS, Topic
from topics.coordinates import Coordinate
from topics.record import Record

MS = 1_000_000


class Made(NamedTuple):
    """One recomputed record that has not found its place yet."""

    at: Coordinate
    key: bytes
    value: bytes


class Found(NamedTuple):
    """A difference, and who made the record; ``key`` is the record's."""

    producer: str
    topic: str
    key: bytes
    difference: Difference


class Count(NamedTuple):
    """What is counted by: ``producer`` is empty for records without a coordinate."""

    topic: str
    partition: int
    key: bytes
    producer: str


@dataclass
class _Partition:
    """``row`` is the next recorded one, None at the end; ``folded`` is the offset up to which readers have read."""

    topic: Topic
    number: int
    rows: Iterator[Row]
    row: Row | None = None
    folded: int = 0
    waits: bool = False

    @property
    def place(self) -> tuple[str, int]:
        return self.topic.name, self.number


class RecordedTape:
    """``producers``: the composed stages. ``taken``: per stage and input partition the offset up to which it was done."""

    def __init__(self, run: Recorded, producers: Iterable[str], taken: Mapping[str, Mapping[int, int]]) -> None:
        self.equal: Counter[Count] = Counter()
        """Records that were recomputed to the recorded bytes."""
        self.fed: Counter[Count] = Counter()
        """Records that were read from the record, because no composed stage makes them."""
        self.repeated = self.beyond = 0
        self.versions: set[str] = set()
        self.found: list[Found] = []
        self._run = run
        self._producers = frozenset(producers)
        self._taken = taken
        self._ids: dict[str, str] = {}
        self._readers: dict[str, list[Reader]] = defaultdict(list)
        self._partitions: dict[tuple[str, int], _Partition] = {}
        self._made: dict[tuple[str, int, str, str], deque[Made]] = defaultdict(deque)
        self._placed: dict[tuple[str, int, str, str], Coordinate] = {}
        self._due: list[tuple[int, int, tuple[str, int]]] = []
        self._order = {name: n for n, name in enumerate(TOPICS)}

    # --- what stages are composed on ---------------------------------------------------------------------------------

    def topic_id(self, topic: Topic) -> str:
        if topic.name not in self._ids:
            self._ids[topic.name] = self._run.topic_id(topic)
        return self._ids[topic.name]

    def subscribe(self, topic: Topic, reader: Reader, takes: Takes | None = None) -> None:
        self._readers[topic.name].append(reader)

    def write(self, topic: Topic, key: str, records: list[Record], src: Src) -> None:
        """To be found at its recorded place. Of compacted topics most places are gone: they are left out."""
        if topic.compacted:
            return
        raw_key, at = key.encode(), Coordinate._make(src)
        place = (topic.name, partition_of(raw_key, topic.partitions))
        self._made[(*place, at.producer, at.source)].append(Made(at, raw_key, wire.encode(records)))
        partition = self._partitions.get(place)
        if partition is not None and partition.waits:
            self._schedule(partition)

    # --- running -----------------------------------------------------------------------------------------------------

    def run(self, topics: Iterable[Topic]) -> None:
        """Through every partition of ``topics`` to its end: all that the composed stages read or write."""
        for topic in topics:
            for number in self._run.partitions(topic):
                partition = _Partition(topic, number, self._run.rows(topic, number))
                self._partitions[partition.place] = partition
                self._turn(partition)
        self._drain()
        while self._release():
            self._drain()
        self._leftovers()

    def _drain(self) -> None:
        while self._due:
            _, _, place = heapq.heappop(self._due)
            self._advance(self._partitions[place])

    def _schedule(self, partition: _Partition) -> None:
        assert partition.row is not None
        partition.waits = False
        heapq.heappush(self._due, (partition.row.timestamp_ms, self._order[partition.topic.name], partition.place))

    def _turn(self, partition: _Partition) -> None:
        """To the partition's next row."""
        partition.row = next(partition.rows, None)
        if partition.row is not None:
            self._schedule(partition)

    def _advance(self, partition: _Partition) -> None:
        row = partition.row
        assert row is not None
        self._check_whole(partition, row)
        at = _coordinate(row)
        if at is None or at.producer not in self._producers:
            self.fed[Count(*partition.place, row.key or b"", "" if at is None else at.producer)] += 1
            self._read_on(partition, row)
        elif self._place(partition, row, at):
            self._read_on(partition, row)

    def _check_whole(self, partition: _Partition, row: Row) -> None:
        if row.offset == partition.folded:
            return
        what = f"offsets {partition.folded} to {row.offset - 1} of {partition.topic.name}/{partition.number} are not recorded"
        self._differs(partition, row, "" if row.src is None else row.src.partition("|")[0], what, None)
        partition.folded = row.offset

    def _place(self, partition: _Partition, row: Row, at: Coordinate) -> bool:
        """Whether the recomputed record is there, and so the next one's turn; a difference is told and passed over."""
        source = (*partition.place, at.producer, at.source)
        if source in self._placed and at <= self._placed[source]:
            self.repeated += 1
            return True
        made = self._made[source]
        while made and made[0].at < at:
            self._not_recorded(partition, made.popleft())
        if not made:
            partition.waits = True
            return False
        self._placed[source] = at
        self.versions.add(row.ver or "")
        if made[0].at > at:
            self._differs(partition, row, at.producer, "recorded, not recomputed", None)
        else:
            self._compare(partition, row, made.popleft())
        return True

    def _compare(self, partition: _Partition, row: Row, made: Made) -> None:
        if (made.key, made.value) == (row.key or b"", row.value or b""):
            self.equal[Count(*partition.place, made.key, made.at.producer)] += 1
        else:
            recomputed = Side(partition.topic.name, made.key, made.value)
            self._differs(partition, row, made.at.producer, "other bytes", recomputed)

    def _read_on(self, partition: _Partition, row: Row) -> None:
        partition.folded = row.offset + 1
        src = None if row.src is None else row.src.encode()
        topic = partition.topic
        written = Written(topic, row.partition, row.offset, row.key, row.value or b"", src, row.timestamp_ms * MS)
        for reader in self._readers.get(topic.name, ()):
            reader(written)
        self._turn(partition)

    # --- the end, and what never came --------------------------------------------------------------------------------

    def _release(self) -> bool:
        """When everything left waits: the earliest recorded record that its stage did not make is passed over."""
        waiting = [p for p in self._partitions.values() if p.row is not None and p.waits]
        if not waiting:
            return False
        missing = [p for p in waiting if self._is_folded(_required(p.row))] or waiting
        partition = min(missing, key=lambda p: (p.row.timestamp_ms, self._order[p.topic.name]) if p.row else (0, 0))
        row = partition.row
        assert row is not None
        at = _required(row)
        self._placed[(*partition.place, at.producer, at.source)] = at
        if self._is_recorded(at):
            self._differs(partition, row, at.producer, "recorded, not recomputed", None)
        else:
            self.beyond += 1
        self._read_on(partition, row)
        return True

    def _is_folded(self, at: Coordinate) -> bool:
        source = self._partitions.get(_source(at))
        return source is not None and source.folded > at.major

    def _is_recorded(self, at: Coordinate) -> bool:
        """Whether the input that it was made from is in the record, or could be."""
        source = self._partitions.get(_source(at))
        return source is not None and (source.row is not None or source.folded > at.major)

    def _leftovers(self) -> None:
        """What was recomputed and has no place: beyond what its stage had taken in the run, or a difference."""
        for (topic, number, producer, source), made in sorted(self._made.items()):
            end = self._taken_by(producer, source)
            for one in made:
                if one.at.major >= end:
                    self.beyond += 1
                else:
                    self._not_recorded(_Partition(TOPICS[topic], number, iter(())), one)

    def _taken_by(self, producer: str, source: str) -> int:
        taken = self._taken.get(producer)
        if taken:
            return taken.get(int(source.rpartition("/")[2]), 0)
        return max((at.major + 1 for key, at in self._placed.items() if key[2:] == (producer, source)), default=0)

    def _not_recorded(self, partition: _Partition, made: Made) -> None:
        side = Side(partition.topic.name, made.key, made.value)
        difference = Difference("recomputed, not recorded", made.at.encode().decode(), None, side, None)
        self.found.append(Found(made.at.producer, partition.topic.name, made.key, difference))

    def _differs(self, partition: _Partition, row: Row, producer: str, what: str, recomputed: Side | None) -> None:
        name = partition.topic.name
        recorded = Side(name, row.key or b"", row.value or b"")
        place = Place(name, row.partition, row.offset)
        difference = Difference(what, row.src or "", recorded, recomputed, place)
        self.found.append(Found(producer, name, row.key or b"", difference))


def _coordinate(row: Row) -> Coordinate | None:
    try:
        return Coordinate.decode((row.src or "").encode())
    except ValueError:
        return None


def _required(row: Row | None) -> Coordinate:
    at = None if row is None else _coordinate(row)
    assert at is not None, "only a stage's record waits"
    return at


def _source(at: Coordinate) -> tuple[str, int]:
    """The partition that a stage's output was made from."""
    name, _, partition = at.source.rpartition("/")
    return name.partition("@")[0], int(partition)
