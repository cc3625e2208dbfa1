"""`tapedeck explain`: an order's chain by coordinates, from its executions back to the frames that caused it.

fill → fact → order intent → inbox event → (signal → market event | bar → …) → raw frames. Each step is a record on the
tape, named by where it stands; nothing is guessed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from infra.errors import Problem
from pipelines.archive_reader import Row
from pipelines.raw import decode_lines
from pipelines.recorded_run import Recorded
from topics import wire
from topics.catalog import FILLS, MARKET_RAW, ORDERS_EVENTS, ORDERS_INTENTS, TOPICS, VENUE_PRIVATE, Topic
from topics.coordinates import Coordinate
from topics.orders import OrderDenied, OrderFilled, OrderRequested
from topics.record import ClientOrderId

DEEPEST = 12
FRAME = 160


@dataclass
class Node:
    """One record, and under it what it came from."""

    title: str
    where: str
    detail: str = ""
    causes: list["Node"] = field(default_factory=list)


class Tape:
    """Lookups in a recorded run; a topic partition is read once."""

    def __init__(self, run: Recorded) -> None:
        self._run = run
        self._rows: dict[tuple[str, int], dict[int, Row]] = {}

    def rows(self, topic: Topic) -> Iterator[Row]:
        for partition in self._run.partitions(topic):
            yield from self._partition(topic.name, partition).values()

    def row(self, topic: str, partition: int, offset: int) -> Row | None:
        return self._partition(topic, partition).get(offset)

    def _partition(self, topic: str, partition: int) -> dict[int, Row]:
        if (topic, partition) not in self._rows:
            self._rows[topic, partition] = {r.offset: r for r in self._run.rows(TOPICS[topic], partition)}
        return self._rows[topic, partition]


def explain(run: Recorded, order: ClientOrderId) -> Node:
    """The tree of one order. Problem when it is not on the tape."""
    tape = Tape(run)
    facts = [(row, f) for row in tape.rows(ORDERS_EVENTS) for f in _events(row, ORDERS_EVENTS) if _is_of(f, order)]
    intent = next(((r, i) for r in tape.rows(ORDERS_INTENTS) for i, c in _indexed(r) if _is_of(c, order)), None)
    if not facts and intent is None:
        raise Problem(f"no order {order} on this tape: 'tapedeck orders' lists the client order ids")
    root = Node(f"order {order}", "")
    fills = [(row, f) for row in tape.rows(FILLS) for f in _events(row, FILLS) if _is_of(f, order)]
    root.causes += [_fill(tape, row, fill) for row, fill in fills]
    others = [(row, f) for row, f in facts if not (fills and isinstance(f, OrderFilled))]
    root.causes += [Node(type(f).__name__, _place(ORDERS_EVENTS, row), _told(f)) for row, f in others]
    if intent is not None:
        root.causes.append(_record(tape, ORDERS_INTENTS.name, *intent, 0))
    elif replaces := next((f.command.replaces for _, f in facts if isinstance(f, OrderRequested | OrderDenied)), ""):
        root.causes.append(explain(run, replaces))
    return root


def _fill(tape: Tape, row: Row, fill: Any) -> Node:
    node = Node("Fill", _place(FILLS, row), _told(fill))
    source = _source(row)
    if source is not None:
        node.causes.append(_cause(tape, source, -1, 1))
    return node


def _record(tape: Tape, topic: str, row: Row, index: int, depth: int) -> Node:
    """One event of a record and what it came from; ``index`` -1 is the whole record."""
    events = _events(row, TOPICS[topic])
    told = events if index < 0 else events[index : index + 1]
    node = Node(_names(told), _place(TOPICS[topic], row, index), "; ".join(_told(e) for e in told[:3]))
    cause = next((getattr(e, "cause", "") for e in told), "")
    source = _source(row)
    if depth >= DEEPEST:
        return node
    if cause.startswith("strategy.inbox/"):
        inbox, partition, offset, place = cause.split("/")
        node.causes.append(_at(tape, inbox, int(partition), int(offset), int(place), depth + 1))
    elif source is not None:
        node.causes.append(_cause(tape, source, index, depth + 1))
    return node


def _cause(tape: Tape, source: Coordinate, index: int, depth: int) -> Node:
    """The input record of a coordinate; an edge's coordinate ends the chain."""
    topic, _, rest = source.source.partition("@")
    if not topic:
        return Node(f"edge {source.producer}", f"epoch {source.major}, n {source.minor}", _edge(source))
    return _at(tape, topic, int(rest.rpartition("/")[2]), source.major, -1, depth)


def _at(tape: Tape, topic: str, partition: int, offset: int, index: int, depth: int) -> Node:
    row = tape.row(topic, partition, offset)
    where = f"{topic}/{partition}@{offset}"
    if row is None:
        return Node("not recorded", where, "out of retention, or not archived yet")
    return _raw(row, where) if topic == MARKET_RAW.name else _record(tape, topic, row, index, depth)


def _raw(row: Row, where: str) -> Node:
    lines = decode_lines(row.value or b"")
    node = Node(f"{len(lines)} frame{'s' if len(lines) != 1 else ''} of the venue", where)
    for line in lines[:20]:
        frame = line.frame.decode(errors="replace")
        node.causes.append(Node(f"received {line.ts}", "", frame if len(frame) <= FRAME else frame[:FRAME] + "…"))
    return node


def _edge(source: Coordinate) -> str:
    if source.producer.startswith("gateway."):
        return f"made of the venue's answer or event; the frames as received are in {VENUE_PRIVATE.name}"
    return ""


def _events(row: Row, topic: Topic) -> list[Any]:
    try:
        return wire.decode(row.value or b"", topic.types)
    except wire.BadRecord:
        return []


def _indexed(row: Row) -> Iterator[tuple[int, Any]]:
    return enumerate(_events(row, ORDERS_INTENTS))


def _is_of(event: Any, order: ClientOrderId) -> bool:
    return getattr(event, "client_order_id", "") == order


def _source(row: Row) -> Coordinate | None:
    try:
        return Coordinate.decode((row.src or "").encode())
    except ValueError:
        return None


def _place(topic: Topic, row: Row, index: int = -1) -> str:
    return f"{topic.name}/{row.partition}@{row.offset}" + ("" if index < 0 else f".{index}")


def _names(events: list[Any]) -> str:
    kinds = list(dict.fromkeys(type(e).__name__ for e in events))
    return " + ".join(kinds[:4]) + (" + …" if len(kinds) > 4 else "") or "record"


SHOWN = (
    "side",
    "order_type",
    "order_qty",
    "price",
    "trigger_price",
    "revision",
    "replacement",
    "replaced_by",
    "last_qty",
    "last_px",
    "liquidity",
    "fee",
    "fee_currency",
    "name",
    "value",
    "best_bid",
    "best_ask",
    "spec",
    "open",
    "close",
    "size",
    "aggressor",
    "check",
    "limit",
    "code",
    "status",
    "fact",
    "quantity",
    "n",
    "reason",
    "ts_event",
    "ts_init",
)


def _told(event: Any) -> str:
    """The fields a person asks for, as far as the record has them."""
    found = ((name, getattr(event, name, None)) for name in SHOWN)
    return " ".join(f"{name}={value}" for name, value in found if value is not None and value not in ("", 0))
