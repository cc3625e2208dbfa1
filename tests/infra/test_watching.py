"""What watches the platform knows only metrics that exist; each alert fires once, and none in the healthy case."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infra.grafana.__main__ import FOLDER, rendered
from infra.metrics import catalog
from infra.prometheus import RULES

REPOSITORY = Path(__file__).parents[2]
KNOWN = {name for spec in catalog.CATALOG.values() for name in spec.series}


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool on the PATH (Debian: the package prometheus)")
    return found


def used(text: str) -> set[str]:
    return set(re.findall(r"\btapedeck_[a-z0-9_]+", text))


def panels() -> list[tuple[str, str, str]]:
    """(dashboard, panel, expression) of every query."""
    return [
        (name, panel["title"], target["expr"])
        for name, text in rendered().items()
        for panel in json.loads(text)["panels"]
        for target in panel["targets"]
    ]


def test_each_alert_fires_once_and_none_in_the_healthy_case(promtool: str) -> None:
    done = subprocess.run(
        [promtool, "test", "rules", "alerts_test.yml"], cwd=RULES.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_for_containers_is_valid(promtool: str) -> None:
    done = subprocess.run(
        [promtool, "check", "config", str(RULES.parent / "prometheus.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case_of_its_own_a_healthy_one_and_a_word_in_the_docs() -> None:
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    cases = (RULES.parent / "alerts_test.yml").read_text()
    docs = (REPOSITORY / "docs" / "watching.md").read_text()
    assert len(alerts) == len(set(alerts)) >= 7
    for alert in alerts:
        assert f"- name: {alert}\n" in cases, alert
        assert f"alertname: {alert}, eval_time: 5m, exp_alerts: []" in cases, alert
        assert f"`{alert}`" in docs, alert


def test_rules_and_dashboards_ask_only_for_metrics_that_workers_serve() -> None:
    assert used(RULES.read_text()) <= KNOWN
    for board, title, expr in panels():
        assert used(expr) <= KNOWN, (board, title)


def test_the_docs_list_every_metric_with_its_type_and_labels() -> None:
    docs = (REPOSITORY / "docs" / "watching.md").read_text()
    for spec in catalog.CATALOG.values():
        labels = ", ".join(spec.labels)
        assert f"| `{spec.name}` | {spec.kind} | {labels} |" in docs, spec.name


def test_names_follow_the_conventions() -> None:
    for spec in catalog.CATALOG.values():
        assert re.fullmatch(r"tapedeck_[a-z]+(_[a-z]+)*", spec.name), spec.name
        assert spec.name.endswith("_total") is (spec.kind is catalog.Kind.COUNTER), spec.name
        assert spec.kind is not catalog.Kind.HISTOGRAM or spec.name.endswith("_seconds"), spec.name
        assert not {"client_order_id", "venue_order_id", "trade_id", "pid"} & set(spec.labels), spec.name


def test_the_dashboards_in_the_folder_are_what_the_code_makes() -> None:
    stored = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    assert stored == rendered(), "run 'python -m infra.grafana'"


def test_every_panel_says_its_unit_and_has_a_query() -> None:
    for name, text in rendered().items():
        found: list[dict[str, Any]] = json.loads(text)["panels"]
        assert len({p["title"] for p in found}) == len(found) > 8, name
        for panel in found:
            assert panel["fieldConfig"]["defaults"]["unit"], (name, panel["title"])
            assert panel["targets"], (name, panel["title"])
