"""`tapedeck verify`: do the exchange's ledger, the tape, Postgres and the archive say the same, to the last digit?

Compared per account and instrument: every execution with its content, the sums over fills, the positions, the balances, and the
sums over the logs of positions and balances. Meant for a system that is quiet: what happens meanwhile is a difference.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import psutil
import psycopg
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infra import archive
from infra.config import Config
from infra.errors import Problem
from infra.kafka import KafkaConf
from infra.postgres.tables import AUDITED
from infra.tail import Place, tape_ends
from pipelines.archive import archive_dir, run_archive
from pipelines.audit import run_audit
from pipelines.exact import ZERO
from pipelines.figures import Execution, ExecutionId, Figure, Source, named
from pipelines.verify_ledger import from_ledger
from pipelines.verify_sql import from_archive, from_postgres
from pipelines.verify_tape import from_tape
from topics.catalog import TOPICS

CATCH_UP_S = 60.0
NAMED = 5
UNKNOWN_TO_LEDGER = ("positions log", "balances log", "positions: quantity of")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Line:
    """One figure in every source; None where a source says nothing of it, which stands for 0."""

    figure: Figure
    values: Mapping[str, Decimal | None]
    agrees: bool

    @property
    def of(self) -> str:
        return " ".join(filter(None, (self.figure.account, self.figure.instrument or "balances")))

    @property
    def detail(self) -> bool:
        """Shown only where it differs."""
        return self.figure.name.startswith(("positions", "balances log"))


@dataclass(frozen=True)
class Verification:
    """`executions` is how many each source has; `problems` say in words what differs beyond the figures."""

    sources: tuple[str, ...]
    lines: tuple[Line, ...]
    executions: Mapping[str, int]
    problems: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        return not self.problems and all(line.agrees for line in self.lines)

    def to_table(self) -> RenderableType:
        table = Table(
            title="verify: the same figures from each source", box=None, padding=(0, 1, 0, 0), title_justify="left"
        )
        table.add_column("", overflow="fold")
        for name in self.sources:
            table.add_column(name, justify="right", overflow="fold")  # a digit is never cut off
        table.add_column("")
        of = ""
        for line in self.lines:
            if line.detail and line.agrees:
                continue
            if line.of != of:
                of = line.of
                table.add_row(Text(of, style="bold"))
            cells = [_text(line.values[name]) for name in self.sources]
            mark = Text("=", style="green") if line.agrees else Text("differs", style="bold red")
            table.add_row(f"  {line.figure.name.replace('_', ' ')}", *cells, mark, style="" if line.agrees else "red")
        return Group(table, *(Text(words, style="red") for words in self.problems), self._summary())

    def _summary(self) -> Text:
        hidden = sum(line.detail and line.agrees for line in self.lines)
        words = f"{hidden} more figures of positions and logs agree; executions compared one by one: "
        return Text(words + ", ".join(f"{name} {count}" for name, count in self.executions.items()), style="dim")

    def to_json(self) -> str:
        lines = [
            {
                "account": line.figure.account,
                "instrument": line.figure.instrument,
                "figure": line.figure.name,
                "values": {name: None if value is None else _text(value) for name, value in line.values.items()},
                "agrees": line.agrees,
            }
            for line in self.lines
        ]
        whole = {"agrees": self.agrees, "executions": self.executions, "problems": self.problems, "figures": lines}
        return msgspec.json.format(msgspec.json.encode(whole)).decode()


def _text(value: Decimal | None) -> str:
    if value is None:
        return "-"
    return f"{value:f}".rstrip("0").rstrip(".") if "." in f"{value:f}" else f"{value:f}"


def verify(
    config: Config,
    kafka_conf: KafkaConf,
    postgres_dsn: str,
    ledger_path: Path | None,
    *,
    progress: Say = lambda _: None,
    timeout_s: float = CATCH_UP_S,
) -> Verification:
    """Wait until the sinks have what is on the tape now, read each source for itself, compare. Problem when a source cannot be read.

    A sink that does not run is brought up to date here. Without a ledger (a real exchange) the other three are compared.
    """
    catch_up(config, kafka_conf, postgres_dsn, progress=progress, timeout_s=timeout_s)
    progress("reading the four sources")
    ledger = [] if ledger_path is None else [from_ledger(ledger_path, config)]
    tape = from_tape(kafka_conf, config.prefix)
    return compare([*ledger, tape, from_postgres(postgres_dsn, config.prefix), from_archive(archive_dir(config))])


# --- waiting for the sinks ---------------------------------------------------------------------------------------


def catch_up(config: Config, kafka_conf: KafkaConf, postgres_dsn: str, *, progress: Say, timeout_s: float) -> None:
    """Until audit and archive have passed the tape's end as of now; Problem when they have not in time."""
    ends = tape_ends(kafka_conf, config.prefix, tuple(TOPICS.values()))
    audited = {place: end for place, end in ends.items() if place.topic in {t.name for t in AUDITED}}
    stopped = threading.Event()
    stopped.set()
    sinks: list[tuple[str, Callable[[], int], Callable[[], None]]] = [
        (
            "audit",
            lambda: _audit_behind(postgres_dsn, config.prefix, audited),
            lambda: run_audit(config, kafka_conf, postgres_dsn, stopped),
        ),
        (
            "archive",
            lambda: _archive_behind(archive_dir(config), ends),
            lambda: run_archive(config, kafka_conf, stopped),
        ),
    ]
    for name, behind, drain in sinks:
        if behind() > 0 and not _runs(config, name):
            progress(f"{name} does not run: bringing it up to date")
            drain()
        _await(name, behind, progress, timeout_s)


def _await(name: str, behind: Callable[[], int], progress: Say, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while (left := behind()) > 0:
        if time.monotonic() > deadline:
            raise Problem(f"{name} is still {left} records behind the tape after {timeout_s:g} s: see its log")
        progress(f"waiting for {name}: {left} records behind the tape")
        time.sleep(0.2)


def _audit_behind(dsn: str, schema: str, ends: Mapping[Place, int]) -> int:
    with psycopg.connect(dsn) as connection:
        if connection.execute("SELECT to_regclass(%s)", (f'"{schema}".offsets',)).fetchone() == (None,):
            return sum(ends.values())
        connection.execute("SELECT set_config('search_path', %s, false)", (f'"{schema}"',))
        rows = connection.execute(
            "SELECT topic, partition, max(next_offset) FROM offsets GROUP BY topic, partition"
        ).fetchall()
    return _behind({Place(topic, partition): following for topic, partition, following in rows}, ends)


def _archive_behind(root: Path, ends: Mapping[Place, int]) -> int:
    return _behind({place: archive.next_offset(root, place) or 0 for place in ends}, ends)


def _behind(reached: Mapping[Place, int], ends: Mapping[Place, int]) -> int:
    return sum(max(0, end - reached.get(place, 0)) for place, end in ends.items())


def _runs(config: Config, sink: str) -> bool:
    """By its status file: its own word and a living process."""
    try:
        status: dict[str, Any] = msgspec.json.decode((config.run_dir / "status" / f"{sink}.0.json").read_bytes())
    except (OSError, msgspec.DecodeError):
        return False
    return bool(status.get("ready")) and psutil.pid_exists(int(status.get("pid", -1)))


# --- comparing ---------------------------------------------------------------------------------------------------


def compare(sources: list[Source]) -> Verification:
    """All against all, by figure; executions each against the tape's."""
    figures = sorted({figure for source in sources for figure in source.figures})
    lines = tuple(line for figure in figures if (line := _line(figure, sources)) is not None)
    tape = next(source for source in sources if source.name == "tape")
    problems = [problem for source in sources for problem in source.problems]
    problems += [p for source in sources if source is not tape for p in _execution_differences(tape, source)]
    counts = {source.name: len(source.executions) for source in sources}
    return Verification(tuple(s.name for s in sources), lines, counts, tuple(problems))


def _line(figure: Figure, sources: list[Source]) -> Line | None:
    said = [s for s in sources if _speaks_of(s, figure)]
    values = {s.name: s.figures.get(figure) if s in said else None for s in sources}
    if figure.name.startswith("opening + flows") and any(values[s.name] is None for s in said):
        return None  # deposits came in between, and only the ledger knows their amounts
    return Line(figure, values, len({values[s.name] or ZERO for s in said}) <= 1)


def _speaks_of(source: Source, figure: Figure) -> bool:
    if source.accounts is not None and figure.account not in source.accounts:
        return False
    return source.name != "ledger" or not figure.name.startswith(UNKNOWN_TO_LEDGER)


def _execution_differences(tape: Source, other: Source) -> Iterator[str]:
    ours = {i: e for i, e in tape.executions.items() if other.accounts is None or i.account in other.accounts}
    yield from _some(sorted(ours.keys() - other.executions.keys()), f"not in {other.name}, but on the tape")
    yield from _some(sorted(other.executions.keys() - ours.keys()), f"in {other.name}, but not on the tape")
    for ident in sorted(ours.keys() & other.executions.keys()):
        if words := _content_differs(ours[ident], other.executions[ident]):
            yield f"{named(ident)}: {words} ({other.name}, against the tape's)"


def _some(idents: list[ExecutionId], where: str) -> Iterator[str]:
    for ident in idents[:NAMED]:
        yield f"{named(ident)}: {where}"
    if len(idents) > NAMED:
        yield f"… and {len(idents) - NAMED} more {where}"


def _content_differs(ours: Execution, theirs: Execution) -> str:
    pairs = zip(Execution._fields, ours, theirs, strict=True)
    return ", ".join(f"{name} {b} for {a}" for name, a, b in pairs if b is not None and a != b)
