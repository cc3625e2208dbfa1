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
from pipelines import denials, parity_report, plain, report_market
from pipelines.archive import archive_dir
from pipelines.report_charts import charts, colour_of, parity_charts
from pipelines.report_data import HELD, ReportData, Row, read, total
from pipelines.report_market import MarketData
from pipelines.report_market_charts import market_charts

Tile = tuple[str, str, str]
DASH = "\u2013"


def build_report(config: Config, out: Path, *, console: Console | None = None) -> Path:
    """Write the page to `out` and print the summary; Problem when there is no archive to read."""
    if not any(archive_dir(config).glob("*/*/*.parquet")):
        raise Problem(f"no archive at {archive_dir(config)}: has 'tapedeck up' run with this configuration?")
    return report_of(config.run.name, config.run_dir, archive_dir(config), out, console=console)


def report_of(name: str, folder: Path, archive: Path, out: Path, *, console: Console | None = None) -> Path:
    """The same of a run's folder: of one that was recorded, imported or backtested."""
    with closing(open_archive(archive, held=HELD)) as con:
        report_market.prepare(con, archive)
        data, market = read(con), report_market.read(con, archive)
    print_summary(name, data, market, console or Console(highlight=False))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(render(name, folder, data, market))
    return out


def render(name: str, folder: Path, data: ReportData, market: MarketData) -> str:
    """The page, whole."""
    parity = parity_report.read(folder)
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            run=name,
            data=data,
            market=market,
            tiles=tiles(data),
            market_tiles=market_tiles(market),
            parity=parity,
            charts=[*charts(data), *parity_charts(parity), *market_charts(market)],
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
    made.filters |= {"spread": spread, "exact": exact, "money": money, "tone": tone, "clock": clock, "ms": ms}
    made.globals |= {"parity_report": parity_report, "denied": denials.told}
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
        ("Time", _span(data.began, data.ended), f"{clock(data.began)} to {clock(data.ended)} UTC"),
    ]


def market_tiles(market: MarketData) -> list[Tile]:
    rows = market.instruments
    skew = max((row["skew_ms"] or 0 for row in rows), default=0)
    drawn = f"the busiest {len(market.drawn)} are drawn" if len(rows) > len(market.drawn) else ""
    lost = sum(row["broken_s"] for row in rows)
    return [
        ("Instruments", f"{len(rows):,}", drawn),
        (
            "Trades",
            f"{sum(int(row['trades']) for row in rows):,}",
            f"{market.late:,} too late for their bar" if market.late else "",
        ),
        ("Gaps", f"{sum(int(row['gaps']) for row in rows):,}", f"books not whole for {lost:,.1f} s" if lost else ""),
        (
            "Our clock",
            f"{skew:,.1f} ms behind" if skew else "not behind",
            "the venue's, at least; added to latencies" if skew else "",
        ),
        ("Market data", _span(market.began, market.ended), f"{clock(market.began)} to {clock(market.ended)} UTC"),
    ]


def _deepest(data: ReportData) -> Decimal:
    return Decimal(str(max((row["drawdown"] for row in data.equity if row["strategy"] == ""), default=0)))


def _span(began: datetime | None, ended: datetime | None) -> str:
    if began is None or ended is None:
        return DASH
    seconds = round((ended - began).total_seconds())
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def fee_text(data: ReportData) -> str:
    return " + ".join(f"{exact(row['fee'])} {row['currency']}" for row in data.fees)


def print_summary(run: str, data: ReportData, market: MarketData, console: Console) -> None:
    console.print(f"[bold]report of {run}[/bold]")
    for name, value, word in tiles(data):
        console.print(f"  {name:<18}{value}" + (f"  [dim]{word}[/dim]" if word else ""), soft_wrap=True)
    _, trades, gaps, *_ = market_tiles(market)
    console.print(f"  {'Market':<18}{len(market.instruments):,} instruments, {trades[1]} trades, {gaps[1]} gaps")
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
    return DASH if value is None else plain.money(value)


def ms(value: float | None) -> str:
    return DASH if value is None else f"{value:,.2f}"


def spread(value: float | None) -> str:
    return DASH if value is None else f"{value:,.3f}"


def clock(moment: datetime | None) -> str:
    return DASH if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def tone(value: Any) -> str:
    """The class of a figure's cell by its sign."""
    return "" if value is None or value == 0 else "gain" if value > 0 else "loss"


__all__ = ["Row", "build_report", "render", "report_of"]
