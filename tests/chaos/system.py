"""A whole system for tests that break it: services of its own, the exchange as a process, every worker under the real supervisor.

The owner calls ``pump`` a few times a second (``until`` does); that is the supervisor's turn. Workers are named as in
``pipelines/workers.py``, a further instance as ``orders#1``; each is one process whose pid is known, as are the broker's and Postgres'.
"""

import json
import os
import secrets
import signal
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil

from infra import kafka, services
from infra.config import Config, load
from infra.postgres.migrate import migrate
from pipelines import demo_config, operate
from pipelines.demo import Exchange
from pipelines.demo_config import KEY, SECRET
from pipelines.supervisor import Supervisor
from pipelines.workers import worker_names
from topics.catalog import ORDERS_STATE_LATEST
from topics.controls import AnyControl
from topics.orders import OrderUpdated

T = TypeVar("T")
SERVICES = ("broker", "postgres")
ACCOUNT = "sim.main"
LAG = 200
"""Of a stage that is at its end: what the clock and the market write while it says so (once a second)."""
REPLACED = {
    'adapter = "binance"': 'adapter = "binance"\nrecv_window_ms = 1500',
    'max_orders_per_second = "50"': 'max_orders_per_second = "1000"',
    'max_data_age = "5"': 'max_data_age = "30"',
}
EXTRA = """
[gateway]
lease_s = 2.0
reconcile_every_s = 2.0
"""


class TooLate(AssertionError):
    """A condition did not come true in time; says which and what stood in the way."""


def configuration(name: str, home: Path, exchange: Exchange) -> str:
    """Two of the demo's strategies, with a receive window and a lease that do not make every round wait."""
    text = demo_config.toml(name, home, exchange.address, exchange.prices(), played=False)
    for old, new in REPLACED.items():
        assert old in text, old
        text = text.replace(old, new)
    before, _, rest = text.partition("[strategies.buyer]")
    return before + rest[rest.index("[strategies.quoter]") :] + EXTRA


@dataclass
class BrokenSystem:
    """Use as a context manager. ``extra`` are further instances, such as ``("orders#1",)``; ``further`` makes them from the
    configuration.
    """

    home: Path
    name: str
    seed: int
    extra: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ("--order-limit", "0", "--weight-limit", "0", "--symbols", "BTCUSDT", "ETHUSDT")
    configure: Callable[[str, Path, Exchange], str] = configuration
    further: Callable[[Config], list[str]] = lambda config: []
    own_services: bool = True
    said: list[str] = field(default_factory=list)

    def __enter__(self) -> "BrokenSystem":
        self.home.mkdir(parents=True, exist_ok=True)
        os.environ |= {KEY: secrets.token_hex(16), SECRET: secrets.token_hex(32)}
        self.endpoints = self._up()
        self.env = {**os.environ, "TAPEDECK_HOME": str(self.home)}
        run_dir = self.home / "runs" / self.name
        self.exchange = Exchange(run_dir / "exchange", self.env, ["--seed", str(self.seed), *self.arguments])
        try:
            self.path = run_dir / "tapedeck.toml"
            self.path.write_text(self.configure(self.name, self.home, self.exchange))
            self.config: Config = load(self.path, {})
            kafka.create_topics(self.endpoints.kafka, self.config.prefix)
            migrate(self.endpoints.postgres, self.config.prefix)
            names = [*worker_names(self.config), *self.extra, *self.further(self.config)]
            self.supervisor = Supervisor(run_dir, self.path, names, self._say, self.env)
            self.supervisor.start()
        except BaseException:
            self.exchange.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.supervisor.kill_all()
        finally:
            self.exchange.close()
            if self.own_services:
                services.down(self.home)

    def _say(self, line: str) -> None:
        self.said.append(f"{time.time():.3f} {line}")
        with (self.home / "supervisor.log").open("a") as log:
            log.write(f"{time.time():.3f} {line}\n")

    # --- turning --------------------------------------------------------------------------------------------------

    @property
    def workers(self) -> list[str]:
        return list(self.supervisor.children)

    def pump(self) -> None:
        self.supervisor.check()
        if self.supervisor.fatal is not None:
            raise AssertionError(f"a worker cannot go on: {self.supervisor.fatal}")

    def until(
        self, condition: Callable[[], Any], timeout_s: float, what: str, tell: Callable[[], str] = lambda: ""
    ) -> Any:
        deadline = time.monotonic() + timeout_s
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise TooLate(f"{what}: not within {timeout_s:g} s {tell()}")
            self.pump()
            time.sleep(0.05)
        return found

    def wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.pump()
            time.sleep(min(left, 0.05))

    # --- states ---------------------------------------------------------------------------------------------------

    def status(self, worker: str) -> dict[str, Any]:
        return self.supervisor.statuses().get(worker, {})

    def behind(self, since_ns: int, lag: int = LAG) -> list[str]:
        """Who has not said since then that it is ready and at the end of its input; empty: all caught up."""
        return [
            f"{name} ({'gone' if not s else 'ready' if s.get('ready') else 'not ready'}, lag {s.get('lag')})"
            for name, s in self.supervisor.statuses().items()
            if not s or not s.get("ready") or s.get("ts", 0) <= since_ns or int(s.get("lag") or 0) > lag
        ]

    def caught_up(self, since_ns: int, timeout_s: float = 180, also: Callable[[], bool] = lambda: True) -> None:
        self.until(
            lambda: not self.behind(since_ns) and also(), timeout_s, "caught up", lambda: str(self.behind(since_ns))
        )

    def gateway_idle(self) -> bool:
        """No order of ours rests, is on its way, or is unknown, by the gateway's own word."""
        s = self.status(f"gateway/{ACCOUNT}")
        return bool(s.get("ready")) and s.get("orders_working") == 0 and s.get("unknown") == 0 and s.get("lag") == 0

    def nothing_is_to_be_replaced(self) -> bool:
        """By the orders' states; what became of an unknown modification is asked for in its own time, also of a closed order."""
        states = kafka.latest(self.endpoints.kafka, self.config.prefix, ORDERS_STATE_LATEST)
        return not any(isinstance(o, OrderUpdated) and o.pending_replace for o in states)

    # --- doing ----------------------------------------------------------------------------------------------------

    def pid(self, target: str) -> int | None:
        if target not in SERVICES:
            return self.supervisor.children[target].pid
        named = "kafka" if target == "broker" else target
        return next(s.pid for s in services.status(self.home) if s.name == named)

    def kill(self, targets: Iterable[str]) -> list[str]:
        """SIGKILL to all of them at once; those that were alive."""
        pids = {target: self.pid(target) for target in targets}
        hit = []
        for target, pid in pids.items():
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                hit.append(target)
        return hit

    def services_up(self) -> None:
        """As an operator would, until both answer; the supervisor has its turn meanwhile."""
        for one in services.status(self.home):
            if one.pid is not None:
                _gone_if_dying(one.pid)
        self.endpoints = self.meanwhile(self._up)

    def _up(self) -> services.Endpoints:
        """Once more where a busy machine took too long."""
        try:
            return services.up(self.home)
        except services.ServiceError:
            return services.up(self.home)

    def meanwhile(self, work: Callable[[], T]) -> T:
        """Work that takes long; the supervisor keeps its turn."""
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(work)
            while not future.done():
                self.pump()
                time.sleep(0.05)
            return future.result()

    def control(self, *controls: AnyControl) -> None:
        for control in controls:
            operate.record(self.config, self.endpoints.kafka, control)

    def faults(self, profile: Mapping[str, Any]) -> None:
        self._post("/control/faults", json.dumps(profile).encode())

    def _post(self, path: str, body: bytes) -> None:
        request = urllib.request.Request(f"http://{self.exchange.address}{path}", method="POST", data=body)
        with urllib.request.urlopen(request, timeout=5):
            pass

    def stop_in_order(self) -> list[str]:
        """A clean stop of every worker; those that had to be killed for it."""
        return self.supervisor.stop_in_order(lambda: True)


def _gone_if_dying(pid: int, timeout_s: float = 5) -> None:
    """One that was just killed can still be found for a moment."""
    deadline = time.monotonic() + timeout_s
    try:
        process = psutil.Process(pid)
        while process.is_running() and process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            if time.monotonic() > deadline:
                return
            time.sleep(0.02)
    except psutil.NoSuchProcess:
        return
