"""What the sinks share: the loop that takes from the tape and writes, its status file, and the drain at the end.

A sink is not a stage: many topics, no folded state. It keeps its own offsets beside what it wrote. When it is told to stop it
first takes all that is on the tape by then; started with ``stop`` already set, it brings what it writes up to date and ends.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.core import Metric

from infra.metrics import LONG, Histogram, Words, catalog
from infra.tail import Tail, Taken
from pipelines.edge_process import EVERY_S, write_status

DRAIN_S = 20.0
POLL_S = 0.1

Write = Callable[[list[Taken]], None]


@dataclass
class SinkStatus:
    """A sink's word on itself, in the terms of a stage's. ``records_out`` counts what is durable at the other side."""

    run_dir: Path
    stage: str
    ready: bool = False
    records_in: int = 0
    records_out: int = 0
    lag: int = 0
    dead_letters: int = 0
    missing: int = 0
    told: Words = field(default_factory=Words)
    writing: Histogram = field(default_factory=lambda: Histogram(LONG))
    _due: float = 0.0

    @property
    def due(self) -> bool:
        return time.monotonic() >= self._due

    def write(self) -> None:
        self._due = time.monotonic() + EVERY_S
        words = {
            name: value for name, value in vars(self).items() if name not in ("run_dir", "told", "writing", "_due")
        }
        self.told.say({"ts": time.time_ns(), **words})
        write_status(self.run_dir / "status" / f"{self.stage}.0.json", {"instance": 0, **words})

    def collect(self) -> Iterator[Metric]:
        yield from self.told.collect()
        yield catalog.PROCESSING.histograms([((), self.writing)])


def follow(tail: Tail, write: Write, status: SinkStatus, stop: threading.Event, *, most: int) -> None:
    """Until ``stop``, then up to the end of the tape as of then (DRAIN_S at most).

    ``write`` is called with an empty list too, so that it notices time passing and, at the end, settles what it has begun.
    """
    status.ready, status.missing = True, tail.missing
    while not stop.is_set():
        _step(tail, write, status, most)
    ends, deadline = tail.ends(), time.monotonic() + DRAIN_S
    while tail.behind(ends) > 0 and time.monotonic() < deadline:
        _step(tail, write, status, most)
    write([])
    status.ready, status.lag = False, tail.behind(ends)
    status.write()


def _step(tail: Tail, write: Write, status: SinkStatus, most: int) -> None:
    taken = tail.take(most, POLL_S)
    status.records_in += len(taken)
    began = time.perf_counter()
    write(taken)
    if taken:
        status.writing.observe(time.perf_counter() - began)
    if status.due:
        status.lag = tail.lag()
        status.write()
