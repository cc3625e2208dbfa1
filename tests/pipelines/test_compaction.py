"""Small files of the archive become large ones; whoever reads, and whoever is killed, has every record once."""

import multiprocessing
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from infra import archive
from infra.duck import open_archive
from infra.tail import Place, Taken
from pipelines import archive_reader
from pipelines.archive import Compactor, Later
from pipelines.cli import app
from tests.synthetic_run import SyntheticRun
from topics.catalog import MARKET_RAW, TOPICS

PLACE = Place(MARKET_RAW.name, 0)
SPAWN = multiprocessing.get_context("spawn")


def record(offset: int, size: int = 10) -> Taken:
    """Not to be compressed."""
    value = random.Random(offset).randbytes(size)
    return Taken(PLACE.topic, "id", 0, offset, offset, b"k", value, b"edge||%d|0" % offset, b"v")


def small_files(root: Path, count: int = 9, each: int = 3) -> None:
    for start in range(0, count * each, each):
        archive.write(root, PLACE, [record(start + n) for n in range(each)])


def read(root: Path) -> list[archive_reader.Row]:
    return list(archive_reader.rows(root, MARKET_RAW, 0))


def asked(root: Path) -> tuple[int, int]:
    """How many rows SQL sees, and of how many offsets."""
    with closing(open_archive(root)) as con:
        found = con.execute('SELECT count(*), count(DISTINCT "offset") FROM market_raw').fetchone()
        assert found is not None
        return found[0], found[1]


def test_neighbours_become_one_file_with_the_same_records(tmp_path: Path) -> None:
    small_files(tmp_path)
    before = read(tmp_path)
    assert archive.compact(tmp_path, PLACE, 1 << 20)
    assert read(tmp_path) == before
    (file,) = archive.folder(tmp_path, PLACE).iterdir()
    assert file.name == f"{0:020d}-{27:020d}.parquet"
    assert pq.ParquetFile(file).metadata.num_row_groups == 1
    assert not archive.compact(tmp_path, PLACE, 1 << 20), "there is nothing left to do"
    archive.check_identity(tmp_path, PLACE, "id")


def test_no_file_becomes_larger_than_it_may_and_large_ones_are_left_alone(tmp_path: Path) -> None:
    for offset, size in enumerate([9_000, 9_000, 40_000, 20_000, 65_000, 9_000, 9_000, 9_000]):
        archive.write(tmp_path, PLACE, [record(offset, size)])
    before = read(tmp_path)
    while archive.compact(tmp_path, PLACE, 70_000):
        pass
    assert [(s.start, s.end) for s in archive.segments(tmp_path, PLACE)] == [(0, 3), (3, 4), (4, 5), (5, 8)]
    assert read(tmp_path) == before


def test_offsets_that_stand_in_two_files_are_there_once_afterwards(tmp_path: Path) -> None:
    archive.write(tmp_path, PLACE, [record(n) for n in range(5)])
    archive.write(tmp_path, PLACE, [record(n) for n in range(3, 9)])
    before = read(tmp_path)
    archive.compact(tmp_path, PLACE, 1 << 20)
    (segment,) = archive.segments(tmp_path, PLACE)
    assert pq.read_table(segment.path)["offset"].to_pylist() == list(range(9))
    assert read(tmp_path) == before


def test_what_is_replaced_can_be_read_to_its_end_by_who_listed_it_before(tmp_path: Path) -> None:
    small_files(tmp_path)
    whole = read(tmp_path)
    rows = archive_reader.rows(tmp_path, MARKET_RAW, 0)
    begun = [next(rows) for _ in range(4)]
    archive.compact(tmp_path, PLACE, 1 << 20)  # which removes at once
    assert [*begun, *rows] == whole
    later = Later(after_s=3600)
    small = tmp_path / "more"
    small_files(small)
    with closing(open_archive(small)) as con:
        archive.compact(small, PLACE, 1 << 20, later)
        assert con.execute("SELECT count(*) FROM market_raw").fetchone() == (27,)
    later.sweep()
    assert len(list(archive.folder(small, PLACE).iterdir())) == 10
    later.sweep(everything=True)
    assert len(list(archive.folder(small, PLACE).iterdir())) == 1


# --- killed at any step ------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Nothing is done any more."""


@contextmanager
def killed_at(step: int) -> Iterator[None]:
    """From its ``step``-th word to the file system on, none arrives."""
    left = [step]

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return function(*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in ((Path, "open"), (Path, "rename"), (Path, "unlink"), (os, "fsync")):
            patch.setattr(owner, name, counted(getattr(owner, name)))
        patch.setattr(pq.ParquetWriter, "write_table", counted(pq.ParquetWriter.write_table))
        yield


def test_killed_at_any_step_of_a_compaction_every_record_is_there_once(tmp_path: Path) -> None:
    step, killed = 0, True
    while killed:
        root = tmp_path / str(step)
        small_files(root, count=4)
        before = read(root)
        try:
            with killed_at(step):
                killed = False
                archive.compact(root, PLACE, 1 << 20, lambda path: path.unlink())
        except Killed:
            killed = True
        assert read(root) == before
        assert asked(root) == (len(before), len(before))
        archive.clean(root, PLACE)
        while archive.compact(root, PLACE, 1 << 20):
            pass
        assert read(root) == before
        assert len(list(archive.folder(root, PLACE).iterdir())) == 1
        step += 1
    assert step > 9, "open, write, twice durable, rename, four times removed"


# --- read while it happens ---------------------------------------------------------------------------------------------


def write_and_compact(root: Path) -> None:
    start = 0
    while True:
        archive.write(root, PLACE, [record(start + n) for n in range(3)])
        archive.merge(root, PLACE, 1 << 20)
        if start % 15 == 0:
            archive.compact(root, PLACE, 1 << 20)
        start += 3


def test_who_reads_meanwhile_sees_the_records_so_far_each_once_and_after_a_kill_too(tmp_path: Path) -> None:
    writer = SPAWN.Process(target=write_and_compact, args=(tmp_path,))
    writer.start()
    seen = 0
    deadline = time.monotonic() + 60
    while seen < 150:
        assert time.monotonic() < deadline
        offsets = [row.offset for row in read(tmp_path)]
        assert offsets == list(range(len(offsets)))
        assert len(offsets) >= seen
        seen = len(offsets)
    writer.kill()
    writer.join()
    left = [row.offset for row in read(tmp_path)]
    assert left == list(range(len(left)))
    assert asked(tmp_path) == (len(left), len(left))
    archive.clean(tmp_path, PLACE)
    assert [row.offset for row in read(tmp_path)] == left


# --- by the worker, by the command ---------------------------------------------------------------------------------------


def test_the_worker_compacts_a_few_at_a_time_when_it_is_quiet(tmp_path: Path) -> None:
    small_files(tmp_path)
    before, gone = read(tmp_path), list[Path]()
    compactor = Compactor(tmp_path, 0.0, gone.append)
    compactor.step(quiet=False)
    assert not gone
    while not gone:
        compactor.step(quiet=True)
    assert len(gone) == 9
    assert read(tmp_path) == before


def test_the_command_leaves_an_archive_that_says_the_same_in_fewer_files(tmp_path: Path) -> None:
    run, root = SyntheticRun(), tmp_path / "archive"
    run.write_archive(root)
    topics = [topic for topic in TOPICS.values() if archive_reader.partitions(root, topic)]
    before = {topic: list(archive_reader.all_rows(root, topic)) for topic in topics}
    small_files(root)
    before[MARKET_RAW] = list(archive_reader.all_rows(root, MARKET_RAW))
    result = CliRunner().invoke(app, ["archive", "compact", "--run", str(tmp_path)])
    assert (result.exit_code, "are now" in result.stderr) == (0, True)
    assert {topic: list(archive_reader.all_rows(root, topic)) for topic in before} == before
    assert asked(root) == (27, 27)
    with archive.writing(root):
        problem = CliRunner().invoke(app, ["archive", "compact", "--run", str(tmp_path)]).exception
    assert isinstance(problem, archive.ArchiveProblem)
    assert "is being written by another process" in str(problem)
