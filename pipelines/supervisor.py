"""Runs every worker of a configuration on one machine: one process each, one log each, restarted with back-off, stopped in order.

A worker that exits with EXIT_CONFIG cannot be helped by a restart: the whole run ends with its last line.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EXIT_CONFIG = 2
BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)
STABLE_S = 30.0
KEEPS_DYING = 3
UNWELL_S = 5.0
STOP_S = 9.0
"""All of a clean stop. What is killed at its end loses nothing: it is folded, or written, again at the next start."""


def log_path(run_dir: Path, worker: str) -> Path:
    return run_dir / "logs" / f"{worker.replace('/', '.')}.log"


def _which(worker: str) -> list[str]:
    """``orders#1`` is the second instance of ``orders``."""
    name, _, instance = worker.partition("#")
    return [name, "--instance", instance] if instance else [name]


def stopping_mark(run_dir: Path) -> Path:
    """Is there from the moment a run is told to stop until its next start, for those who only watch."""
    return run_dir / "stopping"


def _well(status: Mapping[str, Any]) -> bool:
    return bool(status.get("ready")) and time.time_ns() - status.get("ts", 0) < UNWELL_S * 1_000_000_000


def last_line(path: Path) -> str:
    """The last line of a log that is not empty, for one clear message."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 4096))
            lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    telling = [line for line in lines if " INFO " not in line and "Warning" not in line and not line.startswith("%")]
    return telling[-1].removeprefix("tapedeck: ") if telling else ""


@dataclass
class Child:
    """One worker's process and its history."""

    name: str
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restarts: int = 0
    deaths_in_a_row: int = 0
    restart_at: float = 0.0
    well: bool = False
    unwell_since: float = 0.0
    alarm: str = ""
    wanted: bool = True
    last_exit: int | None = None

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None and self.process.poll() is None else None


@dataclass
class Supervisor:
    """``check()`` is called a few times a second by whoever owns the main thread; ``say`` gets one line per event worth telling."""

    run_dir: Path
    config_path: Path
    workers: Iterable[str]
    say: Callable[[str], None]
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    children: dict[str, Child] = field(default_factory=dict)
    fatal: str | None = None
    excused: bool = False
    """While the services are away: what the workers say meanwhile stays in their logs."""
    held: list[tuple[float, str]] = field(default_factory=list)
    unclean: list[str] = field(default_factory=list)
    """The gateways that did not end by themselves and well, known after the stop."""

    def start(self) -> None:
        for folder in ("logs", "status", "state"):
            (self.run_dir / folder).mkdir(parents=True, exist_ok=True)
        for stale in (self.run_dir / "status").glob("*.json"):
            stale.unlink()
        stopping_mark(self.run_dir).unlink(missing_ok=True)
        for name in self.workers:
            self.add(name)

    def add(self, worker: str) -> None:
        """One more, or a further instance (``orders#1``): it takes its share of the partitions from those that run."""
        child = self.children[worker] = Child(worker)
        self._spawn(child)

    def remove(self, worker: str, timeout_s: float) -> bool:
        """Stop one for good; its partitions go to those that stay once its session has run out. False where it had to be killed."""
        killed = self.stop([worker], timeout_s)
        del self.children[worker]
        return not killed

    def _spawn(self, child: Child) -> None:
        path = log_path(self.run_dir, child.name)
        with path.open("ab") as log:
            child.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "pipelines.cli",
                    "worker",
                    *_which(child.name),
                    "--config",
                    str(self.config_path),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**self.env, "TAPEDECK_SUPERVISOR": str(os.getpid())},
                start_new_session=True,  # a terminal's Ctrl-C is ours to pass on, in order
            )
        child.started_at = time.monotonic()
        child.restart_at = 0.0

    def check(self) -> None:
        """Notice deaths, restart what is due."""
        now = time.monotonic()
        for child in self.children.values():
            if child.process is None or not child.wanted:
                continue
            code = child.process.poll()
            if code is None:
                if child.deaths_in_a_row and now - child.started_at > STABLE_S:
                    child.deaths_in_a_row = 0
            elif child.restart_at == 0.0:
                self._died(child, code, now)
            elif now >= child.restart_at:
                child.restarts += 1
                self._spawn(child)

    def _hold(self, line: str) -> None:
        self.held.append((time.monotonic(), line))

    def tell(self, until: float) -> None:
        """Say what is held back since before ``until``; nothing of it in an outage, which stands for all of them."""
        due = [] if self.excused else [line for at, line in self.held if at <= until]
        self.held = [] if self.excused else self.held[len(due) :]
        for line in due:
            self.say(line)

    def unwell(self) -> list[str]:
        """Those that do not say just now that they are ready."""
        return [n for n, s in self.statuses().items() if self.children[n].wanted and not _well(s)]

    def notice(self) -> None:
        """Say once when a worker that was well is silent or not ready for a while, and once when it is well again."""
        now = time.monotonic()
        for name, status in self.statuses().items():
            child = self.children[name]
            well = _well(status)
            if well and child.unwell_since and now - child.unwell_since > UNWELL_S:
                self._hold(f"{name} is well again")
            elif not well and child.well and child.wanted:
                child.unwell_since = child.unwell_since or now
                if now - child.unwell_since > UNWELL_S:
                    child.well = False
                    why = status.get("problem") or last_line(log_path(self.run_dir, name)) or "no word from it"
                    self._hold(f"{name} is not well for {UNWELL_S:g} s: {why}")
            if well:
                child.well, child.unwell_since = True, 0.0
                self._alarmed(child, str(status.get("alarm") or ""))

    def _alarmed(self, child: Child, alarm: str) -> None:
        """Say once what a worker wants somebody to look at (a halted strategy), and once that it is over."""
        if alarm and alarm != child.alarm:
            self._hold(f"{child.name}: {alarm}")
        elif child.alarm and not alarm:
            self._hold(f"{child.name}: no alarm any more")
        child.alarm = alarm

    def _died(self, child: Child, code: int, now: float) -> None:
        child.last_exit = code
        child.deaths_in_a_row += 1
        why = last_line(log_path(self.run_dir, child.name)) if code > 0 else "killed from outside"
        if code == EXIT_CONFIG:
            child.wanted = False
            self.fatal = self.fatal or f"{child.name}: {why}"
            return
        delay = BACKOFF_S[min(child.deaths_in_a_row, len(BACKOFF_S)) - 1]
        child.restart_at = now + delay
        if code == 0:
            self._stopped(child, delay)
            return
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        if child.deaths_in_a_row == KEEPS_DYING:
            self._hold(f"{child.name} keeps dying ({how}): {why} (log: {log_path(self.run_dir, child.name)})")
        elif child.deaths_in_a_row < KEEPS_DYING:
            self._hold(f"{child.name} died ({how}), restarting in {delay:g} s: {why}")

    def _stopped(self, child: Child, delay: float) -> None:
        """It ended well, and not because we told it to: somebody sent it SIGTERM or SIGINT."""
        times = child.deaths_in_a_row
        if times == KEEPS_DYING:
            self._hold(f"{child.name} was stopped from outside {times} times in a row; it goes on being started again")
        elif times < KEEPS_DYING:
            self._hold(f"{child.name} was told to stop from outside and ended cleanly, restarting in {delay:g} s")

    def statuses(self) -> dict[str, dict[str, Any]]:
        """Each worker's own word on itself (its status file), by worker name; {} where it has not spoken yet."""
        by_pid: dict[int, dict[str, Any]] = {}
        for path in (self.run_dir / "status").glob("*.json"):
            with contextlib.suppress(OSError, ValueError):
                status = json.loads(path.read_bytes())
                by_pid[status.get("pid", -1)] = status
        return {name: by_pid.get(child.pid or -2, {}) for name, child in self.children.items()}

    def ready(self) -> bool:
        return all(status.get("ready") for status in self.statuses().values())

    def stop(self, names: Iterable[str], timeout_s: float) -> list[str]:
        """SIGTERM these and wait; those still alive at the deadline are killed and named."""
        chosen = [self.children[n] for n in names if n in self.children]
        for child in chosen:
            child.wanted = False
            if child.process is not None and child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + timeout_s
        killed = []
        for child in chosen:
            if child.process is None:
                continue
            try:
                child.process.wait(max(0.05, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
                killed.append(child.name)
        return killed

    def stop_in_order(self, drained: Callable[[], bool]) -> list[str]:
        """Deciders first, then the gateway (which cancels what rests), then the sources; the rest once it has folded everything."""
        names = list(self.children)
        deciders = [n for n in names if n.startswith(("signals/", "intents/", "host/"))]
        sources = [n for n in names if n.startswith(("ingest/", "clock"))]
        gateways = [n for n in names if n.startswith("gateway/")]
        sinks = [n for n in names if n in ("audit", "archive")]
        folds = [n for n in names if n not in {*deciders, *sources, *gateways, *sinks}]
        deadline = time.monotonic() + STOP_S
        self.tell(time.monotonic())
        self._mark_stopping()

        def left(most: float) -> float:
            return max(0.5, min(most, deadline - time.monotonic()))

        killed = self.stop(deciders, left(4))
        killed += self.stop([*gateways, *sources], left(6))
        self.unclean = [n for n in gateways if self._ended_badly(self.children[n])]
        _wait(drained, left(2))
        killed += self.stop(folds, left(3))
        killed += self.stop(sinks, left(3))
        return killed

    def _mark_stopping(self) -> None:
        with contextlib.suppress(OSError):
            stopping_mark(self.run_dir).touch()

    def _ended_badly(self, child: Child) -> bool:
        """Killed, failed, or dead and waiting for its restart: what it had at the venue may rest there."""
        return child.process is not None and child.process.poll() != 0 and child.last_exit != EXIT_CONFIG

    def kill_all(self) -> None:
        self.stop(list(self.children), 0.1)


def _wait(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()
