"""What a host was when it ended: its own `host.inbox` folded again, from a checkpoint or from the beginning, up to the
first record of the new epoch. Then what the tape still lacks, and what it has without its cause.

- Commands whose record the broker never got are written again, under their own coordinates and ids: nothing is lost,
  and what did arrive changes nothing a second time.
- Orders that left the host while the record of their input did not reach the broker are found by their cause, on
  `orders.intents` and among the gateway's facts, and put on the desk, so that they are not decided a second time.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from confluent_kafka import Message

from infra import kafka
from infra.errors import Problem
from infra.shell.processor import Inbound
from pipelines.host.fold import HostFold, Output, Seen, Sequence, producer_of, seen_of
from pipelines.partitioning import partition_of
from topics import wire
from topics.catalog import HOST_INBOX, MARKET_EVENTS, ORDERS_EVENTS, ORDERS_INTENTS, STRATEGY_RECORDS, Topic
from topics.coordinates import HEADER, Coordinate
from topics.orders import OrderDenied, OrderRequested, SubmitOrder
from topics.strategy import HostStarted, InboxSeen, MarketSeen
from topics.wire import BadRecord

MINUTE_MS = 60_000
AGAIN = (ORDERS_INTENTS, STRATEGY_RECORDS)

log = logging.getLogger(__name__)


class Checkpoint(msgspec.Struct):
    """All state as of ``offset`` (the next one) of ``host.inbox``. ``decided``: the last place of an input, by epoch and n."""

    topic_id: str
    offset: int = 0
    ts_ms: int = 0
    last: tuple[int, int] = (-1, -1)
    decided: tuple[int, int] = (-1, -1)
    market: dict[int, int] = {}
    inbox: int = 0
    fence: list[Coordinate] = []
    running: bytes = b""
    signals: dict[int, dict[bytes, bytes]] = {}

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(msgspec.msgpack.encode(self))
        temporary.replace(path)


def read_checkpoint(path: Path, topic_id: str) -> Checkpoint:
    """An empty one where there is none of this topic."""
    try:
        found = msgspec.msgpack.decode(path.read_bytes(), type=Checkpoint)
    except (FileNotFoundError, msgspec.DecodeError):
        return Checkpoint(topic_id)
    return found if found.topic_id == topic_id else Checkpoint(topic_id)


@dataclass
class Standing:
    """Where a host stands in its inputs: the next offsets of ``market.events`` and ``strategy.inbox``, and the latter's fence."""

    sequence: Sequence
    market: dict[int, int]
    inbox: int
    fence: dict[tuple[str, str], tuple[int, int]]
    decided: tuple[int, int]

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "Standing":
        fence = {(c.producer, c.source): (c.major, c.minor) for c in checkpoint.fence}
        return cls(Sequence(checkpoint.last), dict(checkpoint.market), checkpoint.inbox, fence, checkpoint.decided)

    def saved(self, fold: HostFold, topic_id: str, offset: int, ts_ms: int) -> Checkpoint:
        running, signals = fold.saved()
        fence = [Coordinate(*source, *last) for source, last in self.fence.items()]
        return Checkpoint(
            topic_id,
            offset,
            ts_ms,
            self.sequence.last,
            self.decided,
            dict(self.market),
            self.inbox,
            fence,
            running,
            signals,
        )

    def took(self, seen: Seen, at: tuple[int, int]) -> None:
        if isinstance(seen, MarketSeen):
            self.market[seen.partition] = seen.offset + 1
        elif isinstance(seen, InboxSeen):
            self.inbox = seen.offset + 1
            if seen.src:
                c = Coordinate.decode(seen.src.encode())
                self.fence[c.producer, c.source] = (c.major, c.minor)
        if not isinstance(seen, HostStarted):
            self.decided = at

    def is_news(self, src: str) -> bool:
        """Whether a record of the inbox has not been seen yet."""
        c = Coordinate.decode(src.encode())
        return (c.major, c.minor) > self.fence.get((c.producer, c.source), (-1, -1))


@dataclass
class Rebuilt:
    """``unsent``: outputs that the tape lacks. ``recovered``: orders whose input it lacks."""

    standing: Standing
    inputs: int = 0
    unsent: list[tuple[Coordinate, Output]] = field(default_factory=list)
    recovered: list[SubmitOrder] = field(default_factory=list)


class Rebuilding:
    """Reads the broker and waits for it: run in a thread."""

    def __init__(self, conf: kafka.KafkaConf, prefix: str, fold: HostFold, checkpoint: Checkpoint) -> None:
        self._conf, self._prefix, self._fold = conf, prefix, fold
        self._id = fold.strategy_id
        self._producer = producer_of(self._id)
        self._from = checkpoint
        self._result = Rebuilt(Standing.of(checkpoint))
        self._made: list[tuple[Coordinate, Output]] = []
        self._began_ms = checkpoint.ts_ms
        self._market: dict[int, Iterator[Message]] = {}

    def run(self, end: int) -> Rebuilt:
        """``end``: the offset of the new epoch's first record. Problem where its inbox is not whole."""
        if self._from.running or self._from.signals:
            self._fold.restore((self._from.running, self._from.signals))
        name, partition = kafka.physical(self._prefix, HOST_INBOX), self._own_partition(HOST_INBOX)
        low = kafka.watermarks(self._conf, [name])[name][partition][0]
        if low > self._from.offset:
            raise Problem(
                f"host/{self._id}: {HOST_INBOX.name} begins at {low}, its state ends at {self._from.offset}: use another run name"
            )
        for message in kafka.read_span(self._conf, name, partition, self._from.offset, end):
            if _key(message) == self._id:
                self._again(message)
        self._close_market()
        self._compare_with_the_tape()
        return self._result

    def _again(self, message: Message) -> None:
        at = Coordinate.decode(kafka.header(message, HEADER) or b"")
        standing = self._result.standing
        if not standing.sequence.is_next(at):
            return
        self._began_ms = self._began_ms or message.timestamp()[1]
        seen = seen_of(message.value() or b"")
        if isinstance(seen, MarketSeen):
            self._see_again(seen)
        outputs = self._fold.decide(seen, at.major, at.minor)
        standing.took(seen, (at.major, at.minor))
        self._result.inputs += 1
        for number, output in enumerate(outputs, start=1):
            self._made.append((at._replace(minor=at.minor + number), output))

    # --- the views ---------------------------------------------------------------------------------------------------

    def _see_again(self, seen: MarketSeen) -> None:
        """Views are folded from the market's own records. Where retention took them, the view goes on without; what was decided then
        stands in ``outputs``.
        """
        if seen.partition not in self._market:
            name = kafka.physical(self._prefix, MARKET_EVENTS)
            end = kafka.watermarks(self._conf, [name])[name][seen.partition][1]
            self._market[seen.partition] = kafka.read_span(self._conf, name, seen.partition, seen.offset, end)
        for message in self._market[seen.partition]:
            if (message.offset() or 0) == seen.offset:
                self._fold.see_market(inbound(message))
                return
            if (message.offset() or 0) > seen.offset:
                log.warning("%s/%d@%d is out of retention: its view lacks it", MARKET_EVENTS.name, *seen_place(seen))
                return

    def _close_market(self) -> None:
        for messages in self._market.values():
            messages.close()  # type: ignore[attr-defined]

    # --- what the tape has -------------------------------------------------------------------------------------------

    def _compare_with_the_tape(self) -> None:
        since = max(0, self._began_ms - MINUTE_MS)
        decided = self._result.standing.decided
        orders: dict[str, SubmitOrder] = {}
        reached: dict[str, tuple[int, int]] = {}
        for topic in AGAIN:
            for message in self._read(topic, self._own_partition(topic), since):
                at = _coordinate(message)
                if at is not None and at.producer == self._producer:
                    reached[topic.name] = max(reached.get(topic.name, (-1, -1)), (at.major, at.minor))
                    orders |= {o.client_order_id: o for o in _orders(message, topic) if self._is_orphan(o, decided)}
        for message in self._read(ORDERS_EVENTS, 0, since):
            orders |= {o.client_order_id: o for o in _orders(message, ORDERS_EVENTS) if self._is_orphan(o, decided)}
        self._result.unsent = [
            (at, output)
            for at, output in self._made
            if output.topic in AGAIN and (at.major, at.minor) > reached.get(output.topic.name, (-1, -1))
        ]
        self._result.recovered = list(orders.values())

    def _is_orphan(self, order: SubmitOrder, decided: tuple[int, int]) -> bool:
        """Of the last epoch that decided anything (or one after it), at a place that its inbox does not reach."""
        topic, _, rest = order.cause.partition("/")
        if order.strategy != self._id or topic != HOST_INBOX.name or decided == (-1, -1):
            return False
        epoch, n, _ = (int(part) for part in rest.split("/"))
        return (epoch, n) > decided

    def _read(self, topic: Topic, partition: int, since_ms: int) -> Iterator[Message]:
        name = kafka.physical(self._prefix, topic)
        low, high = kafka.watermarks(self._conf, [name])[name][partition]
        first = kafka.offset_at(self._conf, name, partition, since_ms)
        if first is not None:
            yield from kafka.read_span(self._conf, name, partition, max(low, first), high)

    def _own_partition(self, topic: Topic) -> int:
        return partition_of(self._id.encode(), topic.partitions)


def inbound(message: Message) -> Inbound:
    src, key = kafka.header(message, HEADER), message.key()
    return Inbound(
        message.partition() or 0,
        message.offset() or 0,
        key.encode() if isinstance(key, str) else key,
        message.value(),
        () if src is None else ((HEADER, src),),
    )


def seen_place(seen: MarketSeen) -> tuple[int, int]:
    return seen.partition, seen.offset


def _key(message: Message) -> str:
    key = message.key()
    return key if isinstance(key, str) else (key or b"").decode(errors="replace")


def _coordinate(message: Message) -> Coordinate | None:
    try:
        return Coordinate.decode(kafka.header(message, HEADER) or b"")
    except ValueError:
        return None


def _orders(message: Message, topic: Topic) -> list[SubmitOrder]:
    try:
        events = wire.decode(message.value() or b"", topic.types)
    except BadRecord:
        return []
    found = [e.command if isinstance(e, OrderRequested | OrderDenied) else e for e in events]
    return [one for one in found if isinstance(one, SubmitOrder)]
