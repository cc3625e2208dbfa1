"""What is asked after every round. The witnesses are the exchange's ledger and the load generator's log; the tape must agree.

All of it is meant for a quiet system: no order of ours works, nothing is open, every worker is at its end.
"""

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from adapters.simulated.ledger import Ledger, read_ledger
from infra import kafka
from infra.config import Config
from infra.kafka import KafkaConf
from pipelines.recorded_run import ArchivedRun, LiveRun, Recorded
from pipelines.replay import Range
from pipelines.replay_all import replay_one
from pipelines.verify import verify
from topics import wire
from topics.catalog import ORDERS_EVENTS, ORDERS_STATE, ORDERS_STATE_LATEST
from topics.coordinates import HEADER, Coordinate
from topics.orders import (
    ExternalOrderSeen,
    ModifyDenied,
    ModifyRequested,
    OrderAnomaly,
    OrderDenied,
    OrderRequested,
    OrderUnknown,
    OrderUpdated,
    ReconciliationDifference,
)

MOST = 8
SENT_BY_US = ("submit", "intent")


@dataclass
class Said:
    """The load generator's log, read back: per id what it was, when each try left, and the answer."""

    do: dict[str, str] = field(default_factory=dict)
    tries: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    about: dict[str, str] = field(default_factory=dict)
    """The order that a cancel or a modification names."""

    def open_at(self, moment_ns: int) -> int:
        """Commands that had left and were not answered."""
        return sum(
            1
            for ident, tries in self.tries.items()
            if tries[0] <= moment_ns and (ident not in self.answers or self.answers[ident]["t"] > moment_ns)
        )


def read_log(path: Path) -> Said:
    said = Said()
    for raw in path.read_bytes().rpartition(b"\n")[0].splitlines():
        line = json.loads(raw)
        if "do" in line:
            said.do[line["id"]] = line["do"]
            said.tries[line["id"]].append(line["t"])
            said.about[line["id"]] = line.get("order", "")
        else:
            said.answers[line["id"]] = line
    return said


@dataclass
class Tape:
    """What the gateway wrote, each record once by its coordinate."""

    requested: dict[str, OrderRequested] = field(default_factory=dict)
    denied: dict[str, OrderDenied] = field(default_factory=dict)
    decisions: Counter[str] = field(default_factory=Counter)
    modifies: Counter[tuple[str, bool]] = field(default_factory=Counter)
    """By command id, and whether it was accepted."""
    external: list[ExternalOrderSeen] = field(default_factory=list)
    differences: list[ReconciliationDifference] = field(default_factory=list)
    unknown: int = 0

    def says(self, do: str, ident: str, accepted: bool) -> bool:
        if do == "modify":
            return self.modifies[ident, accepted] > 0
        return ident in (self.requested if accepted else self.denied)


def read_tape(conf: KafkaConf, prefix: str) -> Tape:
    tape, last = Tape(), (-1, -1)
    for message in kafka.read_all(conf, kafka.physical(prefix, ORDERS_EVENTS)):
        at = Coordinate.decode(kafka.header(message, HEADER) or b"")
        if (at.major, at.minor) <= last:
            continue
        last = (at.major, at.minor)
        for fact in wire.decode(message.value() or b"", ORDERS_EVENTS.types):
            _note(tape, fact)
    return tape


def _note(tape: Tape, fact: Any) -> None:
    match fact:
        case OrderRequested():
            tape.requested[fact.client_order_id] = fact
            tape.decisions[fact.client_order_id] += 1
        case OrderDenied():
            tape.denied[fact.client_order_id] = fact
            tape.decisions[fact.client_order_id] += 1
        case ModifyRequested() | ModifyDenied():
            tape.modifies[fact.command.command_id, isinstance(fact, ModifyRequested)] += 1
        case ExternalOrderSeen():
            tape.external.append(fact)
        case ReconciliationDifference():
            tape.differences.append(fact)
        case OrderUnknown():
            tape.unknown += 1


@dataclass
class Judged:
    """``problems`` in words; empty: all is well."""

    problems: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


def judge(config: Config, conf: KafkaConf, dsn: str, ledger_path: Path, log_path: Path) -> Judged:
    """Everything but the replay."""
    ledger, said, tape = read_ledger(ledger_path), read_log(log_path), read_tape(conf, config.prefix)
    states = {
        o.client_order_id: o
        for o in kafka.latest(conf, config.prefix, ORDERS_STATE_LATEST)
        if isinstance(o, OrderUpdated)
    }
    judged = Judged()
    for problems in (
        _sent_twice(ledger, tape),
        _lost(said, tape),
        _unexplained(ledger, tape),
        _unfinished(tape, states),
        _otherwise(ledger, tape, states),
        _anomalies(conf, config.prefix),
    ):
        judged.problems += _some(problems)
    verification = verify(config, conf, dsn, ledger_path)
    judged.problems += [f"verify: {p}" for p in _some(verification.problems)]
    judged.problems += _some(
        f"verify: {line.of} {line.figure.name}: {dict(line.values)}" for line in verification.lines if not line.agrees
    )
    judged.counts = {
        "commands": len(said.do),
        "tries": sum(map(len, said.tries.values())),
        "requested": len(tape.requested),
        "denied": len(tape.denied),
        "modified": sum(accepted for _, accepted in tape.modifies.elements()),
        "stops": sum(fact.command.order_type.is_stop for fact in tape.requested.values()),
        "unknown": tape.unknown,
        "venue_orders": len(ledger.orders),
        "executions": len(ledger.executions),
    }
    return judged


def _some(problems: Iterable[str]) -> list[str]:
    found = list(problems)
    return found[:MOST] + ([f"… and {len(found) - MOST} more"] if len(found) > MOST else [])


def _sent_twice(ledger: Ledger, tape: Tape) -> Iterator[str]:
    placed = Counter(line["client_order_id"] for line in ledger.orders.values())
    yield from (f"sent twice: {count} venue orders with client id {cid}" for cid, count in placed.items() if count > 1)
    yield from (f"decided {n} times: {cid}" for cid, n in tape.decisions.items() if n > 1)
    decided = Counter(ident for ident, _ in tape.modifies.elements())
    yield from (f"decided {n} times: {ident}" for ident, n in decided.items() if n > 1)


def _lost(said: Said, tape: Tape) -> Iterator[str]:
    """An answer that the tape does not bear out, a command without an answer, an intent without a decision."""
    for ident, do in said.do.items():
        answer = said.answers.get(ident, {}).get("answer")
        if answer is None:
            yield f"lost: {do} {ident} was never answered"
        elif do == "modify" and answer == "NOT_FOUND" and "~" in said.about[ident]:
            pass  # the rest of an order, that never had to go out
        elif do in ("submit", "modify") and answer not in ("accepted", "denied"):
            yield f"not taken: {do} {ident}: {said.answers[ident]}"
        elif do in ("submit", "modify") and not tape.says(do, ident, answer == "accepted"):
            yield f"lost: {ident} was answered {answer!r}, which the tape does not say"
        elif do == "intent" and tape.decisions[ident] == 0:
            yield f"lost: intent {ident} is on the tape and was never decided"


def _unexplained(ledger: Ledger, tape: Tape) -> Iterator[str]:
    known = {fact.venue_client_id for fact in tape.requested.values()}
    for line in ledger.orders.values():
        if line["client_order_id"] not in known:
            yield f"unexplained: venue order {line['order_id']} ({line['client_order_id']}) was requested by nobody"
    yield from (f"unexplained: {fact.client_order_id} seen as external" for fact in tape.external)
    yield from (f"difference: {d.instrument}: {d.what}: tape {d.tape}, venue {d.venue}" for d in tape.differences)


def _unfinished(tape: Tape, states: dict[str, OrderUpdated]) -> Iterator[str]:
    for cid in tape.requested:
        state = states.get(cid)
        if state is None:
            yield f"unfinished: {cid} is requested and has no state"
        elif not state.status.is_terminal or state.pending_replace:
            yield f"unfinished: {cid} is {state.status}{', to be replaced' * state.pending_replace}"


def _otherwise(ledger: Ledger, tape: Tape, states: dict[str, OrderUpdated]) -> Iterator[str]:
    """What the venue has of an order, against what the tape says became of it."""
    placed = {line["client_order_id"]: line for line in ledger.orders.values()}
    for cid, fact in tape.requested.items():
        state, line = states.get(cid), placed.get(fact.venue_client_id)
        if state is None:
            continue
        done = Decimal(0) if line is None else Decimal(line["executed_qty"])
        if state.cum_qty != done:
            yield f"otherwise: {cid} has {state.cum_qty} on the tape, {done} at the venue"
        if line is not None and line["status"] not in VENUE_STATUS[str(state.status)]:
            yield f"otherwise: {cid} is {state.status} on the tape, {line['status']} at the venue"


VENUE_STATUS = {
    "filled": {"FILLED"},
    "canceled": {"CANCELED"},
    "expired": {"EXPIRED", "EXPIRED_IN_MATCH"},
    "rejected": set[str](),
    "denied": set[str](),
    "unknown": set[str](),
    "new": {"NEW"},
    "pending_new": {"NEW"},
    "partially_filled": {"PARTIALLY_FILLED"},
}


def _anomalies(conf: KafkaConf, prefix: str) -> Iterator[str]:
    for message in kafka.read_all(conf, kafka.physical(prefix, ORDERS_STATE)):
        if b"OrderAnomaly" in (message.value() or b""):
            for one in wire.decode(message.value() or b"", ORDERS_STATE.types):
                if isinstance(one, OrderAnomaly):
                    yield f"anomaly: {one.client_order_id}: {one.what}: {one.detail}"


def replayed(names: Iterable[str], config: Config, conf: KafkaConf | None) -> tuple[list[str], int]:
    """Problems, and how many records were equal. With ``conf`` over the live topics, else over the archive.

    How far each stage was is noted before the first topic is read: what it takes meanwhile is not asked for.
    """
    as_of = config.run_dir / "judged"
    shutil.rmtree(as_of, ignore_errors=True)
    shutil.copytree(config.run_dir / "status", as_of / "status", ignore=shutil.ignore_patterns("*.tmp"))
    run: Recorded = ArchivedRun(config.run_dir / "archive") if conf is None else LiveRun(conf, config.prefix)
    problems, equal = [], 0
    for name in names:
        result = replay_one(name, config, run, as_of, within=Range(), recode_every=None)
        equal += result.equal
        if (d := result.difference) is not None:
            sides = f"recorded {_short(d.recorded)}, replayed {_short(d.replayed)}"
            problems.append(f"replay of {name}: {d.what} at {d.coordinate} ({d.place}): {sides}")
    return problems, equal


def _short(side: Any) -> str:
    return "nothing" if side is None else f"{side.topic} {side.value[:300]!r}"
