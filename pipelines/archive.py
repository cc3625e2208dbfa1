"""Sink ``archive``: every topic to Parquet under ``<run_dir>/archive``, one row per Kafka record, the bytes as they are on the tape.

What reports read whole is kept typed beside it (``infra.typed``), a step behind.
"""

import threading
import time
from collections import defaultdict
from pathlib import Path

from infra import archive, typed
from infra.config import Config
from infra.kafka import KafkaConf
from infra.metrics import Exposition
from infra.tail import Place, Tail, Taken, places, topic_ids
from pipelines.sinks import SinkStatus, follow
from topics.catalog import TOPICS

STAGE = "archive"
MOST = 1000
MOST_BYTES = 64 * 1024 * 1024
"""Held in memory at most, beside what the consumer has fetched."""
MERGED_BYTES = 64 * 1024 * 1024


def archive_dir(config: Config) -> Path:
    return config.run_dir / "archive"


def run_archive(
    config: Config, kafka_conf: KafkaConf, stop: threading.Event, exposition: Exposition | None = None
) -> None:
    """Until ``stop``; with ``stop`` already set, up to the end of the tape. Raises what it cannot go on with."""
    topics = tuple(TOPICS.values())
    root, ids = archive_dir(config), topic_ids(kafka_conf, config.prefix, topics)
    for place in places(topics):
        archive.clean(root, place)
        archive.check_identity(root, place, ids[place.topic])
    typed.clean(root)
    starts = {place: start for place in places(topics) if (start := archive.next_offset(root, place)) is not None}
    status = SinkStatus(config.run_dir, STAGE)
    if exposition is not None:
        exposition.add(status)
    buffer = Buffer(root, config.archive.flush_every_s, config.archive.max_rows)
    with Tail(kafka_conf, config.prefix, topics, ids, starts) as tail:

        def write(taken: list[Taken]) -> None:
            buffer.add(taken)
            if buffer.due:
                status.records_out += buffer.flush()

        follow(tail, write, status, stop, most=MOST)
        status.records_out += buffer.flush()
        status.write()


class Buffer:
    """Records until they are worth a file: by time, by rows, by bytes."""

    def __init__(self, root: Path, flush_every_s: float, max_rows: int) -> None:
        self._root = root
        self._every_s = flush_every_s
        self._max_rows = max_rows
        self._held: dict[Place, list[Taken]] = defaultdict(list)
        self._rows = self._bytes = 0
        self._flushed = time.monotonic()

    def add(self, taken: list[Taken]) -> None:
        for one in taken:
            self._held[one.place].append(one)
            self._bytes += len(one.value or b"")
        self._rows += len(taken)

    @property
    def due(self) -> bool:
        late = time.monotonic() - self._flushed >= self._every_s
        return self._rows > 0 and (late or self._rows >= self._max_rows or self._bytes >= MOST_BYTES)

    def flush(self) -> int:
        """Write everything held; the number of records."""
        rows = self._rows
        for place, held in self._held.items():
            archive.write(self._root, place, held)
            archive.merge(self._root, place, MERGED_BYTES)
            if TOPICS[place.topic] in typed.TOPICS:
                typed.derive(self._root, TOPICS[place.topic], place.partition)
        self._held.clear()
        self._rows = self._bytes = 0
        self._flushed = time.monotonic()
        return rows
