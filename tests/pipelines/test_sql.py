"""`tapedeck sql` answers from a run's archive, as a table, JSON or CSV; what is wrong is one line."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from infra.errors import Problem
from pipelines import cli_sql
from pipelines.cli_sql import entries
from tests.synthetic_run import SyntheticRun

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SyntheticRun(executions=6).write_archive(tmp_path_factory.mktemp("run") / "archive").parent


def ask(archived: Path, query: str, *options: str) -> str:
    app = typer.Typer()
    cli_sql.mount(app)
    result = CliRunner().invoke(app, [query, "--run", str(archived), *options])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_a_query_is_a_table_json_or_csv(archived: Path) -> None:
    query = "SELECT instrument, count(*) AS n, min(last_qty) AS least FROM fills GROUP BY 1 ORDER BY 1"
    table = ask(archived, query)
    assert "instrument" in table
    assert table.rstrip().endswith("2 rows")
    rows = [json.loads(line) for line in ask(archived, query, "--json").splitlines()]
    assert [(r["instrument"], r["n"]) for r in rows] == [("sim:BTC-USDT", 3), ("sim:ETH-USDT", 3)]
    header, first, _ = ask(archived, query, "--csv").splitlines()
    assert header == "instrument,n,least"
    assert first == f"sim:BTC-USDT,3,{rows[0]['least']}"


def test_a_whole_row_can_be_asked_for_with_the_brokers_time_in_utc(archived: Path) -> None:
    (row,) = ask(archived, 'SELECT * FROM fills ORDER BY "offset" LIMIT 1', "--json").splitlines()
    assert json.loads(row)["timestamp"].startswith("2025-10-09 08:53:20")


def test_decimals_have_plain_digits(archived: Path) -> None:
    text = ask(archived, "SELECT 0::DECIMAL(38,18) AS zero, 0.00000001::DECIMAL(38,18) AS small", "--json")
    assert json.loads(text) == {"zero": "0", "small": "0.00000001"}


@pytest.mark.parametrize("query", ["SELECT", "SELECT * FROM nothing", "SELECT nothing FROM fills", "nonsense", ""])
def test_what_is_wrong_is_one_line(archived: Path, query: str) -> None:
    with pytest.raises(Problem) as refused:
        ask(archived, query)
    assert "\n" not in str(refused.value)


def test_a_folder_without_an_archive_is_told(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="holds no archive"):
        ask(tmp_path, "SELECT 1")


def test_the_prompt_lists_views_answers_and_survives_errors(archived: Path) -> None:
    """On a terminal of its own, ended with Ctrl-D."""
    master, slave = pty.openpty()
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", "sql", "--run", str(archived)]
    child = subprocess.Popen(
        command, stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=REPOSITORY, text=True
    )
    os.close(slave)
    os.write(master, b".tables\n.schema fills\nSELECT nothing;\nSELECT count(*) AS n\nFROM fills;\n\x04")
    said, _ = child.communicate(timeout=100)
    os.close(master)
    assert child.returncode == 0, said
    assert "views: " in said
    assert "DECIMAL(38,18)" in said
    assert "Binder Error" in said
    assert "1 row" in said


def test_a_pipe_is_read_as_the_prompt_reads() -> None:
    lines = [".tables\n", "SELECT 1;\n", "SELECT\n", "2;\n", "SELECT 3\n"]
    assert list(entries(lines)) == [".tables", "SELECT 1;", "SELECT\n2;", "SELECT 3"]
    assert list(entries([".tables\n", ".quit\n", "SELECT 1;\n"])) == [".tables"]
