import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from confluent_kafka import TopicPartition

from infra import archive, kafka
from infra.tail import Place, Taken, places, tape_ends
from pipelines.archive import archive_dir, run_archive
from tests.synthetic_run import SyntheticRun, config_of
from topics.catalog import FILLS, TOPICS
from topics.coordinates import HEADER, VERSION_HEADER

ALL = tuple(TOPICS.values())
Rows = dict[tuple[str, int, int], tuple[bytes | None, bytes | None, str | None, str | None]]


def stopped() -> threading.Event:
    stop = threading.Event()
    stop.set()
    return stop


def tape(conf: Mapping[str, str], prefix: str) -> Rows:
    """All of it, by one consumer of the test's own."""
    ends = {
        (kafka.physical(prefix, p.topic), p.partition): end for p, end in tape_ends(conf, prefix, ALL).items() if end
    }
    rows: Rows = {}
    client = kafka.consumer(conf, group="test-reader")
    client.assign([TopicPartition(topic, partition, 0) for topic, partition in ends])
    deadline = time.monotonic() + 30
    while len(rows) < sum(ends.values()):
        assert time.monotonic() < deadline
        for m in client.consume(1000, 0.2):
            src, ver = kafka.header(m, HEADER), kafka.header(m, VERSION_HEADER)
            at = (kafka.logical(prefix, m.topic()), m.partition(), m.offset())
            rows[at] = (m.key(), m.value(), src and src.decode(), ver and ver.decode())
    client.close()
    return rows


def archived(root: Path) -> Rows:
    """Every row of every file: one that stands in two files fails here."""
    rows: Rows = {}
    for place in places(ALL):
        for segment in archive.segments(root, place):
            for row in pq.read_table(segment.path).to_pylist():
                at = (place.topic, place.partition, row["offset"])
                assert at not in rows
                assert segment.start <= row["offset"] < segment.end
                rows[at] = (row["key"], row["value"], row["src"], row["ver"])
    return rows


def test_the_archive_holds_the_tape_to_the_byte(kafka_conf: dict[str, str], run_prefix: str, tmp_path: Path) -> None:
    config = config_of(tmp_path, run_prefix)
    SyntheticRun().publish(kafka_conf, run_prefix, twice=True)
    run_archive(config, kafka_conf, stopped())
    found = archived(archive_dir(config))
    assert found == tape(kafka_conf, run_prefix)
    status = msgspec.json.decode((config.run_dir / "status" / "archive.0.json").read_bytes())
    assert status["records_in"] == status["records_out"] == len(found)
    assert (status["stage"], status["lag"], status["dead_letters"], status["pid"]) == ("archive", 0, 0, os.getpid())


def test_a_killed_archive_goes_on_without_hole_or_double(
    kafka_conf: dict[str, str], run_prefix: str, tmp_path: Path
) -> None:
    config = msgspec.structs.replace(
        config_of(tmp_path, run_prefix),
        archive=msgspec.convert({"max_rows": 40, "flush_every_s": 0.1}, type(config_of(tmp_path, "x").archive)),
    )
    SyntheticRun(seed=1).publish(kafka_conf, run_prefix)
    spawn = multiprocessing.get_context("spawn")
    never = spawn.Event()
    child = spawn.Process(target=run_archive, args=(config, kafka_conf, never))
    child.start()
    deadline = time.monotonic() + 40
    while not any(archive_dir(config).glob("*/*/*.parquet")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    SyntheticRun(seed=2).publish(kafka_conf, run_prefix)
    run_archive(config, kafka_conf, stopped())
    assert archived(archive_dir(config)) == tape(kafka_conf, run_prefix)
    ends = tape_ends(kafka_conf, run_prefix, ALL)
    assert all((archive.next_offset(archive_dir(config), place) or 0) == end for place, end in ends.items())


# --- files, without a broker -------------------------------------------------------------------------------------

PLACE = Place(FILLS.name, 0)


def record(offset: int, topic_id: str = "id") -> Taken:
    return Taken(PLACE.topic, topic_id, PLACE.partition, offset, offset, b"k", b"[%d]" % offset, None, None)


def offsets(root: Path) -> list[int]:
    return [row for s in archive.segments(root, PLACE) for row in pq.read_table(s.path)["offset"].to_pylist()]


def test_small_neighbours_become_one_file(tmp_path: Path) -> None:
    for start in range(0, 3 * archive.MERGE_AT, 3):
        archive.write(tmp_path, PLACE, [record(start + n) for n in range(3)])
        archive.merge(tmp_path, PLACE, 1 << 20)
    assert [(s.start, s.end) for s in archive.segments(tmp_path, PLACE)] == [(0, 3 * archive.MERGE_AT)]
    assert offsets(tmp_path) == list(range(3 * archive.MERGE_AT))


def test_files_that_would_be_too_large_together_are_left_alone(tmp_path: Path) -> None:
    for start in range(archive.MERGE_AT):
        archive.write(tmp_path, PLACE, [record(start)])
    archive.merge(tmp_path, PLACE, 100)
    assert len(archive.segments(tmp_path, PLACE)) == archive.MERGE_AT


def test_what_an_interrupted_merge_left_is_not_read_and_is_removed(tmp_path: Path) -> None:
    archive.write(tmp_path, PLACE, [record(0), record(1)])
    archive.write(tmp_path, PLACE, [record(2)])
    archive.write(tmp_path, PLACE, [record(n) for n in range(3)])
    half = archive.folder(tmp_path, PLACE) / "half.tmp"
    half.write_bytes(b"PAR1")
    assert offsets(tmp_path) == [0, 1, 2]
    archive.clean(tmp_path, PLACE)
    assert [p.name for p in archive.folder(tmp_path, PLACE).iterdir()] == [
        archive.segments(tmp_path, PLACE)[0].path.name
    ]


def test_the_files_of_a_topic_that_was_made_anew_are_not_mixed_with_it(tmp_path: Path) -> None:
    archive.write(tmp_path, PLACE, [record(0, "old")])
    archive.check_identity(tmp_path, PLACE, "old")
    with pytest.raises(archive.ArchiveProblem, match="earlier topic"):
        archive.check_identity(tmp_path, PLACE, "new")
