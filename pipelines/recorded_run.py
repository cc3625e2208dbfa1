"""A run as it was recorded: its topics from the archive, or live from the broker, under one interface."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from infra import kafka
from infra.shell.status import read_status
from pipelines import archive_reader
from pipelines.archive_reader import Row
from topics.catalog import Topic
from topics.coordinates import HEADER, VERSION_HEADER


class Recorded(Protocol):
    """Partitions are read in the order of offsets; asking again begins anew."""

    grows: bool
    """Whether a topic that is asked for later may reach further than one that was asked for before."""

    def topic_id(self, topic: Topic) -> str:
        """Empty where nothing was recorded."""

    def partitions(self, topic: Topic) -> list[int]: ...

    def rows(self, topic: Topic, partition: int, first: int = 0) -> Iterator[Row]:
        """From offset ``first`` on."""


class ArchivedRun:
    grows = False

    def __init__(self, root: Path) -> None:
        self._root = root

    def topic_id(self, topic: Topic) -> str:
        return archive_reader.topic_id(self._root, topic)

    def partitions(self, topic: Topic) -> list[int]:
        return archive_reader.partitions(self._root, topic)

    def rows(self, topic: Topic, partition: int, first: int = 0) -> Iterator[Row]:
        return archive_reader.rows(self._root, topic, partition, first)


class LiveRun:
    """The topics as of the first question about each."""

    grows = True

    def __init__(self, conf: kafka.KafkaConf, prefix: str) -> None:
        self._conf, self._prefix = conf, prefix
        self._rows: dict[str, dict[int, list[Row]]] = {}

    def topic_id(self, topic: Topic) -> str:
        name = kafka.physical(self._prefix, topic)
        return kafka.topic_ids(self._conf, [name])[name]

    def partitions(self, topic: Topic) -> list[int]:
        return sorted(self._read(topic))

    def rows(self, topic: Topic, partition: int, first: int = 0) -> Iterator[Row]:
        return (row for row in self._read(topic).get(partition, ()) if row.offset >= first)

    def _read(self, topic: Topic) -> dict[int, list[Row]]:
        if topic.name not in self._rows:
            found = self._rows[topic.name] = {}
            for message in kafka.read_all(self._conf, kafka.physical(self._prefix, topic)):
                row = _row(message)
                found.setdefault(row.partition, []).append(row)
        return self._rows[topic.name]


def _row(message: object) -> Row:
    from confluent_kafka import Message

    assert isinstance(message, Message)
    key, src, ver = message.key(), kafka.header(message, HEADER), kafka.header(message, VERSION_HEADER)
    return Row(
        message.partition() or 0,
        message.offset() or 0,
        message.timestamp()[1],
        key.encode() if isinstance(key, str) else key,
        message.value(),
        None if src is None else src.decode(errors="backslashreplace"),
        None if ver is None else ver.decode(errors="backslashreplace"),
    )


FRESH_NS = 5_000_000_000


def is_up(run_dir: Path, now_ns: int) -> bool:
    """Whether the run's archive worker has told of itself just now."""
    status = read_status(run_dir / "status" / "archive.0.json")
    return status is not None and status.ready and now_ns - status.ts < FRESH_NS


def committed(run_dir: Path, stage: str) -> dict[int, int]:
    """The next offset per input partition as of the stage's last checkpoint; empty where no status tells it."""
    found: dict[int, int] = {}
    for path in sorted((run_dir / "status").glob(f"{stage.replace('/', '-')}.*.json")):
        status = read_status(path)
        for partition, offset in {} if status is None else status.committed.items():
            found[partition] = max(offset, found.get(partition, 0))
    return found
