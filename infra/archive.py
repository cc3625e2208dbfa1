"""The archive's files: ``<topic>/<partition>/<start>-<end>.parquet`` holds the tape's records of offsets start to end, end excluded.

One row per Kafka record, bytes exactly as they were on the tape, so that a replay can read it. A file appears whole (temporary file,
fsync, rename, fsync of the folder). The files are the offsets: the next record to take is the last file's end.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from infra.errors import Hopeless
from infra.tail import Place, Taken

SCHEMA = pa.schema(
    [
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("timestamp", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),
        pa.field("src", pa.string()),
        pa.field("ver", pa.string()),
    ]
)
MERGE_AT = 12
"""So many neighbouring files of one size class become one, so that a day is not thousands of files."""


class ArchiveProblem(Hopeless):
    """One line that says what is wrong with the folder."""


@dataclass(frozen=True, order=True)
class Segment:
    """One file. Offsets between its rows may be missing: compaction and transaction markers leave holes."""

    start: int
    end: int
    path: Path

    @classmethod
    def parse(cls, path: Path) -> "Segment":
        start, _, end = path.stem.partition("-")
        return cls(int(start), int(end), path)


def folder(archive: Path, place: Place) -> Path:
    return archive / place.topic / str(place.partition)


def segments(archive: Path, place: Place) -> list[Segment]:
    """The files of one partition, by offset; those that a merge has replaced but not removed yet are left out."""
    found = sorted(
        (Segment.parse(p) for p in folder(archive, place).glob("*.parquet")), key=lambda s: (s.start, -s.end)
    )
    kept: list[Segment] = []
    for segment in found:
        if not kept or segment.end > kept[-1].end:
            kept.append(segment)
    return kept


def next_offset(archive: Path, place: Place) -> int | None:
    """Where the archive of a partition goes on, None where it has nothing."""
    found = segments(archive, place)
    return found[-1].end if found else None


def clean(archive: Path, place: Place) -> None:
    """Remove what an interrupted write or merge left behind."""
    kept = {s.path for s in segments(archive, place)}
    for path in folder(archive, place).glob("*"):
        if path not in kept:
            path.unlink()


def check_identity(archive: Path, place: Place, topic_id: str) -> None:
    """ArchiveProblem when the files are of a topic that was deleted and made anew: its offsets began again at 0."""
    found = segments(archive, place)
    known = (pq.read_schema(found[-1].path).metadata or {}).get(b"topic_id", b"").decode() if found else topic_id
    if known != topic_id:
        raise ArchiveProblem(
            f"{folder(archive, place)} holds an earlier topic of that name: move {archive} away or use another run name"
        )


def write(archive: Path, place: Place, rows: Sequence[Taken]) -> Segment:
    """One file of neighbouring records, durable when this returns."""
    table = pa.table(
        [
            [r.partition for r in rows],
            [r.offset for r in rows],
            pa.array([r.timestamp_ms for r in rows], pa.int64()).cast(SCHEMA.field("timestamp").type),
            [r.key for r in rows],
            [r.value for r in rows],
            [None if r.src is None else r.src.decode(errors="backslashreplace") for r in rows],
            [None if r.ver is None else r.ver.decode(errors="backslashreplace") for r in rows],
        ],
        schema=SCHEMA.with_metadata({"topic": place.topic, "topic_id": rows[0].topic_id}),
    )
    return put(folder(archive, place), rows[0].offset, rows[-1].offset + 1, table)


def put(where: Path, start: int, end: int, table: pa.Table) -> Segment:
    """One file of a partition's folder, durable when this returns; the table has SCHEMA, and the topic's identity in its metadata."""
    where.mkdir(parents=True, exist_ok=True)
    final = where / f"{start:020d}-{end:020d}.parquet"
    temporary = final.with_suffix(".tmp")
    with temporary.open("wb") as file:
        pq.write_table(
            table,
            file,
            compression="zstd",
            write_statistics=["partition", "offset", "timestamp"],
            use_dictionary=["ver"],
        )
    settle(temporary, final)
    return Segment(start, end, final)


def settle(temporary: Path, final: Path) -> None:
    """Let a file appear under its name, whole and durable."""
    _sync(temporary)
    temporary.rename(final)
    _sync(final.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def merge(archive: Path, place: Place, most_bytes: int) -> None:
    """Turn the last MERGE_AT files into one while they are of one size class and small; readers see either these or that one."""
    while last := mergeable(archive, place, most_bytes):
        table = pa.concat_tables([pq.read_table(s.path, schema=None) for s in last])
        put(folder(archive, place), last[0].start, last[-1].end, table)
        for segment in last:
            segment.path.unlink()


def mergeable(archive: Path, place: Place, most_bytes: int) -> list[Segment]:
    """The last MERGE_AT files where they are worth merging, else none."""
    last = segments(archive, place)[-MERGE_AT:]
    sizes = [s.path.stat().st_size for s in last]
    fits = len(last) == MERGE_AT and sum(sizes) <= most_bytes and max(sizes) <= MERGE_AT * max(min(sizes), 8192)
    return last if fits else []
