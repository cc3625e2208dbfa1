"""`tapedeck verify` and `tapedeck report`: what the data says. Mounted by the command line."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from infra import services
from infra.config import Config, load

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="The configuration of the run.")]
LOG_EVERY_S = 10.0
err = Console(stderr=True, soft_wrap=True, highlight=False)


def mount(app: typer.Typer) -> None:
    app.command()(verify)
    app.command()(report)
    app.command()(record)


def verify(
    config: ConfigOption = None,
    ledger: Annotated[Path | None, typer.Option(help="The exchange's ledger; default: the run's own.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every figure as JSON.")] = False,
    without_ledger: Annotated[bool, typer.Option("--without-ledger", help="Compare the other three only.")] = False,
    wait: Annotated[float, typer.Option(help="Seconds to wait for audit and archive.")] = 60.0,
) -> None:
    """Compare the exchange's ledger, the tape, Postgres and the archive to the last digit; exit code 1 on any difference."""
    from pipelines.verify import verify as compare

    loaded = load(config)
    found = services.endpoints(loaded.home)
    if found is None:
        raise services.ServiceError(
            f"Kafka or Postgres is down in {loaded.home}: start them with 'tapedeck services up'"
        )
    path = None if without_ledger else ledger or default_ledger(loaded)
    with err.status("verify", spinner="dots") as shown:
        result = compare(loaded, found.kafka, found.postgres, path, progress=shown.update, timeout_s=wait)
    if as_json:
        typer.echo(result.to_json())
    else:
        Console(highlight=False, emoji=False, width=max(150, err.width)).print(result.to_table())
        err.print("agrees everywhere" if result.agrees else "DIFFERS", style="green" if result.agrees else "bold red")
    raise typer.Exit(0 if result.agrees else 1)


def report(
    config: ConfigOption = None,
    out: Annotated[Path | None, typer.Option(help="Where to write the page; default: the run's folder.")] = None,
    run: Annotated[Path | None, typer.Option("--run", help="Folder of the run; default: the configuration's.")] = None,
) -> None:
    """Print a summary of a run's archive (traded, backtested, recorded or imported) and write it as one page that needs no network."""
    from pipelines.archive_reader import archive_of
    from pipelines.report import build_report, report_of

    if run is not None:
        archive = archive_of(run)
        folder = archive.parent if archive.name == "archive" else archive
        path = report_of(folder.resolve().name, folder, archive, out or folder / "report.html")
    else:
        loaded = load(config)
        path = build_report(loaded, out or loaded.run_dir / "report.html")
    err.print(f"report: {path}")


def record(
    instruments: Annotated[
        list[str] | None,
        typer.Argument(help="Such as binance:BTC-USDT kraken:BTC-USD; none: those of the configuration's venues."),
    ] = None,
    run: Annotated[str, typer.Option("--run", help="Its name; default: record- and the time.")] = "",
    seconds: Annotated[float, typer.Option("--for", min=0, help="How many seconds; 0: until Ctrl-C.")] = 0,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Venues as this configuration has them: addresses, options; else public."),
    ] = None,
) -> None:
    """Record market data to Kafka, to the archive and to capture files at once. Nothing trades, no keys are needed."""
    from pipelines.record import record as recorded

    venues = {} if config is None else load(config).venues
    with err.status("starting", spinner="dots") as shown:
        each = shown.update if err.is_terminal else every_so_often(err.print)
        folder = recorded(services.default_home(), instruments or (), venues, run, seconds, err.print, each)
    err.print(f"captures: {folder} (look with 'tapedeck tape ls {folder}')")


def every_so_often(say: Callable[[str], None]) -> Callable[[str], None]:
    """For logs: the first line, then one every ten seconds."""
    due = 0.0

    def tell(line: str) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + LOG_EVERY_S
            say(line)

    return tell


def default_ledger(config: Config) -> Path:
    """Where the demo's exchange keeps it."""
    return config.run_dir / "exchange" / "ledger.jsonl"
