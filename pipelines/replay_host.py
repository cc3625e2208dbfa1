"""A hosted strategy replayed: its `host.inbox` is folded again in the order in which the host saw its inputs, signals are made anew from the
market records it refers to, and signals, copies and commands are compared with those recorded, byte for byte.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from infra.config import Config
from infra.shell.processor import Inbound
from pipelines.archive_reader import Row
from pipelines.host.fold import HostFold, Output, Seen, Sequence, producer_of, seen_of
from pipelines.partitioning import partition_of
from pipelines.recorded_run import Recorded
from pipelines.replay import Difference, Place, Range, Replayed, Side
from pipelines.workers import strategy_of
from topics import wire
from topics.catalog import (
    DEAD_LETTERS,
    HOST_INBOX,
    MARKET_EVENTS,
    ORDERS_INTENTS,
    STRATEGY_INBOX,
    STRATEGY_RECORDS,
    Topic,
)
from topics.coordinates import Coordinate
from topics.record import StrategyId
from topics.strategy import InboxSeen, MarketSeen

OUTPUTS = (ORDERS_INTENTS, STRATEGY_RECORDS, DEAD_LETTERS)


@dataclass
class _Known:
    side: Side
    place: Place


class _Rows:
    """One partition of a recorded topic, asked for growing offsets."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows
        self._next: Row | None = next(rows, None)

    def at(self, offset: int) -> Row | None:
        while self._next is not None and self._next.offset < offset:
            self._next = next(self._rows, None)
        return self._next if self._next is not None and self._next.offset == offset else None


def replay_host(
    strategy_id: StrategyId,
    config: Config,
    run: Recorded,
    *,
    within: Range = Range(),  # noqa: B008
    recode_every: int | None = None,
) -> Replayed:
    """``within`` are offsets of ``host.inbox``."""
    fold = HostFold(strategy_id, strategy_of(strategy_id, config), config.subscriptions()[strategy_id])
    fold.recode_every(recode_every)
    return _Comparison(fold, run, within).run()


class _Comparison:
    def __init__(self, fold: HostFold, run: Recorded, within: Range) -> None:
        self._fold, self._run, self._within = fold, run, within
        self._id = fold.strategy_id
        self._result = Replayed(producer_of(self._id))
        self._sequence = Sequence()
        self._passed_over = 0
        self._epochs: dict[int, int] = {}
        self._known: dict[tuple[str, int, int], _Known] = {}
        self._reached: dict[str, tuple[int, int]] = {}
        self._sources: dict[tuple[str, int], _Rows] = {}

    def run(self) -> Replayed:
        partition = partition_of(self._id.encode(), HOST_INBOX.partitions)
        inbox = self._run.rows(
            HOST_INBOX, partition
        )  # asked for first: of a run that goes on, the others then reach further
        self._index()
        for row in inbox:
            if row.key == self._id.encode():
                self._again(row)
            if self._result.difference is not None:
                return self._result
        self._left()
        self._check_whole(partition)
        if self._passed_over:
            self._result.notes.append(f"{self._passed_over} inputs that an ended epoch wrote late were passed over")
        return self._result

    def _index(self) -> None:
        for topic in OUTPUTS:
            for partition in self._run.partitions(topic):
                for row in self._run.rows(topic, partition):
                    if row.src is not None and row.src.startswith(f"{self._result.stage}|"):
                        self._note(topic, row)

    def _note(self, topic: Topic, row: Row) -> None:
        at = Coordinate.decode((row.src or "").encode())
        key, place = (topic.name, at.major, at.minor), Place(topic.name, row.partition, row.offset)
        self._result.segment(row.ver)
        self._reached[topic.name] = max(self._reached.get(topic.name, (-1, -1)), (at.major, at.minor))
        known, side = self._known.get(key), _side(topic, row)
        if known is None:
            self._known[key] = _Known(side, place)
            return
        self._result.repeated += 1
        if known.side != side:
            self._differs("delivered twice with other bytes", at, known.side, side, place)

    def _again(self, row: Row) -> None:
        at = Coordinate.decode((row.src or "").encode())
        if not self._sequence.is_next(at):
            self._passed_over += 1
            return
        self._epochs[at.major] = at.minor
        self._result.inputs += 1
        self._result.chosen += row.offset in self._within
        self._result.segment(row.ver)
        seen = seen_of(row.value or b"")
        if self._is_as_recorded(seen, row, at):
            for number, output in enumerate(self._fold.decide(seen, at.major, at.minor), start=1):
                self._compare(output, at._replace(minor=at.minor + number), row.offset)

    # --- inputs ------------------------------------------------------------------------------------------------------

    def _is_as_recorded(self, seen: Seen, row: Row, at: Coordinate) -> bool:
        match seen:
            case MarketSeen():
                return self._signals_are_equal(seen, row, at)
            case InboxSeen(dead=None):
                return self._copy_is_equal(seen, row, at)
        return True

    def _signals_are_equal(self, seen: MarketSeen, row: Row, at: Coordinate) -> bool:
        market = self._source(MARKET_EVENTS, seen.partition).at(seen.offset)
        if market is None:
            what = f"{MARKET_EVENTS.name}/{seen.partition}@{seen.offset}, which it saw, is not recorded"
            return self._differs(what, at, _side(HOST_INBOX, row), None, _place(row))
        inbound = Inbound(market.partition, market.offset, market.key, market.value, market.headers)
        made = Side(HOST_INBOX.name, row.key or b"", wire.encode([self._fold.see_market(inbound)]))
        return self._equal(_side(HOST_INBOX, row), made, "other signals", at, row)

    def _copy_is_equal(self, seen: InboxSeen, row: Row, at: Coordinate) -> bool:
        original = self._source(STRATEGY_INBOX, seen.partition).at(seen.offset)
        if original is None:
            return True  # of a run that is up, retention may have taken it
        copied = Side(STRATEGY_INBOX.name, original.key or b"", bytes(seen.events))
        return self._equal(copied, _side(STRATEGY_INBOX, original), "not what its inbox holds", at, row)

    def _equal(self, recorded: Side, replayed: Side, what: str, at: Coordinate, row: Row) -> bool:
        if recorded == replayed:
            self._result.equal += row.offset in self._within
            self._result.equal_in[recorded.topic] += row.offset in self._within
            return True
        return row.offset not in self._within or self._differs(what, at, recorded, replayed, _place(row))

    def _source(self, topic: Topic, partition: int) -> _Rows:
        if (topic.name, partition) not in self._sources:
            self._sources[topic.name, partition] = _Rows(self._run.rows(topic, partition))
        return self._sources[topic.name, partition]

    # --- outputs -----------------------------------------------------------------------------------------------------

    def _compare(self, output: Output, at: Coordinate, offset: int) -> None:
        known = self._known.pop((output.topic.name, at.major, at.minor), None)
        if offset not in self._within:
            return
        made = Side(output.topic.name, output.key.encode(), output.value)
        if known is not None and known.side == made:
            self._result.equal += 1
            self._result.equal_in[output.topic.name] += 1
        elif known is not None:
            self._differs("other bytes", at, known.side, made, known.place)
        elif (at.major, at.minor) > self._reached.get(output.topic.name, (-1, -1)):
            self._result.beyond += 1  # the recording ends before it, or the next start will write it again
        else:
            self._differs("replayed, not recorded", at, None, made, None)

    def _left(self) -> None:
        """What was recorded and not made again. Behind the end of its epoch's inbox: a crash (or the recording's end) cut that short."""
        for (_, epoch, n), known in sorted(self._known.items(), key=lambda one: one[0][1:]):
            if n > self._epochs.get(epoch, -1):
                self._result.beyond += 1
            elif self._within.end is None and self._within.first == 0:
                at = Coordinate(self._result.stage, "", epoch, n)
                self._differs("recorded, not replayed", at, known.side, None, known.place)

    def _check_whole(self, partition: int) -> None:
        """Commands follow the inbox's records: without any of these they came from nowhere."""
        if self._known and not self._epochs:
            self._result.beyond = 0
            _, epoch, n = min(self._known, key=lambda one: one[1:])
            what = f"its input {HOST_INBOX.name}/{partition} is not recorded, {len(self._known):,} recorded outputs are"
            self._differs(what, Coordinate(self._result.stage, "", epoch, n), None, None, None)

    def _differs(
        self, what: str, at: Coordinate, recorded: Side | None, replayed: Side | None, place: Place | None
    ) -> bool:
        if self._result.difference is None:
            self._result.difference = Difference(what, at.encode().decode(), recorded, replayed, place)
        return False


def _side(topic: Topic, row: Row) -> Side:
    return Side(topic.name, row.key or b"", row.value or b"")


def _place(row: Row) -> Place:
    return Place(HOST_INBOX.name, row.partition, row.offset)
