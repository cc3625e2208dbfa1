"""What a sweep leaves: the table ``runs`` in ``sweep.duckdb`` and a page that compares them, ``sweep.html``."""

import json
import re
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import msgspec
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from infra.errors import Problem
from pipelines.backtest_sweep import Done, Point
from pipelines.report import environment, money, tone
from pipelines.report_charts import Chart

MEASURES = ["fills", "buys", "sells", "maker", "pnl", "fees", "max_drawdown", "sharpe", "turnover", "duration_s"]
COLUMNS = """
run INTEGER PRIMARY KEY, params JSON, seed BIGINT, fills BIGINT, buys BIGINT, sells BIGINT, maker BIGINT, pnl DECIMAL(38, 18),
fees DECIMAL(38, 18), max_drawdown DECIMAL(38, 18), sharpe DOUBLE, turnover DECIMAL(38, 18), duration_s DOUBLE, took_s DOUBLE, error VARCHAR
"""
SCALE = "RdYlGn"


class Table:
    """Each run as a row, kept once it is there. A parameter of the grid is also a column ``param_<name>``: a number where all of
    its values are.
    """

    def __init__(self, path: Path, points: Sequence[Point]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            raise Problem(f"{path} exists already: use another run name")
        self._names = list(points[0])
        self._con = duckdb.connect(str(path))
        self._con.execute(f"CREATE TABLE runs ({COLUMNS})")
        for name in self._names:
            kind = kind_of([point[name] for point in points])
            self._con.execute(f'ALTER TABLE runs ADD COLUMN "param_{name}" {kind}')

    def add(self, done: Done) -> None:
        figures = [None] * len(MEASURES) if done.figures is None else [getattr(done.figures, m) for m in MEASURES]
        values = [done.run, json.dumps(done.point), done.seed, *figures, done.took_s, done.error or None]
        values += [done.point[name] for name in self._names]
        self._con.execute(f"INSERT INTO runs VALUES ({', '.join('?' * len(values))})", values)

    def close(self) -> None:
        self._con.close()


WHOLE, NUMBER = re.compile(r"[+-]?[0-9]{1,18}"), re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?")


def kind_of(values: Iterable[str]) -> str:
    """The type of a column that holds these."""
    found = list(values)
    if all(WHOLE.fullmatch(value) for value in found):
        return "BIGINT"
    return "DECIMAL(38, 18)" if all(NUMBER.fullmatch(value) for value in found) else "VARCHAR"


def read(path: Path) -> list[dict[str, Any]]:
    """The rows in the order of the grid."""
    with closing(duckdb.connect(str(path), read_only=True)) as con:
        cursor = con.execute("FROM runs ORDER BY run")
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


# --- the page ---------------------------------------------------------------------------------------------------------


class Cell(NamedTuple):
    value: str
    text: str
    tone: str = ""


def render(name: str, strategy: str, source: str, seed: int, asked: int, done: Sequence[Done]) -> str:
    """``asked``: points of the grid; there are fewer runs when it was interrupted."""
    good = sorted((one for one in done if one.figures is not None), key=lambda one: one.run)
    failed = [(_said(one.point), one.error) for one in done if one.figures is None]
    names = list(good[0].point) if good else []
    return (
        environment()
        .get_template("sweep.html.j2")
        .render(
            name=name,
            strategy=strategy,
            source=source,
            seed=seed,
            asked=asked,
            columns=["run", *names, *MEASURES],
            rows=[_cells(one) for one in good],
            failed=failed,
            charts=_charts(names, good) if good else [],
            plotly=Markup(get_plotlyjs()),
        )
    )


def _cells(done: Done) -> list[Cell]:
    found = [Cell(str(done.run), str(done.run)), *(Cell(v, v) for v in done.point.values())]
    for measure in MEASURES:
        value = getattr(done.figures, measure)
        whole = isinstance(value, int)
        text = "" if value is None else str(value) if whole else money(value)
        found.append(Cell("" if value is None else str(value), text, tone(value) if measure == "pnl" else ""))
    return found


def _said(point: Point) -> str:
    return " ".join(f"{name}={value}" for name, value in point.items())


def _charts(names: list[str], done: Sequence[Done]) -> list[Chart]:
    varied = [name for name in names if len({one.point[name] for one in done}) > 1]
    match varied:
        case []:
            return []
        case [one]:
            return [_line(one, done)]
        case [one, other]:
            return [_heat_map(one, other, done)]
    return [_parallel(varied, done)]


def _pnl(done: Done) -> float:
    return float(msgspec.structs.asdict(done.figures)["pnl"]) if done.figures is not None else 0.0


def _axis(name: str, done: Sequence[Done]) -> list[str]:
    """Its values in the order of the grid."""
    return list(dict.fromkeys(one.point[name] for one in done))


def _layout(figure: go.Figure, height: int, x: str, y: str) -> go.Figure:
    margin = {"l": 76, "r": 16, "t": 8, "b": 56}
    figure.update_layout(template="none", height=height, margin=margin)
    figure.update_xaxes(title={"text": x}, type="category", automargin=True)
    return figure.update_yaxes(title={"text": y}, automargin=True)


def _line(name: str, done: Sequence[Done]) -> Chart:
    figure = _layout(go.Figure(), 320, name, "profit and loss")
    figure.add_scatter(x=[one.point[name] for one in done], y=[_pnl(one) for one in done], mode="lines+markers")
    return Chart("pnl", f"P&L by {name}", "After fees, marked to market", figure.to_json())


def _heat_map(one: str, other: str, done: Sequence[Done]) -> Chart:
    rows, columns = _axis(one, done), _axis(other, done)
    found = {(d.point[one], d.point[other]): _pnl(d) for d in done}
    values = [[found.get((row, column)) for column in columns] for row in rows]
    figure = _layout(go.Figure(), 140 + 44 * len(rows), other, one).update_yaxes(type="category")
    hover = f"{one} %{{y}}, {other} %{{x}}: %{{z:,.2f}}<extra></extra>"
    figure.add_heatmap(
        x=columns, y=rows, z=values, colorscale=SCALE, zmid=0, texttemplate="%{z:,.2f}", hovertemplate=hover
    )
    return Chart("pnl", f"P&L by {one} and {other}", "After fees, marked to market", figure.to_json())


def _parallel(names: list[str], done: Sequence[Done]) -> Chart:
    measures = {"fills": [one.figures.fills for one in done if one.figures is not None], "pnl": [_pnl(d) for d in done]}
    dimensions = [_dimension(name, done) for name in names]
    dimensions += [{"label": name, "values": values} for name, values in measures.items()]
    line = {"color": measures["pnl"], "colorscale": SCALE, "cmid": 0, "showscale": True}
    figure = go.Figure(go.Parcoords(dimensions=dimensions, line=line))
    figure.update_layout(template="none", height=440, margin={"l": 76, "r": 16, "t": 48, "b": 24})
    return Chart("pnl", "Runs", "Each line is a run, its colour the P&L; drag along an axis to pick", figure.to_json())


def _dimension(name: str, done: Sequence[Done]) -> dict[str, Any]:
    values = _axis(name, done)
    places = {value: n for n, value in enumerate(values)}
    at = [places[one.point[name]] for one in done]
    return {"label": name, "values": at, "tickvals": list(places.values()), "ticktext": values}
