"""`tapedeck explain`: an order's chain by coordinates, from its executions back to the frames that caused it.

Two branches. What became of it: its facts in the order of the tape, and at an execution the fill that it became. Why:
order intent → inbox event → (signal → market event | bar → …) → raw frames. Each step is a record on the tape, named by
where it stands; nothing is guessed. Times are ours (``ts_init``, or when a frame was received).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from infra.errors import Hopeless
from pipelines import denials
from pipelines.archive_reader import Row
from pipelines.gateway.checks import FLATTEN_CAUSE
from pipelines.host.fold import events_of
from pipelines.raw import decode_lines
from pipelines.recorded_run import Recorded
from topics import wire
from topics.catalog import (
    CONTROLS,
    FILLS,
    HOST_INBOX,
    MARKET_EVENTS,
    MARKET_RAW,
    ORDERS_EVENTS,
    ORDERS_INTENTS,
    STRATEGY_INBOX,
    TOPICS,
    VENUE_PRIVATE,
    Topic,
)
from topics.coordinates import Coordinate
from topics.market import Bar, Tick
from topics.orders import OrderDenied, OrderFilled, OrderRequested, OrderSent, SubmitOrder
from topics.record import ClientOrderId
from topics.strategy import InboxSeen, MarketSeen, Signal

DEEPEST = 12
FRAME = 160


@dataclass
class Node:
    """One record, and under it what it came from. ``ts`` is its time (ns, 0: none); ``after`` that of what it followed."""

    title: str
    where: str
    detail: str = ""
    causes: list["Node"] = field(default_factory=list)
    ts: int = 0
    after: int = 0

    def caused_by(self, cause: "Node") -> "Node":
        self.causes.append(cause)
        self.after = self.after or cause.ts
        return self

    def latest(self) -> int:
        """The time of the newest among what the chain ends in."""
        return max((cause.latest() for cause in self.causes), default=self.ts)


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
            rows = self._run.rows(TOPICS[topic], partition) if topic in TOPICS else ()
            self._rows[topic, partition] = {r.offset: r for r in rows}
        return self._rows[topic, partition]


def explain(run: Recorded, order: ClientOrderId) -> Node:
    """The tree of one order. Problem when it is not on the tape."""
    tape = Tape(run)
    facts = list(_of(tape, ORDERS_EVENTS, order))
    intent = next((found for found in _of(tape, ORDERS_INTENTS, order) if isinstance(found[2], SubmitOrder)), None)
    if not facts and intent is None:
        raise Hopeless(f"no order {order} on this tape: 'tapedeck orders' lists the client order ids")
    became = Node("what became of it", "", "" if facts else "nothing yet: the gateway has not answered")
    fills = list(_of(tape, FILLS, order))
    last = 0
    for row, index, fact in facts:
        node = _fact(tape, row, index, fact, fills)
        node.after, last = last, node.ts
        became.causes.append(node)
    why = _why(run, tape, intent, facts)
    return Node(f"order {order}", "", _summary(facts, why), [became, why])


Found = tuple[Row, int, Any]


def _of(tape: Tape, topic: Topic, order: ClientOrderId) -> Iterator[Found]:
    """(record, index, event) of the order, in the order of the tape."""
    raw = order.encode()
    for row in tape.rows(topic):
        if raw in (row.value or b""):
            for index, event in enumerate(_events(row, topic)):
                if getattr(event, "client_order_id", "") == order:
                    yield row, index, event


def _fact(tape: Tape, row: Row, index: int, fact: Any, fills: list[Found]) -> Node:
    node = Node(type(fact).__name__, _place(ORDERS_EVENTS, row, index), _told(fact), ts=fact.ts_init)
    if isinstance(fact, OrderRequested | OrderDenied):
        if isinstance(fact, OrderDenied):
            node.causes.append(Node("what it means", "", denials.told(fact.check, fact.value, fact.limit)))
        node.causes += _judged(fact)
    elif isinstance(fact, OrderFilled):
        node.causes += [
            Node("Fill", _place(FILLS, r, i), _told(f), ts=f.ts_init)
            for r, i, f in fills
            if f.trade_id == fact.trade_id
        ]
        source = _source(row)
        if source is not None:
            node.causes.append(_cause(tape, source, -1, DEEPEST))
    return node


def _judged(fact: OrderRequested | OrderDenied) -> list[Node]:
    """What the gateway looked at, and how far it had read."""
    judged = fact.judged_by
    told = (
        ("judged at", ", ".join(f"{name}@{offset}" for name, offset in judged.offsets.items())),
        ("it saw", " ".join(f"{name}={value}" for name, value in judged.values.items())),
        ("limits", " ".join(f"{name}={value}" for name, value in judged.limits.items())),
    )
    return [Node(title, "", detail) for title, detail in told if detail]


def _why(run: Recorded, tape: Tape, intent: Found | None, facts: list[Found]) -> Node:
    """The chain of the intent; of an order that no strategy made, who asked for it."""
    if intent is not None:
        return Node("why", "", "", [_record(tape, ORDERS_INTENTS.name, intent[0], intent[1], 0)])
    command = next((f.command for _, _, f in facts if isinstance(f, OrderRequested | OrderDenied)), None)
    if command is None:
        return Node("why", "", "not placed by this platform: the gateway found it at the venue")
    if command.replaces:
        return Node("why", "", f"it replaces {command.replaces}, which was modified", [explain(run, command.replaces)])
    if command.cause.startswith(FLATTEN_CAUSE):
        return Node("why", "", _told(command), _flatten(tape, command.cause.removeprefix(FLATTEN_CAUSE)))
    cause = f", cause {command.cause}" if command.cause else ""
    return Node(
        "why", "", f"sent to the gateway over gRPC by {command.strategy}{cause} {_told(command)}", ts=command.ts_init
    )


def _flatten(tape: Tape, control_id: str) -> list[Node]:
    for row in tape.rows(CONTROLS):
        for index, control in enumerate(_events(row, CONTROLS)):
            if control.control_id == control_id:
                detail = f"{control.scope} by {control.who}: {control.why}"
                return [Node(type(control).__name__, _place(CONTROLS, row, index), detail, ts=control.ts_init)]
    return [Node("flatten", "", f"{control_id} is not recorded")]


def _summary(facts: list[Found], why: Node) -> str:
    """How long it took from the newest frame that it was decided on to the order's departure."""
    sent = next((f.ts_init for _, _, f in facts if isinstance(f, OrderSent)), 0)
    frame = max((node.latest() for node in why.causes), default=0)
    return f"sent {(sent - frame) / 1e6:.3f} ms after what it was decided on" if sent and frame else ""


def _record(tape: Tape, topic: str, row: Row, index: int, depth: int) -> Node:
    """One event of a record and what it came from; ``index`` -1 is the whole record."""
    events = _events(row, TOPICS[topic])
    told = events if index < 0 else events[index : index + 1]
    ts = max((getattr(e, "ts_init", 0) for e in told), default=0)
    node = Node(_names(told), _place(TOPICS[topic], row, index), "; ".join(_told(e) for e in told[:3]), ts=ts)
    cause = next((getattr(e, "cause", "") for e in told), "")
    source = _source(row)
    if depth >= DEEPEST:
        return node
    if cause.startswith("host.inbox/"):
        return node.caused_by(_seen(tape, cause, told[0], depth + 1))
    if cause.startswith("strategy.inbox/"):
        inbox, partition, offset, place = cause.split("/")
        event = _at(tape, inbox, int(partition), int(offset), int(place), depth + 1)
        if event.title == Tick.__name__:
            event.causes += _known_then(tape, told[0], int(partition), int(offset), depth + 1)
        return node.caused_by(event)
    if source is not None:
        return node.caused_by(_cause(tape, source, index, depth + 1))
    return node


def _known_then(tape: Tape, intent: Any, partition: int, offset: int, depth: int) -> Iterator[Node]:
    """The tick only said when: the strategy's last signal or bar of the order's instrument before it says on what."""
    for earlier in range(offset - 1, -1, -1):
        row = tape.row(STRATEGY_INBOX.name, partition, earlier)
        if row is None:
            return
        if row.key != intent.strategy.encode():
            continue
        for index, event in reversed(list(enumerate(_events(row, STRATEGY_INBOX)))):
            if isinstance(event, Signal | Bar) and event.instrument == getattr(intent, "instrument", ""):
                node = _record(tape, STRATEGY_INBOX.name, row, index, depth)
                node.title = f"last before it: {node.title}"
                yield node
                return


def _seen(tape: Tape, cause: str, intent: Any, depth: int) -> Node:
    """A place in a host's own order: what stood there, and the record that it saw; under a tick what it saw before."""
    _, epoch, n, place = cause.split("/")
    for row in tape.rows(HOST_INBOX):
        source = _source(row)
        if source is None or (source.major, source.minor) != (int(epoch), int(n)):
            continue
        (seen,) = _events(row, HOST_INBOX)
        if isinstance(seen, MarketSeen):
            return _market_seen(tape, row, seen, int(place), depth)
        if isinstance(seen, InboxSeen):
            event = _at(tape, STRATEGY_INBOX.name, seen.partition, seen.offset, int(place), depth + 1)
            if event.title == Tick.__name__:
                event.causes += _host_knew(tape, intent, row, depth + 1)
            return event
        return Node(_names([seen]), _place(HOST_INBOX, row))
    return Node("not recorded", cause, "its host ended before it was on the tape")


def _market_seen(tape: Tape, row: Row, seen: MarketSeen, place: int, depth: int) -> Node:
    told = seen.outputs[place] if seen.outputs else seen
    node = Node(_names([told]), _place(HOST_INBOX, row, place), _told(told), ts=getattr(told, "ts_init", 0))
    return node.caused_by(_at(tape, MARKET_EVENTS.name, seen.partition, seen.offset, -1, depth + 1))


def _host_knew(tape: Tape, intent: Any, tick: Row, depth: int) -> Iterator[Node]:
    """As ``_known_then``, in the order of the host."""
    for earlier in range(tick.offset - 1, -1, -1):
        row = tape.row(HOST_INBOX.name, tick.partition, earlier)
        if row is None:
            return
        if row.key != tick.key:
            continue
        for place, event in reversed(list(enumerate(_held(row)))):
            if isinstance(event, Signal | Bar) and event.instrument == getattr(intent, "instrument", ""):
                (seen,) = _events(row, HOST_INBOX)
                if isinstance(seen, MarketSeen):
                    node = _market_seen(tape, row, seen, place, depth)
                else:
                    node = _at(tape, STRATEGY_INBOX.name, seen.partition, seen.offset, place, depth)
                node.title = f"last before it: {node.title}"
                yield node
                return


def _held(row: Row) -> list[Any]:
    """What there was to fold in one record of ``host.inbox``."""
    try:
        return [event for seen in _events(row, HOST_INBOX) for event in events_of(seen)]
    except wire.BadRecord:
        return []


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
    ts = max((line.ts for line in lines), default=0)
    node = Node(f"{len(lines)} frame{'s' if len(lines) != 1 else ''} of the venue", where, ts=ts)
    for line in lines[:20]:
        frame = line.frame.decode(errors="replace")
        short = frame if len(frame) <= FRAME else frame[:FRAME] + "…"
        node.causes.append(Node("received", "", short, ts=line.ts))
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
)


def _told(event: Any) -> str:
    """The fields a person asks for, as far as the record has them."""
    found = ((name, getattr(event, name, None)) for name in SHOWN)
    return " ".join(f"{name}={value}" for name, value in found if value is not None and value not in ("", 0))
