"""The archive read back: a topic's records, partition by partition in the order of offsets, bytes as they were on the tape."""

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra import archive
from infra.errors import Hopeless
from infra.tail import Place
from topics.catalog import Topic
from topics.coordinates import HEADER

BATCH = 4096
COLUMNS = ["offset", "timestamp", "key", "value", "src", "ver"]


class Row(NamedTuple):
    """One Kafka record. ``src`` is the text of its coordinate, None where it has none."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    src: str | None
    ver: str | None

    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]:
        return () if self.src is None else ((HEADER, self.src.encode()),)


def archive_of(path: Path) -> Path:
    """The archive folder that a run's folder, or the folder itself, means. Problem when there is none."""
    for folder in (path / "archive", path):
        if any(folder.glob("*/*/*.parquet")):
            return folder
    raise Hopeless(f"{path} holds no archive: name a run's folder, or its archive")


def partitions(root: Path, topic: Topic) -> list[int]:
    return sorted(int(p.name) for p in (root / topic.name).glob("*") if any(p.glob("*.parquet")))


def topic_id(root: Path, topic: Topic) -> str:
    """The identity of the topic that was archived; empty when nothing was."""
    for partition in partitions(root, topic):
        first = archive.segments(root, Place(topic.name, partition))[0]
        return archive.identity(first.path)
    return ""


def rows(root: Path, topic: Topic, partition: int, first: int = 0, holding: str = "") -> Iterator[Row]:
    """From offset ``first`` on. Each offset once, also where files overlap. Where a file is gone because a merge has replaced it,
    the one that did goes on. With ``holding`` those alone in whose bytes this regular expression finds something.
    """
    expected, place = first, Place(topic.name, partition)
    left = deque(archive.segments(root, place))
    while left:
        segment = left.popleft()
        if segment.end <= expected:
            continue
        try:
            with archive.reading(segment.path):
                file = pq.ParquetFile(segment.path)
        except FileNotFoundError:  # a merge has replaced and removed it
            left = deque(archive.segments(root, place))
            continue
        with archive.reading(segment.path), file:
            for batch in file.iter_batches(BATCH, columns=COLUMNS):
                if holding:
                    batch = batch.filter(pc.match_substring_regex(batch.column("value"), holding))
                columns: list[list[Any]] = [batch.column(0).to_pylist(), batch.column(1).cast("int64").to_pylist()]
                columns += [batch.column(n).to_pylist() for n in range(2, len(COLUMNS))]
                for offset, *rest in zip(*columns, strict=True):
                    if offset >= expected:
                        expected = offset + 1
                        yield Row(partition, offset, *rest)


def all_rows(root: Path, topic: Topic) -> Iterator[Row]:
    for partition in partitions(root, topic):
        yield from rows(root, topic, partition)


def timed(found: Iterator[Row], time_of: Callable[[Row], int]) -> Iterator[tuple[int, Row]]:
    """Each record with its time: never earlier than the one before it."""
    last = 0
    for row in found:
        last = max(last, time_of(row))
        yield last, row
