"""The few kinds of panels that the dashboards are made of. A query's ``$run`` is the run that is looked at."""

from collections.abc import Sequence
from typing import NamedTuple

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as models

SOURCE = models.DataSourceRef(type_val="prometheus", uid="tapedeck-prometheus")
Panel = timeseries.Panel | stat.Panel

OK, WARN, BAD = "green", "orange", "red"


class Query(NamedTuple):
    expr: str
    legend: str = ""


def lines(
    title: str,
    unit: str,
    *queries: Query,
    about: str = "",
    limit: float | None = None,
    width: int = 12,
    stacked: bool = False,
) -> timeseries.Panel:
    """Over time; ``limit`` is drawn as a line from which on it is bad."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(about)
        .unit(unit)
        .datasource(SOURCE)
        .span(width)
        .height(8)
        .line_width(1)
        .fill_opacity(10)
        .show_points(kinds.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(kinds.LegendDisplayMode.TABLE)
            .placement(kinds.LegendPlacement.RIGHT)
            .calcs(["lastNotNull"])
        )
    )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL))
    if limit is not None:
        panel = panel.thresholds(_steps((None, OK), (limit, BAD))).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(kinds.GraphThresholdsStyleMode.DASHED)
        )
    return _with(panel, queries)  # type: ignore[return-value]


def figure(
    title: str,
    unit: str,
    query: Query,
    *,
    about: str = "",
    steps: Sequence[tuple[float | None, str]] = (),
    width: int = 4,
) -> stat.Panel:
    """One figure, coloured by the ``steps`` from which each colour counts."""
    panel = (
        stat.Panel()
        .title(title)
        .description(about)
        .unit(unit)
        .datasource(SOURCE)
        .span(width)
        .height(4)
        .color_mode(kinds.BigValueColorMode.VALUE)
        .graph_mode(kinds.BigValueGraphMode.AREA)
        .thresholds(_steps(*(steps or ((None, "text"),))))
    )
    return _with(panel, [query])  # type: ignore[return-value]


def _steps(*steps: tuple[float | None, str]) -> dashboard.ThresholdsConfig:
    found = [models.Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(found)


def _with(panel: Panel, queries: Sequence[Query]) -> Panel:
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        target = prometheus.Dataquery().ref_id(letter).expr(query.expr).legend_format(query.legend)
        panel = panel.with_target(target)
    return panel


def quantile(q: float, metric: str, by: str, where: str = "") -> str:
    """A quantile of a histogram over the last minutes."""
    labels = f'run=~"$run"{", " + where if where else ""}'
    return f"histogram_quantile({q}, sum by (le, {by}) (rate({metric}_bucket{{{labels}}}[$__rate_interval])))"


def board(title: str, uid: str, about: str, *panels: Panel) -> dashboard.Dashboard:
    """A dashboard on one run, of the last quarter of an hour."""
    built = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(about)
        .tags(["tapedeck"])
        .refresh("5s")
        .time("now-15m", "now")
        .timezone("browser")
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(dashboard.DashboardLink("tapedeck").tags(["tapedeck"]).type(models.DashboardLinkType.DASHBOARDS))
        .with_variable(
            dashboard.QueryVariable("run")
            .label("run")
            .datasource(SOURCE)
            .query("label_values(tapedeck_worker_info, run)")
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(models.VariableSort.ALPHABETICAL_DESC)
            .multi(False)
        )
    )
    for panel in panels:
        built = built.with_panel(panel)
    return built
