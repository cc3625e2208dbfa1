"""`tapedeck archive`: the Parquet files of a run. Mounted by the command line."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(help="The Parquet files of a run.", no_args_is_help=True)
err = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)


@app.callback()
def _group() -> None:
    """Keeps `compact` a command of its own."""


@app.command()
def compact(
    run: Annotated[Path | None, typer.Option("--run", help="Folder of the run; default: the configuration's.")] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="The configuration of the run.")] = None,
) -> None:
    """Turn small files into large ones, record by record the same. A run that goes on does it by itself."""
    from infra.config import load
    from pipelines.archive import compact_all
    from pipelines.archive_reader import archive_of

    root = archive_of(load(config).run_dir if run is None else run)
    with err.status("", spinner="dots") as shown:
        before, after = compact_all(root, shown.update)
    err.print(
        f"{before.files:,} files ({before.bytes / 1e6:,.1f} MB) are now {after.files:,} ({after.bytes / 1e6:,.1f} MB)"
    )
