"""The whole loop on the real broker: exchange, market data, signals, orders, fills, positions, audit, report; killed, restarted, stopped."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from infra import services
from tests.pipelines.running import (
    TAPEDECK,
    WORKERS,
    Scene,
    children,
    environment,
    eventually,
    fills,
    gone,
    scene,
    verified,
)
from tests.recordings import data_folder

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def stage_set(tmp_path: Path, run_prefix: str, endpoints: services.Endpoints) -> Iterator[Scene]:
    with scene(tmp_path, run_prefix, endpoints) as made:
        yield made


CAPTURE = Path("hftbacktest") / "spot" / "btcusdt_20240808.gz"


@dataclass(frozen=True)
class Demo:
    """A demo from start to end: on a recorded capture where there is one, else on generated flow."""

    run: Path
    env: dict[str, str]
    done: "subprocess.CompletedProcess[str]"
    before: set[int]

    def tapedeck(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*TAPEDECK, *arguments], env=self.env, capture_output=True, text=True, timeout=120, check=False
        )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, endpoints: services.Endpoints) -> Demo:
    home = tmp_path_factory.mktemp("demo")
    env, capture = environment(home, endpoints), data_folder() / CAPTURE
    before = set(psutil.pids())
    arguments = ["--capture", str(capture)] if capture.exists() else []
    done = subprocess.run(
        [*TAPEDECK, "demo", "--seconds", "25", *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = (home / "runs").glob("demo-*")
    return Demo(run, env, done, before)


def test_the_demo_trades_verifies_reports_and_leaves_no_process_behind(demo: Demo) -> None:
    assert "agrees everywhere" in demo.done.stdout
    page = (demo.run / "report.html").read_text()
    assert "<html" in page
    assert "quoter" in page
    left = [
        p
        for p in psutil.process_iter(["cmdline"])
        if p.pid not in demo.before and str(demo.run) in " ".join(p.info["cmdline"] or ())
    ]
    assert gone(left), left


def test_every_stage_of_the_demo_replays_equal(demo: Demo) -> None:
    replayed(demo.run, demo.env)


def replayed(run_dir: Path, env: dict[str, str]) -> None:
    """Every stage from the start, and one from the snapshot of its clean stop, behind which there is nothing."""

    def ask(expected: int, *arguments: str) -> str:
        command = [*TAPEDECK, "replay-stage", "--run", str(run_dir), *arguments]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=150, check=False)
        assert done.returncode == expected, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert ask(0, "--all").count(": equal, ") == WORKERS - 4, "all but ingest, clock, audit and archive"
    beyond = ask(2, "orders", "--live", "--from", "1000000")
    assert "begun at snapshots: " in beyond
    assert "nothing to replay: " in beyond


def test_the_backtests_composition_makes_every_decision_of_the_demo_again(demo: Demo) -> None:
    done = demo.tapedeck("parity", str(demo.run), "--json", "--no-report")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert [one["strategy"] for one in found["exact"]["strategies"]] == ["buyer", "cross", "quoter"]
    for one in found["exact"]["strategies"]:
        assert one["equal"], one["first_difference"]
        assert one["decisions"] > 0, one
        assert one["inbox_fed"].keys() == {"clock"}, "everything else was recomputed"
    free = found["free"]
    assert free["live"] == free["reproduced"] + sum(free["live_by_kind"].values()) > 0


def test_workers_that_are_killed_come_back_and_nothing_is_lost_or_doubled(stage_set: Scene) -> None:
    with stage_set.up() as process:
        stage_set.await_ready(WORKERS, process)
        stage_set.exchange.begin()
        eventually(lambda: sum(fills(stage_set).values()) >= 10, 60, "trading")
        for stage in (
            "normalize",
            "intents/quoter",
            "gateway/sim.main",
            "orders",
            "positions",
            "audit",
            "archive",
            "portfolio",
        ):
            os.kill(stage_set.statuses()[stage]["pid"], signal.SIGKILL)
        before = sum(fills(stage_set).values())
        eventually(lambda: sum(fills(stage_set).values()) >= before + 10, 90, "trading after the kills")
        workers = children(process)
    assert process.returncode == 0
    eventually(lambda: gone(workers), 5, "the workers' end")
    assert stage_set.json("orders") == [], "a clean stop cancels what rests"
    verified(stage_set)


def test_a_wrong_api_key_ends_the_whole_run_with_one_line(stage_set: Scene) -> None:
    refused = stage_set.tapedeck("up", "--config", str(stage_set.path), timeout_s=10, TAPEDECK_SIM_API_KEY="wrong")
    assert refused.returncode == 2
    last = refused.stderr.strip().splitlines()[-1]
    assert last.startswith("tapedeck: sim.main:")
    assert "key" in last


def test_a_second_up_of_the_same_run_is_refused_and_the_first_goes_on(stage_set: Scene) -> None:
    with stage_set.up() as process:
        stage_set.await_ready(WORKERS, process)
        second = stage_set.tapedeck("up", "--config", str(stage_set.path), timeout_s=20)
        assert second.returncode == 1
        assert str(process.pid) in second.stderr
        assert all(s["ready"] for s in stage_set.statuses().values())


def test_an_instrument_that_the_venue_does_not_list_is_named_before_anything_starts(stage_set: Scene) -> None:
    stage_set.path.write_text(stage_set.path.read_text().replace("sim:SOL-USDT", "sim:FOO-USDT"))
    refused = stage_set.tapedeck("up", "--config", str(stage_set.path), timeout_s=20)
    assert refused.returncode == 2
    assert "sim:FOO-USDT" in refused.stderr.splitlines()[-1]


def test_the_exchange_of_a_demo_that_is_killed_ends_with_it(tmp_path: Path, endpoints: services.Endpoints) -> None:
    demo = subprocess.Popen(
        [*TAPEDECK, "demo", "--seconds", "60"], env=environment(tmp_path, endpoints), stderr=subprocess.DEVNULL
    )
    try:
        processes = eventually(lambda: len(children(demo)) > WORKERS and children(demo), 60, "the workers' start")
    finally:
        demo.kill()
        demo.wait()
    eventually(lambda: gone(processes), 30, "the end of every process")
