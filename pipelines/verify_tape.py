"""The tape itself as figures: `fills`, `positions` and `account.events`, each record once by its coordinates."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import zip_longest
from typing import Any

from infra import kafka
from pipelines import contracts
from pipelines.exact import EXACT, ZERO, localcontext
from pipelines.figures import LOGGED, SUMS, Execution, ExecutionId, Figure, Source
from topics import wire
from topics.catalog import ACCOUNT_EVENTS, FILLS, POSITIONS, Topic
from topics.coordinates import HEADER, Coordinate
from topics.orders import Fill
from topics.portfolio import BalanceChanged, PositionChanged
from topics.record import Payoff, Side


def from_tape(conf: kafka.KafkaConf, prefix: str) -> Source:
    source = Source("tape")
    fills = list(_events(conf, prefix, FILLS))
    positions = list(_events(conf, prefix, POSITIONS))
    with localcontext(EXACT):
        for fill in fills:
            _add_fill(source, fill)
        for position in positions:
            _add_logged(source, position)
        last = {(p.account, p.strategy, p.instrument): p for p in positions}
        for position in last.values():
            _add_position(source, position)
        balances = list(_events(conf, prefix, ACCOUNT_EVENTS))
        _add_balances(source, balances, fills)
        source.problems += misvalued(fills) + unexplained(fills, positions)
    return source


def _events(conf: kafka.KafkaConf, prefix: str, topic: Topic) -> Iterator[Any]:
    """A topic's events, each once: per partition, what is not newer than its producer's last is a redelivery."""
    newest: dict[tuple[int, str, str], tuple[int, int]] = {}
    for message in kafka.read_all(conf, kafka.physical(prefix, topic)):
        raw = kafka.header(message, HEADER)
        if raw is not None:
            c = Coordinate.decode(raw)
            stream, place = (message.partition() or 0, c.producer, c.source), (c.major, c.minor)
            if place <= newest.get(stream, (-1, -1)):
                continue
            newest[stream] = place
        yield from wire.decode(message.value() or b"", topic.types)


def _add_fill(source: Source, f: Fill) -> None:
    count = -1 if f.reversal else 1
    qty = count * f.last_qty
    value = count * f.value
    bought, sold = (1, 0) if f.side is Side.BUY else (0, 1)
    source.add_sums(
        f.account, f.instrument, "", (count, bought * qty, sold * qty, f.side.sign * qty, bought * value, sold * value)
    )
    source.add(f.account, f.instrument, f"fees {f.fee_currency}", count * f.fee)
    source.put_execution(
        ExecutionId(f.account, f.instrument, f.venue_order_id, f.trade_id, f.reversal),
        Execution(f.side, f.last_qty, f.last_px, f.fee, f.fee_currency, f.liquidity, f.strategy, f.client_order_id),
    )


def _add_position(source: Source, p: PositionChanged) -> None:
    """A strategy's last position, added to its account's."""
    source.add_sums(
        p.account,
        p.instrument,
        "positions: ",
        (p.fills, p.bought_qty, p.sold_qty, p.quantity, p.bought_value, p.sold_value),
    )
    for currency, fee in p.fees.items():
        source.add(p.account, p.instrument, f"positions: fees {currency}", fee)
    source.add(p.account, p.instrument, f"positions: quantity of {p.strategy}", p.quantity)


def _add_logged(source: Source, p: PositionChanged) -> None:
    source.add(p.account, p.instrument, "positions log: rows", 1)
    for name in LOGGED:
        source.add(p.account, p.instrument, f"positions log: sum of {name}", getattr(p, name))


def _add_balances(source: Source, balances: Iterable[BalanceChanged], fills: Sequence[Fill]) -> None:
    first: dict[tuple[str, str], BalanceChanged] = {}
    last: dict[tuple[str, str], BalanceChanged] = {}
    moved_otherwise = {(f.account, f.settle) for f in fills if f.payoff is not Payoff.SPOT}
    for b in balances:
        first.setdefault((b.account, b.currency), b)
        last[b.account, b.currency] = b
        otherwise = b.reason in ("deposit", "withdrawal")
        if otherwise:
            moved_otherwise.add((b.account, b.currency))
        source.add(b.account, "", f"balances log: deposits and withdrawals of {b.currency}", int(otherwise))
        source.add(b.account, "", f"balances log: rows of {b.currency}", 1)
        source.add(b.account, "", f"balances log: sum of {b.currency}", b.free + b.locked)
    flows: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for f in fills:
        count = -1 if f.reversal else 1
        if f.payoff is Payoff.SPOT:
            flows[f.account, f.base] += count * f.side.sign * f.last_qty
            flows[f.account, f.quote] -= count * f.side.sign * f.value
        flows[f.account, f.fee_currency] -= count * f.fee
    for (account, currency), b in last.items():
        source.add(account, "", f"balance {currency}", b.free + b.locked)
    for account, currency in (flows.keys() | first.keys()) - moved_otherwise:
        source.add(
            account,
            "",
            f"opening + flows {currency}",
            _opening(first.get((account, currency))) + flows[account, currency],
        )


def _opening(first: BalanceChanged | None) -> Decimal:
    """What was there before we traded: the first word on a currency, unless that is a trade's."""
    return first.free + first.locked if first is not None and first.reason == "snapshot" else ZERO


def misvalued(fills: Iterable[Fill]) -> list[str]:
    """Fills whose value is not what their quantity, price and contract come to."""
    return [
        f"tape: fill {f.venue_order_id} {f.trade_id} of {f.account} {f.instrument} has the value {f.value}, not {due}"
        for f in fills
        for due in [_due(f)]
        if f.value != due
    ]


def _due(f: Fill) -> Decimal | None:
    can = contracts.can_be_valued(f.payoff, f.multiplier, f.last_px)
    return contracts.value(f.payoff, f.multiplier, f.last_qty, f.last_px) if can else None


def unexplained(fills: Iterable[Fill], positions: Iterable[PositionChanged]) -> list[str]:
    """Positions on the tape that are not the sums of the fills before them, one by one."""
    due: defaultdict[tuple[str, str, str], list[tuple[Any, ...]]] = defaultdict(list)
    sums: dict[tuple[str, str, str], Source] = defaultdict(lambda: Source(""))
    for f in fills:
        key = (f.account, f.strategy, f.instrument)
        _add_fill(sums[key], f)
        due[key].append(_sums_of(sums[key], f))
    said: defaultdict[tuple[str, str, str], list[tuple[Any, ...]]] = defaultdict(list)
    for p in positions:
        said[p.account, p.strategy, p.instrument].append(
            (p.fills, p.bought_qty, p.sold_qty, p.quantity, p.bought_value, p.sold_value, p.fees)
        )
    return [
        f"tape: position {number} of {' '.join(key)} does not follow from the fills"
        for key in sorted(due.keys() | said.keys())
        for number, (wanted, found) in enumerate(zip_longest(due[key], said[key]), start=1)
        if wanted != found
    ]


def _sums_of(source: Source, f: Fill) -> tuple[Any, ...]:
    fees = {n.name.removeprefix("fees "): v for n, v in source.figures.items() if n.name.startswith("fees ")}
    return (*(source.figures[Figure(f.account, f.instrument, name)] for name in SUMS), fees)
