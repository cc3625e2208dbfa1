"""Snapshots of a stage's state, read back from ``stage.snapshots``: where a fold can begin, other than at the start."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from infra.shell.live import FENCE, STATES
from pipelines.recorded_run import Recorded
from topics import wire
from topics.catalog import STAGE_SNAPSHOTS, Topic
from topics.system import StageSnapshot


@dataclass
class Snapshot:
    """Everything before ``offset`` is folded. ``version`` (software and configuration) took it."""

    partition: int
    offset: int
    version: str
    n: int
    pieces: dict[int, StageSnapshot] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return len(self.pieces) == self.n

    def entries(self) -> dict[bytes, bytes]:
        """As the stage's store held them."""
        joined: defaultdict[bytes, bytes] = defaultdict(bytes)
        for i in range(self.n):
            piece = self.pieces[i]
            joined[FENCE if piece.key is None else STATES + piece.key.encode()] += piece.state
        return dict(joined)


class _Id(NamedTuple):
    partition: int
    offset: int
    ts: int


Wanted = Callable[[int, int], bool]
"""(partition, offset)"""


def snapshots(run: Recorded, stage: str, topic: Topic, wanted: Wanted = lambda p, o: True) -> list[Snapshot]:
    """The complete ones of the stage's input as it is, by partition and offset; of one offset, the newest."""
    topic_id = run.topic_id(topic)
    found: dict[_Id, Snapshot] = {}
    for piece, version in _pieces(run, stage):
        if (piece.topic, piece.topic_id) == (topic.name, topic_id) and wanted(piece.partition, piece.offset):
            at = _Id(piece.partition, piece.offset, piece.ts_init)
            one = found.setdefault(at, Snapshot(piece.partition, piece.offset, version, piece.n))
            one.pieces[piece.i] = piece
    return list({(i.partition, i.offset): one for i, one in sorted(found.items()) if one.complete}.values())


def newest_before(run: Recorded, stage: str, topic: Topic, offset: int) -> dict[int, Snapshot]:
    """By partition, the newest one at or before an input offset."""
    found = snapshots(run, stage, topic, lambda _, at: at <= offset)
    return {one.partition: one for one in found}


def _pieces(run: Recorded, stage: str) -> Iterable[tuple[StageSnapshot, str]]:
    for partition in run.partitions(STAGE_SNAPSHOTS):
        for row in run.rows(STAGE_SNAPSHOTS, partition):
            if (row.key or b"").rpartition(b"/")[0] == stage.encode():
                for event in wire.decode(row.value or b"", STAGE_SNAPSHOTS.types):
                    yield event, row.ver or ""
