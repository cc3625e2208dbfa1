"""Sink ``archive``: every topic to Parquet under ``<run_dir>/archive``, one row per Kafka record, the bytes as they are on the tape.

What reports read whole is kept typed beside it (``infra.typed``), a step behind. Small files become large ones: the newest while they
are written, and every hour, when it is quiet, all that are left. What a merge replaces is removed a while later, so that whoever has
listed it can read it to the end.
"""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from infra import archive, typed
from infra.config import Config
from infra.kafka import KafkaConf
from infra.metrics import Exposition
from infra.tail import Place, Tail, Taken, places, topic_ids
from pipelines.sinks import SinkStatus, follow
from topics.catalog import TOPICS

STAGE = "archive"
OTHER_S = 30.0
"""For how long a worker that is on its way out may still hold the archive."""
MOST = 1000
MOST_BYTES = 64 * 1024 * 1024
"""Held in memory at most, beside what the consumer has fetched."""
KEPT_S = 300.0
"""Replaced files, for their readers."""
FIRST_S, PATIENCE_S = 60.0, 600.0
"""From the start to the first look at all files; for how long it waits for a quiet moment."""


def archive_dir(config: Config) -> Path:
    return config.run_dir / "archive"


def run_archive(
    config: Config, kafka_conf: KafkaConf, stop: threading.Event, exposition: Exposition | None = None
) -> None:
    """Until ``stop``; with ``stop`` already set, up to the end of the tape. Raises what it cannot go on with."""
    topics = tuple(TOPICS.values())
    root, ids = archive_dir(config), topic_ids(kafka_conf, config.prefix, topics)
    with archive.writing(root, OTHER_S):
        for place in places(topics):
            archive.clean(root, place)
            archive.check_identity(root, place, ids[place.topic])
        typed.clean(root)
        _follow(config, kafka_conf, ids, stop, exposition)


def _follow(
    config: Config,
    kafka_conf: KafkaConf,
    ids: Mapping[str, str],
    stop: threading.Event,
    exposition: Exposition | None,
) -> None:
    topics, root = tuple(TOPICS.values()), archive_dir(config)
    starts = {place: start for place in places(topics) if (start := archive.next_offset(root, place)) is not None}
    status = SinkStatus(config.run_dir, STAGE)
    if exposition is not None:
        exposition.add(status)
    later = Later(KEPT_S)
    buffer = Buffer(root, config.archive.flush_every_s, config.archive.max_rows, later)
    compactor = Compactor(root, config.archive.compact_every_s, later)
    with Tail(kafka_conf, config.prefix, topics, ids, starts) as tail:

        def write(taken: list[Taken]) -> None:
            buffer.add(taken)
            if buffer.due:
                status.records_out += buffer.flush()
            compactor.step(quiet=not taken)
            later.sweep()

        follow(tail, write, status, stop, most=MOST)
        status.records_out += buffer.flush()
        later.sweep(everything=True)
        status.write()


class Size(NamedTuple):
    files: int
    bytes: int


def compact_all(root: Path, progress: Callable[[str], None] = lambda topic: None) -> tuple[Size, Size]:
    """Every topic of an archive that no worker writes; its size before and after. ArchiveProblem where one does."""
    with archive.writing(root):
        before = _size(root)
        for place in places(tuple(TOPICS.values())):
            progress(place.topic)
            archive.clean(root, place)
            while archive.compact(root, place, archive.MERGED_BYTES):
                pass
        return before, _size(root)


def _size(root: Path) -> Size:
    sizes = [path.stat().st_size for name in TOPICS for path in (root / name).glob("*/*.parquet")]
    return Size(len(sizes), sum(sizes))


class Later:
    """Removes what it is given some time after."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._due: deque[tuple[float, Path]] = deque()

    def __call__(self, path: Path) -> None:
        self._due.append((time.monotonic() + self._after_s, path))

    def sweep(self, everything: bool = False) -> None:
        while self._due and (everything or self._due[0][0] <= time.monotonic()):
            self._due.popleft()[1].unlink(missing_ok=True)


class Compactor:
    """All small files of the archive, every so often, a few at a time and when it is quiet."""

    def __init__(self, root: Path, every_s: float, remove: archive.Remove) -> None:
        self._root, self._every_s, self._remove = root, every_s, remove
        self._due = time.monotonic() + min(FIRST_S, every_s)
        self._late = self._due
        self._waiting: deque[Place] = deque()

    def step(self, quiet: bool) -> None:
        now = time.monotonic()
        if now >= self._due:
            self._waiting = deque(places(tuple(TOPICS.values())))
            self._late, self._due = now + PATIENCE_S, now + self._every_s
        if self._waiting and (quiet or now >= self._late):
            done = not archive.compact(self._root, self._waiting[0], archive.MERGED_BYTES, self._remove)
            if done:
                self._waiting.popleft()


class Buffer:
    """Records until they are worth a file: by time, by rows, by bytes."""

    def __init__(self, root: Path, flush_every_s: float, max_rows: int, remove: archive.Remove = Path.unlink) -> None:
        self._root = root
        self._remove = remove
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
            archive.merge(self._root, place, archive.MERGED_BYTES, self._remove)
            if TOPICS[place.topic] in typed.TOPICS:
                typed.derive(self._root, TOPICS[place.topic], place.partition, remove=self._remove)
        self._held.clear()
        self._rows = self._bytes = 0
        self._flushed = time.monotonic()
        return rows
