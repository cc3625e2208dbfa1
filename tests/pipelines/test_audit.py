import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from infra import kafka
from infra.postgres import tables
from infra.postgres.migrate import migrate
from infra.postgres.store import AuditStore
from pipelines.audit import run_audit
from tests.synthetic_run import VERSION, SyntheticRun, config_of
from topics import orders, portfolio, strategy, wire
from topics.catalog import DEAD_LETTERS, FILLS
from topics.controls import InForce, SetLimit
from topics.system import DeadLetter


def stopped() -> threading.Event:
    stop = threading.Event()
    stop.set()
    return stop


def connected(dsn: str, schema: str) -> psycopg.Connection[Any]:
    return psycopg.connect(dsn, options=f"-c search_path={schema}", autocommit=True)


def ask(dsn: str, schema: str, query: str) -> list[tuple[Any, ...]]:
    with connected(dsn, schema) as connection:
        return connection.execute(query).fetchall()  # type: ignore[arg-type]


def test_everything_stands_in_its_table(
    kafka_conf: dict[str, str], postgres_dsn: str, run_prefix: str, tmp_path: Path
) -> None:
    run, config = SyntheticRun(), config_of(tmp_path, run_prefix)
    run.publish(kafka_conf, run_prefix)
    run_audit(config, kafka_conf, postgres_dsn, stopped())

    for table, kinds in {
        "commands": [orders.SubmitOrder],
        "order_facts": [k for k in tables.TABLE_OF if tables.TABLE_OF[k].name == "order_facts"],
        "orders": [orders.OrderUpdated],
        "fills": [orders.Fill],
        "balances": [portfolio.BalanceChanged],
        "controls": [SetLimit],
        "in_force": [InForce],
        "strategy_records": [strategy.StrategyRecord],
    }.items():
        expected = sum(1 for kind in kinds for _ in run.events(kind))
        assert ask(postgres_dsn, run_prefix, f"SELECT count(*) FROM {table}") == [(expected,)], table
    rows = ask(
        postgres_dsn,
        run_prefix,
        "SELECT trade_id, side, last_qty, last_px, fee, ts_event_ns, version, producer FROM fills",
    )
    fills = [
        (f.trade_id, f.side, f.last_qty, f.last_px, f.fee, f.ts_event, VERSION.decode(), "orders")
        for f in run.events(orders.Fill)
    ]
    assert sorted(rows) == sorted(fills)
    microseconds = ask(
        postgres_dsn,
        run_prefix,
        "SELECT DISTINCT extract(epoch FROM ts_event) * 1000000 - ts_event_ns / 1000 FROM fills",
    )
    assert microseconds == [(0,)]
    whole = ask(postgres_dsn, run_prefix, "SELECT record FROM records WHERE type = 'Fill'")
    assert Counter(msgspec.convert(r, orders.Fill).trade_id for (r,) in whole) == Counter(
        f.trade_id for f in run.events(orders.Fill)
    )
    status = msgspec.json.decode((config.run_dir / "status" / "audit.0.json").read_bytes())
    assert (status["stage"], status["lag"], status["dead_letters"]) == ("audit", 0, 0)
    assert status["records_in"] > 0


def test_what_was_delivered_again_counts_once(
    kafka_conf: dict[str, str], postgres_dsn: str, run_prefix: str, tmp_path: Path
) -> None:
    run, config = SyntheticRun(), config_of(tmp_path, run_prefix)
    run.publish(kafka_conf, run_prefix, twice=True)
    run_audit(config, kafka_conf, postgres_dsn, stopped())
    with connected(postgres_dsn, run_prefix) as connection:
        connection.execute("DELETE FROM offsets")  # as if all of it were taken a second time
    run_audit(config, kafka_conf, postgres_dsn, stopped())

    count = sum(1 for _ in run.events(orders.Fill))
    assert ask(postgres_dsn, run_prefix, "SELECT count(*) FROM fills") == [(count,)]
    assert ask(postgres_dsn, run_prefix, "SELECT count(*) FROM positions") == [(count,)]
    assert ask(postgres_dsn, run_prefix, "SELECT count(*) FROM records WHERE type = 'Fill'") == [(2 * count,)]


def test_a_batch_cut_short_by_a_kill_is_not_there_and_then_there_once(
    kafka_conf: dict[str, str], postgres_dsn: str, run_prefix: str, tmp_path: Path
) -> None:
    run, config = SyntheticRun(), config_of(tmp_path, run_prefix)
    run.publish(kafka_conf, run_prefix)
    migrate(postgres_dsn, run_prefix)
    spawn = multiprocessing.get_context("spawn")
    never = spawn.Event()
    with connected(postgres_dsn, run_prefix) as blocker, blocker.transaction():
        blocker.execute("LOCK TABLE offsets IN SHARE MODE")  # a batch gets as far as its offsets, its last statement
        child = spawn.Process(target=run_audit, args=(config, kafka_conf, postgres_dsn, never))
        child.start()
        await_blocked(postgres_dsn, run_prefix)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
    await_gone(postgres_dsn, run_prefix)
    assert ask(postgres_dsn, run_prefix, "SELECT count(*) FROM records") == [(0,)]
    run_audit(config, kafka_conf, postgres_dsn, stopped())
    assert ask(postgres_dsn, run_prefix, "SELECT count(*) FROM fills") == [(sum(1 for _ in run.events(orders.Fill)),)]


WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'offsets'::regclass"


def await_blocked(dsn: str, schema: str) -> None:
    deadline = time.monotonic() + 40
    while ask(dsn, schema, WAITING) == [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def await_gone(dsn: str, schema: str) -> None:
    """Postgres notices a dead client when it next writes to it."""
    deadline = time.monotonic() + 40
    while ask(
        dsn, schema, "SELECT count(*) FROM pg_locks WHERE relation IN ('records'::regclass, 'offsets'::regclass)"
    ) != [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("statement", ["UPDATE fills SET last_px = 1", "DELETE FROM records", "TRUNCATE positions"])
def test_what_stands_there_cannot_be_changed(
    statement: str, kafka_conf: dict[str, str], postgres_dsn: str, shared: str
) -> None:
    with (
        connected(postgres_dsn, shared) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"),
    ):
        connection.execute(statement)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def shared(kafka_conf: dict[str, str], postgres_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run that is only looked at."""
    name = "auditshared" + os.urandom(4).hex()
    SyntheticRun(executions=4).publish(kafka_conf, name)
    run_audit(config_of(tmp_path_factory.mktemp("audit"), name), kafka_conf, postgres_dsn, stopped())
    return name


def test_what_cannot_be_read_is_kept_told_and_passed(
    kafka_conf: dict[str, str], postgres_dsn: str, run_prefix: str, tmp_path: Path
) -> None:
    run, config = SyntheticRun(executions=2), config_of(tmp_path, run_prefix)
    kafka.create_topics(kafka_conf, run_prefix)
    producer = kafka.producer(kafka_conf)
    for value in (b"\xff", b'[{"type":"Fill"}]', b'[{"type":"Quote"}]'):
        producer.produce(kafka.physical(run_prefix, FILLS), value, "k", partition=0)
    assert producer.flush(20) == 0
    run.publish(kafka_conf, run_prefix)
    run_audit(config, kafka_conf, postgres_dsn, stopped())

    rows = ask(
        postgres_dsn,
        run_prefix,
        'SELECT payload, reason IS NOT NULL FROM records WHERE record IS NULL ORDER BY "offset"',
    )
    assert rows == [(b"\xff", True), (b'[{"type":"Fill"}]', True), (b'[{"type":"Quote"}]', True)]
    told = [
        letter
        for m in kafka.read_all(kafka_conf, kafka.physical(run_prefix, DEAD_LETTERS))
        for letter in wire.decode(m.value() or b"", (DeadLetter,))
    ]
    assert sorted(letter.offset for letter in told) == [0, 1, 2]
    assert {letter.topic for letter in told} == {"fills"}
    assert ask(postgres_dsn, run_prefix, "SELECT count(*) FROM fills") == [(sum(1 for _ in run.events(orders.Fill)),)]


def test_words_that_postgres_cannot_hold_do_not_stop_the_audit(
    kafka_conf: dict[str, str], postgres_dsn: str, run_prefix: str, tmp_path: Path
) -> None:
    kafka.create_topics(kafka_conf, run_prefix)
    halted = strategy.StrategyHalted(strategy="s", where="on_bar", error="nul \0 and \\u0000", ts_init=1)
    producer = kafka.producer(kafka_conf)
    producer.produce(kafka.physical(run_prefix, "strategy.records"), wire.encode([halted]), "s\0")
    assert producer.flush(20) == 0
    run_audit(config_of(tmp_path, run_prefix), kafka_conf, postgres_dsn, stopped())
    assert ask(postgres_dsn, run_prefix, "SELECT error FROM strategy_records") == [("nul \ufffd and \\u0000",)]


def test_a_topic_that_was_made_anew_is_taken_from_its_start(postgres_dsn: str, shared: str) -> None:
    with AuditStore(postgres_dsn, shared) as store:
        rows = ask(postgres_dsn, shared, "SELECT DISTINCT topic, topic_id FROM offsets")
        assert len(store.offsets(dict(rows))) > 0
        assert store.offsets({topic: "another" for topic, _ in rows}) == {}


def test_the_migrations_make_the_tables_of_the_list(postgres_dsn: str, shared: str) -> None:
    """Also with the columns that came later: what was applied once is never edited."""
    for table in tables.TYPED:
        query = f"SELECT column_name FROM information_schema.columns WHERE table_schema = '{shared}' AND table_name = '{table.name}'"
        found = {name for (name,) in ask(postgres_dsn, shared, query)}
        assert found == set(tables.COORDINATES) | {c.name for c in table.columns}, table.name


def test_every_record_of_an_audited_topic_has_a_table() -> None:
    assert {kind for topic in tables.AUDITED for kind in topic.types} == set(tables.TABLE_OF)
