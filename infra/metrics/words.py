"""What every worker's status file says, as metrics."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client.core import Metric

from infra.metrics import catalog
from infra.metrics.catalog import Spec

Stated = Mapping[str, Any]

COUNTED: dict[str, Spec] = {
    "records_in": catalog.RECORDS_IN,
    "events_in": catalog.EVENTS_IN,
    "records_out": catalog.RECORDS_OUT,
    "dead_letters": catalog.DEAD_LETTERS,
    "skipped_by_fence": catalog.FENCED,
    "missing": catalog.MISSING,
    "lag": catalog.LAG,
}


def stated(words: Stated) -> Iterator[Metric]:
    """``ready``, ``ts`` and the counts of a status, as far as it has them."""
    yield catalog.READY.one(bool(words.get("ready")))
    if words.get("ts"):
        yield catalog.ALIVE.one(words["ts"] / 1e9)
    for name, spec in COUNTED.items():
        if words.get(name) is not None:
            yield spec.one(words[name])


class Words:
    """An edge's or a sink's last word on itself; ``own`` makes metrics of what only it has."""

    def __init__(self, own: Callable[[Stated], Iterable[Metric]] = lambda words: ()) -> None:
        self._own = own
        self._words: Stated = {}

    def say(self, words: Stated) -> None:
        self._words = words

    def collect(self) -> Iterator[Metric]:
        words = self._words
        if words:
            yield from stated(words)
            yield from self._own(words)
