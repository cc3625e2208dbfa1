"""What parity has to know of strategies on the fast path: which they are, and how far one had read its inbox."""

from collections import Counter

from infra.config import Config
from pipelines.partitioning import partition_of
from pipelines.recorded_run import Recorded
from topics import wire
from topics.catalog import HOST_INBOX, ORDERS_INTENTS
from topics.coordinates import Coordinate
from topics.record import StrategyId
from topics.strategy import InboxSeen


def hosted_in(config: Config) -> list[StrategyId]:
    return sorted(name for name, s in config.strategies.items() if s.host == "grpc")


def inbox_taken(run: Recorded, strategy: StrategyId) -> dict[int, int]:
    """Per partition of ``strategy.inbox`` the offset up to which its host had read."""
    key, found = strategy.encode(), dict[int, int]()
    for row in run.rows(HOST_INBOX, partition_of(key, HOST_INBOX.partitions)):
        if row.key == key:
            for seen in wire.decode(row.value or b"", HOST_INBOX.types):
                if isinstance(seen, InboxSeen):
                    found[seen.partition] = max(found.get(seen.partition, 0), seen.offset + 1)
    return found


def commands_recorded(run: Recorded) -> Counter[StrategyId]:
    """Records of commands that a strategy made itself, by its name; an operator's have no coordinate of ``intents`` or ``host``."""
    found: Counter[StrategyId] = Counter()
    for partition in run.partitions(ORDERS_INTENTS):
        for row in run.rows(ORDERS_INTENTS, partition):
            try:
                kind, _, strategy = Coordinate.decode((row.src or "").encode()).producer.partition("/")
            except ValueError:
                continue
            if kind in ("intents", "host"):
                found[strategy] += 1
    return found
