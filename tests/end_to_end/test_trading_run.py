"""One system that trades, looked at in several ways; the last test flattens it."""

import json
import math
import re
import shutil
import time
import uuid
from collections.abc import Iterator

import pytest

from infra import services
from infra.grafana.__main__ import rendered
from infra.metrics import catalog, targets_of
from infra.prometheus import Prometheus
from infra.services.kafka import free_ports
from tests.pipelines.running import WORKERS, Scene, eventually, scene, verified

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def watched(
    tmp_path_factory: pytest.TempPathFactory, endpoints: services.Endpoints
) -> Iterator[tuple[Scene, Prometheus | None]]:
    """A running system, and Prometheus on it since before its first order; None where there is none."""
    name = f"t{uuid.uuid4().hex[:10]}"
    with scene(tmp_path_factory.mktemp("trading"), name, endpoints) as made:
        with made.up() as process:
            made.await_ready(WORKERS, process, 150)
            if shutil.which("prometheus") is None:
                made.exchange.begin()
                yield made, None
            else:
                with Prometheus(made.config.run_dir, free_ports(1)[0], scrape_s=1) as prometheus:
                    up = f'count(up{{run="{name}"}} == 1) >= {WORKERS}'
                    eventually(lambda: prometheus.query(up), 60, "a scrape of every worker")
                    made.exchange.begin()
                    yield made, prometheus
        assert process.returncode == 0
        targets = targets_of(made.config.run_dir)
        assert list(targets.parent.glob(targets.name)) == [], "a clean stop leaves no targets"
        verified(made)


def questions(run: str) -> dict[tuple[str, str, str], str]:
    """Every query of every panel, as Grafana would ask it."""
    return {
        (board, panel["title"], target["refId"]): target["expr"].replace("$run", run).replace("$__rate_interval", "2m")
        for board, text in rendered().items()
        for panel in json.loads(text)["panels"]
        for target in panel["targets"]
    }


def is_answered(prometheus: Prometheus, expr: str) -> bool:
    """With a number, not merely with a series."""
    return any(math.isfinite(float(sample["value"][1])) for sample in prometheus.query(expr))


def test_every_panels_query_is_answered_with_data_by_a_prometheus_that_scraped_it(
    watched: tuple[Scene, Prometheus | None],
) -> None:
    running, prometheus = watched
    if prometheus is None:
        pytest.skip("no prometheus on the PATH (Debian: the package prometheus)")
    left = questions(running.config.run.name)
    assert len(left) > 50
    deadline = time.monotonic() + 120
    while left and time.monotonic() < deadline:
        left = {panel: expr for panel, expr in left.items() if not is_answered(prometheus, expr)}
        time.sleep(1)
    assert left == {}
    served = {s["metric"]["__name__"] for s in prometheus.query('{__name__=~"tapedeck_.+"}')}
    assert {name for spec in catalog.CATALOG.values() for name in spec.series} == served
    rules = prometheus.query('ALERTS{alertstate="firing", alertname=~"Worker.*|Records.*|Order.*|Scope.*|Strategy.*"}')
    assert rules == []


def test_the_live_view_shows_workers_markets_positions_and_alarms(watched: tuple[Scene, Prometheus | None]) -> None:
    running, _ = watched
    eventually(lambda: running.json("positions"), 60, "a position")
    done = running.tapedeck("top", "--once", "--config", str(running.path), COLUMNS="160", LINES="60")
    assert done.returncode == 0, done.stderr
    assert f"{WORKERS}/{WORKERS} workers ready" in done.stdout
    for word in ("normalize", "gateway.sim.main", "sim:BTC-USDT", "open orders", "realized", "sim.main (USDT)"):
        assert word in done.stdout, word
    assert re.search(r"[1-9]\d* fills", done.stdout)


def test_flatten_closes_the_positions_of_a_strategy(watched: tuple[Scene, Prometheus | None]) -> None:
    running, prometheus = watched

    def held() -> dict[str, str]:
        return {p["strategy"]: p["quantity"] for p in running.json("positions")}

    eventually(lambda: float(held().get("quoter", "0")) != 0, 60, "a position")
    for verb in ("kill", "flatten"):
        done = running.tapedeck(verb, "strategy:quoter", "--why", "a test", "--config", str(running.path))
        assert done.returncode == 0, done.stderr
    eventually(lambda: float(held()["quoter"]) == 0, 30, "flat")
    if prometheus is not None:
        killed = 'ALERTS{alertname="ScopeKilled", scope="strategy:quoter", alertstate="firing"}'
        eventually(lambda: prometheus.query(killed), 20, "the alert")
    done = running.tapedeck("top", "--once", "--config", str(running.path), COLUMNS="160", LINES="60")
    assert "killed: strategy:quoter by" in done.stdout
