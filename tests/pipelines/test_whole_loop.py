"""The whole loop on the real broker: exchange, market data, signals, orders, fills, positions, audit, report; killed, restarted, stopped."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra import services
from tests.pipelines.running import TAPEDECK, Scene, environment, eventually, scene

WORKERS = 17
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def stage_set(tmp_path: Path, run_prefix: str, endpoints: services.Endpoints) -> Iterator[Scene]:
    with scene(tmp_path, run_prefix, endpoints) as made:
        yield made


def children(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    return [p for p in psutil.Process(process.pid).children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]


def fills(scene: Scene) -> Counter[str]:
    return Counter({p["strategy"]: p.get("fills", 0) for p in scene.json("positions")})


def verified(scene: Scene) -> dict[str, Any]:
    done = scene.tapedeck("verify", "--json", "--config", str(scene.path), timeout_s=90)
    result = dict(json.loads(done.stdout))
    assert result["problems"] == []
    assert [line for line in result["figures"] if not line["agrees"]] == []
    assert done.returncode == 0
    return result


def gone(processes: list[psutil.Process]) -> bool:
    return not [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_the_demo_trades_verifies_reports_and_leaves_no_process_behind(
    tmp_path: Path, endpoints: services.Endpoints
) -> None:
    env = environment(tmp_path, endpoints)
    before = set(psutil.pids())
    done = subprocess.run(
        [*TAPEDECK, "demo", "--seconds", "25"], env=env, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "agrees everywhere" in done.stdout
    (run_dir,) = (tmp_path / "runs").glob("demo-*")
    page = (run_dir / "report.html").read_text()
    assert "<html" in page
    assert "quoter" in page
    left = [
        p
        for p in psutil.process_iter(["cmdline"])
        if p.pid not in before and str(run_dir) in " ".join(p.info["cmdline"] or ())
    ]
    assert gone(left), left


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


def test_a_kill_switch_stops_trading_cancels_everything_and_survives_a_restart(stage_set: Scene) -> None:
    with stage_set.up() as process:
        stage_set.await_ready(WORKERS, process)
        stage_set.exchange.begin()
        eventually(lambda: len(stage_set.json("orders")) > 0 and sum(fills(stage_set).values()) > 3, 60, "trading")
        killed = stage_set.tapedeck(
            "kill", "firm", "--why", "a test", "--who", "tester", "--config", str(stage_set.path)
        )
        assert killed.returncode == 0, killed.stderr
        eventually(lambda: stage_set.json("orders") == [], 20, "every cancel")
    count = fills(stage_set)
    with stage_set.up() as process:
        stage_set.await_ready(WORKERS, process)
        time.sleep(4)  # not for a race: long enough that strategies would have traded
        assert fills(stage_set) == count
        assert {f["state"] for f in stage_set.json("limits") if f["scope"]["kind"] == "firm"} == {"halted"}
        resumed = stage_set.tapedeck("resume", "firm", "--why", "the test goes on", "--config", str(stage_set.path))
        assert resumed.returncode == 0, resumed.stderr
        eventually(lambda: sum(fills(stage_set).values()) > sum(count.values()), 60, "trading again")
    verified(stage_set)


def test_flatten_closes_the_positions_of_a_strategy(stage_set: Scene) -> None:
    with stage_set.up() as process:
        stage_set.await_ready(WORKERS, process)
        stage_set.exchange.begin()

        def held() -> dict[str, str]:
            return {p["strategy"]: p["quantity"] for p in stage_set.json("positions")}

        eventually(lambda: float(held().get("quoter", "0")) != 0, 60, "a position")
        for verb in ("kill", "flatten"):
            done = stage_set.tapedeck(verb, "strategy:quoter", "--why", "a test", "--config", str(stage_set.path))
            assert done.returncode == 0, done.stderr
        eventually(lambda: float(held()["quoter"]) == 0, 30, "flat")
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


def test_a_kill_given_while_nothing_runs_cancels_what_rests_as_soon_as_a_gateway_is_up(stage_set: Scene) -> None:
    stage_set.path.write_text(stage_set.path.read_text().replace("[run]\n", "[run]\ncancel_on_stop = false\n", 1))
    with stage_set.up() as process:
        stage_set.await_ready(WORKERS, process)
        stage_set.exchange.begin()
        eventually(lambda: any(o["strategy"] == "quoter" for o in stage_set.json("orders")), 60, "a resting quote")
    assert stage_set.json("orders") != [], "the setting leaves them"
    killed = stage_set.tapedeck("kill", "firm", "--why", "a test", "--config", str(stage_set.path))
    assert killed.returncode == 0, killed.stderr
    with stage_set.up() as process:
        eventually(lambda: process.poll() is not None or stage_set.json("orders") == [], 60, "every cancel")
    verified(stage_set)
