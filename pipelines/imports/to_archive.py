"""Imported records as the archive of a run that never was: ``market.events`` by partition and offset, as the archive sink writes it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path

from infra import archive
from infra.errors import Problem
from infra.tail import Place, Taken
from pipelines.imports.definitions import Event
from pipelines.partitioning import partition_of
from topics import wire
from topics.catalog import MARKET_EVENTS
from topics.market import Instrument
from topics.record import Record

ROWS = 50_000
TOPIC_ID = "imported"


def write(
    folder: Path,
    definitions: Sequence[Instrument],
    events: Iterable[Event],
    progress: Callable[[int], None] = lambda n: None,
) -> int:
    """Into ``<folder>/archive``; the number of records. Definitions come first. Problem where an archive is there already."""
    root = folder / "archive"
    if any(root.glob("*/*/*.parquet")):
        raise Problem(f"{root} holds an archive already: name another folder")
    writer = _Writer(root)
    for one in definitions:
        writer.add([one])
    for _, group in groupby(events, lambda event: (event.instrument, event.ts_init)):
        together = list(group)
        writer.add(together)
        progress(len(together))
    writer.flush()
    return writer.records


class _Writer:
    def __init__(self, root: Path) -> None:
        self.records = 0
        self._root = root
        self._held: defaultdict[int, list[Taken]] = defaultdict(list)
        self._next: defaultdict[int, int] = defaultdict(int)

    def add(self, events: Sequence[Record]) -> None:
        """What was received at once is one record."""
        key = events[0].instrument.encode()  # type: ignore[attr-defined]
        partition = partition_of(key, MARKET_EVENTS.partitions)
        self._held[partition].append(self._taken(partition, key, events))
        self.records += 1
        if len(self._held[partition]) >= ROWS:
            self._write(partition)

    def flush(self) -> None:
        for partition in list(self._held):
            self._write(partition)

    def _taken(self, partition: int, key: bytes, events: Sequence[Record]) -> Taken:
        offset = self._next[partition]
        self._next[partition] += 1
        ms = events[-1].ts_init // 1_000_000  # type: ignore[attr-defined]
        return Taken(MARKET_EVENTS.name, TOPIC_ID, partition, offset, ms, key, wire.encode(events), None, None)

    def _write(self, partition: int) -> None:
        if self._held[partition]:
            archive.write(self._root, Place(MARKET_EVENTS.name, partition), self._held.pop(partition))
