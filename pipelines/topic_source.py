"""What can be played into a topic: a run's archive, a topic of a run on the broker, or captures. One stream of records in the order of
time, each with the time it was recorded at.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from infra import kafka
from infra.errors import Hopeless
from pipelines import archive_reader
from pipelines.archive_reader import Row
from pipelines.backtest_recordings import feeds
from pipelines.backtest_source import Captures, are_captures
from pipelines.raw import decode_lines, encode_line
from pipelines.recorded_run import LiveRun
from topics import wire
from topics.catalog import MARKET_RAW, TOPICS, Topic
from topics.record import Venue
from topics.wire import BadRecord

MS = 1_000_000


class Played(NamedTuple):
    """``ts`` in nanoseconds. ``partition``: where it stood, None where that was no topic. ``origin``: its place and the coordinate it had."""

    ts: int
    partition: int | None
    key: bytes | None
    value: bytes
    origin: str


@dataclass(frozen=True)
class TopicSource:
    """``records`` may be asked for several times."""

    name: str
    topic: Topic
    records: Callable[[], Iterator[Played]]


def archived(path: Path, topic: Topic) -> TopicSource:
    """A run's folder, its archive, or one topic's folder in it. Problem where the topic was not archived."""
    of_topic = path.name == topic.name and any(path.glob("*/*.parquet"))
    root = path.parent if of_topic else archive_reader.archive_of(path)
    if not archive_reader.partitions(root, topic):
        raise Hopeless(f"{root}: {topic.name} is not in this archive")
    time_of = _time(topic)

    def merged() -> Iterator[tuple[int, Row]]:
        parts = (archive_reader.rows(root, topic, p) for p in archive_reader.partitions(root, topic))
        return heapq.merge(*(archive_reader.timed(part, time_of) for part in parts), key=lambda one: one[0])

    return TopicSource(f"{root / topic.name}", topic, lambda: _played(topic, merged()))


def on_broker(conf: kafka.KafkaConf, prefix: str, topic: Topic) -> TopicSource:
    """A topic of a run as it stands now, read into memory. KafkaProblem when there is none."""
    run, time_of = LiveRun(conf, prefix), _time(topic)
    run.partitions(topic)

    def merged() -> Iterator[tuple[int, Row]]:
        return heapq.merge(
            *(archive_reader.timed(run.rows(topic, p), time_of) for p in run.partitions(topic)), key=lambda one: one[0]
        )

    return TopicSource(kafka.physical(prefix, topic), topic, lambda: _played(topic, merged()))


def captured(paths: Sequence[Path], venue: Venue, venues: Mapping[str, Venue] | None = None) -> TopicSource:
    """Captures as ``market.raw`` has them: hftbacktest's of Binance spot are ``venue``'s, of others ``venues`` says by adapter whose."""
    if not are_captures(paths):
        return _recorded(paths, venues or {})
    captures = Captures(paths, venue)

    def records() -> Iterator[Played]:
        for number, arrival in enumerate(captures.arrivals()):
            yield Played(arrival.ts, None, arrival.key, arrival.value, f"{captures.name}:{number}")

    return TopicSource(captures.name, MARKET_RAW, records)


def _recorded(paths: Sequence[Path], venues: Mapping[str, Venue]) -> TopicSource:
    """What ingest would have written. Problem where no venue of that kind is configured."""
    found, name = feeds(paths, venues), ", ".join(path.name for path in paths)
    for feed in found:
        if feed.adapter not in venues:
            raise Hopeless(f"{name}: a recording of {feed.adapter}, and no venue with that adapter is configured")

    def records() -> Iterator[Played]:
        lines = heapq.merge(*(feed.lines() for feed in found), key=lambda line: line.ts)
        for number, line in enumerate(lines):
            yield Played(
                line.ts, None, line.key.encode(), encode_line(line.ts, line.key, line.frame), f"{name}:{number}"
            )

    return TopicSource(name, MARKET_RAW, records)


def _played(topic: Topic, rows: Iterator[tuple[int, Row]]) -> Iterator[Played]:
    for ts, row in rows:
        origin = f"{topic.name}/{row.partition}@{row.offset}" + ("" if row.src is None else f" {row.src}")
        if row.value is not None:
            yield Played(ts, row.partition, row.key, row.value, origin)


def _time(topic: Topic) -> Callable[[Row], int]:
    """By the records' own time where they tell it, since a broker's is that of an earlier play."""

    def of_lines(row: Row) -> int:
        lines = decode_lines(row.value or b"")
        return lines[-1].ts if lines and lines[-1].ts else row.timestamp_ms * MS

    def of_events(row: Row) -> int:
        try:
            events = wire.decode(row.value or b"", topic.types)
        except BadRecord:
            return row.timestamp_ms * MS
        told = getattr(events[-1], "ts_init", 0) if events else 0
        return told or row.timestamp_ms * MS

    return of_events if topic.types else of_lines


def topic_named(name: str) -> Topic:
    if name not in TOPICS:
        raise Hopeless(f"no topic named {name!r}: one of {', '.join(sorted(TOPICS))}")
    return TOPICS[name]
