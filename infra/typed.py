"""Typed events beside the archive: ``typed/<topic>-<shape>/<partition>/<start>-<end>.parquet`` holds what the views make of the records of
offsets start to end, one row per event, each event once.

They are derived: taking JSON apart costs microseconds a record, and is done here once instead of at every question. They may be deleted
at any time; the records stay where they are. ``shape`` changes with the topic's types, so that a new version derives anew. Where nine
digits before and behind the point suffice for a whole file, its decimals are that short: half the size, and read three times as fast.

Every file says up to which coordinates its partition is known (per producer and source): what is delivered again behind them is left out.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from infra import archive
from infra.event_sql import SHORT, decimals, taken_apart
from infra.tail import Place
from topics.catalog import (
    ACCOUNT_EVENTS,
    FILLS,
    ORDERS_EVENTS,
    ORDERS_STATE,
    PORTFOLIO_INBOX,
    PORTFOLIO_STATE,
    POSITIONS,
    Topic,
)

TOPICS = (FILLS, ORDERS_EVENTS, ORDERS_STATE, POSITIONS, PORTFOLIO_INBOX, PORTFOLIO_STATE, ACCOUNT_EVENTS)
"""Those that reports and questions read whole. Market data are left as they are: typed books would be as large again."""
LEAST, MOST = 10_000, 250_000
"""Offsets of one new file: fewer wait, as JSON; more are several files."""
MERGED_BYTES = 64 * 1024 * 1024
FORMAT = 1
TYPED = "read_parquet({paths}, union_by_name = true)"
FILES = "read_parquet({paths}, filename = true, file_row_number = true)"

Fence = dict[tuple[str, str], tuple[int, int]]


def root(where: Path) -> Path:
    return where / "typed"


def place_of(topic: Topic, partition: int) -> Place:
    shape = hashlib.sha256(f"{FORMAT} {taken_apart(topic, '')}".encode()).hexdigest()[:8]
    return Place(f"{topic.name}-{shape}", partition)


def paths(where: Path, topic: Topic) -> list[Path]:
    """The typed files of all partitions."""
    return [s.path for p in range(topic.partitions) for s in archive.segments(root(where), place_of(topic, p))]


def events(where: Path, topic: Topic) -> str | None:
    """What is typed, as SQL; None where nothing is."""
    found = paths(where, topic)
    whole = ", ".join(f'"{name}"::{kind} AS "{name}"' for name, kind in decimals(topic).items())
    return f"SELECT * REPLACE ({whole}) FROM {TYPED.format(paths=listed(found))}" if found else None


def rest(where: Path, topic: Topic) -> str | None:
    """The records that are not typed yet, as SQL with the columns of the archive and of `FILES`; None where there are none."""
    parts = [_rest(where, topic, p) for p in range(topic.partitions)]
    found = [part for part in parts if part is not None]
    return f"({' UNION ALL '.join(found)})" if found else None


def clean(where: Path) -> None:
    """Remove what an interrupted write left behind, and what was made of other shapes."""
    current = {place_of(topic, p) for topic in TOPICS for p in range(topic.partitions)}
    for folder in root(where).glob("*"):
        if folder.name not in {place.topic for place in current}:
            shutil.rmtree(folder)
    for place in current:
        archive.clean(root(where), place)


def derive(where: Path, topic: Topic, partition: int, least: int = LEAST, remove: archive.Remove = Path.unlink) -> bool:
    """One file more, where so many offsets wait; whether it was made."""
    place = place_of(topic, partition)
    done = archive.next_offset(root(where), place) or 0
    waiting = [s for s in archive.segments(where, Place(topic.name, partition)) if s.end > done]
    if not waiting or waiting[-1].end - max(done, waiting[0].start) < least:
        return False
    start = max(done, waiting[0].start)
    end = min(start + MOST, waiting[-1].end)
    with _database() as con:
        rest = _rest(where, topic, partition, end) or ""
        fence = _fence(where, place) | _newest(con, rest)
        con.execute(f'CREATE TEMP TABLE events AS {taken_apart(topic, f"({rest})")} ORDER BY "offset", "index"')
        _write(con, place, root(where), start, end, f"SELECT * {_shortened(con, topic)} FROM events", fence)
        merge(con, where, place, remove)
    return True


def derive_all(where: Path, least: int = LEAST) -> None:
    """Until nothing waits."""
    for topic in TOPICS:
        for partition in range(topic.partitions):
            while derive(where, topic, partition, least):
                pass


def merge(con: duckdb.DuckDBPyConnection, where: Path, place: Place, remove: archive.Remove) -> None:
    while last := archive.mergeable(root(where), place, MERGED_BYTES):
        query = f"FROM {TYPED.format(paths=listed(s.path for s in last))}"
        _write(con, place, root(where), last[0].start, last[-1].end, query, _fence_of(last[-1].path))
        for segment in last:
            remove(segment.path)


def _write(
    con: duckdb.DuckDBPyConnection, place: Place, typed: Path, start: int, end: int, query: str, fence: Fence
) -> None:
    folder = archive.folder(typed, place)
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"{start:020d}-{end:020d}.parquet"
    temporary = final.with_suffix(".tmp")
    known = json.dumps([[*names, *numbers] for names, numbers in fence.items()])
    con.execute(
        f"COPY ({query}) TO {quoted(temporary)} (FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, KV_METADATA {{fence: {quoted(known)}}})"
    )
    archive.settle(temporary, final)


def _shortened(con: duckdb.DuckDBPyConnection, topic: Topic) -> str:
    """Those decimals of the table `events` that are all short, as such."""
    names = list(decimals(topic))
    asked = ", ".join(
        f'coalesce(bool_and("{n}" IS NULL OR coalesce("{n}" = try_cast("{n}" AS {SHORT}), false)), true)' for n in names
    )
    answers = con.execute(f"SELECT {asked} FROM events").fetchone() or ()
    short = [f'"{n}"::{SHORT} AS "{n}"' for n, fits in zip(names, answers, strict=True) if fits]
    return f"REPLACE ({', '.join(short)})" if short else ""


def _rest(where: Path, topic: Topic, partition: int, end: int | None = None) -> str | None:
    place = place_of(topic, partition)
    done = archive.next_offset(root(where), place) or 0
    segments = [
        s
        for s in archive.segments(where, Place(topic.name, partition))
        if s.end > done and (end is None or s.start < end)
    ]
    if not segments:
        return None
    files = FILES.format(paths=listed(s.path for s in segments))
    bounds = f'"offset" >= {done}' + ("" if end is None else f' AND "offset" < {end}')
    fence = _fence(where, place)
    if not fence:
        return f"FROM {files} WHERE {bounds}"
    known = ", ".join(f"({quoted(p)}, {quoted(s)}, {major}, {minor})" for (p, s), (major, minor) in fence.items())
    return f"""SELECT files.* FROM {files} AS files
        LEFT JOIN (VALUES {known}) AS fence(producer, source, major, minor)
        ON split_part(src, '|', 1) = producer AND split_part(src, '|', 2) = source
        WHERE {bounds} AND (producer IS NULL OR {COORDINATE} > (major, minor))"""


COORDINATE = "(try_cast(split_part(src, '|', 3) AS BIGINT), try_cast(split_part(src, '|', 4) AS BIGINT))"


def _newest(con: duckdb.DuckDBPyConnection, rest: str) -> Fence:
    """The newest coordinates among these records; what has none that can be read stands for itself."""
    found = con.execute(f"""
        SELECT split_part(src, '|', 1), split_part(src, '|', 2), max({COORDINATE}) FROM ({rest})
        WHERE regexp_full_match(src, '[^|]*\\|[^|]*\\|\\d+\\|\\d+') GROUP BY ALL ORDER BY ALL""").fetchall()
    return {(producer, source): tuple(newest) for producer, source, newest in found}


def _fence(where: Path, place: Place) -> Fence:
    segments = archive.segments(root(where), place)
    return _fence_of(segments[-1].path) if segments else {}


def _fence_of(path: Path) -> Fence:
    known = (pq.read_schema(path).metadata or {})[b"fence"]
    return {(producer, source): (major, minor) for producer, source, major, minor in json.loads(known)}


def _database() -> duckdb.DuckDBPyConnection:
    """One that leaves room for its process's own work."""
    return duckdb.connect(config={"threads": 1, "memory_limit": "1GB"})


def listed(found: Iterable[Path]) -> str:
    return f"[{', '.join(map(quoted, found))}]"


def quoted(text: object) -> str:
    return "'" + str(text).replace("'", "''") + "'"
