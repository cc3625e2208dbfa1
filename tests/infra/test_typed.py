"""Typed events beside the archive: the views answer the same from them as from the tape's bytes, whatever is typed and whatever came twice."""

import math
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from infra import archive, typed
from infra.duck import open_archive, view_name
from infra.tail import Place, Taken
from tests.synthetic_run import SyntheticRun, taken_of
from topics import catalog, wire
from topics.orders import Fill

FILLS = catalog.FILLS


@pytest.fixture(scope="module")
def run() -> SyntheticRun:
    return SyntheticRun()


def fills(run: SyntheticRun) -> list[Taken]:
    return [taken_of(one, n) for n, one in enumerate(w for w in run.written if w.topic is FILLS)]


def rows(root: Path, topic: catalog.Topic, *, derived: bool) -> list[tuple[object, ...]]:
    """With the columns' names and types at the head."""
    with closing(open_archive(root, derived=derived)) as con:
        asked = con.execute(f'SELECT * FROM "{view_name(topic)}" ORDER BY "partition", "offset", "index"')
        return [tuple(str(column[:2]) for column in asked.description or ()), *asked.fetchall()]


def told_the_same(root: Path, topic: catalog.Topic) -> None:
    assert rows(root, topic, derived=True) == rows(root, topic, derived=False)


@pytest.mark.parametrize("topic", typed.TOPICS, ids=lambda topic: topic.name)
def test_typed_events_are_what_the_tape_says(topic: catalog.Topic, run: SyntheticRun, tmp_path: Path) -> None:
    run.write_archive(tmp_path)
    typed.derive_all(tmp_path, 1)
    assert typed.rest(tmp_path, topic) is None
    told_the_same(tmp_path, topic)


def test_what_came_since_and_what_came_again_is_told_once(run: SyntheticRun, tmp_path: Path) -> None:
    taken = fills(run)
    half, place = len(taken) // 2, Place(FILLS.name, 0)
    for first in range(0, half, 3):
        archive.write(tmp_path, place, taken[first : min(first + 3, half)])
        while typed.derive(tmp_path, FILLS, 0, 1):
            pass
    again = taken[half - 4 :]
    later = [msgspec_replaced(one, half + n) for n, one in enumerate([*again, *again])]
    archive.write(tmp_path, place, later)
    told_the_same(tmp_path, FILLS)
    assert len(rows(tmp_path, FILLS, derived=True)) == len(taken) + 1
    assert typed.derive(tmp_path, FILLS, 0, 1)
    told_the_same(tmp_path, FILLS)


def msgspec_replaced(one: Taken, offset: int) -> Taken:
    return Taken(one.topic, one.topic_id, 0, offset, one.timestamp_ms, one.key, one.value, one.src, one.ver)


def test_few_records_wait_and_many_small_files_become_one(run: SyntheticRun, tmp_path: Path) -> None:
    taken = fills(run)
    for one in taken:
        archive.write(tmp_path, Place(FILLS.name, 0), [one])
        assert not typed.derive(tmp_path, FILLS, 0, 2)
        assert typed.derive(tmp_path, FILLS, 0, 1)
    files = typed.paths(tmp_path, FILLS)
    assert len(files) <= math.ceil(len(taken) / archive.MERGE_AT) + archive.MERGE_AT
    assert sum(pq.ParquetFile(path).metadata.num_rows for path in files) == len(taken)
    told_the_same(tmp_path, FILLS)


def test_records_without_a_source_and_unreadable_ones_are_as_on_the_tape(run: SyntheticRun, tmp_path: Path) -> None:
    event = next(run.events(Fill))
    odd = [b"\xff", b"{", None, wire.encode([event]), wire.encode([event, event])]
    sources = [None, b"not|a|coordinate|at all", b"", b"orders|x@y/0|99999999999999999999|0"]
    taken = [Taken("fills", "id", 0, n, 0, b"", odd[n % 5], sources[n // 5], None) for n in range(20)]
    for at in (0, 10):
        archive.write(tmp_path, Place(FILLS.name, 0), taken[at : at + 10])
        typed.derive(tmp_path, FILLS, 0, 1)
    told_the_same(tmp_path, FILLS)


def test_short_decimals_and_long_ones_are_merged_and_told_the_same(run: SyntheticRun, tmp_path: Path) -> None:
    event = next(run.events(Fill))
    pairs = [("0.00000001", "61000.12345678"), ("1E-8", "1E+3"), ("0.0000000001", "2"), ("12345678901", "2")] * 4
    taken = [
        Taken(
            "fills",
            "id",
            0,
            n,
            0,
            b"",
            wire.encode([msgspec.structs.replace(event, last_qty=Decimal(q), last_px=Decimal(p))]),
            None,
            None,
        )
        for n, (q, p) in enumerate(pairs)
    ]
    for one in taken:  # a file each: short ones beside long ones, merged at the twelfth
        archive.write(tmp_path, Place(FILLS.name, 0), [one])
        typed.derive(tmp_path, FILLS, 0, 1)
    told_the_same(tmp_path, FILLS)


def test_what_another_shape_or_an_interrupted_write_left_is_removed(run: SyntheticRun, tmp_path: Path) -> None:
    run.write_archive(tmp_path)
    typed.derive_all(tmp_path, 1)
    (file,) = typed.paths(tmp_path, FILLS)
    file.with_suffix(".tmp").write_bytes(b"half")
    other = tmp_path / "typed" / "fills-00000000" / "0"
    other.mkdir(parents=True)
    (other / file.name).write_bytes(b"of another version")
    typed.clean(tmp_path)
    assert not other.exists()
    assert list(file.parent.iterdir()) == [file]
