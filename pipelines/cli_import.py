"""`tapedeck import`: tables of market data that others have parsed, as an archive that a backtest reads. Mounted by the command line."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from infra.errors import Hopeless

err = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)


def mount(app: typer.Typer) -> None:
    app.command("import")(import_)


def import_(
    files: Annotated[
        list[Path], typer.Argument(help="Trades of Binance (CSV), ticks of LEAN (zip), CSV files of tardis.dev.")
    ],
    to: Annotated[
        Path, typer.Option("--to", help="The folder to make: 'tapedeck backtest --from' and 'sql --run' read it.")
    ],
    venue: Annotated[str, typer.Option("--venue", help="The venue's name; default: as the files tell it.")] = "",
    instrument: Annotated[
        str, typer.Option("--instrument", help="Where a symbol alone does not tell it: BTC-USDT, BTC-USD-PERP.")
    ] = "",
    kind: Annotated[str, typer.Option("--kind", help="spot, linear, inverse, future, option, equity.")] = "",
) -> None:
    """Import market data that others have parsed, digit by digit, as the archive of a run."""
    from pipelines.cli_research import _progress
    from pipelines.imports import to_archive
    from pipelines.imports.source import Imported

    missing = [path for path in files if not path.exists() or path.is_dir()]
    if missing:
        raise Hopeless(f"no file {missing[0]}")
    imported = Imported(files, venue, instrument, kind)
    with _progress() as bar:
        task = bar.add_task("import", total=imported.count)
        to_archive.write(to, imported.definitions, imported.events(), lambda n: bar.advance(task, n))
    for one in imported.definitions:
        err.print(f"{one.instrument} ({one.kind}, tick {one.tick_size}, lot {one.lot_size})")
    err.print(f"{imported.count:,} records of {len(files)} files in {to}: tapedeck backtest <strategy> --from {to}")
