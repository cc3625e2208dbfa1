"""A stage's metrics: its status, its histograms, and what the stage itself has to show (its exhibit)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from prometheus_client.core import Metric

from infra.metrics import LONG, SHORT, Histogram, catalog
from infra.metrics.words import stated
from infra.shell.status import Status
from topics.catalog import Topic
from topics.record import Record


class Exhibit(Protocol):
    """Follows what a stage writes. All but ``collect`` is called by the thread that folds; ``collect`` by another."""

    wants_states: bool
    """For stages whose states are few: all of them are shown to it once a second."""

    alarm: str
    """What somebody should look at, for the status; empty while all is well."""

    def written(self, topic: Topic, records: Sequence[Record]) -> None:
        """Records that leave for one topic and key."""

    def stand(self, states: Mapping[str, Any]) -> None:
        """Every state of the assigned partitions, by key."""

    def forgotten(self) -> None:
        """The partitions are another worker's now."""

    def collect(self) -> Iterable[Metric]: ...


class Nothing:
    """A stage without an exhibit."""

    wants_states = False
    alarm = ""

    def written(self, topic: Topic, records: Sequence[Record]) -> None:
        pass

    def stand(self, states: Mapping[str, Any]) -> None:
        pass

    def forgotten(self) -> None:
        pass

    def collect(self) -> Iterable[Metric]:
        return ()


class StageMetrics:
    """``processing`` and ``checkpoint`` are observed by the worker, the rest is read from its status at a scrape."""

    def __init__(self, status: Status, exhibit: Exhibit) -> None:
        self.processing = Histogram(SHORT)
        self.checkpoint = Histogram(LONG)
        self._status = status
        self._exhibit = exhibit

    def collect(self) -> Iterator[Metric]:
        status = self._status
        yield from stated(msgspec.structs.asdict(status))
        yield catalog.PROCESSING.histograms([((), self.processing)])
        yield catalog.CHECKPOINT.histograms([((), self.checkpoint)])
        for spec, offsets in ((catalog.COMMITTED, status.committed), (catalog.END, status.ends)):
            known = [(p, offsets.get(p)) for p in status.partitions]
            yield spec.of(((str(p),), offset) for p, offset in known if offset is not None)
        yield from self._exhibit.collect()
