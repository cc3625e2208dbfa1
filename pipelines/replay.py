"""Stage replay: a stage's recorded input is folded again, and what comes out is compared with what it wrote, byte by byte.

The fold begins at offset 0 or, for a range that begins later, at the newest snapshot of the state before it, with the
fence that the worker had. Where another version went on after a clean stop, its fold goes on from the snapshot taken
then, so what one version did otherwise is not told of the next one. Recorded outputs are those whose coordinate names
the stage, each coordinate once. Of a compacted topic only what compaction left is compared. What a stage had not taken
when the recording ended (beyond its last checkpoint, or its last output where no status tells that) is counted and not
compared. Outputs of inputs that are not recorded are a difference: the input has to reach as far as they do.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

from infra.errors import Problem
from infra.shell.processor import Inbound, StageBroken
from pipelines.archive_reader import Row
from pipelines.compose import routed
from pipelines.folding import Fold
from pipelines.recorded_run import Recorded
from pipelines.replay_snapshots import Snapshot, snapshots
from topics.catalog import DEAD_LETTERS, TOPICS, Topic
from topics.coordinates import Coordinate
from topics.record import Record
from topics.routes import ROUTES, Subscriptions
from topics.stage import Stage


class Place(NamedTuple):
    """Where a record stands: offset and index of the input, and once recorded also its place on the tape."""

    topic: str
    partition: int
    offset: int


class Side(NamedTuple):
    """One side of a difference; None: there is no such record."""

    topic: str
    key: bytes
    value: bytes


@dataclass(frozen=True)
class Difference:
    """``coordinate`` names the input record and the output's index; ``place`` is where the recorded one stands."""

    what: str
    coordinate: str
    recorded: Side | None
    replayed: Side | None
    place: Place | None = None


@dataclass
class Segment:
    """What one version (software and configuration) wrote, in the order of first appearance."""

    version: str
    equal: int = 0
    difference: Difference | None = None


@dataclass
class Replayed:
    """``equal`` output records were the same; ``beyond`` were not recorded yet; ``difference`` is the first of all;
    ``equal_in`` counts the equal ones by topic (of a host only).

    ``inputs`` were folded, ``chosen`` of them lie in the range;
    ``segments`` by version; ``begun``: of each partition that was not folded from the start, the offset it began at.
    """

    stage: str
    inputs: int = 0
    chosen: int = 0
    equal: int = 0
    beyond: int = 0
    repeated: int = 0
    difference: Difference | None = None
    segments: dict[str, Segment] = field(default_factory=dict)
    begun: dict[int, int] = field(default_factory=dict)
    equal_in: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def segment(self, version: str | None) -> Segment:
        return self.segments.setdefault(version or "", Segment(version or ""))


class Known(NamedTuple):
    digest: bytes
    place: Place
    version: str


class Range(NamedTuple):
    """Input offsets whose outputs are compared; ``end`` excluded, None is the end."""

    first: int = 0
    end: int | None = None

    def __contains__(self, offset: object) -> bool:
        return isinstance(offset, int) and offset >= self.first and (self.end is None or offset < self.end)


def replay_stage(
    stage: Stage[Any],
    run: Recorded,
    subscriptions: Subscriptions,
    *,
    taken: Mapping[int, int] | None = None,
    within: Range = Range(),  # noqa: B008
    recode_every: int | None = None,
) -> Replayed:
    """``taken``: per input partition the offset up to which the stage was done. Problem when the input is not whole."""
    return _Comparison(stage, run, subscriptions, dict(taken or {}), within, recode_every).run()


class _Comparison:
    def __init__(
        self,
        stage: Stage[Any],
        run: Recorded,
        subscriptions: Subscriptions,
        taken: dict[int, int],
        within: Range,
        recode_every: int | None,
    ) -> None:
        self._stage = stage
        self._run = run
        self._subscriptions = subscriptions
        self._within = within
        self._topic_id = run.topic_id(stage.input)
        self._result = Replayed(stage.name)
        self._known: dict[tuple[int, int, int], Known] = {}
        self._difference: tuple[tuple[int, int, int], Difference] | None = None
        self._seats: dict[int, dict[int, Snapshot]] = {}
        self._fold = Fold(stage, self._compare, recode_every)
        self._taken = taken

    def run(self) -> Replayed:
        self._index()
        if not self._taken:
            self._taken = _ends(self._known)
        self._find_seats()
        ends = {partition: self._replay(partition) for partition in self._run.partitions(self._stage.input)}
        for at, known in self._known.items():
            if at[1] in self._within:
                self._left(at, known, ends.get(at[0], 0))
        self._beyond_the_input(ends)
        if self._difference is not None:
            self._result.difference = self._difference[1]
        return self._result

    def _find_seats(self) -> None:
        """By partition and offset, the snapshots that the fold begins with or goes on from."""
        first = self._within.first
        changes = changes_of_version(self._known)
        if not first and not changes:
            return
        for one in snapshots(self._run, self._stage.name, self._stage.input):
            seats = self._seats.setdefault(one.partition, {})
            if one.offset <= first:
                seats.clear()
                seats[one.offset] = one
            elif any(last < one.offset <= new for last, new in changes.get(one.partition, ())):
                seats[one.offset] = one

    def _index(self) -> None:
        """What the stage wrote, by (input partition, offset, index)."""
        for topic in outputs_of(self._stage):
            for partition in self._run.partitions(topic):
                for row in self._run.rows(topic, partition):
                    if row.src is not None and row.src.startswith(f"{self._stage.name}|"):
                        self._note(topic, row)

    def _note(self, topic: Topic, row: Row) -> None:
        coordinate = Coordinate.decode((row.src or "").encode())
        source, _, partition = coordinate.source.rpartition("/")
        if not self._is_input(source):
            return
        at = (int(partition), coordinate.major, coordinate.minor)
        place, digest = Place(topic.name, row.partition, row.offset), _digest(topic.name, row.key, row.value)
        if at not in self._known:
            self._known[at] = Known(digest, place, row.ver or "")
            return
        self._result.repeated += 1
        if self._known[at].digest != digest and at[1] in self._within:
            first = self._side(self._known[at].place)
            self._differs(at, "delivered twice with other bytes", first, _side(topic.name, row), place, row.ver)

    def _is_input(self, source: str) -> bool:
        """Where nothing of the input is recorded, neither is its identity."""
        name, _, identity = source.partition("@")
        return name == self._stage.input.name and (not self._topic_id or identity == self._topic_id)

    def _replay(self, partition: int) -> int | None:
        """The offset after the last of the input; None where the fold broke."""
        seats = self._seats.get(partition, {})
        expected = max((offset for offset in seats if offset <= self._within.first), default=0)
        if expected:
            self._result.begun[partition] = expected
        for row in self._run.rows(self._stage.input, partition, expected):
            if row.offset != expected:
                raise Problem(self._lacks(partition, expected, row.offset))
            if row.offset in seats:
                self._fold.restore(partition, seats[row.offset].entries())
            expected = row.offset + 1
            if self._within.end is not None and row.offset >= self._within.end:
                return expected
            self._result.inputs += 1
            self._result.chosen += row.offset in self._within
            try:
                self._fold.feed(Inbound(row.partition, row.offset, row.key, row.value, row.headers))
            except StageBroken as error:
                self._differs((partition, row.offset, 0), f"the fold raised: {error}", None, None, None, None)
                return None
        return expected

    def _lacks(self, partition: int, first: int, found: int) -> str:
        after = [
            s.offset for s in snapshots(self._run, self._stage.name, self._stage.input) if s.partition == partition
        ]
        usable = next((offset for offset in after if offset >= found), None)
        hint = "" if usable is None else f"; --from {usable} begins at a snapshot after them"
        return (
            f"{self._stage.name}: {self._stage.input.name}/{partition} lacks offsets {first} to {found - 1}: "
            f"without them its state cannot be folded{hint}"
        )

    def _compare(self, outputs: list[Record], partition: int, offset: int) -> None:
        for topic, key, value, src in routed(
            self._stage, outputs, partition, offset, self._topic_id, self._subscriptions
        ):
            known = self._known.pop((partition, offset, src.minor), None)
            if offset not in self._within:
                continue
            at, made = (partition, offset, src.minor), Side(topic.name, key, value)
            if known is None:
                self._not_recorded(at, topic, made)
            elif known.digest == _digest(topic.name, key, value):
                self._result.equal += 1
                self._result.segment(known.version).equal += 1
            else:
                self._differs(at, "other bytes", self._side(known.place), made, known.place, known.version)

    def _not_recorded(self, at: tuple[int, int, int], topic: Topic, made: Side) -> None:
        if at[1] >= self._taken.get(at[0], 0):
            self._result.beyond += 1
        elif not topic.compacted:
            self._differs(at, "replayed, not recorded", None, made, None, self._version_at(at))

    def _left(self, at: tuple[int, int, int], known: Known, end: int | None) -> None:
        if end is not None and at[1] < end:
            self._differs(at, "recorded, not replayed", self._side(known.place), None, known.place, known.version)

    def _beyond_the_input(self, ends: Mapping[int, int | None]) -> None:
        """What was written because of inputs that are not recorded."""
        for partition in sorted({at[0] for at in self._known}):
            end = ends.get(partition, 0)
            if end is None:
                continue
            left = sorted(at for at in self._known if at[0] == partition and at[1] >= end and at[1] in self._within)
            if self._run.grows:
                self._result.beyond += len(left)
            elif left:
                what = lacking(f"{self._stage.input.name}/{partition}", end, left[-1][1], len(left))
                self._differs(left[0], what, None, None, None, self._known[left[0]].version)

    def _version_at(self, at: tuple[int, int, int]) -> str | None:
        """Of what was written next to a record that was not."""
        same = (known.version for (p, offset, _), known in self._known.items() if (p, offset) >= (at[0], at[1]))
        return next(same, None) or next(reversed(self._result.segments), None)

    def _differs(
        self,
        at: tuple[int, int, int],
        what: str,
        recorded: Side | None,
        replayed: Side | None,
        place: Place | None,
        version: str | None,
    ) -> None:
        """Only the first of each version, and of all, is told, so the others need not be kept."""
        segment = self._result.segment(version)
        if segment.difference is not None and self._difference is not None and self._difference[0] <= at:
            return
        source = f"{self._stage.input.name}@{self._topic_id}/{at[0]}"
        coordinate = Coordinate(self._stage.name, source, at[1], at[2]).encode().decode()
        difference = Difference(what, coordinate, recorded, replayed, place)
        segment.difference = segment.difference or difference
        if self._difference is None or at < self._difference[0]:
            self._difference = (at, difference)

    def _side(self, place: Place) -> Side:
        topic = TOPICS[place.topic]
        row = next(r for r in self._run.rows(topic, place.partition) if r.offset == place.offset)
        return _side(place.topic, row)


def lacking(place: str, end: int, last: int, outputs: int) -> str:
    """``end``: the offset after the last of the recorded input; ``last``: the one that the outputs reach to."""
    recorded = f"is recorded to offset {end - 1} only" if end else "is not recorded"
    return f"its input {place} {recorded}, {outputs:,} recorded outputs are of offsets up to {last}"


def changes_of_version(known: Mapping[tuple[int, int, int], Known]) -> dict[int, list[tuple[int, int]]]:
    """By input partition, between which offsets another version went on: (the last of the old one's, the first of the new one's)."""
    found: dict[int, list[tuple[int, int]]] = {}
    last: dict[int, tuple[int, str]] = {}
    for partition, offset, minor in sorted(known):
        version = known[partition, offset, minor].version
        before = last.get(partition)
        if before is not None and before[1] != version:
            found.setdefault(partition, []).append((before[0], offset))
        last[partition] = (offset, version)
    return found


def outputs_of(stage: Stage[Any]) -> list[Topic]:
    """Every topic that a stage may write to."""
    names = {topic.name for record in stage.outputs for topic, _ in ROUTES[record]} | {DEAD_LETTERS.name}
    return [TOPICS[name] for name in sorted(names)]


def _side(topic: str, row: Row) -> Side:
    return Side(topic, row.key or b"", row.value or b"")


def _digest(topic: str, key: bytes | None, value: bytes | None) -> bytes:
    made = blake2b(topic.encode(), digest_size=16)
    for part in (key or b"", value or b""):
        made.update(b"%d:" % len(part))
        made.update(part)
    return made.digest()


def _ends(known: Mapping[tuple[int, int, int], Known]) -> dict[int, int]:
    ends: dict[int, int] = {}
    for partition, offset, _ in known:
        ends[partition] = max(offset + 1, ends.get(partition, 0))
    return ends
