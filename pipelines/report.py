"""`tapedeck report`: the run's archive as a summary at the terminal and as one page that needs no network."""

from contextlib import closing
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from rich.console import Console
from rich.table import Table

from infra.config import Config
from infra.duck import open_archive
from infra.errors import Problem
from pipelines import parity_report
from pipelines.archive import archive_dir
from pipelines.report_charts import charts, colour_of, parity_charts
from pipelines.report_data import HELD, ReportData, Row, read, total

Tile = tuple[str, str, str]
DASH = "\u2013"


def build_report(config: Config, out: Path, *, console: Console | None = None) -> Path:
    """Write the page to `out` and print the summary; Problem when there is no archive to read."""
    if not any(archive_dir(config).glob("*/*/*.parquet")):
        raise Problem(f"no archive at {archive_dir(config)}: has 'tapedeck up' run with this configuration?")
    with closing(open_archive(archive_dir(config), held=HELD)) as con:
        data = read(con)
    print_summary(config, data, console or Console(highlight=False))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(render(config, data))
    return out


def render(config: Config, data: ReportData) -> str:
    """The page, whole."""
    parity = parity_report.read(config.run_dir)
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            run=config.run.name,
            data=data,
            tiles=tiles(data),
            parity=parity,
            charts=[*charts(data), *parity_charts(parity)],
            colours=colour_of(data),
            fee_text=fee_text(data),
            plotly=Markup(get_plotlyjs()),
        )
    )


def environment() -> jinja2.Environment:
    """For templates of pages that are whole in one file."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"exact": exact, "money": money, "tone": tone, "clock": clock, "ms": ms}
    made.globals |= {"parity_report": parity_report}
    return made


def tiles(data: ReportData) -> list[Tile]:
    """The figures at the head: name, value, and a word below."""
    pnl, unit = total(data.strategies, "pnl"), " / ".join(data.currencies)
    fills = int(data.totals["fills"])
    share = f"{int(data.totals['passive']) / fills:.0%} passive" if fills else ""
    return [
        ("Profit and loss", f"{money(pnl)} {unit}", "after fees, marked to market"),
        ("Deepest drawdown", f"{money(_deepest(data))} {unit}", "of an account"),
        ("Executions", f"{fills:,}", share),
        ("Orders", f"{data.totals['orders']:,}", f"{data.totals['denied']:,} denied by our own checks"),
        ("Fees", f"{money(total(data.strategies, 'fees'))} {unit}", fee_text(data)),
        ("Time", _duration(data), f"{clock(data.began)} to {clock(data.ended)} UTC"),
    ]


def _deepest(data: ReportData) -> Decimal:
    return Decimal(str(max((row["drawdown"] for row in data.equity if row["strategy"] == ""), default=0)))


def _duration(data: ReportData) -> str:
    if data.began is None or data.ended is None:
        return DASH
    seconds = round((data.ended - data.began).total_seconds())
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def fee_text(data: ReportData) -> str:
    return " + ".join(f"{exact(row['fee'])} {row['currency']}" for row in data.fees)


def print_summary(config: Config, data: ReportData, console: Console) -> None:
    console.print(f"[bold]report of {config.run.name}[/bold]")
    for name, value, word in tiles(data):
        console.print(f"  {name:<18}{value}" + (f"  [dim]{word}[/dim]" if word else ""), soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("strategy", "executions", "bought", "sold", "passive", "volume", "fees", "P&L"):
        table.add_column(name, justify="left" if name == "strategy" else "right")
    for row in data.strategies:
        counts = [str(row[name] or 0) for name in ("fills", "bought", "sold", "passive")]
        table.add_row(row["strategy"], *counts, money(row["volume"]), money(row["fees"]), money(row["pnl"]))
    console.print(table)
    for trouble in data.troubles:
        console.print(f"  {trouble['count']} {trouble['what']}", style="yellow")


# --- how figures look --------------------------------------------------------------------------------------------


def exact(value: Decimal | int | None) -> str:
    """Every digit."""
    return DASH if value is None else f"{value:,f}" if isinstance(value, Decimal) else f"{value:,}"


def money(value: Any) -> str:
    return DASH if value is None else f"{value:,.2f}"


def ms(value: float | None) -> str:
    return DASH if value is None else f"{value:,.2f}"


def clock(moment: datetime | None) -> str:
    return DASH if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def tone(value: Any) -> str:
    """The class of a figure's cell by its sign."""
    return "" if value is None or value == 0 else "gain" if value > 0 else "loss"


__all__ = ["Row", "build_report", "render"]
