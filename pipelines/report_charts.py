"""The report's charts, as plotly figures in JSON. Colours that depend on light or dark are the page's business.

The figures are plain: plotly's own classes look at every point of a trace.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from pipelines import parity_report
from pipelines.report_data import ReportData, Row

COLOURS = ("#3b82f6", "#f59e0b", "#a855f7", "#14b8a6", "#ec4899", "#84cc16", "#64748b")
LOSS = "#dc2626"
TOTAL = "#64748b"


Trace = dict[str, Any]


@dataclass
class Figure:
    """What Plotly.newPlot takes."""

    data: list[Trace]
    layout: dict[str, Any]

    def y(self, **settings: Any) -> "Figure":
        self.layout["yaxis"] |= settings
        return self


@dataclass(frozen=True)
class Chart:
    """`figure` is JSON for Plotly.newPlot: {data, layout}."""

    id: str
    title: str
    note: str
    figure: str


def charts(data: ReportData) -> list[Chart]:
    """All that have something to show."""
    unit = " or ".join(data.currencies)
    made: list[Chart] = []
    if data.equity:
        made += [
            chart(
                "equity",
                "Equity",
                f"Profit and loss since the start, after fees, marked to market, in {unit}",
                _equity(data),
            ),
            chart("drawdown", "Drawdown", f"Distance from the highest equity so far, in {unit}", _drawdown(data)),
        ]
    traded, colours = sorted({f["instrument"] for f in data.fills}), colour_of(data)
    made += [_price_chart(n, instrument, data, colours) for n, instrument in enumerate(traded)]
    if data.equity:
        made.append(chart("fees", "Fees", f"Paid since the start, in {unit} at the mid of the moment", _fees(data)))
    if data.statuses:
        made.append(chart("orders", "Orders by status", "As each order stands at the end", _orders(data)))
    return made


def parity_charts(parity: dict[str, Any] | None) -> list[Chart]:
    """Of a run that was backtested again (`tapedeck parity`)."""
    free = None if parity is None else parity["free"]
    if free is None:
        return []
    figure = parity_report.figure(free).to_json()
    return [Chart("parity", "Executions, live and backtested", parity_report.told(free), figure)]


def chart(ident: str, title: str, note: str, figure: Figure) -> Chart:
    return Chart(ident, title, note, msgspec.json.encode(figure).decode())


def _figure(unit: str, *, height: int = 300) -> Figure:
    layout = {
        "height": height,
        "margin": {"l": 76, "r": 16, "t": 8, "b": 56},
        "hovermode": "x unified",
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        "yaxis": {"title": {"text": unit, "standoff": 8}, "zeroline": True, "tickformat": ",~r", "automargin": True},
        "xaxis": {"title": {"text": "time (UTC)", "standoff": 6}, "zeroline": False},
    }
    return Figure([], layout)


def _curve(rows: Iterable[Row], values: Iterable[Any], name: str, **settings: Any) -> Trace:
    return {
        "type": "scatter",
        "x": [r["time"] for r in rows],
        "y": list(values),
        "name": name,
        "mode": "lines",
    } | settings


def _series(rows: Iterable[Row], *names: str) -> dict[tuple[str, ...], list[Row]]:
    found: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        found[tuple(row[name] for name in names)].append(row)
    return dict(sorted(found.items()))


def colour_of(data: ReportData) -> dict[str, str]:
    """The same colour for a strategy in every chart."""
    names = sorted({row["strategy"] for row in [*data.equity, *data.fills] if row["strategy"]})
    return {name: COLOURS[n % len(COLOURS)] for n, name in enumerate(names)}


def _equity(data: ReportData) -> Figure:
    figure, colours = _figure(" / ".join(data.currencies), height=340), colour_of(data)
    for (account, strategy), rows in _series(data.equity, "account", "strategy").items():
        line = {"color": colours[strategy], "width": 1.6} if strategy else {"color": TOTAL, "width": 3}
        name = strategy or f"{account}, total"
        figure.data.append(_curve(rows, (r["pnl"] for r in rows), name, line=line, hovertemplate="%{y:,.2f}"))
    return figure


def _drawdown(data: ReportData) -> Figure:
    figure = _figure(" / ".join(data.currencies), height=200)
    for (account, strategy), rows in _series(data.equity, "account", "strategy").items():
        if strategy == "":
            depth = [-r["drawdown"] for r in rows]
            curve = _curve(rows, depth, account, line={"color": LOSS, "width": 1.5}, hovertemplate="%{y:,.2f}")
            figure.data.append(curve | {"fill": "tozeroy", "fillcolor": "rgba(220,38,38,0.18)"})
    return figure.y(rangemode="tozero")


def _price_chart(n: int, instrument: str, data: ReportData, colours: Mapping[str, str]) -> Chart:
    fills = [f for f in data.fills if f["instrument"] == instrument]
    prices = [p for p in data.prices if p["instrument"] == instrument]
    pair = instrument.partition(":")[2]
    figure = _figure(f"price ({pair.partition('-')[2]})", height=360)
    if prices:
        line = {"color": TOTAL, "width": 1.4}
        figure.data.append(_curve(prices, (p["mid"] for p in prices), "mid", line=line))
    for (strategy, side), rows in _series(fills, "strategy", "side").items():
        figure.data.append(_markers(rows, strategy, side, colours[strategy]))
    figure.y(zeroline=False).layout["hovermode"] = "closest"
    note = f"{len(fills)} executions on the mid price: ▲ bought, ▼ sold; filled passive, hollow aggressive; colours are strategies"
    return chart(f"price{n}", f"Trades on {pair}", note, figure)


def _markers(rows: list[Row], strategy: str, side: str, colour: str) -> Trace:
    symbol = "triangle-up" if side == "buy" else "triangle-down"
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [r["time"] for r in rows],
        "y": [r["px"] for r in rows],
        "name": f"{strategy} {'bought' if side == 'buy' else 'sold'}",
        "text": [f"{strategy} {side} {r['qty'].rstrip('0').rstrip('.')} {r['base']}, {r['liquidity']}" for r in rows],
        "hovertemplate": "%{text}<br>%{y:,} at %{x|%H:%M:%S.%L}<extra></extra>",
        "marker": {
            "symbol": [symbol if r["liquidity"] == "maker" else f"{symbol}-open" for r in rows],
            "size": 10,
            "color": colour,
        },
    }


def _fees(data: ReportData) -> Figure:
    figure, colours = _figure(" / ".join(data.currencies), height=240), colour_of(data)
    for (_, strategy), rows in _series(data.equity, "account", "strategy").items():
        if strategy:
            line = {"color": colours[strategy], "width": 1.8}
            curve = _curve(rows, (r["fees"] for r in rows), strategy, line=line, hovertemplate="%{y:,.4f}")
            figure.data.append(curve)
    return figure.y(rangemode="tozero")


STATUS_COLOURS = {
    "filled": "#16a34a",
    "partially_filled": "#65a30d",
    "new": "#3b82f6",
    "pending_new": "#93c5fd",
    "canceled": "#94a3b8",
    "expired": "#a8a29e",
    "denied": "#f59e0b",
    "rejected": "#dc2626",
    "unknown": "#a855f7",
}


def _orders(data: ReportData) -> Figure:
    figure = _figure("", height=120 + 36 * len({row["strategy"] for row in data.statuses}))
    for (status,), rows in _series(data.statuses, "status").items():
        figure.data.append(
            {
                "type": "bar",
                "y": [r["strategy"] for r in rows],
                "x": [r["orders"] for r in rows],
                "name": status.replace("_", " "),
                "orientation": "h",
                "marker": {"color": STATUS_COLOURS.get(status, TOTAL)},
                "text": [str(r["orders"]) for r in rows],
                "textposition": "inside",
                "hovertemplate": "%{x} " + status.replace("_", " ") + "<extra>%{y}</extra>",
            }
        )
    figure.layout |= {"barmode": "stack", "hovermode": "closest", "bargap": 0.35}
    figure.layout["xaxis"] |= {"title": {"text": "orders"}, "tickformat": ",d"}
    return figure.y(type="category", autorange="reversed", tickformat="")
