"""A whole configuration running on one machine: services, topics, schema, supervisor; started and stopped in order."""

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any

from infra import kafka, services
from infra.config import Config
from infra.errors import Hopeless, Problem
from infra.postgres.migrate import migrate
from pipelines import outage, preflight
from pipelines.supervisor import Supervisor
from pipelines.workers import worker_names


class System:
    """``start`` brings it up, ``run`` watches it until told to stop, leaving the context stops it whatever happened."""

    def __init__(
        self, config: Config, config_path: Path, say: Callable[[str], None], env: Mapping[str, str] | None = None
    ) -> None:
        self.config = config
        self._path = config_path
        self._say = say
        self._stop = False
        self._running = False
        self._lock: IO[str] | None = None
        self._look_at = 0.0
        self._outage = outage.Outage(lambda: outage.missing(config.home, self.endpoints), say)
        self._old: dict[int, Any] = {}
        self.env = {**os.environ, **(env or {}), "TAPEDECK_HOME": str(config.home)}
        self.endpoints = services.Endpoints({}, "")
        self.supervisor = Supervisor(config.run_dir, config_path, worker_names(config), say, self.env)

    @property
    def kafka(self) -> kafka.KafkaConf:
        return self.endpoints.kafka

    def __enter__(self) -> "System":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._old[number] = signal.signal(number, self._asked_to_stop)
        return self

    def _asked_to_stop(self, number: int, frame: FrameType | None) -> None:
        if self._stop:
            raise KeyboardInterrupt
        self._stop = True

    def statuses(self) -> Mapping[str, Mapping[str, Any]]:
        return self.supervisor.statuses()

    @property
    def stopping(self) -> bool:
        return self._stop

    def prepare(self) -> None:
        """Services, topics and schema; the current run is remembered for the operators' commands."""
        self.config.run_dir.mkdir(parents=True, exist_ok=True)
        if not self.endpoints.postgres:
            self.endpoints = services.up(self.config.home, progress=self._say)
        kafka.check_broker(self.endpoints.kafka)
        made = kafka.create_topics(
            self.endpoints.kafka, self.config.prefix, replication_factor=self.config.run.replication_factor
        )
        if made:
            self._say(f"created {len(made)} topics")
        migrate(self.endpoints.postgres, self.config.prefix)
        self._keep_configuration()
        current = self.config.home / "current.toml"
        with contextlib.suppress(FileNotFoundError):
            current.unlink()
        current.symlink_to(self._path)

    def _keep_configuration(self) -> None:
        """In the run's folder, so that whoever looks at it later needs to name nothing else."""
        kept = self.config.run_dir / "tapedeck.toml"
        if self._path.resolve() != kept.resolve():
            kept.write_bytes(self._path.read_bytes())

    def start(self) -> None:
        """Everything up and every worker started. Problem for what can be found out before."""
        preflight.check(self.config)
        self._lock = alone(self.config.run_dir)
        self.endpoints = services.up(self.config.home, progress=self._say)
        preflight.check_accounts(self.config)
        self.prepare()
        self._running = True
        self.supervisor.start()
        self._outage.start()

    def await_ready(self, timeout_s: float = 120.0, each: Callable[[], None] = lambda: None) -> None:
        """Until every worker says it is ready; Problem names those that are not."""
        deadline = time.monotonic() + timeout_s
        while not self.supervisor.ready():
            self._check()
            each()
            if self._stop:
                raise KeyboardInterrupt
            if time.monotonic() > deadline:
                late = [n for n, status in self.supervisor.statuses().items() if not status.get("ready")]
                raise Problem(
                    f"not ready after {timeout_s:g} s: {', '.join(late)} (logs: {self.config.run_dir / 'logs'})"
                )
            time.sleep(0.1)

    def run(self, until: float | None, each: Callable[[], None] = lambda: None) -> None:
        """Supervise until ``until`` (monotonic seconds) or a signal."""
        while not self._stop and (until is None or time.monotonic() < until):
            self._check()
            each()
            time.sleep(0.1)

    def _check(self) -> None:
        self.supervisor.check()
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + 1
            self.supervisor.notice()
            self._outage.notice(len(self.supervisor.children), self.supervisor.unwell)
            self.supervisor.excused = self._outage.on
            self.supervisor.tell(self._outage.looked_at)
        if self.supervisor.fatal is not None:
            raise Hopeless(self.supervisor.fatal)

    def stop(self) -> None:
        if not self._running:
            return
        self._running = False
        self._stop = True
        self._outage.stop()
        started = time.time_ns()
        killed = self.supervisor.stop_in_order(lambda: self._drained(started))
        if killed:
            self._say(f"killed after its time to stop was up (nothing on the tape is lost): {', '.join(killed)}")

    @property
    def unclean(self) -> str | None:
        """After the stop: in one line what it left behind, or None. The exit code is not 0 then."""
        if not self.supervisor.unclean:
            return None
        return (
            f"the stop was not clean: {', '.join(self.supervisor.unclean)} ended without having cancelled everything, so "
            "orders may rest at the venue: look there, or start again (it reconciles), then run 'tapedeck verify'"
        )

    def _drained(self, since_ns: int) -> bool:
        """Every fold has told, after ``since``, that it is at the end of its input."""
        folds = ("normalize", "bars", "controls", "orders", "positions", "portfolio")
        statuses = [s for n, s in self.statuses().items() if n in folds and s]
        return all(
            s.get("ready") and s.get("lag", 0) == 0 and s.get("ts", 0) > since_ns + 500_000_000 for s in statuses
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except KeyboardInterrupt:
            self.supervisor.kill_all()
            raise
        finally:
            for number, handler in self._old.items():
                signal.signal(number, handler)
            if self._lock is not None:
                self._lock.close()


def alone(run_dir: Path) -> IO[str]:
    """Hold this run; Problem when another process on this machine does."""
    run_dir.mkdir(parents=True, exist_ok=True)
    lock = (run_dir / "up.lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        holder = lock.read().strip()
        lock.close()
        raise Problem(
            f"run {run_dir.name!r} is up already, as process {holder}: stop that first, or use another run name"
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock
