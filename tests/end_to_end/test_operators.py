"""What operators do to a running system: kill, resume, flatten."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import services
from tests.pipelines.running import WORKERS, Scene, eventually, fills, scene, verified

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def stage_set(tmp_path: Path, run_prefix: str, endpoints: services.Endpoints) -> Iterator[Scene]:
    with scene(tmp_path, run_prefix, endpoints) as made:
        yield made


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
        seen = stage_set.statuses()["intents/quoter"]["events_in"]
        eventually(lambda: stage_set.statuses()["intents/quoter"]["events_in"] > seen + 40, 30, "four seconds of ticks")
        assert fills(stage_set) == count
        assert {f["state"] for f in stage_set.json("limits") if f["scope"]["kind"] == "firm"} == {"halted"}
        resumed = stage_set.tapedeck("resume", "firm", "--why", "the test goes on", "--config", str(stage_set.path))
        assert resumed.returncode == 0, resumed.stderr
        eventually(lambda: sum(fills(stage_set).values()) > sum(count.values()), 60, "trading again")
    verified(stage_set)


def test_a_kill_given_while_nothing_runs_cancels_what_rests_as_soon_as_a_gateway_is_up(stage_set: Scene) -> None:
    text = stage_set.path.read_text().replace("[run]\n", "[run]\ncancel_on_stop = false\n", 1)
    far = 'half_spread_bps = "100"\nrequote_bps = "90"'  # quotes that nobody meets, and that stay where they are
    stage_set.path.write_text(text.replace('half_spread_bps = "0.05"', far))
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
