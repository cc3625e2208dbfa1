"""`tapedeck services up|down|status`: the broker and the database of this folder."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from infra import config, services

COLUMNS = ("service", "state", "where", "pid", "data and logs")

app = typer.Typer(help="Kafka and Postgres: start, stop, look.", no_args_is_help=True)


def home() -> Path:
    """The folder of the configuration that is here or current; without one, this installation's default."""
    found = config.find()
    return config.load(found).home if found.exists() else services.default_home()


@app.command()
def up() -> None:
    """Start what does not run yet; data stays in the folder from one start to the next."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        services.up(home(), progress=console.print)
    except services.ServiceError as error:
        raise _failed(error) from error
    status()


@app.command()
def down() -> None:
    """Stop what was started here; an existing cluster or server is left alone."""
    try:
        services.down(home())
    except services.ServiceError as error:
        raise _failed(error) from error
    status()


@app.command()
def status(
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 unless everything runs.")] = False,
) -> None:
    """What runs where."""
    try:
        found = services.status(home())
    except services.ServiceError as error:
        raise _failed(error) from error
    table = Table(*(Column(name, overflow="fold") for name in COLUMNS), box=None)
    for one in found:
        table.add_row(one.name, "running" if one.running else "down", one.where, str(one.pid or ""), one.detail)
    Console().print(table)
    if check and not all(one.running for one in found):
        raise typer.Exit(1)


def _failed(error: services.ServiceError) -> typer.Exit:
    Console(stderr=True, soft_wrap=True).print(f"tapedeck: {error}", style="red", markup=False, highlight=False)
    return typer.Exit(1)
