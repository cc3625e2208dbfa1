"""`tapedeck runs ls|rm`: what is kept, and taking a run away. Mounted by the command line."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from infra import services
from pipelines.cli_services import home

app = typer.Typer(help="The runs of this folder: list them, remove one.", no_args_is_help=True)
out = Console(highlight=False, emoji=False)
UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))


@app.command("ls")
def list_runs() -> None:
    """Every run with its size and its age."""
    from pipelines.runs import runs

    broker = services.broker(home())
    found = runs(home(), broker)
    if not found:
        out.print(f"no runs in {home()}", soft_wrap=True)
        return
    table = Table(box=None, header_style="bold")
    for title in ("run", "state", "size", "written", "topics"):
        table.add_column(title, justify="right" if title in ("size", "topics") else "left", overflow="fold")
    for one in found:
        topics = "?" if one.topics is None else str(one.topics)
        table.add_row(one.name, "up" if one.up else "", f"{one.size / 1e6:,.1f} MB", _ago(one.age_s), topics)
    out.print(table)


@app.command("rm")
def remove_run(
    name: Annotated[str, typer.Argument(help="The run's name; never one that is up.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove a run for good: its topics, its Postgres schema, its folder with archive and report."""
    from pipelines.runs import remove

    where = home()
    found = services.endpoints(where)
    if found is None:
        raise services.ServiceError(
            f"Kafka or Postgres is down in {where}, and the run has topics and a schema there: start them with 'tapedeck services up'"
        )
    if not yes:
        typer.confirm(f"remove run {name!r} with everything it recorded?", abort=True)
    out.print(remove(where, name, found), soft_wrap=True)


def _ago(seconds: float) -> str:
    for size, unit in UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return "just now"
