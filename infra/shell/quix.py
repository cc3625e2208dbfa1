"""All that touches the inside of Quix Streams (3.28), in one place.

What is not its public API: the rebalance callbacks, the checkpoint's store transactions, the registries of sinks and
tasks, the classes of store and producer. `tests/infra/test_shell_quix.py` says when an upgrade moved one of them.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from quixstreams import Application, message_context
from quixstreams.exceptions import PartitionAssignmentError, QuixException
from quixstreams.internal_producer import InternalProducer
from quixstreams.kafka import ConnectionConfig
from quixstreams.sinks.base import BaseSink
from quixstreams.state import DEFAULT_STATE_STORE_NAME, StateStoreManager
from quixstreams.state.rocksdb import RocksDBStore, RocksDBStorePartition

from infra import kafka
from infra.shell.changelog import await_stable
from infra.shell.processor import Inbound

POLL_S = 0.05


@dataclass(frozen=True)
class Timing:
    """``session_s``: how long a dead worker's partitions wait for it before others take over. ``transaction_s``: how
    long an unfinished checkpoint may hold up its successor; the broker aborts it then. ``poll_s``: the longest that one
    record or checkpoint may take."""

    commit_interval_s: float = 0.5
    session_s: float = 10.0
    transaction_s: float = 10.0
    poll_s: float = 300.0


@contextmanager
def translated(who: str) -> Iterator[None]:
    """What Kafka and Quix raise becomes a KafkaProblem in one line; the whole story stays its cause."""
    try:
        yield
    except (KafkaException, QuixException) as error:
        inner = error.__cause__ if isinstance(error, PartitionAssignmentError) else error
        if isinstance(inner, kafka.KafkaProblem):
            raise inner from None
        text = inner.args[0].str() if isinstance(inner, KafkaException) else str(inner)
        raise kafka.KafkaProblem(f"{who}: {text}") from error


class Callbacks(Protocol):
    """What the shell does when Quix calls; `checkpoint` may come from another thread, while the main one waits."""

    def record(self, inbound: Inbound) -> None: ...

    def assigned(self, ranges: dict[int, tuple[int, int]]) -> None:
        """Partition to (next offset, end as of now)."""

    def dropped(self) -> None:
        """The partitions, or what was folded since the last checkpoint, are no longer ours."""

    def checkpoint(self) -> None:
        """Make outputs durable and write the state back; what is raised here aborts the checkpoint."""

    def committed(self, offsets: dict[int, int]) -> None: ...

    def idle(self) -> None:
        """Once per turn of the loop."""

    def stopped(self) -> None:
        """The loop has ended as asked, its last checkpoint is done, and the partitions are still ours."""

    def go_on(self) -> None:
        """Called in long waits: raises what ends them."""


class Store:
    """A partition's state within the current checkpoint. No prefixes: the caller's keys are the store's."""

    def __init__(self, app: "QuixShell", partition: int) -> None:
        self._app = app
        self._partition = partition

    def get(self, key: bytes) -> bytes | None:
        return self._transaction().get_bytes(key, prefix=b"")  # type: ignore[no-any-return]

    def set(self, key: bytes, value: bytes) -> None:
        self._transaction().set_bytes(key, value, prefix=b"")

    def items(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        return self._transaction()._partition.iter_items(first, end)  # type: ignore[no-any-return]

    def _transaction(self) -> Any:
        return self._app.store_transaction(self._partition)


class QuixShell(Application):
    """One stage's consumer, state store and transactional producer. ``run()`` until stopped, in the main thread."""

    def __init__(
        self,
        conf: kafka.KafkaConf,
        *,
        group: str,
        member: str,
        input_name: str,
        state_dir: Path,
        timing: Timing,
        callbacks: Callbacks,
    ) -> None:
        self._callbacks = callbacks
        self._input_name = input_name
        self._timing = timing
        self._admin = AdminClient(dict(conf))
        super().__init__(
            ConnectionConfig.from_librdkafka_dict(dict(conf), ignore_extras=True),
            consumer_group=group,
            state_dir=state_dir,
            processing_guarantee="exactly-once",  # of changelog and offsets; outputs go through our own producer
            commit_interval=timing.commit_interval_s,
            auto_offset_reset="earliest",
            auto_create_topics=False,
            auto_recover_from_source_offset_out_of_range=False,  # it would delete local state: fail loudly instead
            consumer_poll_timeout=POLL_S,
            consumer_extra_config=_consumer_config(conf, member, timing),
            producer_extra_config=_producer_config(conf, member, timing),
            on_processing_error=lambda error, row, logger: False,
            loglevel=None,
        )
        self._consumer.poll = partial(_poll_briefly, self._consumer.poll)  # type: ignore[method-assign]
        topic = self.topic(input_name, value_deserializer="bytes", key_deserializer="bytes")
        self._stream = self.dataframe(topic)
        self._stream.register_store()
        stores = self._state_manager.stores[self._stream.stream_id]
        stores[DEFAULT_STATE_STORE_NAME] = _PlainStore.like(stores[DEFAULT_STATE_STORE_NAME], self._state_manager)
        self._stream.apply(self._fold, metadata=True)
        self._processing_context.sink_manager.register(_WriteBehind(callbacks))
        self._dataframe_registry.register_periodic_task(callbacks.idle)

    def store_transaction(self, partition: int) -> Any:
        return self._processing_context.checkpoint.get_store_transaction(self._stream.stream_id, partition)

    def ends(self, partitions: tuple[int, ...]) -> dict[int, int]:
        """The end of each input partition as its last fetch showed it; absent before the first."""
        inputs = {p: TopicPartition(self._input_name, p) for p in partitions}
        ends = {p: self._consumer.get_watermark_offsets(tp, cached=True)[1] for p, tp in inputs.items()}
        return {p: end for p, end in ends.items() if end >= 0}

    def _fold(self, value: Any, key: Any, timestamp: Any, headers: Any) -> None:
        at = message_context()
        self._callbacks.record(Inbound(at.partition, at.offset, key, value, headers or ()))

    def _on_assign(self, consumer: Any, topic_partitions: list[TopicPartition]) -> None:
        changelogs = [tp for tp in topic_partitions if tp.topic != self._input_name]
        await_stable(self._admin, changelogs, self._timing.transaction_s + 30, self._callbacks.go_on)
        super()._on_assign(consumer, topic_partitions)
        self._callbacks.assigned(self._ranges([tp for tp in topic_partitions if tp.topic == self._input_name]))

    def _ranges(self, partitions: list[TopicPartition]) -> dict[int, tuple[int, int]]:
        ranges = {}
        for tp in self._consumer.committed(partitions, timeout=30) if partitions else ():
            low, high = self._consumer.get_watermark_offsets(TopicPartition(tp.topic, tp.partition), timeout=30)
            ranges[tp.partition] = (tp.offset if tp.offset >= 0 else low, high)
        return ranges

    def _run_dataframe(self, *args: Any, **kwargs: Any) -> None:
        super()._run_dataframe(*args, **kwargs)
        self._callbacks.stopped()

    def _on_revoke(self, consumer: Any, topic_partitions: list[TopicPartition]) -> None:
        try:
            super()._on_revoke(consumer, topic_partitions)
        finally:  # the revoke's checkpoint skips the local write, or failed: the live objects are ahead of the store
            self._callbacks.dropped()

    def _on_lost(self, consumer: Any, topic_partitions: list[TopicPartition]) -> None:
        try:
            super()._on_lost(consumer, topic_partitions)
        finally:
            self._callbacks.dropped()
        # Quix keeps the checkpoint: once rejoined, it would commit the offsets of what was folded without its state.
        self._processing_context.checkpoint.close()
        self._processing_context.init_checkpoint()  # type: ignore[no-untyped-call]

    def _setup_signal_handlers(self) -> None:
        """The worker's own handlers stand already."""

    def _get_internal_producer(self, on_error: Any = None, transactional: bool | None = None) -> InternalProducer:
        if transactional is False:
            return super()._get_internal_producer(on_error, transactional)
        return _TransactionalProducer(
            self._callbacks,
            self._input_name,
            broker_address=self._config.broker_address,
            extra_config=self._config.producer_extra_config,
            flush_timeout=self._config.flush_timeout,
            on_error=on_error,
            transactional=True,
        )


class _PlainPartition(RocksDBStorePartition):
    """Without expiry. Recovery would otherwise take a census of values without one, and the next start complain."""

    uses_ttl_stamps = False


class _PlainStore(RocksDBStore):
    @classmethod
    def like(cls, other: Any, manager: StateStoreManager) -> "_PlainStore":
        return cls(
            other.name,
            other.stream_id,
            base_dir=str(manager._state_dir),
            changelog_producer_factory=other._changelog_producer_factory,
            options=other._options,
            stop_event=other._stop_event,
            open_deadline=other._open_deadline,
        )

    def create_new_partition(self, partition: int) -> RocksDBStorePartition:
        producers = self._changelog_producer_factory
        return _PlainPartition(
            path=str(self._partitions_dir / str(partition)),
            options=self._options,
            changelog_producer=None if producers is None else producers.get_partition_producer(partition),
            stop_event=self._stop_event,
            open_deadline=self._open_deadline,
        )


class _TransactionalProducer(InternalProducer):
    """Writes the changelog and the offsets, and says what it committed."""

    def __init__(self, callbacks: Callbacks, input_name: str, **settings: Any) -> None:
        super().__init__(**settings)
        self._callbacks = callbacks
        self._input_name = input_name

    def commit_transaction(
        self, positions: list[TopicPartition], group_metadata: Any, timeout: float | None = None
    ) -> None:
        super().commit_transaction(positions, group_metadata, timeout)
        self._callbacks.committed({tp.partition: tp.offset for tp in positions if tp.topic == self._input_name})


class _WriteBehind(BaseSink):
    """Quix flushes sinks before it produces the changelog: the moment to hand it the live objects."""

    def __init__(self, callbacks: Callbacks) -> None:
        super().__init__(on_client_connect_success=lambda: None)
        self._callbacks = callbacks

    def flush(self) -> None:
        self._callbacks.checkpoint()

    def add(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("records do not pass through here")

    def on_paused(self) -> None:
        self._callbacks.dropped()


def _poll_briefly(poll: Callable[[float], Any], timeout: float | None = None) -> Any:
    """Recovery takes a poll without a record for its end, and would wait a whole second for that at every start."""
    return poll(POLL_S if timeout is None else min(timeout, POLL_S))


def _consumer_config(conf: kafka.KafkaConf, member: str, timing: Timing) -> dict[str, Any]:
    return {
        **conf,
        **kafka.CONSUMER,
        "group.instance.id": member,
        "session.timeout.ms": int(timing.session_s * 1000),
        "heartbeat.interval.ms": int(timing.session_s * 1000 / 5),
        "max.poll.interval.ms": int(timing.poll_s * 1000),
        "statistics.interval.ms": 0,
    }


def _producer_config(conf: kafka.KafkaConf, member: str, timing: Timing) -> dict[str, Any]:
    return {
        **conf,
        "transactional.id": member,
        "transaction.timeout.ms": int(timing.transaction_s * 1000),
        "linger.ms": 5,  # the changelog of many keys goes in batches, and is flushed anyway
        "message.max.bytes": kafka.PRODUCER["message.max.bytes"],
        "queue.buffering.max.kbytes": kafka.PRODUCER["queue.buffering.max.kbytes"],
        "socket.nagle.disable": True,
        "statistics.interval.ms": 0,
    }


logging.getLogger("quixstreams").setLevel(logging.WARNING)
