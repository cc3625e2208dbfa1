"""Runs one stage in this process, until it is told to stop or breaks."""

import logging
import re
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from infra import kafka
from infra.edge import started
from infra.metrics import Exposition
from infra.shell.changelog import changelog, end_hanging
from infra.shell.metrics import Exhibit, Nothing, StageMetrics
from infra.shell.outputs import Outputs
from infra.shell.processor import Inbound, Processor
from infra.shell.progress import Progress
from infra.shell.quix import QuixShell, Store, Timing, translated
from infra.shell.snapshots import Snapshots
from infra.shell.status import Status, status_path
from topics.catalog import DEAD_LETTERS, STAGE_LOG
from topics.routes import Subscriptions
from topics.stage import Stage

STATUS_EVERY_S = 1.0

log = logging.getLogger(__name__)


def run_stage(
    stage: Stage[Any],
    *,
    kafka: kafka.KafkaConf,
    prefix: str,
    subscriptions: Subscriptions,
    state_dir: Path,
    config_digest: str,
    instance: int = 0,
    commit_interval_s: float | None = None,
    on_ready: Callable[[], None] | None = None,
    timing: Timing = Timing(),  # noqa: B008
    exposition: Exposition | None = None,
    exhibit: Exhibit = Nothing(),  # noqa: B008
    snapshot_every_s: float = 0.0,
) -> None:
    """Fold the stage's input until SIGTERM or SIGINT, then checkpoint and return. Main thread only, once per process.

    ``exposition`` gets the stage's metrics, with what the ``exhibit`` makes of its outputs. With ``snapshot_every_s``
    the state goes to ``stage.snapshots`` so often, and at the end.
    ``on_ready`` is called once, when all that waited at the assignment is folded. KafkaProblem without a broker or
    topics, or when a successor has fenced this worker; StageBroken when the fold raises. End the process then, and
    start another.
    """
    if commit_interval_s is not None:
        timing = replace(timing, commit_interval_s=commit_interval_s)
    with _Stop() as stop, translated(f"{stage.name}.{instance}"):
        worker = _Worker(
            stage,
            kafka,
            prefix,
            subscriptions,
            state_dir,
            config_digest,
            instance,
            timing,
            on_ready,
            stop,
            exhibit,
            snapshot_every_s,
        )
        if exposition is not None:
            exposition.add(worker.metrics)
        worker.run()


class _Stopped(BaseException):
    """Asked to stop while there is nothing to finish."""


class _Stop:
    """SIGTERM and SIGINT: at once while nothing runs yet, through the application afterwards."""

    def __init__(self) -> None:
        self.requested = False
        self.app: QuixShell | None = None

    def __enter__(self) -> "_Stop":
        self._before = {number: signal.signal(number, self._handle) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        return kind is _Stopped

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if self.app is None:
            raise _Stopped
        self.app.stop()


class _Worker:
    """The composition: what Quix calls back is answered here."""

    def __init__(
        self,
        stage: Stage[Any],
        conf: kafka.KafkaConf,
        prefix: str,
        subscriptions: Subscriptions,
        state_dir: Path,
        config_digest: str,
        instance: int,
        timing: Timing,
        on_ready: Callable[[], None] | None,
        stop: _Stop,
        exhibit: Exhibit,
        snapshot_every_s: float,
    ) -> None:
        self._stop = stop
        self._on_ready = on_ready
        self._status = Status(stage=stage.name, instance=instance)
        self._exhibit = exhibit
        self._holds_states = False
        self.metrics = StageMetrics(self._status, exhibit)
        self._status_path = status_path(state_dir, stage.name, instance)
        self._status_path.parent.mkdir(parents=True, exist_ok=True)
        self._status_due = 0.0
        self._checkpoint_began = 0.0
        self._progress = Progress()
        kafka.check_broker(conf, timeout_s=6)
        input_name = kafka.physical(prefix, stage.input)
        topic_id, partitions, replicas = _inspect(conf, prefix, input_name)
        group = group_of(prefix, stage.name)
        kept = changelog(group, input_name, partitions)
        kafka.create_topics(conf, "", replication_factor=replicas, topics=[kept])
        places, inputs = ([TopicPartition(name, p) for p in range(partitions)] for name in (kept.name, input_name))
        end_hanging(conf, group, f"{group}.{instance}", places, inputs)
        self._outputs = Outputs(
            conf,
            prefix,
            stage=stage.name,
            sources={p: f"{stage.input.name}@{topic_id}/{p}" for p in range(partitions)},
            subscriptions=subscriptions,
            config_digest=config_digest,
            count=self._count_out,
            show=exhibit.written,
        )
        self._app = QuixShell(
            conf,
            group=group,
            member=f"{group}.{instance}",
            input_name=input_name,
            state_dir=state_dir / str(instance),
            timing=timing,
            callbacks=self,
        )
        self._processor = Processor(stage, partial(Store, self._app), self._outputs.publish, self._status)
        self._snapshots = Snapshots(stage.name, stage.input.name, topic_id, snapshot_every_s, self._outputs.note)
        self._started = started(stage.name, instance, config_digest)

    def run(self) -> None:
        self._outputs.announce(self._started)
        self._write_status()
        self._stop.app = self._app
        try:
            self._app.run()
        finally:
            self._status.ready = False
            self._write_status()

    def record(self, inbound: Inbound) -> None:
        self._status.missing += self._progress.seen(inbound.partition, inbound.offset)
        began = time.perf_counter()
        self._processor.process(inbound)
        self.metrics.processing.observe(time.perf_counter() - began)

    def assigned(self, ranges: dict[int, tuple[int, int]]) -> None:
        self._progress.assign(ranges)
        self._status.partitions = tuple(sorted(ranges))
        self._holds_states = True
        log.info("%s.%d: partitions %s", self._status.stage, self._status.instance, list(self._status.partitions))

    def dropped(self) -> None:
        self._processor.forget()
        self._exhibit.forgotten()
        self._holds_states = False

    def checkpoint(self) -> None:
        self._checkpoint_began = time.monotonic()
        self._outputs.flush()
        self._processor.write_back()

    def stopped(self) -> None:
        if self._snapshots.wanted:
            self._snapshot()
            self._snapshots.write_all()
            self._outputs.flush()

    def _snapshot(self) -> None:
        began = time.monotonic()
        self._status.snapshots += self._snapshots.take(self._processor.entries(), self._progress.next_offsets)
        self._status.snapshot_s = time.monotonic() - began

    def committed(self, offsets: dict[int, int]) -> None:
        self._status.committed.update(offsets)
        self._status.checkpoints += 1
        self._status.checkpoint_s = time.monotonic() - self._checkpoint_began
        self.metrics.checkpoint.observe(self._status.checkpoint_s)

    def idle(self) -> None:
        if self._stop.requested:  # asked between the start of run() and that of its loop, where Quix forgets it
            self._app.stop()
        if not self._status.ready and self._progress.caught_up:
            self._become_ready()
        if self._snapshots.due(self._progress.next_offsets):
            self._snapshot()
        self._snapshots.write_some()
        if time.monotonic() >= self._status_due:
            self._write_status()

    def go_on(self) -> None:
        if self._stop.requested:
            raise _Stopped

    def _become_ready(self) -> None:
        self._status.ready = True
        self._write_status()
        log.info("%s.%d: ready", self._status.stage, self._status.instance)
        if self._on_ready is not None:
            self._on_ready()

    def _show_states(self) -> None:
        if not self._exhibit.wants_states or not self._holds_states or not self._status.ready:
            return
        parts = [self._processor.live(partition) for partition in self._status.partitions]
        self._exhibit.stand({key: part.get(key) for part in parts for key in part.keys()})  # noqa: SIM118 no dict
        self._status.alarm = self._exhibit.alarm

    def _write_status(self) -> None:
        self._status_due = time.monotonic() + STATUS_EVERY_S
        self._show_states()
        if self._status.partitions and self._status.ready:
            self._status.ends = self._app.ends(self._status.partitions)
            self._status.lag = self._progress.lag(self._status.ends)
        self._status.write(self._status_path)

    def _count_out(self, records: int) -> None:
        self._status.records_out += records


def group_of(prefix: str, stage: str) -> str:
    """The consumer group of a stage in a run; also the beginning of its members' ids and of its changelog's name."""
    name = f"{prefix}.{stage.replace('/', '-')}"
    if re.fullmatch(r"[A-Za-z0-9._-]+", name) is None:
        raise kafka.KafkaProblem(
            f"{name!r} cannot name a topic: use letters, digits, '.', '_' and '-' for runs and strategies"
        )
    return name


def _inspect(conf: kafka.KafkaConf, prefix: str, input_name: str) -> tuple[str, int, int]:
    """(topic id, partitions, replicas) of the input. KafkaProblem when it, or a topic every stage writes, is absent."""
    try:
        existing = AdminClient(dict(conf)).list_topics(timeout=10).topics
    except KafkaException as error:
        raise kafka.KafkaProblem(f"no answer from Kafka: {error.args[0].str()}") from None
    needed = (input_name, kafka.physical(prefix, STAGE_LOG), kafka.physical(prefix, DEAD_LETTERS))
    missing = [name for name in needed if name not in existing]
    if missing:
        raise kafka.KafkaProblem(f"no topic {', '.join(missing)}: create the topics of run {prefix!r} first")
    partitions = existing[input_name].partitions
    return kafka.topic_ids(conf, [input_name])[input_name], len(partitions), len(partitions[0].replicas)
