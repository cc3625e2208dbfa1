"""The market page's charts, as plotly figures in JSON: one of each instrument, its quantities below each other over one time."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pipelines.report_books import BookLook, Broken
from pipelines.report_charts import LOSS, Chart, Figure, Trace, chart
from pipelines.report_market import MarketData, Row
from topics.record import InstrumentId

BID, ASK, LINE, FAINT = "#16a34a", "#dc2626", "#3b82f6", "rgba(59,130,246,0.35)"
SHADED = 200
"""Times without a whole book that are shaded in a chart; of more the longest."""
ROW, ABOVE, BETWEEN, TOP, BOTTOM = 104, 24, 50, 4, 44
"""Pixels: a row's height, what is above the first and between two for their titles, the margins."""


class Strip(NamedTuple):
    """One row of a figure. ``logarithmic``: where a few values are far above the others."""

    title: str
    traces: list[Trace]
    logarithmic: bool = False


def market_charts(data: MarketData) -> list[Chart]:
    found = []
    for n, name in enumerate(data.drawn):
        slots, books, broken = data.slots[name], data.books.get(name, []), data.broken.get(name, [])
        strips = [one for one in _strips(name, slots, books) if one.traces]
        if strips:
            note = _note(data.width_s, slots, broken)
            found.append(chart(f"market{n}", name, note, _figure(strips, slots, broken)))
    return found


def _note(width_s: int, slots: Sequence[Row], broken: Sequence[Broken]) -> str:
    gaps = sum(int(row["gaps"]) for row in slots)
    step = f"{width_s} s" if width_s < 120 else f"{width_s / 60:.0f} min"
    if not gaps:
        return f"Steps of {step}, UTC; no gaps"
    lost = sum(one.length_s for one in broken)
    return f"Steps of {step}, UTC; {gaps:,} gap{'s' if gaps > 1 else ''}, the book not whole for {lost:,.1f} s in all (shaded)"


def _strips(name: InstrumentId, slots: Sequence[Row], books: Sequence[BookLook]) -> list[Strip]:
    base, _, terms = name.partition(":")[2].partition("-")
    base = f"contracts or {base}, as the venue counts" if "-" in terms else base
    quoted = [row for row in slots if row["spread"] is not None]
    if books:
        spread = [_line([b.time for b in books], [b.spread for b in books], "spread", LINE, "%{y:,.3f} bp")]
        depth = _depth([b.time for b in books], [b.bids for b in books], [b.asks for b in books], base)
        depth_title = f"Depth within 10 basis points of the mid, {base}"
    else:
        times = [row["time"] for row in quoted]
        spread = [_line(times, [row["spread"] for row in quoted], "spread", LINE, "%{y:,.3f} bp")] if quoted else []
        depth = _depth(times, [row["bid_size"] for row in quoted], [row["ask_size"] for row in quoted], base)
        depth_title = f"Size of the best bid and ask, {base}"
    return [
        Strip("Spread, basis points", spread),
        Strip(depth_title, depth),
        Strip("Trades a second", _trades(slots)),
        Strip("Latency from the venue, ms: median and worst", _latency(slots), logarithmic=True),
    ]


def _depth(times: Sequence[datetime], bids: Sequence[Any], asks: Sequence[Any], base: str) -> list[Trace]:
    if not times:
        return []
    told = "%{y:,.4~g} " + base
    return [_line(times, bids, "bids", BID, told), _line(times, asks, "asks", ASK, told)]


def _trades(slots: Sequence[Row]) -> list[Trace]:
    if not any(row["trade_rate"] for row in slots):
        return []
    line = _line([r["time"] for r in slots], [r["trade_rate"] for r in slots], "trades", LINE, "%{y:,.3~g} a second")
    return [line | {"fill": "tozeroy", "fillcolor": "rgba(59,130,246,0.14)"}]


def _latency(slots: Sequence[Row]) -> list[Trace]:
    known = [row for row in slots if row["usual_ms"] is not None]
    if not any(row["worst_ms"] for row in known):  # a table that has the venue's times alone
        return []
    times = [row["time"] for row in known]
    return [
        _line(times, [_positive(row["worst_ms"]) for row in known], "worst", FAINT, "%{y:,.4~g} ms"),
        _line(times, [_positive(row["usual_ms"]) for row in known], "median", LINE, "%{y:,.4~g} ms"),
    ]


def _positive(ms: float) -> float:
    """A logarithm's axis has no 0."""
    return max(float(ms), 0.01)


def _line(times: Iterable[datetime], values: Iterable[Any], name: str, colour: str, told: str) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": list(times),
        "y": list(values),
        "name": name,
        "line": {"color": colour, "width": 1.4},
        "hovertemplate": told,
        "showlegend": False,
    }


def _figure(strips: Sequence[Strip], slots: Sequence[Row], broken: Sequence[Broken]) -> Figure:
    count = len(strips)
    plot = ABOVE + ROW * count + BETWEEN * (count - 1)
    layout: dict[str, Any] = {
        "height": TOP + plot + BOTTOM,
        "margin": {"l": 70, "r": 16, "t": TOP, "b": BOTTOM},
        "hovermode": "x unified",
        "hoversubplots": "axis",
        "annotations": [],
        "shapes": [_shade(one) for one in sorted(broken, key=lambda one: -one.length_s)[:SHADED]],
    }
    data: list[Trace] = []
    for n, strip in enumerate(strips):
        top = 1 - (ABOVE + n * (ROW + BETWEEN)) / plot
        axis = "y" if n == 0 else f"y{n + 1}"
        layout["annotations"].append(_title(strip.title, top))
        layout[f"yaxis{axis[1:]}"] = {
            "domain": [max(0.0, top - ROW / plot), top],
            "automargin": True,
            "nticks": 5,
            "zeroline": False,
            "tickformat": ",~g",
            **({"type": "log", "dtick": 1} if strip.logarithmic else {"rangemode": "tozero"}),
        }
        data += [trace | {"xaxis": "x", "yaxis": axis} for trace in strip.traces]
    last = "y" if count == 1 else f"y{count}"
    span = [slots[0]["time"], slots[-1]["time"]]
    layout["xaxis"] = {"title": {"text": ""}, "anchor": last, "zeroline": False, "range": span}
    return Figure(data, layout)


def _title(text: str, top: float) -> dict[str, Any]:
    place = {"xref": "paper", "yref": "paper", "x": 0, "y": top, "xanchor": "left", "yanchor": "bottom"}
    return place | {"text": text, "showarrow": False, "font": {"size": 12.5}}


def _shade(one: Broken) -> dict[str, Any]:
    """A line where it is too short to be seen as an area."""
    return {
        "type": "rect",
        "xref": "x",
        "yref": "paper",
        "x0": one.began,
        "x1": one.ended,
        "y0": 0,
        "y1": 1,
        "layer": "below",
        "fillcolor": "rgba(220,38,38,0.22)",
        "line": {"color": LOSS, "width": 0.8},
    }
