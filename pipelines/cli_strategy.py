"""`tapedeck strategy new`: a place to start from. Mounted by the command line."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(help="Strategies of your own.", no_args_is_help=True)
err = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)


@app.callback()
def strategy() -> None:
    """Strategies of your own."""


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="The module's name, like dip_buyer; the class is then DipBuyer.")],
    folder: Annotated[Path, typer.Option("--dir", help="Where to write it.")] = Path("."),
) -> None:
    """Write a commented strategy that works, its test, and its section of a configuration."""
    from pipelines.strategy_template import write_strategy

    written = write_strategy(name, folder)
    for path in written:
        err.print(f"wrote {path}", markup=False)
    here = "" if folder == Path(".") else f"PYTHONPATH={folder} "
    err.print(
        f"next: {here}python -m pytest {written[1]}; edit; then put {written[2]} into your tapedeck.toml", markup=False
    )
