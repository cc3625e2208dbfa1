"""A recorded run as the input of a backtest: ``market.raw``, else ``market.events``, of its archive or its live topics."""

import heapq
from collections.abc import Callable, Iterator
from pathlib import Path

from infra.errors import Hopeless
from pipelines.archive_reader import Row, timed
from pipelines.backtest_arrivals import Arrival
from pipelines.raw import decode_lines
from pipelines.recorded_run import ArchivedRun, Recorded
from topics import wire
from topics.catalog import INSTRUMENTS, MARKET_EVENTS, MARKET_RAW, Topic
from topics.market import Instrument, Tick
from topics.record import InstrumentId


class RunSource:
    """A run's recorded market data, with the coordinates it had."""

    def __init__(self, name: str, run: Recorded) -> None:
        self.name = name
        self._run = run
        self._topic = MARKET_RAW if run.partitions(MARKET_RAW) else MARKET_EVENTS
        if not run.partitions(self._topic):
            raise Hopeless(f"{name}: neither {MARKET_RAW.name} nor {MARKET_EVENTS.name} was recorded there")
        self.instruments = _definitions(run)
        times = [arrival.ts for arrival in self.arrivals()]
        if not times or not self.instruments:
            raise Hopeless(f"{name}: no market data, or no instrument definitions, were recorded there")
        self.span = (times[0], times[-1])

    def arrivals(self) -> Iterator[Arrival]:
        time_of = _raw_time if self._topic is MARKET_RAW else _event_time
        for ts, row in self._merged(time_of):
            if row.key is not None and ts > 0:
                src = None if row.src is None else row.src.encode()
                yield Arrival(ts, self._topic, row.key, row.value or b"", src)

    def _merged(self, time_of: Callable[[Row], int]) -> Iterator[tuple[int, Row]]:
        """All partitions by time, each in its own order: a record is never earlier than the one before it."""
        run, topic = self._run, self._topic
        streams = [timed(run.rows(topic, partition), time_of) for partition in run.partitions(topic)]
        return heapq.merge(*streams, key=lambda found: found[0])


class Archive(RunSource):
    def __init__(self, root: Path) -> None:
        super().__init__(str(root), ArchivedRun(root))


def _raw_time(row: Row) -> int:
    """When the last of the record's frames was received."""
    lines = decode_lines(row.value or b"")
    return lines[-1].ts if lines else 0


def _event_time(row: Row) -> int:
    """Ticks are left out: a backtest has a clock of its own."""
    events = [] if row.key is None else wire.decode(row.value or b"", MARKET_EVENTS.types)
    return events[-1].ts_init if events and not isinstance(events[-1], Tick) else 0


def _definitions(run: Recorded) -> list[Instrument]:
    """The first of each instrument."""
    found: dict[InstrumentId, Instrument] = {}
    topic: Topic = INSTRUMENTS if run.partitions(INSTRUMENTS) else MARKET_EVENTS
    for partition in run.partitions(topic):
        for row in run.rows(topic, partition):
            if row.key is not None and b'"Instrument"' in (row.value or b""):
                for event in wire.decode(row.value or b"", topic.types):
                    if isinstance(event, Instrument):
                        found.setdefault(event.instrument, event)
    return [found[name] for name in sorted(found)]
