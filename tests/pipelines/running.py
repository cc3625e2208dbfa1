"""A whole system for tests: the exchange as a process, a configuration, and the command line run as a person would."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from infra import services
from infra.config import Config, load
from pipelines import demo_config
from pipelines.demo import Exchange
from pipelines.demo_config import KEY, SECRET

WORKERS = 17  # of the demo's configuration
TAPEDECK = (sys.executable, "-m", "pipelines.cli")


@dataclass
class Scene:
    """One run: its folder, configuration, environment and exchange."""

    home: Path
    path: Path
    env: dict[str, str]
    exchange: Exchange
    endpoints: services.Endpoints

    @property
    def config(self) -> Config:
        return load(self.path, {})

    def tapedeck(self, *arguments: str, timeout_s: float = 30, **env: str) -> "subprocess.CompletedProcess[str]":
        """Run one command to its end."""
        return subprocess.run(
            [*TAPEDECK, *arguments],
            env={**self.env, **env},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def json(self, *arguments: str) -> list[dict[str, Any]]:
        done = self.tapedeck(*arguments, "--json", "--config", str(self.path))
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    @contextmanager
    def up(self, **env: str) -> Iterator["subprocess.Popen[str]"]:
        """``tapedeck up`` until the block ends; then Ctrl-C, as a person does."""
        log = (self.config.run_dir / "up.log").open("w+")
        process = subprocess.Popen(
            [*TAPEDECK, "up", "--config", str(self.path)],
            env={**self.env, **env},
            stdout=log,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            try:
                process.wait(25)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
                log.close()

    def statuses(self) -> dict[str, dict[str, Any]]:
        found = {}
        for path in (self.config.run_dir / "status").glob("*.json"):
            status = json.loads(path.read_bytes())
            found[status["stage"]] = status
        return found

    def await_ready(self, workers: int, process: "subprocess.Popen[str]", timeout_s: float = 90) -> None:
        eventually(
            lambda: process.poll() is not None or sum(bool(s["ready"]) for s in self.statuses().values()) >= workers,
            timeout_s,
        )
        assert process.poll() is None, (self.config.run_dir / "up.log").read_text()


def eventually(condition: Callable[[], Any], timeout_s: float = 30, what: str = "it") -> Any:
    """Wait for a condition; AssertionError at the deadline."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s} s"
        time.sleep(0.1)


@contextmanager
def scene(
    home: Path,
    name: str,
    endpoints: services.Endpoints,
    *,
    exchange: tuple[str, ...] = ("--seed", "7"),
    extra: str = "",
) -> Iterator[Scene]:
    """An exchange that waits to be started, and a configuration of the demo's three strategies on it."""
    run_dir = home / "runs" / name
    env = environment(home, endpoints)
    with Exchange(run_dir / "exchange", env, [*exchange]) as running:
        path = run_dir / "tapedeck.toml"
        path.write_text(demo_config.toml(name, home, running.address, running.prices(), played=False) + extra)
        yield Scene(home, path, env, running, endpoints)


def environment(home: Path, endpoints: services.Endpoints) -> dict[str, str]:
    """Of a person who uses existing services; keys as the demo makes them."""
    kept: Mapping[str, str] = {k: v for k, v in os.environ.items() if not k.startswith("TAPEDECK_")}
    return {
        **kept,
        "TAPEDECK_HOME": str(home),
        "TAPEDECK_KAFKA": endpoints.kafka["bootstrap.servers"],
        "TAPEDECK_POSTGRES": endpoints.postgres,
        KEY: secrets.token_hex(16),
        SECRET: secrets.token_hex(32),
    }


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
