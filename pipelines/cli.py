"""``tapedeck``: the command line. Each command is a few lines over a function that does the work."""

import os
import signal
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Annotated

import duckdb
import typer
from confluent_kafka import KafkaException
from rich.console import Console

from infra import services
from infra.config import Config, find, load
from infra.errors import Problem
from pipelines import (
    cli_archive,
    cli_book,
    cli_data,
    cli_import,
    cli_operate,
    cli_parity,
    cli_play,
    cli_replay,
    cli_research,
    cli_runs,
    cli_services,
    cli_sql,
    cli_strategy,
    cli_tape,
    cli_watch,
)

app = typer.Typer(
    help="A trading platform in which everything that happens is on the tape.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_services.app, name="services")
app.add_typer(cli_runs.app, name="runs")
app.add_typer(cli_strategy.app, name="strategy")
app.add_typer(cli_tape.app, name="tape")
app.add_typer(cli_archive.app, name="archive")
cli_operate.mount(app)
cli_data.mount(app)
cli_research.mount(app)
cli_parity.mount(app)
cli_watch.mount(app)
cli_book.mount(app)
cli_sql.mount(app)
cli_replay.mount(app)
cli_import.mount(app)
cli_play.mount(app)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="The configuration; default: TAPEDECK_CONFIG, ./tapedeck.toml, or the current run's."
    ),
]
err = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"tapedeck {metadata.version('tapedeck')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Tell the version, and end.")
    ] = False,
) -> None: ...


def endpoints(config: Config) -> services.Endpoints:
    """Where the run's services are; Problem when they are down."""
    found = services.endpoints(config.home)
    if found is None:
        raise services.ServiceError(
            f"Kafka or Postgres is down in {config.home}: start them with 'tapedeck services up'"
        )
    return found


@app.command()
def worker(
    name: Annotated[str, typer.Argument(help="A stage or edge, such as normalize, signals/quoter, gateway/sim.main.")],
    config: ConfigOption = None,
    instance: Annotated[int, typer.Option(help="Number of this worker among those of its stage.")] = 0,
) -> None:
    """Run one worker in the foreground."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until the worker has its own: told to stop while it starts
    from pipelines.workers import run_worker

    loaded = load(config)
    found = endpoints(loaded)
    run_worker(name, loaded, found.kafka, found.postgres, instance)


@app.command()
def prepare(config: ConfigOption = None) -> None:
    """Create the topics and the database schema of a configuration, and start no worker ('up' does it by itself)."""
    from pipelines.system import System

    path = config or find()
    System(load(path), path.absolute(), err.print).prepare()


@app.command()
def up(
    config: ConfigOption = None,
    view: Annotated[bool, typer.Option("--view/--no-view", help="Show the live view instead of lines.")] = False,
    paper: Annotated[
        bool, typer.Option("--paper", help="Trade on paper: real market data, an exchange of ours, no keys.")
    ] = False,
) -> None:
    """Run every worker of the configuration on this machine, supervised, until Ctrl-C."""
    from pipelines.live_view import LiveView
    from pipelines.on_paper import on_paper
    from pipelines.system import System

    path = config or find()
    path = on_paper(path) if paper else path
    with System(load(path), path.absolute(), err.print) as system:
        system.start()
        system.await_ready()
        err.print(
            f"ready: {len(system.supervisor.children)} workers; logs in {system.config.run_dir / 'logs'}; Ctrl-C stops cleanly"
        )
        if view:
            with LiveView(system) as live:
                system.run(until=None, each=live.refresh)
        else:
            system.run(until=None)
    if system.unclean is not None:
        raise Problem(system.unclean)


@app.command()
def top(
    config: ConfigOption = None,
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end.")] = False,
) -> None:
    """The live view of a running system."""
    from pipelines.live_view import LiveView, Observed

    loaded = load(config)
    with LiveView(Observed(loaded, endpoints(loaded).kafka)) as live:
        if once:
            live.await_market(5.0)
            live.read_twice(2.0)
            live.refresh()
        while not once:
            live.refresh()
            time.sleep(0.25)


@app.command()
def demo(
    capture: Annotated[
        list[Path] | None,
        typer.Option(
            help="A recording of any venue to trade on, instead of generated flow; repeated, one stream in a row."
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long to trade.")] = 65.0,
    speed: Annotated[
        float | None, typer.Option(help="How much faster than recorded a capture is played; default: up to 5.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the generated flow.")] = 7,
    view: Annotated[
        bool, typer.Option("--view/--no-view", help="The live view; off by itself where the output is no terminal.")
    ] = True,
) -> None:
    """Start everything, trade on the simulated exchange, stop, verify and report."""
    from pipelines.demo import run_demo

    raise typer.Exit(
        run_demo(captures=capture or [], seconds=seconds, speed=speed, seed=seed, view=view and sys.stdout.isatty())
    )


@app.command()
def doctor(config: ConfigOption = None) -> None:
    """Check configuration, broker, database, clock offset and API keys."""
    from pipelines.doctor import examine

    raise typer.Exit(examine(config))


@app.command()
def init(path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("tapedeck.toml")) -> None:
    """Write a commented configuration to start from."""
    from pipelines.starting_point import TEMPLATE

    if path.exists():
        raise Problem(f"{path} exists already: name another file")
    before = find() if find().exists() else None
    path.write_text(TEMPLATE)
    err.print(f"wrote {path}: put in your venue and strategies, then 'tapedeck doctor' and 'tapedeck up'")
    if find().resolve() == path.resolve():
        was = "" if before is None else f", no longer {before}"
        err.print(f"every command in this folder uses {path} from now on{was} (--config names another)")
    else:
        others = f"commands go on using {find()}" if find().exists() else "commands do not find it by themselves"
        err.print(f"{others}: name this one with --config {path} or TAPEDECK_CONFIG")


def main() -> None:
    """Run a command; what a person can mend is one line on stderr and an exit code, never a traceback."""
    try:
        app()
    except Problem as problem:
        err.print(f"tapedeck: {problem}", style="red", markup=False)
        _leave(problem.exit_code)
    except KafkaException as error:
        err.print(f"tapedeck: Kafka: {error.args[0].str()}", style="red", markup=False)
        _leave(1)
    except (duckdb.IOException, duckdb.InvalidInputException) as error:  # DuckDB names the file
        err.print(f"tapedeck: {' '.join(str(error).partition('LINE ')[0].split())}", style="red", markup=False)
        _leave(1)
    except OSError as error:
        err.print(f"tapedeck: {error}", style="red", markup=False)
        _leave(1)
    except KeyboardInterrupt:
        _leave(128 + signal.SIGINT)


def _leave(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    if threads_linger():
        os._exit(code)
    sys.exit(code)


def threads_linger() -> bool:
    """A library's thread that is no daemon would keep a failed process alive."""
    import threading

    return any(t is not threading.main_thread() and not t.daemon for t in threading.enumerate())


if __name__ == "__main__":
    main()
