"""`tapedeck parity`: would the backtest have decided what the live run decided? Mounted by the command line."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from infra.config import ConfigError, load
from pipelines.parity import Exact, StrategyParity, exact_parity

out = Console(highlight=False, soft_wrap=True)


def mount(app: typer.Typer) -> None:
    app.command()(parity)


def parity(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    strategy: Annotated[list[str] | None, typer.Option(help="Only these; default: all of the run's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Decide a run's strategies again in the backtest's composition; exit code 1 where a decision differs."""
    from pipelines.archive_reader import archive_of
    from pipelines.recorded_run import ArchivedRun

    path = run / "tapedeck.toml"
    if not path.exists():
        raise ConfigError(f"{run} holds no tapedeck.toml: name the folder of a run")
    config = load(path)
    exact = exact_parity(config, ArchivedRun(archive_of(run)), run, strategy or ())
    if as_json:
        typer.echo(json.dumps({"exact": _plain(exact)}, default=_text))
    else:
        _print_exact(exact)
    raise typer.Exit(0 if exact.is_equal else 1)


def _print_exact(exact: Exact) -> None:
    made = sum(exact.inputs.values())
    if exact.shared is None:
        out.print(f"inputs: [green]equal[/green], {made:,} records of {len(exact.inputs)} topics made again")
    else:
        out.print(f"inputs: [bold red]DIFFER[/bold red] in {exact.shared_differences:,} records; the first:")
        _print_difference(exact.shared)
    for one in exact.strategies:
        _print_strategy(one)
    for note in exact.notes:
        out.print(f"  [yellow]{escape(note)}[/yellow]")


def _print_strategy(one: StrategyParity) -> None:
    told = f"{one.decisions:,} decisions ({one.commands:,} records of commands, {one.notes:,} of notes)"
    inbox = f"over {sum(one.inbox.values()):,} recomputed and {sum(one.fed.values()):,} fed inbox records"
    if one.first is None:
        out.print(f"{one.strategy}: [green]equal[/green], {told} {inbox}")
    else:
        out.print(f"{one.strategy}: [bold red]DIFFERS[/bold red] in {one.differences:,} records, {told} equal {inbox}")
        _print_difference(one.first)


def _print_difference(d: Any) -> None:
    out.print(f"  {escape(d.what)}, at coordinate {escape(d.coordinate)}")
    if d.place is not None:
        out.print(f"  recorded at {d.place.topic}/{d.place.partition}@{d.place.offset}")
    for name, side in (("recorded", d.recorded), ("recomputed", d.replayed)):
        if side is None:
            out.print(f"  {name}: nothing")
        else:
            value = escape(side.value.decode(errors="replace"))
            out.print(f"  {name}: {side.topic} {escape(repr(side.key))} {value}")


def _plain(exact: Exact) -> dict[str, Any]:
    found = dataclasses.asdict(exact)
    for one, strategy in zip(found["strategies"], exact.strategies, strict=True):
        one["decisions"] = strategy.decisions
    return {"equal": exact.is_equal, **found}


def _text(value: object) -> str:
    assert isinstance(value, bytes)
    return value.decode(errors="replace")
