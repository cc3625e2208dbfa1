"""A run of toy stages on the real broker, and what should stand on the tape according to a fold in this process."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from infra import kafka
from infra.shell.live import STATES, VERSION
from infra.shell.status import Status, read_status, status_path
from infra.shell.worker import group_of
from tests.infra.shell_child import Orders
from tests.infra.shell_toys import STAGES
from topics import wire
from topics.catalog import (
    DEAD_LETTERS,
    MARKET_EVENTS,
    STAGE_LOG,
    STAGE_SNAPSHOTS,
    STRATEGY_INBOX,
    STRATEGY_RECORDS,
    Topic,
)
from topics.coordinates import HEADER, At, Coordinate
from topics.record import Record
from topics.routes import group
from topics.stage import EVERY, Stage

REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 60.0


def eventually(condition: Callable[[], Any], what: str, timeout_s: float = DEADLINE_S) -> Any:
    """The first true value; AssertionError when there is none in time."""
    deadline = time.monotonic() + timeout_s
    while True:
        if value := condition():
            return value
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.05)


class Child:
    """One worker process."""

    def __init__(self, orders: Orders, log: Path) -> None:
        self.orders = orders
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.infra.shell_child", msgspec.json.encode(orders).decode()],
                cwd=REPOSITORY,
                stdout=output,
                stderr=output,
            )

    def status(self) -> Status | None:
        found = read_status(status_path(Path(self.orders.state_dir), self.orders.stage, self.orders.instance))
        return found if found is not None and found.pid == self.process.pid else None

    def ready(self) -> Status:
        def is_ready() -> Status | None:
            assert self.process.poll() is None, f"the worker ended:\n{self.log.read_text()[-3000:]}"
            status = self.status()
            return status if status is not None and status.ready else None

        found: Status = eventually(is_ready, "the worker is ready")
        return found

    def frozen(self) -> None:
        process = psutil.Process(self.process.pid)
        eventually(lambda: process.status() == psutil.STATUS_STOPPED, "the worker froze")

    def wake(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        return self.process.wait(DEADLINE_S)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


class Run:
    """``feed`` writes to the first topic as an edge would; ``expected`` and ``seen`` are compared."""

    def __init__(self, conf: dict[str, str], prefix: str, home: Path) -> None:
        self.conf = conf
        self.prefix = prefix
        self.home = home
        self.children: list[Child] = []
        self._n = 0
        self._producer = kafka.producer(conf)
        topics = (MARKET_EVENTS, STRATEGY_INBOX, STRATEGY_RECORDS, STAGE_LOG, DEAD_LETTERS, STAGE_SNAPSHOTS)
        kafka.create_topics(conf, prefix, topics=topics)

    def start(self, stage: str, home: str = "home", **orders: Any) -> Child:
        state_dir = str(self.home / home / "state")
        child = Child(
            Orders(stage=stage, kafka=self.conf, prefix=self.prefix, state_dir=state_dir, **orders),
            self.home / f"{stage}.log",
        )
        self.children.append(child)
        return child

    def forget_state(self, home: str = "home") -> None:
        shutil.rmtree(self.home / home / "state")

    def feed(self, *records: Record, partition: int = -1, again: bool = False) -> None:
        """One Kafka record each; with ``again`` every one is delivered twice, as after an edge's retry."""
        for record in records:
            self._n += 1
            src = Coordinate("edge", "", 1, self._n).encode()
            for _ in range(2 if again else 1):
                self._produce(wire.encode([record]), getattr(record, "instrument", None), partition, src)
        self._producer.flush()

    def feed_raw(self, value: bytes, key: str, src: bytes | None = None) -> None:
        self._produce(value, key, -1, src)
        self._producer.flush()

    def _produce(self, value: bytes, key: str | None, partition: int, src: bytes | None) -> None:
        headers: list[tuple[str, str | bytes | None]] = [] if src is None else [(HEADER, src)]
        name = kafka.physical(self.prefix, MARKET_EVENTS)
        self._producer.produce(name, value, key, partition=partition, headers=headers)

    def committed(self, stage: str) -> None:
        """Wait until the stage's group has committed all of its input."""
        name = kafka.physical(self.prefix, STAGES[stage].input)
        client = kafka.consumer(self.conf, group_of(self.prefix, stage))
        try:
            ends = {p: high for p, (_, high) in kafka.watermarks(self.conf, [name])[name].items() if high}
            wanted = [TopicPartition(name, p) for p in ends]

            def reached() -> bool:
                try:
                    return all(tp.offset == ends[tp.partition] for tp in client.committed(wanted, timeout=10))
                except KafkaException:  # a broker that just started has no coordinator yet
                    return False

            eventually(reached, f"{stage} committed {ends}")
        finally:
            client.close()

    def messages(self, topic: Topic | str, *, isolation: str = "read_committed") -> list[Message]:
        """All of a topic, by partition and offset."""
        name = topic if isinstance(topic, str) else kafka.physical(self.prefix, topic)
        settings = {"enable.partition.eof": True, "isolation.level": isolation}
        client = kafka.consumer(self.conf, "reader", **settings)
        try:
            partitions = client.list_topics(name, timeout=10).topics[name].partitions
            client.assign([TopicPartition(name, p, 0) for p in partitions])
            found, left = [], set(partitions)
            while left:
                message = client.poll(10)
                assert message is not None, f"{name} ends"
                error = message.error()
                if error is None:
                    found.append(message)
                else:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    left.discard(message.partition())
            return sorted(found, key=lambda m: (m.partition(), m.offset()))
        finally:
            client.close()

    def seen(self, topic: Topic) -> dict[Coordinate, tuple[bytes, bytes]]:
        """What stands on the tape once duplicates by coordinate are dropped: they must be equal, and never overtake."""
        found: dict[Coordinate, tuple[bytes, bytes]] = {}
        last: dict[tuple[str, str, int], tuple[int, int]] = {}
        for message in self.messages(topic):
            c = _coordinate(message)
            value = (message.key() or b"", message.value() or b"")
            assert found.setdefault(c, value) == value, f"two records with the coordinate {c}"
            reach = last.get((c.producer, c.source, message.partition()), (-1, -1))
            if (c.major, c.minor) > reach:
                last[c.producer, c.source, message.partition()] = (c.major, c.minor)
        return found

    def check(self, stage: str, output: Topic) -> int:
        """Outputs and stored states equal those of a fold in this process, byte for byte. How many outputs."""
        expected, states = self.expected(stage)
        seen = self.seen(output)
        assert seen == expected
        assert self.stored(stage) == states
        return len(seen)

    def expected(self, stage: str) -> tuple[dict[Coordinate, tuple[bytes, bytes]], dict[tuple[int, str], bytes]]:
        """({coordinate: (key, value)}, {(partition, key): stored state})"""
        fold = _Reference(STAGES[stage], kafka.topic_ids(self.conf, [self._input(stage)])[self._input(stage)])
        for message in self.messages(STAGES[stage].input):
            fold.message(message)
        states = {k: VERSION + msgspec.msgpack.encode(s) for k, s in fold.states.items()}
        return fold.outputs, states

    def stored(self, stage: str) -> dict[tuple[int, str], bytes]:
        """The states that a cold start would find."""
        found: dict[tuple[int, str], bytes] = {}
        for message in self.messages(self.changelog(stage)):
            key = message.key() or b""
            if key.startswith(STATES):
                found[message.partition() or 0, key[len(STATES) :].decode()] = message.value() or b""
        return found

    def changelog(self, stage: str) -> str:
        return f"changelog__{group_of(self.prefix, stage)}--{self._input(stage)}--default"

    def close(self) -> None:
        for child in self.children:
            if child.process.poll() is None:
                child.kill()

    @property
    def input(self) -> str:
        """The first topic."""
        return kafka.physical(self.prefix, MARKET_EVENTS)

    def _input(self, stage: str) -> str:
        return kafka.physical(self.prefix, STAGES[stage].input)


class _Reference:
    """The plainest fold of a whole topic: a dict of states, no store, no restarts."""

    def __init__(self, stage: Stage[Any], topic_id: str) -> None:
        self.stage = stage
        self.topic_id = topic_id
        self.states: dict[tuple[int, str], Any] = {}
        self.outputs: dict[Coordinate, tuple[bytes, bytes]] = {}
        self._fence: dict[tuple[int, str, str], tuple[int, int]] = {}

    def message(self, message: Message) -> None:
        partition, offset = message.partition() or 0, message.offset() or 0
        if kafka.header(message, HEADER) is not None:
            c = _coordinate(message)
            if (c.major, c.minor) <= self._fence.get((partition, c.producer, c.source), (-1, -1)):
                return
            self._fence[partition, c.producer, c.source] = (c.major, c.minor)
        events = wire.decode(message.value() or b"", self.stage.input.types)
        outputs = [o for i, e in enumerate(events) for o in self._event(e, At(partition, offset, i))]
        source = f"{self.stage.input.name}@{self.topic_id}/{partition}"
        for minor, ((_, key), records) in enumerate(group(outputs, {}).items()):
            self.outputs[Coordinate(self.stage.name, source, offset, minor)] = (key.encode(), wire.encode(records))

    def _event(self, event: Any, at: At) -> Iterator[Record]:
        key = self.stage.state_key(event)
        keys = sorted(k for p, k in self.states if p == at.partition) if key == EVERY else [] if key is None else [key]
        for k in keys:
            self.states[at.partition, k], outputs = self.stage.on_event(self.states.get((at.partition, k)), event, at)
            yield from outputs


def _coordinate(message: Message) -> Coordinate:
    raw = kafka.header(message, HEADER)
    assert raw is not None
    return Coordinate.decode(raw)
