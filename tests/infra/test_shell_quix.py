"""That the inside of Quix Streams is still where `infra.shell.quix` reaches for it, and that it calls back in the order we rely on."""

import inspect
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from quixstreams import Application
from quixstreams.checkpointing import Checkpoint
from quixstreams.dataframe import DataFrameRegistry
from quixstreams.internal_producer import InternalProducer
from quixstreams.processing import ProcessingContext
from quixstreams.sinks import SinkManager
from quixstreams.state.rocksdb import RocksDBStore, RocksDBStorePartition

from infra import kafka
from infra.shell.changelog import changelog
from infra.shell.processor import Inbound
from infra.shell.quix import QuixShell, Store, Timing, _PlainPartition
from topics.catalog import Topic

INPUT = Topic("numbers", partitions=2)


def test_the_version_is_the_one_that_was_read() -> None:
    assert metadata.version("quixstreams").startswith("3.28.")


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (Application._on_assign, ["self", "_", "topic_partitions"]),
        (Application._on_revoke, ["self", "_", "topic_partitions"]),
        (Application._on_lost, ["self", "_", "topic_partitions"]),
        (Application._setup_signal_handlers, ["self"]),
        (Application._get_internal_producer, ["self", "on_error", "transactional"]),
        (InternalProducer.commit_transaction, ["self", "positions", "group_metadata", "timeout"]),
        (Checkpoint.close, ["self", "revoking"]),
        (ProcessingContext.init_checkpoint, ["self"]),
        (Checkpoint.get_store_transaction, ["self", "stream_id", "partition", "store_name"]),
        (DataFrameRegistry.register_periodic_task, ["self", "task"]),
        (SinkManager.register, ["self", "sink"]),
        (RocksDBStore.create_new_partition, ["self", "partition"]),
        (RocksDBStorePartition.iter_items, ["self", "lower_bound", "upper_bound", "backwards", "cf_name"]),
    ],
)
def test_what_we_override_or_call_has_not_moved(function: Callable[..., Any], parameters: list[str]) -> None:
    assert list(inspect.signature(function).parameters) == parameters


def test_a_partition_keeps_bytes_as_they_are_and_lists_a_range_in_order(tmp_path: Path) -> None:
    partition = _PlainPartition(str(tmp_path / "0"))
    values = {b"\x01b": b"\x01" + bytes(7), b"\x01a": bytes(16), b"\x00fence": b"\x01f", b"\x02": b"x"}
    with partition.begin() as transaction:
        for key, value in values.items():
            transaction.set_bytes(key, value, prefix=b"")
    partition.close()  # type: ignore[no-untyped-call]
    partition = _PlainPartition(str(tmp_path / "0"))
    assert list(partition.iter_items(b"\x01", b"\x02")) == [(k, values[k]) for k in (b"\x01a", b"\x01b")]
    assert partition.begin().get_bytes(b"\x00fence", prefix=b"") == b"\x01f"
    partition.close()  # type: ignore[no-untyped-call]


class Recorder:
    """Writes down what is called, in order, and stops the application after so many records."""

    app: QuixShell

    def __init__(self, records: int = 3) -> None:
        self.records = records
        self.calls: list[Any] = []
        self.found: list[dict[bytes, bytes]] = []

    def record(self, inbound: Inbound) -> None:
        self.calls.append(("record", inbound.partition, inbound.offset, inbound.value))
        self.found.append(dict(Store(self.app, inbound.partition).items(b"\x01", b"\x02")))

    def assigned(self, ranges: dict[int, tuple[int, int]]) -> None:
        self.calls.append(("assigned", ranges))

    def dropped(self) -> None:
        self.calls.append("dropped")

    def checkpoint(self) -> None:
        self.calls.append("checkpoint")
        store = Store(self.app, 1)
        store.set(b"\x01count", b"\x01" + str(len(self.found)).encode())
        assert store.get(b"\x01count") is not None

    def committed(self, offsets: dict[int, int]) -> None:
        self.calls.append(("committed", offsets))

    def stopped(self) -> None: ...

    def idle(self) -> None:
        if len(self.found) >= self.records:
            self.app.stop()

    def go_on(self) -> None: ...


@pytest.fixture
def make(kafka_conf: dict[str, str], run_prefix: str, tmp_path: Path) -> Callable[..., QuixShell]:
    """An application with three records in partition 1 of its input; ``home`` is where its state is kept."""
    name = kafka.physical(run_prefix, INPUT)
    kafka.create_topics(kafka_conf, run_prefix, topics=[INPUT])
    kafka.create_topics(kafka_conf, "", topics=[changelog(f"{run_prefix}.group", name, INPUT.partitions)])
    producer = kafka.producer(kafka_conf)
    for value in (b"one", b"two", b"three"):
        producer.produce(name, value, partition=1)
    producer.flush()

    def make(callbacks: Recorder, home: str = "home") -> QuixShell:
        callbacks.app = QuixShell(
            kafka_conf,
            group=f"{run_prefix}.group",
            member=f"{run_prefix}.member",
            input_name=name,
            state_dir=tmp_path / home,
            timing=Timing(commit_interval_s=600),
            callbacks=callbacks,
        )
        return callbacks.app

    return make


RECORDS = [("record", 1, offset, value) for offset, value in enumerate((b"one", b"two", b"three"))]


def test_a_checkpoint_takes_the_state_before_it_commits_and_a_cold_start_finds_it(
    make: Callable[..., QuixShell], run_prefix: str, kafka_conf: dict[str, str]
) -> None:
    first = Recorder()
    make(first).run()
    begin = ("assigned", {0: (0, 0), 1: (0, 3)})
    assert first.calls == [begin, *RECORDS, "checkpoint", ("committed", {1: 3}), "dropped"]
    assert first.found == [{}, {}, {}]

    producer = kafka.producer(kafka_conf)
    producer.produce(kafka.physical(run_prefix, INPUT), b"four", partition=1)
    producer.flush()
    second = Recorder(records=1)
    make(second, home="another").run()
    assert second.calls[:2] == [("assigned", {0: (0, 0), 1: (3, 4)}), ("record", 1, 3, b"four")]
    assert second.found == [{b"\x01count": b"\x013"}]


def test_a_checkpoint_that_fails_commits_nothing(make: Callable[..., QuixShell]) -> None:
    class Failing(Recorder):
        def checkpoint(self) -> None:
            super().checkpoint()
            raise BrokenPipeError("the outputs did not get out")

    failing = Failing()
    with pytest.raises(BrokenPipeError):
        make(failing).run()
    assert failing.calls[-2:] == ["checkpoint", "dropped"]
    again = Recorder()
    make(again, home="another").run()
    assert again.calls[1:4] == RECORDS
    assert again.found[0] == {}


def test_an_error_in_the_fold_comes_out_as_it_is_and_commits_nothing(make: Callable[..., QuixShell]) -> None:
    class Failing(Recorder):
        def record(self, inbound: Inbound) -> None:
            super().record(inbound)
            raise ArithmeticError("no")

    failing = Failing()
    with pytest.raises(ArithmeticError):
        make(failing).run()
    assert failing.calls[1:] == [RECORDS[0], "dropped"]
