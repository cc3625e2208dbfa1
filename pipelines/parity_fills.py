"""Two runs' executions compared: which were reproduced, and what kind of difference each other one is. Pure.

Reproduced: the same strategy, instrument, side, price and size within the window, one to one. Of the rest, in this order:

    partial   the same order at the same price was filled with another quantity
    latency   the same execution, but later or earlier than the window; or, within it, at another price, since its order
              was sent at another moment
    queue     both had an order resting at this price then, and only one was reached
    missing   the live run alone traded
    extra     the backtest alone traded
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from topics.record import ClientOrderId, InstrumentId, Side, StrategyId


class Kind(StrEnum):
    LATENCY = "latency"
    QUEUE = "queue"
    PARTIAL = "partial"
    MISSING = "missing"
    EXTRA = "extra"


class Execution(NamedTuple):
    """``ts`` is the venue's time."""

    strategy: StrategyId
    instrument: InstrumentId
    side: Side
    price: Decimal
    size: Decimal
    ts: int
    client_order_id: ClientOrderId


class Resting(NamedTuple):
    """An order with a price, while it was at the venue."""

    strategy: StrategyId
    instrument: InstrumentId
    side: Side
    price: Decimal
    since: int
    until: int


class Pair(NamedTuple):
    live: Execution
    backtest: Execution


class Unlike(NamedTuple):
    """One difference; where both sides have an execution they are held to be the same one."""

    kind: Kind
    live: Execution | None
    backtest: Execution | None

    @property
    def known(self) -> Execution:
        found = self.live or self.backtest
        assert found is not None
        return found


@dataclass(frozen=True)
class Compared:
    """Every execution of either side is in ``reproduced`` or in ``differences``, once."""

    reproduced: list[Pair]
    differences: list[Unlike]

    @property
    def live(self) -> int:
        return len(self.reproduced) + sum(d.live is not None for d in self.differences)

    @property
    def backtest(self) -> int:
        return len(self.reproduced) + sum(d.backtest is not None for d in self.differences)

    @property
    def share(self) -> float | None:
        """Of the live executions; None where there are none."""
        return len(self.reproduced) / self.live if self.live else None

    def of(self, strategy: StrategyId) -> "Compared":
        return Compared(
            [pair for pair in self.reproduced if pair.live.strategy == strategy],
            [one for one in self.differences if one.known.strategy == strategy],
        )

    def count(self, side: str) -> dict[Kind, int]:
        """Executions of ``live`` or ``backtest`` in each kind, also where there are none."""
        found = Counter(one.kind for one in self.differences if getattr(one, side) is not None)
        return {kind: found[kind] for kind in Kind}


class Run(NamedTuple):
    executions: Sequence[Execution]
    orders: Sequence[Resting]


def compare(live: Run, backtest: Run, window_ns: int, wider_ns: int) -> Compared:
    """``wider_ns`` is how far apart in time an execution is still held to be the same."""
    left, right = sorted(live.executions, key=_time), sorted(backtest.executions, key=_time)
    same = _take_pairs(left, right, _whole, window_ns)
    differences: list[Unlike] = []

    def pair_off(kind: Kind, key: Callable[[Execution], object], within_ns: int) -> list[Pair]:
        pairs = _take_pairs(left, right, key, within_ns)
        differences.extend(Unlike(kind, *pair) for pair in pairs)
        return pairs

    parts = pair_off(Kind.PARTIAL, _place, window_ns)
    differences += _take_parts(left, right, [*same, *parts])
    pair_off(Kind.LATENCY, _whole, wider_ns)
    differences += _take_queued(left, right, live.orders, backtest.orders, window_ns)
    pair_off(Kind.LATENCY, _priceless, window_ns)
    differences += [Unlike(Kind.MISSING, one, None) for one in left]
    differences += [Unlike(Kind.EXTRA, None, one) for one in right]
    return Compared(same, sorted(differences, key=lambda one: one.known.ts))


def _time(one: Execution) -> int:
    return one.ts


def _whole(one: Execution) -> object:
    return (*_place(one), one.size)


def _place(one: Execution | Resting) -> tuple[Any, ...]:
    return one.strategy, one.instrument, one.side, one.price


def _priceless(one: Execution) -> object:
    return one.strategy, one.instrument, one.side, one.size


def _take_pairs(
    left: list[Execution], right: list[Execution], key: Callable[[Execution], object], within_ns: int
) -> list[Pair]:
    """As many pairs of the same key as there can be within the time, earliest first; both lists lose what is paired."""
    waiting: dict[object, list[Execution]] = defaultdict(list)
    for one in right:
        waiting[key(one)].append(one)
    pairs: list[Pair] = []
    for one in left:
        others = waiting[key(one)]
        while others and others[0].ts < one.ts - within_ns:
            others.pop(0)
        if others and others[0].ts <= one.ts + within_ns:
            pairs.append(Pair(one, others.pop(0)))
    _remove(left, (pair.live for pair in pairs))
    _remove(right, (pair.backtest for pair in pairs))
    return pairs


def _remove(executions: list[Execution], taken: Iterable[Execution]) -> None:
    gone = {id(one) for one in taken}
    executions[:] = [one for one in executions if id(one) not in gone]


def _take_parts(left: list[Execution], right: list[Execution], paired: Sequence[Pair]) -> list[Unlike]:
    """What is left of orders that have a counterpart at the same price: they were filled in other parts."""
    lives = {(pair.live.client_order_id, pair.live.price) for pair in paired}
    backtests = {(pair.backtest.client_order_id, pair.backtest.price) for pair in paired}
    mine = [one for one in left if (one.client_order_id, one.price) in lives]
    others = [one for one in right if (one.client_order_id, one.price) in backtests]
    return _take(left, right, mine, others, Kind.PARTIAL)


def _take_queued(
    left: list[Execution], right: list[Execution], lives: Sequence[Resting], backtests: Sequence[Resting], slack: int
) -> list[Unlike]:
    mine = [one for one in left if _rested(one, backtests, slack)]
    others = [one for one in right if _rested(one, lives, slack)]
    return _take(left, right, mine, others, Kind.QUEUE)


def _take(
    left: list[Execution], right: list[Execution], mine: list[Execution], others: list[Execution], kind: Kind
) -> list[Unlike]:
    _remove(left, mine)
    _remove(right, others)
    return [*(Unlike(kind, one, None) for one in mine), *(Unlike(kind, None, one) for one in others)]


def _rested(one: Execution, orders: Sequence[Resting], slack_ns: int) -> bool:
    """Whether the other run had such an order out there at about that time."""
    return any(_place(o) == _place(one) and o.since - slack_ns <= one.ts <= o.until + slack_ns for o in orders)
