"""What the measurements share: the services, topics of a run of their own, and processes that end with them."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from infra import kafka, services
from infra.shell.status import read_status, status_path
from tests.infra.shell_child import Orders
from topics.catalog import Topic

REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 60.0


def eventually(condition: Callable[[], Any], what: str, timeout_s: float = DEADLINE_S) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.02)
    return found


@dataclass
class Scene:
    """``home`` is temporary; topics are named after ``prefix`` and deleted at the end."""

    conf: dict[str, str]
    postgres: str
    prefix: str
    home: Path
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def run(self, *arguments: str, env: dict[str, str] | None = None) -> "subprocess.Popen[bytes]":
        """A Python process of this checkout; its output goes to a file in ``home``."""
        log = (self.home / f"{len(self.processes)}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=REPOSITORY, stdout=log, stderr=log, env={**os.environ, **(env or {})}
        )
        self.processes.append(process)
        return process

    def stage(self, name: str, **orders: Any) -> "subprocess.Popen[bytes]":
        """A toy stage (`tests.infra.shell_toys`) in the real shell, once it is ready."""
        state_dir = self.home / "home" / "state"
        asked = Orders(
            stage=name, kafka=self.conf, prefix=self.prefix, state_dir=str(state_dir), commit_interval_s=0.5, **orders
        )
        process = self.run("-m", "tests.infra.shell_child", msgspec.json.encode(asked).decode())

        def ready() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"stage {name} ended: {self.last_words()}")
            found = read_status(status_path(state_dir, name, 0))
            return found is not None and found.ready and found.pid == process.pid

        eventually(ready, f"{name} is ready")
        return process

    def last_words(self) -> str:
        return "\n".join(p.read_text()[-800:] for p in sorted(self.home.glob("*.log")))

    def topics(self, *topics: Topic) -> None:
        kafka.create_topics(self.conf, self.prefix, topics=topics)

    def physical(self, topic: Topic) -> str:
        return kafka.physical(self.prefix, topic)

    def reader(self, places: Iterable[tuple[str, int]]) -> Consumer:
        """From the end of each (topic, partition), positioned."""
        client = kafka.consumer(self.conf, f"bench-{uuid.uuid4().hex[:6]}")
        wanted = [TopicPartition(name, p, kafka.watermarks(self.conf, [name])[name][p][1]) for name, p in places]
        client.assign(wanted)
        client.poll(0.2)
        return client

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()

    def delete_topics(self) -> None:
        admin = AdminClient(dict(self.conf))
        names = [n for n in admin.list_topics(timeout=10).topics if self.prefix in n]
        for future in (admin.delete_topics(names, operation_timeout=30) if names else {}).values():
            try:
                future.result()
            except KafkaException:
                pass


@contextmanager
def scene(endpoints: services.Endpoints) -> Iterator[Scene]:
    home = Path(tempfile.mkdtemp(prefix="tapedeck-bench-"))
    made = Scene(dict(endpoints.kafka), endpoints.postgres, f"b{uuid.uuid4().hex[:8]}", home)
    try:
        yield made
    finally:
        made.stop()
        made.delete_topics()
        shutil.rmtree(home, ignore_errors=True)


def next_record(client: Consumer, timeout_s: float = 10.0) -> Message:
    deadline = time.monotonic() + timeout_s
    while True:
        message = client.poll(timeout_s)
        if message is not None and message.error() is None:
            return message
        if time.monotonic() > deadline:
            raise TimeoutError("no record came")
