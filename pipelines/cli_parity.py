"""`tapedeck parity`: would the backtest have decided what the live run decided? Mounted by the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from infra.config import Config, ConfigError, load
from infra.errors import Problem

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, soft_wrap=True, highlight=False)


def mount(app: typer.Typer) -> None:
    app.command()(parity)


def parity(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    strategy: Annotated[list[str] | None, typer.Option(help="Decide only these again; default: all of them.")] = None,
    window: Annotated[float, typer.Option(help="Seconds within which an execution counts as reproduced.")] = 2.0,
    wider: Annotated[float, typer.Option(help="Seconds within which it is the same one, earlier or later.")] = 10.0,
    free: Annotated[bool, typer.Option("--free/--exact-only", help="Also backtest without the executions.")] = True,
    show_report: Annotated[bool, typer.Option("--report/--no-report", help="Write the report's page.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Decide a run's strategies again in the backtest's composition; exit code 1 where a decision differs.

    With the recorded executions fed back and the inboxes in their recorded order every decision must be the same. Without
    them, under the recorded latencies, it says how many of the executions the backtest reproduces.
    """
    from pipelines import parity_report
    from pipelines.archive_reader import archive_of
    from pipelines.parity import exact_parity
    from pipelines.parity_free import free_run
    from pipelines.recorded_run import ArchivedRun

    if not 0 <= window <= wider:
        raise Problem("--window and --wider are seconds, 0 or more, the wider one not below the other")
    config, root = _config_of(run), archive_of(run)
    recorded = ArchivedRun(root)
    exact = exact_parity(config, recorded, run, strategy or ())
    if not as_json:
        parity_report.print_exact(exact, out)
    freely = None
    if free:
        with _Bar() as told:
            times = {"window_ns": round(window * 1e9), "wider_ns": round(wider * 1e9)}
            freely = free_run(config, root, recorded, run, progress=told, **times)
    found = parity_report.plain(exact, freely)
    if as_json:
        typer.echo(json.dumps(found))
    elif found["free"] is not None:
        parity_report.print_free(found["free"], out)
    parity_report.write(run, found)
    if show_report:
        _report(config, run)
    raise typer.Exit(0 if exact.is_equal else 1)


def _config_of(run: Path) -> Config:
    path = run / "tapedeck.toml"
    if not path.exists():
        raise ConfigError(f"{run} holds no tapedeck.toml: name the folder of a run")
    return load(path, {})


def _report(config: Config, run: Path) -> None:
    """Of the folder that was named, also where it was moved to another home."""
    from pipelines.report import build_report

    folder = run.resolve()
    if folder.parent.name != "runs":
        err.print(f"no report: {folder} is not in a folder of runs")
        return
    moved = msgspec.structs.replace(config.run, name=folder.name, home=str(folder.parent.parent))
    config = msgspec.structs.replace(config, run=moved)
    err.print(f"report: {build_report(config, folder / 'report.html', console=Console(quiet=True))}")


class _Bar:
    """A bar that is told the share that is done."""

    def __enter__(self) -> Callable[[float], None]:
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=err, transient=True)
        self._bar.start()
        task = self._bar.add_task("backtest", total=1.0)
        return lambda share: self._bar.update(task, completed=share)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
