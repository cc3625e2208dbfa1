import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from infra.config import Config
from infra.errors import Problem
from pipelines import cli_data
from pipelines.archive import archive_dir, run_archive
from pipelines.audit import run_audit
from pipelines.figures import Source
from pipelines.verify import Verification, compare, verify
from pipelines.verify_ledger import from_ledger
from pipelines.verify_sql import from_archive, from_postgres
from pipelines.verify_tape import from_tape
from tests.synthetic_run import ACCOUNT, SyntheticRun, config_of
from topics.orders import Fill
from topics.portfolio import BalanceChanged, PositionChanged
from topics.record import Record


@dataclass(frozen=True)
class Run:
    """A run whose four sources agree, with each record delivered twice."""

    config: Config
    run: SyntheticRun
    kafka: dict[str, str]
    dsn: str
    ledger: Path

    @cached_property
    def sources(self) -> dict[str, Source]:
        """Each as it was when all was well."""
        found = [
            from_ledger(self.ledger, self.config),
            from_tape(self.kafka, self.config.prefix),
            self.postgres(),
            self.archived(),
        ]
        return {source.name: source for source in found}

    def postgres(self) -> Source:
        return from_postgres(self.dsn, self.config.prefix)

    def archived(self) -> Source:
        return from_archive(archive_dir(self.config))

    def compared(self, *again: Source) -> Verification:
        """The sources, some of them read again."""
        return compare(list((self.sources | {source.name: source for source in again}).values()))


def stopped() -> threading.Event:
    stop = threading.Event()
    stop.set()
    return stop


@pytest.fixture(scope="module")
def good(kafka_conf: dict[str, str], postgres_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = config_of(tmp_path_factory.mktemp("verify"), "verify" + os.urandom(4).hex())
    run = SyntheticRun()
    run.publish(kafka_conf, config.prefix, twice=True)
    run_audit(config, kafka_conf, postgres_dsn, stopped())
    run_archive(config, kafka_conf, stopped())
    ledger = run.write_ledger(cli_data.default_ledger(config))
    return Run(config, run, kafka_conf, postgres_dsn, ledger)


def shown(result: Verification) -> str:
    console = Console(width=200, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(result.to_table())
    return console.export_text()


def test_four_sources_that_agree_agree_in_every_figure(good: Run) -> None:
    result = good.compared()
    assert result.agrees, shown(result)
    count = sum(1 for _ in good.run.events(Fill))
    assert result.executions == dict.fromkeys(("ledger", "tape", "postgres", "duckdb"), count)
    figures = {(f["instrument"], f["figure"]): f["values"] for f in json.loads(result.to_json())["figures"]}
    bought = sum(f.last_qty for f in good.run.events(Fill) if f.side == "buy" and f.instrument == "sim:BTC-USDT")
    assert set(figures["sim:BTC-USDT", "bought_qty"].values()) == {str(bought)}
    for name in ("executions", "sold_qty", "net_position", "bought_value", "sold_value", "fees BTC", "fees USDT"):
        assert len(set(figures["sim:BTC-USDT", name].values())) == 1
        assert None not in figures["sim:BTC-USDT", f"positions: {name}"].values()
    for name in ("balance USDT", "opening + flows USDT", "balance BTC", "opening + flows BTC"):
        assert None not in figures["", name].values()


# --- one altered row in any of the four --------------------------------------------------------------------------


def altered_line(
    kind: str, nth: int, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Changes the nth ledger line of its kind."""
    seen = iter(range(10**6))
    return lambda line: {**line, **change(line)} if line["type"] == kind and next(seen) == nth else line


@pytest.mark.parametrize(
    ("kind", "nth", "change"),
    [
        ("execution", 5, lambda line: {"qty": f"{Decimal(line['qty']) + Decimal('0.00000001'):.8f}"}),
        ("execution", 6, lambda line: {"price": f"{Decimal(line['price']) + Decimal('0.00000001'):.8f}"}),
        ("execution", 7, lambda line: {"fee": f"{Decimal(line['fee']) + Decimal('0.00000001'):.8f}"}),
        ("execution", 8, lambda line: {"maker": not line["maker"]}),
        ("execution", 9, lambda line: {"trade_id": 10**6}),
        ("deposit", 1, lambda line: {"amount": "199.99999999"}),
        ("balance", 40, lambda line: {"free": f"{Decimal(line['free']) - Decimal('0.00000001'):.8f}"}),
        ("balance", -1, lambda line: {"free": f"{Decimal(line['free']) - Decimal('0.00000001'):.8f}"}),
    ],
)
def test_one_altered_line_of_the_ledger_is_found(good: Run, tmp_path: Path, kind: str, nth: int, change: Any) -> None:
    nth = nth if nth >= 0 else sum(line["type"] == kind for line in good.run.ledger) - 1
    ledger = good.run.write_ledger(tmp_path / "ledger.jsonl", altered_line(kind, nth, change))
    result = good.compared(from_ledger(ledger, good.config))
    assert not result.agrees
    assert "differs" in shown(result) or result.problems


def nth_of(kind: type[Record], nth: int, **change: Any) -> Callable[[Record], Record]:
    """Changes the nth record of a kind."""
    seen = iter(range(10**6))
    return lambda r: msgspec.structs.replace(r, **change) if type(r) is kind and next(seen) == nth else r


@pytest.mark.parametrize(
    "altered",
    [
        nth_of(Fill, 9, last_qty=Decimal("0.1234")),
        nth_of(Fill, 9, client_order_id="another"),
        nth_of(PositionChanged, 30, sold_value=Decimal("1.5")),
        nth_of(BalanceChanged, 50, locked=Decimal("0.00000001")),
    ],
)
def test_one_altered_record_on_the_tape_is_found(good: Run, run_prefix: str, altered: Any) -> None:
    good.run.publish(good.kafka, run_prefix, altered=altered, only=("fills", "positions", "account.events"))
    assert not good.compared(from_tape(good.kafka, run_prefix)).agrees


@contextmanager
def tampered(dsn: str, schema: str, table: str, change: str) -> Iterator[None]:
    """A row of Postgres changed by somebody who may switch triggers off, and put back afterwards."""
    nth = f'SELECT topic, partition, "offset", "index" FROM {table} ORDER BY ts_event_ns, "offset" OFFSET 17 LIMIT 1'
    row = f'(topic, partition, "offset", "index") = ({nth})'
    with psycopg.connect(
        dsn, options=f"-c search_path={schema} -c session_replication_role=replica", autocommit=True
    ) as c:
        c.execute(f"CREATE TABLE kept AS SELECT * FROM {table} WHERE {row}")  # type: ignore[arg-type]
        c.execute(f"UPDATE {table} SET {change} WHERE {row}")  # type: ignore[arg-type]
        try:
            yield
        finally:
            c.execute(
                f'DELETE FROM {table} USING kept WHERE ({table}.partition, {table}."offset") = (kept.partition, kept."offset")'
            )  # type: ignore[arg-type]
            c.execute(f"INSERT INTO {table} SELECT * FROM kept")  # type: ignore[arg-type]
            c.execute("DROP TABLE kept")


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("fills", "last_px = last_px + 0.00000001"),
        ("fills", "strategy = 'another'"),
        ("fills", "side = CASE side WHEN 'buy' THEN 'sell' ELSE 'buy' END"),
        ("fills", "trade_id = '999999'"),
        ("positions", "realized_pnl = realized_pnl + 0.00000001"),
        ("positions", "quantity = quantity * 2"),
        ("balances", "free = free + 0.00000001"),
    ],
)
def test_one_altered_row_of_postgres_is_found(good: Run, table: str, change: str) -> None:
    with tampered(good.dsn, good.config.prefix, table, change):
        assert not good.compared(good.postgres()).agrees
    assert good.compared(good.postgres()).agrees


@contextmanager
def rewritten(path: Path, old: bytes, new: bytes) -> Iterator[None]:
    """One file of the archive with the first record that has `old` saying `new`, and put back afterwards."""
    kept, table = path.read_bytes(), pq.read_table(path)
    values = table["value"].to_pylist()
    nth = next(n for n, value in enumerate(values) if old in value)
    values[nth] = values[nth].replace(old, new, 1)
    pq.write_table(
        table.set_column(
            table.schema.get_field_index("value"), table.schema.field("value"), pa.array(values, pa.binary())
        ),
        path,
    )
    try:
        yield
    finally:
        path.write_bytes(kept)


@pytest.mark.parametrize(
    ("topic", "old", "new"),
    [
        ("fills", b'"last_qty":"0.', b'"last_qty":"1.'),
        ("fills", b'"liquidity":"maker"', b'"liquidity":"taker"'),
        ("positions", b'"fills":3', b'"fills":4'),
        ("account.events", b'"free":"1', b'"free":"2'),
    ],
)
def test_one_altered_row_of_the_archive_is_found(good: Run, topic: str, old: bytes, new: bytes) -> None:
    path = next(
        p
        for p in sorted(archive_dir(good.config).glob(f"{topic}/*/*.parquet"))
        if any(old in v for v in pq.read_table(p)["value"].to_pylist())
    )
    with rewritten(path, old, new):
        assert not good.compared(good.archived()).agrees
    assert good.compared(good.archived()).agrees


def altered_trades(by: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda line: line | ({"trade_id": line["trade_id"] + by} if line["type"] == "execution" else {})


def test_missing_and_extra_executions_are_named_but_not_all_of_them(good: Run, tmp_path: Path) -> None:
    run = SyntheticRun(seed=99)
    moved = altered_trades(10**6)
    other = from_ledger(run.write_ledger(tmp_path / "other.jsonl", moved), good.config)
    result = good.compared(other)
    named = [p for p in result.problems if p.endswith("not in ledger, but on the tape")]
    assert len(named) == 6
    assert named[-1].startswith("… and 39 more")
    assert f"{ACCOUNT} sim:" in named[0]


# --- the whole command -------------------------------------------------------------------------------------------


def test_sinks_that_do_not_run_are_brought_up_to_date_first(
    kafka_conf: dict[str, str], postgres_dsn: str, run_prefix: str, tmp_path: Path
) -> None:
    config, run = config_of(tmp_path, run_prefix), SyntheticRun(executions=6)
    run.publish(kafka_conf, run_prefix)
    said: list[str] = []
    result = verify(config, kafka_conf, postgres_dsn, run.write_ledger(tmp_path / "ledger.jsonl"), progress=said.append)
    assert result.agrees, shown(result)
    assert said[0] == "audit does not run: bringing it up to date"


def test_a_sink_that_runs_but_stays_behind_is_named_in_one_line(good: Run, run_prefix: str, tmp_path: Path) -> None:
    config = config_of(tmp_path, run_prefix)
    SyntheticRun(executions=1).publish(good.kafka, run_prefix)
    status = config.run_dir / "status" / "audit.0.json"
    status.parent.mkdir(parents=True)
    status.write_text(json.dumps({"ready": True, "pid": os.getpid()}))
    with pytest.raises(Problem, match=r"audit is still \d+ records behind the tape"):
        verify(config, good.kafka, good.dsn, None, timeout_s=0.2)


@pytest.fixture
def command(good: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    monkeypatch.setenv("TAPEDECK_KAFKA", good.kafka["bootstrap.servers"])
    monkeypatch.setenv("TAPEDECK_POSTGRES", good.dsn)
    file = tmp_path / "tapedeck.toml"
    file.write_text(
        f'[run]\nname = "{good.config.run.name}"\nhome = "{good.config.run.home}"\n[venues.sim]\nadapter = "binance"\n'
        f'[accounts."{ACCOUNT}"]\napi_key_env = "KEY"\napi_secret_env = "SECRET"\n'
    )
    app = typer.Typer()
    cli_data.mount(app)
    return lambda *arguments: CliRunner().invoke(app, [arguments[0], "--config", str(file), *arguments[1:]])


def test_the_command_prints_the_table_or_the_numbers(command: Callable[..., Any]) -> None:
    table, numbers = command("verify"), command("verify", "--json")
    assert (table.exit_code, numbers.exit_code) == (0, 0), table.output
    assert "sim:BTC-USDT" in table.stdout
    assert json.loads(numbers.stdout)["agrees"] is True


def test_the_command_fails_on_any_difference(command: Callable[..., Any], good: Run, tmp_path: Path) -> None:
    ledger = good.run.write_ledger(
        tmp_path / "l.jsonl", altered_line("execution", 3, lambda line: {"qty": "1.00000000"})
    )
    result = command("verify", "--ledger", str(ledger))
    assert result.exit_code == 1
    assert "differs" in result.stdout


def test_a_ledger_without_our_account_is_refused_in_one_line(good: Run, tmp_path: Path) -> None:
    ledger = good.run.write_ledger(
        tmp_path / "l.jsonl", lambda line: line | ({"account": "b"} if "account" in line else {})
    )
    config = msgspec.structs.replace(
        good.config, accounts=good.config.accounts | {"sim.other": good.config.accounts[ACCOUNT]}
    )
    with pytest.raises(Problem, match="none of the accounts"):
        from_ledger(ledger, config)
    with pytest.raises(Problem, match="no ledger"):
        from_ledger(tmp_path / "absent.jsonl", config)
