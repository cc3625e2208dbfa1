"""A fold that begins at a snapshot of the state comes out as one that began at the start."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra import archive
from infra.shell import snapshots as written
from infra.shell.processor import Inbound
from infra.shell.snapshots import Snapshots
from infra.tail import Place, Taken
from pipelines import archive_reader
from pipelines.folding import Fold
from pipelines.recorded_run import ArchivedRun
from pipelines.replay import Range, Replayed
from pipelines.replay_all import replay_one
from pipelines.replay_snapshots import newest_before, snapshots
from pipelines.workers import stage_of
from tests.pipelines.backtests import backtest, on_flow
from tests.pipelines.flow_capture import record_flow
from tests.pipelines.test_replay import altered, config_of, rewrite
from topics import wire
from topics.catalog import POSITIONS, STAGE_SNAPSHOTS, TOPICS
from topics.record import Record

VERSION = b"another:config"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    captures = record_flow(tmp_path_factory.mktemp("flow"), seed=7, seconds=6)
    return backtest(on_flow("recorded", tmp_path_factory.mktemp("home")), captures)


@pytest.fixture
def run(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "run"))


def busiest(run: Path, name: str) -> tuple[int, int]:
    """(partition, records) of the stage's input."""
    stage, root = stage_of(name, config_of(run)), run / "archive"
    counts = {
        p: len(list(archive_reader.rows(root, stage.input, p))) for p in archive_reader.partitions(root, stage.input)
    }
    return max(counts.items(), key=lambda one: one[1])


def take(run: Path, name: str, offset: int, *, complete: bool = True) -> None:
    """What the stage's worker would have written of its busiest partition at a checkpoint before that offset."""
    stage, root = stage_of(name, config_of(run)), run / "archive"
    partition, _ = busiest(run, name)
    fold = Fold(stage, lambda outputs, partition, offset: None)
    for row in archive_reader.rows(root, stage.input, partition):
        if row.offset < offset:
            fold.feed(Inbound(row.partition, row.offset, row.key, row.value, row.headers))
    noted: list[list[Record]] = []
    topic_id = archive_reader.topic_id(root, stage.input)
    shell = Snapshots(stage.name, stage.input.name, topic_id, 1.0, noted.append)
    assert shell.take({partition: fold.entries(partition)}, {partition: offset}) == 1
    shell.write_all()
    append(root, noted if complete else noted[:-1], stage.name, partition)


def append(root: Path, noted: list[list[Record]], stage: str, partition: int) -> None:
    held = list(archive_reader.all_rows(root, STAGE_SNAPSHOTS))
    place, key = Place(STAGE_SNAPSHOTS.name, 0), f"{stage}/{partition}".encode()
    rows = [
        Taken(STAGE_SNAPSHOTS.name, "id", 0, len(held) + n, 0, key, wire.encode(events), None, VERSION)
        for n, events in enumerate(noted)
    ]
    if rows:
        archive.write(root, place, rows)


def replay(run: Path, name: str, within: Range = Range()) -> Replayed:  # noqa: B008
    return replay_one(name, config_of(run), ArchivedRun(run / "archive"), run, within=within, recode_every=None)


@pytest.mark.parametrize("name", ["orders", "positions", "portfolio", "bars", "normalize", "intents/quoter"])
def test_from_a_snapshot_it_is_equal_as_from_the_start(run: Path, name: str) -> None:
    partition, records = busiest(run, name)
    half = records // 2
    take(run, name, half // 2)
    take(run, name, half)
    from_start = replay(run, name, Range(half + 1))
    assert from_start.difference is None
    assert from_start.begun[partition] == half
    shutil.rmtree(run / "archive" / STAGE_SNAPSHOTS.name)
    without = replay(run, name, Range(half + 1))
    assert (without.difference, without.begun) == (None, {})
    assert without.equal == from_start.equal > 0
    assert without.inputs == from_start.inputs + half


def test_a_snapshot_that_is_not_whole_is_passed_over(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written, "TURN", 64)
    monkeypatch.setattr(written, "PIECE", 100)
    partition, records = busiest(run, "orders")
    take(run, "orders", records // 3)
    take(run, "orders", records // 2, complete=False)
    stage = stage_of("orders", config_of(run))
    found = newest_before(ArchivedRun(run / "archive"), "orders", stage.input, records)
    assert found[partition].offset == records // 3
    assert found[partition].n > 2
    assert replay(run, "orders", Range(records - 5)).difference is None


def test_a_range_before_the_first_snapshot_begins_at_the_start(run: Path) -> None:
    take(run, "orders", 50)
    result = replay(run, "orders", Range(49))
    assert (result.begun, result.difference) == ({}, None)


def test_a_false_snapshot_is_found(run: Path) -> None:
    """The state of another place in the log does not give the same outputs."""
    take(run, "positions", busiest(run, "positions")[1] // 4)
    offset = busiest(run, "positions")[1] // 2

    def moved(rows: list[archive_reader.Row]) -> list[archive_reader.Row]:
        found = []
        for row in rows:
            events = wire.decode(row.value or b"")
            value = wire.encode([type(e)(**{**fields(e), "offset": offset}) for e in events])
            found.append(row._replace(value=value))
        return found

    rewrite(run, STAGE_SNAPSHOTS, moved)
    assert replay(run, "positions", Range(offset)).difference is not None


def fields(event: Record) -> dict[str, object]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


def test_what_one_version_did_otherwise_is_not_told_of_the_next(run: Path) -> None:
    """The second half was written by this version from the first one's state, which the first left in a snapshot."""
    partition, records = busiest(run, "positions")
    half = records // 2
    take(run, "positions", half)
    for topic in (t for t in TOPICS.values() if archive_reader.partitions(run / "archive", t)):
        for p in archive_reader.partitions(run / "archive", topic):
            rewrite(run, topic, lambda rows: [older(r, partition, half) for r in rows], p)
    rewrite(run, POSITIONS, altered(0), archive_reader.partitions(run / "archive", POSITIONS)[0])
    result = replay(run, "positions")
    assert result.difference is not None
    old, new = result.segments[VERSION.decode()], next(s for v, s in result.segments.items() if v != VERSION.decode())
    assert old.difference is not None
    assert new.difference is None
    assert new.equal > 0


def older(row: archive_reader.Row, partition: int, half: int) -> archive_reader.Row:
    producer, source, major, _ = (row.src or "||0|0").split("|")
    first = producer == "positions" and (not source.endswith(f"/{partition}") or int(major) < half)
    return row._replace(ver=VERSION.decode()) if first else row


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(0, 900_000), max_size=5))
def test_any_state_is_cut_into_bounded_records_and_joined_again(sizes: list[int]) -> None:
    noted: list[list[Record]] = []
    shell = Snapshots("orders", "orders.events", "id", 1.0, noted.append)
    entries = [(b"\x00fence", b"\x01f")] + [(b"\x01k%d" % n, b"\x01" + b"x" * size) for n, size in enumerate(sizes)]
    shell.take({0: entries}, {0: 5})
    shell.write_all()
    assert all(len(wire.encode(events)) < 1_200_000 for events in noted)

    class OneTopic:
        def topic_id(self, topic: object) -> str:
            return "id"

        def partitions(self, topic: object) -> list[int]:
            return [0]

        def rows(self, topic: object, partition: int, first: int = 0):  # type: ignore[no-untyped-def]
            for n, events in enumerate(noted):
                yield archive_reader.Row(0, n, 0, b"orders/0", wire.encode(events), None, None)

    (found,) = snapshots(OneTopic(), "orders", TOPICS["orders.events"])
    assert list(found.entries().items()) == entries
