"""What `tapedeck strategy new` writes is a strategy that loads, and a test that passes as it is."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.errors import Problem
from pipelines.cli_strategy import app
from pipelines.strategy_template import write_strategy
from strategies import load_strategy

REPOSITORY = Path(__file__).parents[2]


def test_the_written_strategy_passes_its_own_test_and_the_linter(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["new", "dip_buyer", "--dir", str(tmp_path / "mine")])
    assert result.exit_code == 0
    strategy, test, _ = (tmp_path / "mine" / name for name in ("dip_buyer.py", "test_dip_buyer.py", "dip_buyer.toml"))
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout
    assert "7 passed" in ran.stdout
    settings = ["--config", str(REPOSITORY / "pyproject.toml"), "--no-cache"]
    for tool in (["check", *settings], ["format", "--check", *settings]):
        linted = subprocess.run(
            [sys.executable, "-m", "ruff", *tool, str(strategy), str(test)], capture_output=True, text=True
        )
        assert linted.returncode == 0, linted.stdout


def test_the_written_section_loads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_strategy("riser", tmp_path)
    section = tomllib.loads((tmp_path / "riser.toml").read_text())["strategies"]["riser"]
    monkeypatch.syspath_prepend(str(tmp_path))
    assert type(load_strategy(section["class"], section["params"])).__name__ == "Riser"


@pytest.mark.parametrize("name", ["DipBuyer", "dip-buyer", "1st", "", "class", "a/b", "x" * 41, "json", "strategies"])
def test_a_name_that_cannot_be_a_module_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(Problem) as refused:
        write_strategy(name, tmp_path)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path: Path) -> None:
    write_strategy("dip_buyer", tmp_path)
    with pytest.raises(Problem, match="exists already"):
        write_strategy("dip_buyer", tmp_path)
