"""What a person meets when something is wrong: one line that says what to do, soon, and an exit code that is not 0."""

import os
import socket
import subprocess
import tomllib
from pathlib import Path

import pytest

from infra import services
from pipelines.demo_config import KEY
from tests.pipelines.running import TAPEDECK, Scene, environment, scene

SOON_S = 10


def run(env: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*TAPEDECK, *arguments], env=env, capture_output=True, text=True, timeout=SOON_S, check=False)


def says(done: "subprocess.CompletedProcess[str]", *words: str) -> None:
    """One line on stderr, with these words in it, and no traceback."""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert done.returncode not in (0, -9), done
    assert lines, done
    assert lines[-1].startswith("tapedeck: "), done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in lines[-1], lines[-1]


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """Nothing is configured and nothing runs."""
    return {k: v for k, v in os.environ.items() if not k.startswith("TAPEDECK_")} | {"TAPEDECK_HOME": str(tmp_path)}


def test_without_a_configuration_it_says_how_to_make_one(bare: dict[str, str], tmp_path: Path) -> None:
    says(run(bare, "up", "--config", str(tmp_path / "none.toml")), "none.toml", "tapedeck init")


def test_the_version_is_that_of_the_project(bare: dict[str, str]) -> None:
    version = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["version"]
    assert run(bare, "--version").stdout == f"tapedeck {version}\n"
    assert "A trading platform in which everything" in run(bare, "--help").stdout


def test_an_unknown_key_is_named(bare: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "tapedeck.toml"
    path.write_text("[gateway]\nreconcil_every_s = 3\n")
    says(run(bare, "up", "--config", str(path)), "reconcil_every_s", "gateway")


def test_a_wrong_value_is_named(bare: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "tapedeck.toml"
    path.write_text('[gateway]\nreconcile_every_s = "soon"\n')
    says(run(bare, "up", "--config", str(path)), "reconcile_every_s")


def test_a_strategy_on_an_account_that_is_not_there_is_named(bare: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "tapedeck.toml"
    path.write_text('[strategies.a]\nclass = "x:Y"\naccount = "sim.main"\ninstruments = []\n')
    says(run(bare, "up", "--config", str(path)), "strategies.a.account", "sim.main")


def test_what_init_writes_is_a_valid_configuration(bare: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "tapedeck.toml"
    made = run(bare, "init", str(path))
    assert made.returncode == 0
    assert "name this one with --config" in made.stderr
    says(run(bare, "init", str(path)), "exists already")
    says(run(bare, "positions", "--config", str(path)), "services up")


def test_without_a_broker_it_says_so(bare: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "tapedeck.toml"
    run(bare, "init", str(path))
    env = bare | {"TAPEDECK_KAFKA": "127.0.0.1:9", "TAPEDECK_POSTGRES": "postgresql://127.0.0.1:9/x"}
    says(run(env, "up", "--config", str(path)), "127.0.0.1:9")
    says(run(env, "worker", "orders", "--config", str(path)), "127.0.0.1:9")


def test_without_a_database_it_says_so(endpoints: services.Endpoints, bare: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "tapedeck.toml"
    run(bare, "init", str(path))
    env = environment(tmp_path, endpoints) | {"TAPEDECK_POSTGRES": "postgresql://127.0.0.1:9/x"}
    says(run(env, "up", "--config", str(path)), "127.0.0.1", "9")


def test_an_unknown_worker_is_answered_with_the_known_ones(
    endpoints: services.Endpoints, bare: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "tapedeck.toml"
    run(bare, "init", str(path))
    says(run(environment(tmp_path, endpoints), "worker", "nonsense", "--config", str(path)), "nonsense", "normalize")


@pytest.fixture
def ready(tmp_path: Path, run_prefix: str, endpoints: services.Endpoints):  # type: ignore[no-untyped-def]
    with scene(tmp_path, run_prefix, endpoints) as made:
        assert made.tapedeck("prepare", "--config", str(made.path)).returncode == 0
        yield made


def test_a_wrong_api_key_ends_the_gateway_with_one_line(ready: Scene) -> None:
    done = run(ready.env | {KEY: "wrong"}, "worker", "gateway/sim.main", "--config", str(ready.path))
    says(done, "sim.main", "key")
    assert done.returncode == 2, "a restart would meet it again"


def test_keys_that_are_not_set_are_named(ready: Scene) -> None:
    env = {k: v for k, v in ready.env.items() if k != KEY}
    says(run(env, "worker", "gateway/sim.main", "--config", str(ready.path)), KEY)


def test_a_venue_that_is_not_there_is_named(ready: Scene) -> None:
    ready.exchange.close()
    says(run(ready.env, "worker", "gateway/sim.main", "--config", str(ready.path)), "sim.main", "reached")


def test_a_clock_that_the_venue_refuses_is_said(tmp_path: Path, run_prefix: str, endpoints: services.Endpoints) -> None:
    with scene(tmp_path, run_prefix, endpoints, exchange=("--seed", "7", "--time-offset-ms", "60000")) as made:
        assert made.tapedeck("prepare", "--config", str(made.path)).returncode == 0
        says(run(made.env, "worker", "gateway/sim.main", "--config", str(made.path)), "clock")
        found = made.tapedeck("doctor", "--config", str(made.path))
        assert found.returncode == 1
        assert "clock of sim" in found.stdout
        assert "BAD" in found.stdout


def test_the_doctor_finds_nothing_wrong_with_a_good_system(ready: Scene) -> None:
    found = ready.tapedeck("doctor", "--config", str(ready.path))
    assert found.returncode == 0, found.stdout
    assert "BAD" not in found.stdout


def test_an_operator_must_say_why_and_name_what_exists(ready: Scene) -> None:
    says(run(ready.env, "kill", "strategy:nobody", "--why", "x", "--config", str(ready.path)), "nobody", "quoter")
    says(run(ready.env, "kill", "everything", "--why", "x", "--config", str(ready.path)), "firm")
    says(run(ready.env, "resume", "firm", "--why", " ", "--config", str(ready.path)), "why")
    says(
        run(ready.env, "limits", "firm", "max_order", "5", "--why", "x", "--config", str(ready.path)), "max_order_value"
    )
    says(run(ready.env, "limits", "firm", "max_order_value", "much", "--why", "x", "--config", str(ready.path)), "much")
    says(run(ready.env, "limits", "firm", "max_order_value", "-5", "--why", "x", "--config", str(ready.path)), "-5")
    assert 'half_spread_bps = "' in run(ready.env, "params", "quoter", "--config", str(ready.path)).stdout
    says(run(ready.env, "cancel", "no-such-order", "--why", "x", "--config", str(ready.path)), "no-such-order")


def test_a_port_that_is_taken_is_named(tmp_path: Path, run_prefix: str, endpoints: services.Endpoints) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with scene(tmp_path, run_prefix, endpoints, extra=f"\n[gateway]\nport = {port}\n") as made:
            says(run(made.env, "up", "--config", str(made.path)), str(port))
