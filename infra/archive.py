"""The archive's files: ``<topic>/<partition>/<start>-<end>.parquet`` holds the tape's records of offsets start to end, end excluded.

One row per Kafka record, bytes exactly as they were on the tape, so that a replay can read it. A file appears whole (temporary file,
fsync, rename, fsync of the folder). The files are the offsets: the next record to take is the last file's end.

Small neighbours become one file: the new one appears first, and from then on those whose offsets it covers are no files of the archive
any more, whenever they are removed. So whoever is killed in between leaves an archive in which every record is there once.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
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
MERGED_BYTES = 64 * 1024 * 1024
"""No merged file is larger."""
BATCH = 4096
WHY = 120
"""Letters of a library's words on a damaged file."""
GROUP_ROWS, GROUP_BYTES = 131_072, 32 * 1024 * 1024
"""Of a merge so much is in memory at once, and becomes a row group."""


class ArchiveProblem(Hopeless):
    """One line that says what is wrong with the folder."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """ArchiveProblem where the file cannot be read; FileNotFoundError where a merge has taken it away."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        why = (str(error).strip().splitlines() or ["it cannot be read"])[0]
        raise ArchiveProblem(f"{path} is damaged: {why[:WHY]}; put back a whole copy of this file") from error


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """An error of writing tells of which file."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise


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
    found = sorted(map(Segment.parse, _listed(folder(archive, place))), key=lambda s: (s.start, -s.end))
    kept: list[Segment] = []
    for segment in found:
        if not kept or segment.end > kept[-1].end:
            kept.append(segment)
    return kept


def _listed(where: Path) -> set[Path]:
    """Twice the same: a folder that changes while it is listed may show neither the old files nor the new one."""
    found = set(where.glob("*.parquet"))
    while (again := set(where.glob("*.parquet"))) != found:
        found = again
    return found


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
    if found and identity(found[-1].path) != topic_id:
        raise ArchiveProblem(
            f"{folder(archive, place)} holds an earlier topic of that name: move {archive} away or use another run name"
        )


def identity(path: Path) -> str:
    """Of the topic whose records the file holds."""
    with reading(path):
        return str((pq.read_schema(path).metadata or {}).get(b"topic_id", b"").decode())


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
    return _appear(where, start, end, table.schema, [table])


def _appear(where: Path, start: int, end: int, schema: pa.Schema, parts: Iterable[pa.Table]) -> Segment:
    """A part is a row group."""
    where.mkdir(parents=True, exist_ok=True)
    final = where / f"{start:020d}-{end:020d}.parquet"
    temporary = final.with_suffix(".tmp")
    with (
        _named(final),
        temporary.open("wb") as file,
        pq.ParquetWriter(
            file,
            schema,
            compression="zstd",
            write_statistics=["partition", "offset", "timestamp"],
            use_dictionary=["ver"],
        ) as writer,
    ):
        for part in parts:
            writer.write_table(part)
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


Remove = Callable[[Path], None]
"""What becomes of a file that another one has replaced."""


def merge(archive: Path, place: Place, most_bytes: int, remove: Remove = Path.unlink) -> None:
    """Turn the last MERGE_AT files into one while they are of one size class and small."""
    while last := mergeable(archive, place, most_bytes):
        join(archive, place, last, remove)


def mergeable(archive: Path, place: Place, most_bytes: int) -> list[Segment]:
    """The last MERGE_AT files where they are worth merging, else none."""
    last = segments(archive, place)[-MERGE_AT:]
    sizes = [s.path.stat().st_size for s in last]
    fits = len(last) == MERGE_AT and sum(sizes) <= most_bytes and max(sizes) <= MERGE_AT * max(min(sizes), 8192)
    return last if fits else []


def compact(archive: Path, place: Place, most_bytes: int, remove: Remove = Path.unlink) -> bool:
    """The first files that fit into one as such; whether there were any. Until there are none, neighbours are larger together."""
    for group in _groups(segments(archive, place), most_bytes):
        join(archive, place, group, remove)
        return True
    return False


def _groups(found: list[Segment], most_bytes: int) -> Iterator[list[Segment]]:
    group, total = list[Segment](), 0
    for segment in found:
        size = segment.path.stat().st_size
        if group and total + size > most_bytes:
            if len(group) > 1:
                yield group
            group, total = [], 0
        group, total = [*group, segment], total + size
    if len(group) > 1:
        yield group


def join(archive: Path, place: Place, group: Sequence[Segment], remove: Remove = Path.unlink) -> None:
    """Neighbours as one file, each offset once; ``remove`` gets those that it replaces when it is there."""
    schema = pq.read_schema(group[-1].path)
    parts = _gathered(schema, _rows_of(group))
    _appear(folder(archive, place), group[0].start, group[-1].end, schema, parts)
    for segment in group:
        remove(segment.path)


def _rows_of(group: Sequence[Segment]) -> Iterator[pa.RecordBatch]:
    expected = group[0].start
    for segment in group:
        with reading(segment.path), pq.ParquetFile(segment.path) as file:
            for batch in file.iter_batches(BATCH):
                fresh = batch.filter(pc.greater_equal(batch.column("offset"), expected))
                if fresh.num_rows:
                    yield fresh
        expected = segment.end


def _gathered(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    held, rows, size = list[pa.RecordBatch](), 0, 0
    for batch in batches:
        held.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= GROUP_ROWS or size >= GROUP_BYTES:
            yield pa.Table.from_batches(held, schema)
            held, rows, size = [], 0, 0
    if held:
        yield pa.Table.from_batches(held, schema)


@contextmanager
def writing(archive: Path, wait_s: float = 0.0) -> Iterator[None]:
    """Alone: only one process changes an archive. ArchiveProblem when another one does for longer than ``wait_s``."""
    archive.mkdir(parents=True, exist_ok=True)
    with (archive / ".lock").open("w") as lock:
        deadline = time.monotonic() + wait_s
        while not _locked(lock):
            if time.monotonic() >= deadline:
                raise ArchiveProblem(
                    f"{archive} is being written by another process: its archive worker merges files by itself"
                )
            time.sleep(0.1)
        yield


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
