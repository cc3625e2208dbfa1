"""The gateway's decisions decided again: its inputs are folded as far as each ``judged_by`` says, and the answer compared.

Covered are ``OrderRequested``, ``OrderDenied``, ``ModifyRequested`` and ``ModifyDenied``. What the venue said, and
cancels, are edges' facts: they are read, not replayed. ``reconciled``, ``carries_out`` and what the venue can do are
taken from the judgement: no input tells them.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from msgspec import structs

from adapters.execution import Capabilities
from pipelines.archive_reader import Row
from pipelines.gateway import decide
from pipelines.gateway.state import AMENDS, CARRIES_OUT, EVERYTHING, TAKES, State
from pipelines.recorded_run import Recorded
from pipelines.replay import Difference, Place, Range, Replayed, Side, lacking
from topics import wire
from topics.catalog import CONTROLS, ORDERS_EVENTS, ORDERS_STATE, PORTFOLIO_INBOX, Topic
from topics.controls import LimitName, Scope, SetLimit
from topics.coordinates import Coordinate
from topics.orders import Judgement, ModifyDenied, ModifyRequested, OrderDenied, OrderRequested
from topics.record import Account, OrderType

Decision = OrderRequested | OrderDenied | ModifyRequested | ModifyDenied


class _Input:
    """One of the gateway's inputs, folded up to an offset."""

    def __init__(
        self, run: Recorded, topic: Topic, part: Any, fixed: frozenset[tuple[Scope, LimitName]] = frozenset()
    ) -> None:
        self._rows: Iterator[Row] = run.rows(topic, 0)
        self._topic = topic
        self._part = part
        self._fixed = fixed
        self._next: Row | None = next(self._rows, None)

    def fold_to(self, offset: int) -> bool:
        """False when the input is not recorded as far as that."""
        while self._next is not None and self._next.offset <= offset:
            events = [e for e in _events(self._topic, self._next) if not self._is_fixed(e)]
            self._part.fold(self._next.offset, events)
            self._next = next(self._rows, None)
        return bool(self._part.offset == offset)

    def _is_fixed(self, event: Any) -> bool:
        return isinstance(event, SetLimit) and (event.scope, event.limit) in self._fixed


class Rejudged(NamedTuple):
    """A recorded decision and the one made again; ``short`` says which input is not recorded as far as it was judged by."""

    row: Row
    fact: Decision
    decided: Decision | None
    short: str = ""


Limits = Iterable[tuple[str, str, str]]
"""(scope, name, value) in force throughout, whatever the tape says of them."""


def rejudged(account: Account, run: Recorded, limits: Limits = ()) -> Iterator[Rejudged]:
    """Every decision in the order of the tape; what follows is judged on the recorded facts."""
    decisions = run.rows(ORDERS_EVENTS, 0)  # asked for first: of a run that goes on, its inputs then reach further
    state = State.empty(account)
    fixed = _fix(state, limits)
    inputs = {
        "portfolio.inbox": _Input(run, PORTFOLIO_INBOX, state.market),
        "controls": _Input(run, CONTROLS, state.rules, fixed),
    }
    last = (-1, -1)
    for row in decisions:
        at = _coordinate(row)
        if at is None or at.producer != f"gateway.{account}" or (at.major, at.minor) <= last:
            continue
        last = (at.major, at.minor)
        for fact in _events(ORDERS_EVENTS, row):
            if isinstance(fact, Decision):
                judged = fact.judged_by
                short = [name for name, one in inputs.items() if not one.fold_to(judged.offsets[name])]
                decided = None if short else _decide(state, fact, judged)
                yield Rejudged(row, fact, decided, f"{short[0]} is not recorded as offset" if short else "")
            state.book.fold(fact)


def _fix(state: State, limits: Limits) -> frozenset[tuple[Scope, LimitName]]:
    fixed = set()
    for n, (scope, name, value) in enumerate(limits):
        one = SetLimit(
            control_id=f"what-if-{n}",
            scope=Scope.parse(scope),
            limit=LimitName(name),
            value=Decimal(value),
            who="what-if",
            why="",
            ts_init=0,
        )
        state.rules.state.apply(one)
        fixed.add((one.scope, one.limit))
    return frozenset(fixed)


def replay_decisions(account: Account, run: Recorded, *, within: Range = Range()) -> Replayed:  # noqa: B008
    """``within`` are offsets of ``orders.events``."""
    result = Replayed(f"gateway/{account}")
    for one in rejudged(account, run):
        result.inputs += 1
        if one.row.offset in within:
            result.chosen += 1
            _compare(one, result)
        if result.difference is not None:
            return result
    if within.end is None and not run.grows:
        _check_whole(run, result)
    return result


def _check_whole(run: Recorded, result: Replayed) -> None:
    """The decisions stand in ``orders.events``: it has to reach as far as what the orders stage made of it."""
    end = 1 + max((row.offset for row in run.rows(ORDERS_EVENTS, 0)), default=-1)
    made = [at for row in run.rows(ORDERS_STATE, 0) if (at := _coordinate(row)) is not None]
    missing = [at for at in made if at.producer == "orders" and _is_of_events(at) and at.major >= end]
    if missing:
        what = lacking(f"{ORDERS_EVENTS.name}/0", end, max(at.major for at in missing), len(missing))
        result.difference = Difference(what, missing[0].encode().decode(), None, None)


def _is_of_events(at: Coordinate) -> bool:
    topic, _, partition = at.source.rpartition("/")
    return topic.partition("@")[0] == ORDERS_EVENTS.name and partition == "0"


def _compare(one: Rejudged, result: Replayed) -> None:
    row, fact, segment = one.row, one.fact, result.segment(one.row.ver)
    recorded = Side(ORDERS_EVENTS.name, row.key or b"", wire.encode([fact]))
    replayed = None if one.decided is None else Side(ORDERS_EVENTS.name, row.key or b"", wire.encode([one.decided]))
    if replayed == recorded:
        result.equal += 1
        segment.equal += 1
        return
    what = "decided otherwise"
    if one.short:
        what = f"{one.short} {fact.judged_by.offsets[one.short.partition(' ')[0]]}, which it was judged by"
    place = Place(ORDERS_EVENTS.name, row.partition, row.offset)
    segment.difference = result.difference = Difference(what, row.src or "", recorded, replayed, place)


def _decide(state: State, fact: Decision, judged: Judgement) -> Decision | None:
    """A modification that failed before any check was asked was judged by the order alone."""
    state.ready = judged.values.get("reconciled") == "true"
    state.venue = _venue(judged)
    state.book.epoch, state.book.n = judged.offsets["orders.events.epoch"], judged.offsets["orders.events.n"]
    if isinstance(fact, ModifyRequested | ModifyDenied):
        return decide.decide_modify(state, fact.command, fact.ts_init)
    return decide.decide(state, fact.command, fact.ts_init, judged.values.get(CARRIES_OUT, ""))


def _venue(judged: Judgement) -> Capabilities:
    """What the venue could do, as far as the decision depended on it."""
    takes = judged.values.get(TAKES)
    types = EVERYTHING.order_types if takes is None else frozenset(OrderType(one) for one in takes.split(",") if one)
    return structs.replace(EVERYTHING, order_types=types, amends_quantity=judged.values.get(AMENDS) == "true")


def _events(topic: Topic, row: Row) -> list[Any]:
    """A record that cannot be read says nothing to the gateway either."""
    try:
        return wire.decode(row.value or b"", topic.types)
    except wire.BadRecord:
        return []


def _coordinate(row: Row) -> Coordinate | None:
    try:
        return Coordinate.decode((row.src or "").encode())
    except ValueError:
        return None
