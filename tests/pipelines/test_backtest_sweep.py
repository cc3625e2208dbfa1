"""A sweep: the same figures as each point alone, whatever the processes; what is bad is said before anything runs."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from infra.errors import Problem
from pipelines import cli_research
from pipelines.backtest import Settings
from pipelines.backtest_figures import sharpe
from pipelines.backtest_plan import plan
from pipelines.backtest_sweep import Done, Input, Job, planned_jobs, run_point, sweep
from pipelines.backtest_sweep_page import MEASURES, kind_of, read, render
from tests.pipelines.flow_capture import record_flow

BUYER = "strategies.spread_buyer:SpreadBuyer"
FIXED = "order_qty=0.01,max_spread_bps=1,min_gain_bps=0.1"


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_flow(tmp_path_factory.mktemp("flow"), seed=11, seconds=8)[0]


def command(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.callback()(lambda: None)
    cli_research.mount(app)
    result = CliRunner().invoke(app, ["backtest", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def rows(path: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "took_s"} for row in read(path)]


def test_a_grid_runs_in_processes_into_one_table_and_one_page(
    capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEDECK_HOME", str(tmp_path))
    grid = "max_hold_s=1,3 repeg_bps=0,0.02"
    arguments = (BUYER, "--from", str(capture), "--params", FIXED, "--sweep", grid, "--queue", "log", "--name", "s")
    code, text = command(*arguments, "--processes", "2")
    assert code == 0, text
    assert "4 of 4 runs" in text
    found = rows(tmp_path / "runs" / "s" / "sweep.duckdb")
    assert [(row["param_max_hold_s"], row["param_repeg_bps"]) for row in found] == [
        (h, Decimal(r)) for h in (1, 3) for r in ("0", "0.02")
    ]
    assert any(row["fills"] > 0 for row in found)
    assert all(row["fills"] == row["buys"] + row["sells"] and row["error"] is None for row in found)
    page = (tmp_path / "runs" / "s" / "sweep.html").read_text()
    assert "P&amp;L by max_hold_s and repeg_bps" in page
    assert "src=" not in page.replace("Plotly", "")[:2000]
    with pytest.raises(Problem, match="exists already"):
        command(*arguments)
    with pytest.raises(Problem, match="max_hold_s=-1"):
        command(*arguments[:-1], "t", "--sweep", "max_hold_s=1,-1")
    with pytest.raises(Problem, match=r"--sweep '': no parameter in it"):
        command(BUYER, "--from", str(capture), "--sweep", "")
    with pytest.raises(Problem, match="name it"):
        command("--from", str(capture), "--sweep", "max_hold_s=1")


def test_a_point_alone_is_what_it_is_in_a_sweep_and_an_interrupted_one_ends_and_counts_for_nothing(
    capture: Path, tmp_path: Path
) -> None:
    params = dict(part.split("=") for part in FIXED.split(","))
    planned = plan(None, BUYER, [capture], {**params, "max_hold_s": "1"}, "x", tmp_path)
    points = [{"max_hold_s": str(n)} for n in range(1, 40)]
    jobs = planned_jobs(points, lambda point: planned.again(BUYER, {**params, **point}))
    given, settings = Input([capture], planned.venue), Settings()
    done = _until_one_is_done(jobs, given, settings)
    assert 1 <= len(done) < len(jobs)
    alone = run_point(jobs[done[0].run - 1], planned.source, settings, lambda: False)
    assert alone is not None
    assert alone.figures == done[0].figures
    assert run_point(jobs[0], planned.source, settings, lambda: True) is None
    assert "P&amp;L by max_hold_s" not in render("x", BUYER, "c", 0, 39, done[:1])  # one point has nothing to compare


def _until_one_is_done(jobs: list[Job], given: Input, settings: Settings) -> list[Done]:
    done: list[Done] = []

    def interrupted() -> bool:
        return bool(done)

    for one in sweep(jobs, given, settings, 1, interrupted):
        done += [one]
    return done


def test_the_ratio_of_gains_to_their_spread() -> None:
    second = 1_000_000_000
    assert sharpe([], 0, 10 * second) is None
    up = sharpe([(n * second, Decimal(n + n % 2)) for n in range(1, 10)], 0, 10 * second)
    down = sharpe([(n * second, -Decimal(n + n % 2)) for n in range(1, 10)], 0, 10 * second)
    assert up is not None
    assert down == pytest.approx(-up)
    assert up > 0
    assert "sharpe" in MEASURES


def test_a_parameter_is_a_number_in_the_table_where_all_its_values_are() -> None:
    assert kind_of(["1", "-3"]) == "BIGINT"
    assert kind_of(["1", "0.25"]) == "DECIMAL(38, 18)"
    assert kind_of(["1", "time-1s"]) == kind_of(["true"]) == kind_of(["1e3"]) == "VARCHAR"
