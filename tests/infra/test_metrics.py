"""What a worker serves, and where Prometheus finds it."""

import json
import re
import socket
import urllib.request
from pathlib import Path

import pytest

from infra.config import MetricsConfig
from infra.metrics import Exposition, Histogram, Words, catalog, targets_of


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "live"


def found(run_dir: Path) -> list[Path]:
    pattern = targets_of(run_dir)
    return sorted(pattern.parent.glob(pattern.name))


def served(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


def test_a_worker_is_found_by_its_target_file_while_it_runs(run_dir: Path) -> None:
    with Exposition(MetricsConfig(), run_dir, "signals/quoter", 1) as exposition:
        words = Words()
        exposition.add(words)
        words.say({"ready": True, "ts": 2_000_000_000, "records_in": 3, "lag": 4, "stage": "signals/quoter"})
        (target,) = json.loads(targets_of(run_dir, "signals-quoter.1").read_text())
        assert target["labels"] == {"run": "live", "stage": "signals/quoter", "instance": "1"}
        text = served(target["targets"][0])
        for line in ("worker_ready 1.0", "records_in_total 3.0", "lag_records 4.0"):
            assert f"tapedeck_{line}\n" in text
        assert re.search(r'^tapedeck_worker_info\{version="[^"]+"\} 1.0$', text, re.MULTILINE)
    assert found(run_dir) == []


def test_one_that_ends_badly_stays_a_target_and_so_is_seen_as_down(run_dir: Path) -> None:
    with pytest.raises(RuntimeError), Exposition(MetricsConfig(), run_dir, "orders"):
        raise RuntimeError
    assert len(found(run_dir)) == 1


def test_switched_off_nothing_listens(run_dir: Path) -> None:
    with Exposition(MetricsConfig(enabled=False), run_dir, "orders") as exposition:
        assert exposition.address == ""
    assert found(run_dir) == []


def test_a_port_that_is_taken_costs_the_metrics_and_not_the_worker(run_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with Exposition(MetricsConfig(port=taken.getsockname()[1]), run_dir, "orders") as exposition:
            assert exposition.address == ""


def test_a_histogram_counts_up_to_each_bound_and_never_below_zero() -> None:
    histogram = Histogram((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 3.0, -1.0):
        histogram.observe(seconds)
    assert histogram.buckets() == [("0.1", 3.0), ("1.0", 4.0), ("+Inf", 5.0)]
    assert histogram.sum == pytest.approx(3.65)


def test_what_a_family_serves_is_named_as_in_the_catalog() -> None:
    for spec in catalog.CATALOG.values():
        labels = tuple("x" for _ in spec.labels)
        timed = spec.kind is catalog.Kind.HISTOGRAM
        family = spec.histograms([(labels, Histogram((1.0,)))]) if timed else spec.of([(labels, 1.0)])
        assert {sample.name for sample in family.samples} == set(spec.series)
