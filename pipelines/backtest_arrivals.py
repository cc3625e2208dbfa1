"""What a source of a backtest is, and one that is in memory."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from infra.shell.processor import Inbound
from pipelines.folding import Fold
from pipelines.normalize import normalize_stage
from pipelines.partitioning import partition_of
from topics import wire
from topics.catalog import MARKET_EVENTS, MARKET_RAW, Topic
from topics.market import Instrument
from topics.record import Record, Venue
from topics.routes import routes


class Arrival(NamedTuple):
    """One record of the input as it is to be written to the tape at ``ts``; ``src`` None: it gets a coordinate there.

    ``events``: what ``value`` decodes to, where that was done already.
    """

    ts: int
    topic: Topic
    key: bytes
    value: bytes
    src: bytes | None
    events: Sequence[Any] | None = None


class Source(Protocol):
    """``span``: first and last time. ``arrivals`` may be asked for once more, from the beginning."""

    @property
    def name(self) -> str: ...

    @property
    def span(self) -> tuple[int, int]: ...

    @property
    def instruments(self) -> Sequence[Instrument]: ...

    def arrivals(self) -> Iterator[Arrival]: ...


class InMemory:
    """Arrivals read once, in their order: for many runs over the same input."""

    def __init__(self, name: str, instruments: Sequence[Instrument], arrivals: Sequence[Arrival]) -> None:
        self.name, self.instruments = name, instruments
        self.span = (arrivals[0].ts, arrivals[-1].ts)
        self._arrivals = arrivals

    def __len__(self) -> int:
        return len(self._arrivals)

    def arrivals(self) -> Iterator[Arrival]:
        return iter(self._arrivals)


def normalized(source: Source, venues: Mapping[Venue, str]) -> InMemory:
    """The source's market events, decoded: what normalize makes of it under these venues' adapters."""
    recorded = (a for a in source.arrivals() if a.topic is not MARKET_RAW)
    found = [a._replace(events=wire.decode(a.value, MARKET_EVENTS.types)) for a in recorded]
    if not found:
        found = list(_normalized(source, venues))
    return InMemory(source.name, source.instruments, found)


def _normalized(source: Source, venues: Mapping[Venue, str]) -> Iterator[Arrival]:
    out: list[Record] = []
    fold = Fold(normalize_stage(venues), lambda outputs, partition, offset: out.extend(outputs))
    for n, arrival in enumerate(source.arrivals()):
        fold.feed(Inbound(partition_of(arrival.key, MARKET_RAW.partitions), n, arrival.key, arrival.value, ()))
        events = [e for e in out if any(topic is MARKET_EVENTS for topic, _ in routes(e, {}))]
        out.clear()
        if events:
            yield Arrival(arrival.ts, MARKET_EVENTS, arrival.key, wire.encode(events), None, events)
