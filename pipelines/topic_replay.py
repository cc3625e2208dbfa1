"""`tapedeck replay`: recorded records written once more into a topic of the configured run, for the running system to work on.

It is an edge of its own (`replay.<name>`, epoch, n), so that whoever folds the topic takes each of them once, and a second play of the same
tape as news. Bytes, keys and partitions stay; where a record stood before is in its header `origin`.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from infra import kafka
from infra.config import Config
from infra.edge import Edge
from infra.errors import Hopeless
from pipelines.pacing import Pacing
from pipelines.partitioning import partition_of
from pipelines.topic_source import Played, TopicSource
from topics.catalog import MARKET_BARS, MARKET_EVENTS, MARKET_RAW, TICKED, Topic

ORIGIN_HEADER = "origin"
LONGEST_WAIT_S = 0.1
NS = 1_000_000_000
MARKET = frozenset({MARKET_RAW, MARKET_EVENTS, MARKET_BARS})
"""What may be played into a run that trades: it happened outside of it."""


@dataclass(frozen=True)
class Chosen:
    """What of a tape is played: times in nanoseconds, ``until`` excluded; all keys where none is named."""

    since: int = 0
    until: int | None = None
    keys: frozenset[bytes] = field(default_factory=frozenset)

    def of(self, source: TopicSource, target: Topic) -> Iterator[Played]:
        """In order. Keyless records of a topic that the clock writes to are its ticks: the run's own clock makes them."""
        for record in source.records():
            is_tick = record.key is None and target in TICKED
            in_time = record.ts >= self.since and (self.until is None or record.ts < self.until)
            if in_time and not is_tick and (not self.keys or record.key in self.keys):
                yield record


def check(source: TopicSource, target: Topic, partitions: int, chosen: Chosen) -> int:
    """How many records there are to play. Problem for what cannot be played there."""
    if target.compacted:
        raise Hopeless(f"{target.name} holds states, which its writer makes: play the log that they are folded from")
    _check_types(source.topic, target)
    if partitions != target.partitions:
        raise Hopeless(f"{target.name} has {partitions} partitions, not {target.partitions}: use another run name")
    count = 0
    for record in chosen.of(source, target):
        count += 1
        if record.key is not None and record.partition not in (None, partition_of(record.key, partitions)):
            raise Hopeless(
                f"{source.name}: key {record.key.decode(errors='replace')} was on partition {record.partition}, on {target.name} it would be "
                f"on {partition_of(record.key, partitions)}: the target is partitioned otherwise"
            )
        if record.key is None and (record.partition or 0) >= partitions:
            raise Hopeless(f"{source.name}: {target.name} has no partition {record.partition}")
    if count == 0:
        raise Hopeless(f"{source.name}: nothing to play in what was chosen")
    return count


def _check_types(source: Topic, target: Topic) -> None:
    if not source.types or not target.types:
        if source is not target:
            raise Hopeless(
                f"{source.name} cannot be played into {target.name}: frames as received are played into their own topic"
            )
        return
    foreign = [t.__name__ for t in source.types if t not in target.types]
    if foreign:
        raise Hopeless(f"{source.name} cannot be played into {target.name}, which holds no {foreign[0]}")


def partitions_of(conf: kafka.KafkaConf, config: Config, target: Topic) -> int:
    """KafkaProblem when the run has no such topic."""
    name = kafka.physical(config.prefix, target)
    return len(kafka.watermarks(conf, [name])[name])


def play(
    records: Iterator[Played],
    edge: Edge,
    target: Topic,
    pacing: Pacing,
    *,
    stopped: Callable[[], bool] = lambda: False,
    played: Callable[[Played], None] = lambda record: None,
    clock: Callable[[], int] = time.monotonic_ns,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Write each when it is due; how many were written, every one acknowledged by the broker. EdgeFailed when it does not answer."""
    began, count = clock(), 0
    for record in records:
        if not _wait(began + pacing.due(record.ts), stopped, clock, sleep):
            break
        key = None if record.key is None else record.key.decode()
        partition = (record.partition or 0) if key is None else -1
        edge.publish_raw(
            target, key, record.value, partition=partition, more_headers=[(ORIGIN_HEADER, record.origin.encode())]
        )
        count += 1
        played(record)
    edge.flush(60)
    return count


def _wait(due: int, stopped: Callable[[], bool], clock: Callable[[], int], sleep: Callable[[float], None]) -> bool:
    """False when told to stop meanwhile."""
    while not stopped():
        left = (due - clock()) / NS
        if left <= 0:
            return True
        sleep(min(left, LONGEST_WAIT_S))
    return False
