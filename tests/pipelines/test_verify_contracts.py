"""Verify on a tape with inverse contracts: the tape, Postgres and DuckDB tell the same, and a changed value is found."""

import os
from pathlib import Path

import msgspec
import pytest

from pipelines import orders, positions
from pipelines.archive import archive_dir, run_archive
from pipelines.audit import run_audit
from pipelines.exact import ZERO
from pipelines.verify import compare
from pipelines.verify_sql import from_archive, from_postgres
from pipelines.verify_tape import from_tape, misvalued
from tests.facts import D, OrderMaker
from tests.folding import run
from tests.pipelines.test_verify import stopped, tampered
from tests.synthetic_run import SyntheticRun, config_of
from topics.orders import Fill
from topics.record import Payoff, Side

INVERSE = {"payoff": Payoff.INVERSE, "multiplier": D(100), "settle": "BTC", "quote": "USD", "fee_currency": "BTC"}
LINEAR = {"payoff": Payoff.LINEAR, "multiplier": D("0.1"), "settle": "USDT", "quote": "USDT"}


def traded() -> SyntheticRun:
    """Through zero and back, at prices whose inverse never ends, on two contracts."""
    made = SyntheticRun(executions=0)
    for instrument, terms in (("sim:BTC-USD-PERP", INVERSE), ("sim:BTC-USDT-PERP", LINEAR)):
        order = OrderMaker(instrument=instrument)
        facts = [
            order.filled(f"{n}", str(1 + n % 5), f"{61000 + n}.3", side=Side.BUY if n % 3 else Side.SELL, **terms)
            for n in range(30)
        ]
        fills = [o for o in run(orders.STAGE, facts) if isinstance(o, Fill)]
        made.derived("orders", fills)
        made.derived("positions", run(positions.STAGE, fills))
    return made


def test_tape_postgres_and_duckdb_agree_on_contracts_and_an_altered_value_is_found(
    kafka_conf: dict[str, str], postgres_dsn: str, tmp_path: Path
) -> None:
    config = config_of(tmp_path, "contracts" + os.urandom(4).hex())
    made = traded()
    made.publish(kafka_conf, config.prefix, twice=True)
    run_audit(config, kafka_conf, postgres_dsn, stopped())
    run_archive(config, kafka_conf, stopped())
    tape = from_tape(kafka_conf, config.prefix)
    archived = from_archive(archive_dir(config))
    result = compare([tape, from_postgres(postgres_dsn, config.prefix), archived])
    assert result.agrees, result.to_json()
    values = {f.name: v for f, v in tape.figures.items() if f.instrument == "sim:BTC-USD-PERP"}
    assert values["bought_value"] == sum((f.value for f in made.events(Fill) if f.value < 0 and f.side == "buy"), ZERO)
    assert values["bought_value"] < 0
    for change in ("value = value + 1e-18", "value = -value", "multiplier = 7"):
        with tampered(postgres_dsn, config.prefix, "fills", change):
            assert not compare([tape, from_postgres(postgres_dsn, config.prefix), archived]).agrees, change


@pytest.mark.parametrize("payoff", [INVERSE, LINEAR], ids=["inverse", "linear"])
def test_a_value_that_is_not_due_is_named(payoff: dict[str, object]) -> None:
    (fill,) = [o for o in run(orders.STAGE, [OrderMaker().filled("1", **payoff)]) if isinstance(o, Fill)]
    assert misvalued([fill]) == []
    (problem,) = misvalued([msgspec.structs.replace(fill, value=fill.value + D("1e-18"))])
    assert problem.startswith("tape: fill v1 1 of sim.main sim:BTC-USDT has the value")
