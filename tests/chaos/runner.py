"""Rounds of chaos over one system after another: load, faults, SIGKILL, restart, caught up, quiet, judged."""

import json
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipelines.replay_all import covered
from tests.chaos.judge import judge, read_log, replayed
from tests.chaos.load import BURST
from tests.chaos.plan import Round
from tests.chaos.system import ACCOUNT, SERVICES, BrokenSystem, TooLate
from topics.controls import FIRM, Kill, Resume

READY_S, CAUGHT_UP_S, QUIET_S, BURST_S = 240.0, 240.0, 180.0, 30.0
REPOSITORY = Path(__file__).parents[2]


class ChaosFailed(AssertionError):
    """One round's problems, in words."""


@dataclass
class Result:
    """One round as it went; times in seconds."""

    number: int
    kind: str
    target: str
    killed: list[str]
    faults: list[str]
    in_flight: int = 0
    caught_up_s: float = 0.0
    quiet_s: float = 0.0
    judged_s: float = 0.0
    replayed: list[str] = field(default_factory=list)
    equal: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class LoadProcess:
    """The load generator as a child; ``state`` is its last word on itself."""

    def __init__(self, system: BrokenSystem, seed: int) -> None:
        self.log = system.config.run_dir / "load.jsonl"
        self.state: dict[str, Any] = {}
        self._errors = (system.config.run_dir / "load.log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.load", str(system.config.run_dir), str(self.log), str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=system.env,
            cwd=REPOSITORY,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.state = json.loads(line)

    def say(self, word: str) -> None:
        assert self._process.stdin is not None
        if self._process.poll() is not None:
            raise ChaosFailed("the load generator ended: see load.log")
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def burst(self) -> None:
        """Return as soon as most of the commands have been written down: they are leaving now."""
        began = self.log.stat().st_size if self.log.exists() else 0
        self.say("burst")
        deadline = time.monotonic() + BURST_S
        while self._begun(began) < BURST - BURST // 4:
            if time.monotonic() > deadline:
                raise ChaosFailed(f"the load generator began no burst within {BURST_S:g} s: see load.log")
            time.sleep(0.0005)

    def _begun(self, offset: int) -> int:
        with self.log.open("rb") as file:
            file.seek(offset)
            return file.read().count(b'"do": ')

    def answered_since(self, since_ns: int) -> bool:
        return int(self.state.get("last_answer_ns", 0)) > since_ns

    def quiet(self) -> bool:
        return bool(self.state.get("paused")) and self.state.get("open") == 0

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join(2)
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            if pipe is not None:
                pipe.close()


class Life:
    """One system from its start to its clean end, with the rounds it went through."""

    def __init__(self, system: BrokenSystem, seed: int, say: Callable[[str], None]) -> None:
        self.system, self.say = system, say
        self.load = LoadProcess(system, seed)

    def start(self) -> None:
        began = time.monotonic()
        self.system.caught_up(0, READY_S)
        self.system.exchange.begin()
        self.load.say("go")
        self.system.until(lambda: self.load.answered_since(0), 30, "the load's first answer")
        self.say(f"{len(self.system.workers)} workers ready after {time.monotonic() - began:.1f} s")

    def round(self, plan: Round, replay: Iterable[str] | None = None) -> Result:
        """``replay`` names what is replayed afterwards; None: the gateway and what was killed."""
        result = Result(plan.number, plan.kind, plan.target, [], sorted(plan.faults))
        try:
            self._hurt(plan, result)
            self._quiet(result)
            self._judge(result, self._replayed(plan) if replay is None else list(replay))
        except TooLate as late:
            result.problems.append(str(late))
        if not result.problems:
            self._go_on()
        return result

    def _hurt(self, plan: Round, result: Result) -> None:
        self.system.faults(plan.faults)
        self.load.say("go")
        self.system.wait(plan.after_s)
        self.load.burst()
        time.sleep(plan.lead_s)
        began, killed_ns = time.monotonic(), time.time_ns()
        result.killed = self.system.kill(plan.targets)
        back_ns = self._restore(plan.targets, killed_ns)
        if plan.again_after_s is not None:
            self.system.wait(max(0.0, plan.again_after_s - (time.monotonic() - began)))
            began = time.monotonic()
            again_ns = time.time_ns()
            result.killed += self.system.kill(plan.targets)
            back_ns = self._restore(plan.targets, again_ns)
        self.system.caught_up(back_ns, CAUGHT_UP_S, also=lambda: self.load.answered_since(back_ns))
        result.caught_up_s = time.monotonic() - began
        result.in_flight = read_log(self.load.log).open_at(killed_ns)

    def _restore(self, targets: Iterable[str], killed_ns: int) -> int:
        """Services come back by an operator's hand, workers by the supervisor's; from when on a word counts."""
        if not set(targets) & set(SERVICES):
            return killed_ns
        self.system.services_up()
        return time.time_ns()

    def _quiet(self, result: Result) -> None:
        began = time.monotonic()
        self.system.faults({})
        self.load.say("pause")
        self.system.until(self.load.quiet, QUIET_S, "every command answered", lambda: str(self.load.state))
        self.system.control(_control(Kill))
        now = time.time_ns() + 1_000_000_000
        self.system.until(
            lambda: self.system.gateway_idle() and self.system.status(f"gateway/{ACCOUNT}")["ts"] > now,
            QUIET_S,
            "no order works",
            lambda: str(self.system.status(f"gateway/{ACCOUNT}")),
        )
        self.system.until(self.system.nothing_is_to_be_replaced, QUIET_S, "every modification answered")
        self.system.caught_up(time.time_ns(), QUIET_S)
        result.quiet_s = time.monotonic() - began

    def _judge(self, result: Result, names: list[str]) -> None:
        began, system = time.monotonic(), self.system
        judged = system.meanwhile(
            lambda: judge(
                system.config, system.endpoints.kafka, system.endpoints.postgres, system.exchange.ledger, self.load.log
            )
        )
        result.problems += judged.problems
        result.counts = judged.counts
        problems, result.equal = system.meanwhile(lambda: replayed(names, system.config, system.endpoints.kafka))
        result.problems += problems
        result.replayed = names
        result.judged_s = time.monotonic() - began

    def _replayed(self, plan: Round) -> list[str]:
        known = covered(self.system.config)
        names = [name.partition("#")[0] for name in plan.targets]
        return list(dict.fromkeys([f"gateway/{ACCOUNT}", "orders", *(n for n in names if n in known)]))

    def _go_on(self) -> None:
        self.system.control(_control(Resume))

    def end(self) -> tuple[list[str], int]:
        """A clean stop, then every stage replayed over the archive."""
        self.load.close()
        killed = self.system.stop_in_order()
        config = self.system.config
        problems, equal = replayed(covered(config), config, None)
        late = [f"{name} had to be killed at the clean stop" for name in killed]
        return [*late, *problems], equal


def _control(kind: type[Kill] | type[Resume]) -> Kill | Resume:
    return kind(control_id=uuid.uuid4().hex, scope=FIRM, who="chaos", why="between rounds", ts_init=time.time_ns())


@dataclass
class Summary:
    """All rounds so far; ``lives`` is how many systems they took."""

    seed: int
    rounds: list[Result] = field(default_factory=list)
    lives: int = 0
    replayed_at_end: int = 0
    took_s: float = 0.0

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1))


def fresh_home(home: Path) -> None:
    if home.exists():
        shutil.rmtree(home)
    home.mkdir(parents=True)
