"""What parity found: as JSON in ``<run>/parity.json``, as lines at the terminal, and as a section of the report's page."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.parity_fills import Compared, Execution, Kind

if TYPE_CHECKING:  # a report needs none of the machinery that made what it shows
    from pipelines.parity import Exact, StrategyParity
    from pipelines.parity_free import Free
    from pipelines.replay import Difference, Side

FILE = "parity.json"
SAME = "reproduced"
WIDE = 200
"""Of a table that is not shown on a terminal."""
COLOURS = {
    SAME: "#16a34a",
    Kind.LATENCY: "#3b82f6",
    Kind.QUEUE: "#a855f7",
    Kind.PARTIAL: "#14b8a6",
    Kind.MISSING: "#dc2626",
    Kind.EXTRA: "#f59e0b",
}


# --- JSON -------------------------------------------------------------------------------------------------------------


def plain(exact: "Exact", free: "Free | None") -> dict[str, Any]:
    """Decimals are text, times are nanoseconds; ``free`` is null where it was not asked for."""
    return {"exact": _exact(exact), "free": None if free is None else _free(free)}


def write(run_dir: Path, found: dict[str, Any]) -> Path:
    path = run_dir / FILE
    path.write_text(json.dumps(found, indent=1) + "\n")
    return path


def read(run_dir: Path) -> dict[str, Any] | None:
    """What the last parity of this run found; None where there was none, or what is there is not ours."""
    try:
        found = json.loads((run_dir / FILE).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and {"exact", "free"} <= found.keys() else None


def _exact(exact: "Exact") -> dict[str, Any]:
    return {
        "equal": exact.is_equal,
        "inputs": exact.inputs,
        "input_differences": exact.shared_differences,
        "first_input_difference": _difference(exact.shared),
        "strategies": [
            {
                "strategy": one.strategy,
                "equal": one.first is None,
                "decisions": one.decisions,
                "commands": one.commands,
                "notes": one.notes,
                "inbox_recomputed": one.inbox,
                "inbox_fed": one.fed,
                "differences": one.differences,
                "first_difference": _difference(one.first),
            }
            for one in exact.strategies
        ],
        "delivered_again": exact.repeated,
        "beyond": exact.beyond,
        "notes": exact.notes,
    }


def _difference(found: "Difference | None") -> dict[str, Any] | None:
    if found is None:
        return None
    place = None if found.place is None else found.place._asdict()
    sides = {"recorded": _side(found.recorded), "recomputed": _side(found.replayed)}
    return {"what": found.what, "coordinate": found.coordinate, "place": place, **sides}


def _side(side: "Side | None") -> dict[str, str] | None:
    if side is None:
        return None
    return {"topic": side.topic, "key": side.key.decode(errors="replace"), "value": side.value.decode(errors="replace")}


def _free(free: "Free") -> dict[str, Any]:
    compared = free.compared
    strategies = sorted({pair.live.strategy for pair in compared.reproduced} | _strategies(compared))
    return {
        "window_s": free.window_ns / 1e9,
        "wider_s": free.wider_ns / 1e9,
        **_counts(compared),
        "strategies": [{"strategy": one, **_counts(compared.of(one))} for one in strategies],
        "latency_medians_ms": {name: ns / 1e6 for name, ns in free.latencies.medians.items()},
        "differences": [
            {"kind": one.kind.value, "live": _execution(one.live), "backtest": _execution(one.backtest)}
            for one in compared.differences
        ],
        "notes": free.notes,
    }


def _strategies(compared: Compared) -> set[str]:
    return {one.known.strategy for one in compared.differences}


def _counts(compared: Compared) -> dict[str, Any]:
    return {
        "live": compared.live,
        "backtest": compared.backtest,
        SAME: len(compared.reproduced),
        "share": compared.share,
        "live_by_kind": {kind.value: n for kind, n in compared.count("live").items()},
        "backtest_by_kind": {kind.value: n for kind, n in compared.count("backtest").items()},
    }


def _execution(one: Execution | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {**one._asdict(), "side": one.side.value, "price": f"{one.price:f}", "size": f"{one.size:f}"}


# --- the terminal -----------------------------------------------------------------------------------------------------


def print_exact(exact: "Exact", out: Console) -> None:
    if exact.shared is None:
        made = sum(exact.inputs.values())
        out.print(f"inputs: [green]equal[/green], {made:,} records of {len(exact.inputs)} topics made again")
    else:
        out.print(f"inputs: [bold red]DIFFER[/bold red] in {exact.shared_differences:,} records; the first:")
        _print_difference(exact.shared, out)
    for one in exact.strategies:
        _print_strategy(one, out)
    for note in exact.notes:
        out.print(f"  [yellow]{escape(note)}[/yellow]")


def _print_strategy(one: "StrategyParity", out: Console) -> None:
    told = f"{one.decisions:,} decisions ({one.commands:,} records of commands, {one.notes:,} of notes)"
    inbox = f"over {sum(one.inbox.values()):,} recomputed and {sum(one.fed.values()):,} fed inbox records"
    if one.first is None:
        out.print(f"{one.strategy}: [green]equal[/green], {told} {inbox}")
    else:
        out.print(f"{one.strategy}: [bold red]DIFFERS[/bold red] in {one.differences:,} records; {told} equal {inbox}")
        _print_difference(one.first, out)


def _print_difference(found: "Difference", out: Console) -> None:
    out.print(f"  {escape(found.what)}, at coordinate {escape(found.coordinate)}")
    if found.place is not None:
        out.print(f"  recorded at {found.place.topic}/{found.place.partition}@{found.place.offset}")
    for name, side in (("recorded", found.recorded), ("recomputed", found.replayed)):
        if side is None:
            out.print(f"  {name}: nothing")
        else:
            out.print(f"  {name}: {side.topic} {escape(repr(side.key))} {escape(side.value.decode(errors='replace'))}")


def print_free(free: dict[str, Any], out: Console) -> None:
    """From what ``plain`` made of it."""
    out.print(f"without the recorded executions: {told(free)}")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in HEAD:
        table.add_column(column, justify="left" if column in ("", "run") else "right")
    for row in table_rows(free):
        table.add_row(*row)
    Console(file=out.file, highlight=False, width=None if out.is_terminal else WIDE).print(table)
    for note in free["notes"]:
        out.print(f"  [yellow]{escape(note)}[/yellow]")


def told(free: dict[str, Any]) -> str:
    """In one line."""
    if free["live"] == 0:
        return f"the live run has no executions, the backtest {free['backtest']:,}"
    return (
        f"{free['share']:.0%} of {free['live']:,} live executions reproduced "
        f"(strategy, instrument, side, price and size, within {free['window_s']:g} s)"
    )


HEAD = ("", "run", "executions", SAME, *(kind.value for kind in Kind))


def table_rows(free: dict[str, Any]) -> list[list[str]]:
    """Two rows a strategy, live and backtest, and two for all of them; as ``HEAD`` says."""
    found = []
    for one in (*free["strategies"], {"strategy": "all", **free}):
        for run, name in (("live", one["strategy"]), ("backtest", "")):
            counts = [one[run], one[SAME], *(one[f"{run}_by_kind"][kind.value] for kind in Kind)]
            found.append([name, run, *(f"{n:,}" if n else "\u2013" for n in counts)])
    return found


# --- the page ---------------------------------------------------------------------------------------------------------


def figure(free: dict[str, Any]) -> go.Figure:
    """Executions of both runs, each in its class."""
    made = go.Figure()
    for name, colour in COLOURS.items():
        live, backtest = (free[SAME] if name == SAME else free[f"{run}_by_kind"][str(name)] for run in RUNS)
        if live or backtest:
            made.add_bar(
                y=list(RUNS),
                x=[live, backtest],
                name=str(name),
                orientation="h",
                marker={"color": colour},
                text=[str(live or ""), str(backtest or "")],
                textposition="inside",
                hovertemplate="%{x} " + str(name) + "<extra>%{y}</extra>",
            )
    made.update_layout(template="none", height=190, barmode="stack", hovermode="closest", bargap=0.35)
    made.update_layout(margin={"l": 76, "r": 16, "t": 8, "b": 56})
    made.update_layout(legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "traceorder": "normal"})
    made.update_yaxes(type="category", autorange="reversed")
    return made.update_xaxes(title={"text": "executions"}, tickformat=",d")


RUNS = ("live", "backtest")


def first_of(free: dict[str, Any], most: int = 20) -> list[dict[str, str]]:
    """The first differences, as the page shows them."""
    rows = []
    for one in free["differences"][:most]:
        known = one["live"] or one["backtest"]
        row = {key: str(known[key]) for key in ("strategy", "instrument", "side", "size")}
        rows.append({**row, "kind": one["kind"], **{run: _shown(one[run]) for run in RUNS}})
    return rows


def _shown(one: dict[str, Any] | None) -> str:
    if one is None:
        return "\u2013"
    return f"{datetime.fromtimestamp(one['ts'] / 1e9, UTC):%H:%M:%S.%f}"[:-3] + f" at {one['price']}"
