"""``tapedeck up --paper`` on a venue that is a recording: strategies trade on its public market, and everything agrees."""

import json
import signal
import subprocess
import tomllib
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from infra import services
from tests.pipelines.flow_capture import record_flow
from tests.pipelines.running import TAPEDECK, environment, eventually

pytestmark = pytest.mark.timeout(400)


@contextmanager
def playing(env: dict[str, str], *arguments: str) -> Iterator[dict[str, Any]]:
    """``tapedeck play`` as a process; what it said when it was ready."""
    process = subprocess.Popen([*TAPEDECK, "play", *arguments], env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def toml(name: str, home: Path, address: str) -> str:
    return f"""
[run]
name = "{name}"
home = {json.dumps(str(home))}
[metrics]
enabled = false
[venues.binance]
adapter = "binance"
rest_url = "http://{address}"
ws_url = "ws://{address}"
[accounts."binance.main"]
api_key_env = "KEY_THAT_NOBODY_HAS"
api_secret_env = "SECRET_THAT_NOBODY_HAS"
[[limits]]
scope = "firm"
price_collar = "0.02"
max_order_value = "50000"
max_position_value = "200000"
max_orders_per_second = "50"
max_data_age = "5"
[strategies.buyer]
class = "strategies.spread_buyer:SpreadBuyer"
account = "binance.main"
instruments = ["binance:BTC-USDT"]
[strategies.buyer.params]
order_qty = "0.01"
max_spread_bps = "5"
min_gain_bps = "0.1"
max_hold_s = 1
repeg_bps = "0.02"
"""


def test_orders_meet_the_venues_public_market_and_every_source_agrees(
    tmp_path: Path, endpoints: services.Endpoints
) -> None:
    name = f"t{uuid.uuid4().hex[:10]}"
    env = environment(tmp_path, endpoints)
    (capture,) = record_flow(tmp_path, 11, 90, ("BTCUSDT",))
    run_dir = tmp_path / "runs" / f"{name}-paper"
    with playing(env, str(capture), "--wait-for-start") as player:
        path = tmp_path / "tapedeck.toml"
        path.write_text(toml(name, tmp_path, player["address"]))
        log = (tmp_path / "up.log").open("w+")
        process = subprocess.Popen(
            [*TAPEDECK, "up", "--paper", "--config", str(path)], env=env, stdout=log, stderr=log, text=True
        )
        try:
            eventually(lambda: "ready:" in (tmp_path / "up.log").read_text() or process.poll() is not None, 150)
            assert process.poll() is None, (tmp_path / "up.log").read_text()
            start = urllib.request.Request(f"http://{player['address']}/control/start", method="POST", data=b"")
            urllib.request.urlopen(start, timeout=5).close()

            def fills() -> int:
                done = subprocess.run(
                    [*TAPEDECK, "positions", "--json", "--config", str(run_dir / "tapedeck.toml")],
                    env=env,
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=False,
                )
                return sum(json.loads(line).get("fills", 0) for line in done.stdout.splitlines())

            eventually(lambda: fills() >= 4, 80, "trading")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
            log.close()
    assert process.returncode == 0, (tmp_path / "up.log").read_text()
    assert tomllib.loads((run_dir / "tapedeck.toml").read_text())["accounts"]["binance.main"]["kind"] == "paper"
    done = subprocess.run(
        [*TAPEDECK, "verify", "--json", "--config", str(run_dir / "tapedeck.toml")],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found = json.loads(done.stdout)
    assert found["problems"] == []
    assert [line for line in found["figures"] if not line["agrees"]] == []
    assert done.returncode == 0
