"""``make scale``: two workers a stage, one leaves and another joins in the middle of a run; judged as a chaos round is.

A worker that leaves keeps its name for the length of its session (10 s), in case it only restarts: that long its
partitions wait. Throughput is told before, meanwhile and after, as records folded a second by all workers.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infra.config import Config, ConfigError
from pipelines.workers import stage_of, worker_names
from tests.chaos.plan import Round
from tests.chaos.runner import Life, fresh_home
from tests.chaos.system import BrokenSystem

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
LEAVE_S, SETTLED_S = 20.0, 90.0


@dataclass
class Scaled:
    """``shares``: records that each instance of a stage had read by the end. ``rates``: records a second in each phase."""

    shares: dict[str, int] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    equal: int = 0


def scale(home: Path, phase_s: float, say: Callable[[str], None]) -> Scaled:
    """The stages twice, then one instance of each leaves, then comes back; what the witnesses say at the end."""
    found = Scaled()
    with _system(home) as system:
        life = Life(system, 5, say=say)
        try:
            life.start()
            second = [name for name in system.workers if name.endswith("#1")]
            found.shares = _spread(system, second)
            _measured(system, life, "two workers a stage", phase_s, found)
            for name in second:
                if not system.supervisor.remove(name, LEAVE_S):
                    found.problems.append(f"{name} had to be killed to leave")
            _alone(system, second)
            _measured(system, life, "one left", phase_s, found)
            for name in second:
                system.supervisor.add(name)
            _spread(system, second)
            _measured(system, life, "another joined", phase_s, found)
            result = life.round(Round(1, "none", (), 0.5, 0.0), replay=())
            found.problems += result.problems
            problems, found.equal = life.end()
            found.problems += problems
        finally:
            life.load.close()
    return found


def second_instances(config: Config) -> list[str]:
    """Of every stage that can be split: its input has several partitions, and more than one key."""

    def splits(name: str) -> bool:
        try:
            stage = stage_of(name, config)
        except ConfigError:  # an edge or a sink
            return False
        return stage.input.partitions > 1 and stage.own_key is None

    return [f"{name}#1" for name in worker_names(config) if splits(name)]


@contextmanager
def _system(home: Path) -> Iterator[BrokenSystem]:
    arguments = ("--order-limit", "0", "--weight-limit", "0", "--symbols", *SYMBOLS)
    with BrokenSystem(home, "scale", seed=5, arguments=arguments, further=second_instances) as system:
        yield system


def _spread(system: BrokenSystem, second: list[str]) -> dict[str, int]:
    """Wait until both instances of every stage share its partitions, each once; what each has read so far."""

    def shared(name: str) -> bool:
        parts = [system.status(one).get("partitions") or [] for one in (name.partition("#")[0], name)]
        return bool(parts[0]) and bool(parts[1]) and not set(parts[0]) & set(parts[1])

    system.until(lambda: all(map(shared, second)), SETTLED_S, "every stage is shared", lambda: str(system.behind(0)))
    system.caught_up(time.time_ns(), SETTLED_S)
    return {one: _read(system, one) for name in second for one in (name.partition("#")[0], name)}


def _alone(system: BrokenSystem, second: list[str]) -> None:
    """Wait until those that stay have all partitions."""
    firsts = [name.partition("#")[0] for name in second]
    partitions = {name: len(system.status(name).get("partitions") or []) for name in firsts}

    def has_all(name: str) -> bool:
        return len(system.status(name).get("partitions") or []) > partitions[name]

    system.until(lambda: all(map(has_all, firsts)), SETTLED_S, "those that stay took over", lambda: str(partitions))
    system.caught_up(time.time_ns(), SETTLED_S)


def _measured(system: BrokenSystem, life: Life, name: str, phase_s: float, found: Scaled) -> None:
    before, began = sum(_read(system, one) for one in system.workers), time.monotonic()
    life.load.say("go")
    system.wait(phase_s)
    found.rates[name] = (sum(_read(system, one) for one in system.workers) - before) / (time.monotonic() - began)
    life.say(f"{name}: {found.rates[name]:,.0f} records/s")


def _read(system: BrokenSystem, worker: str) -> int:
    return int(system.status(worker).get("records_in", 0))


def main() -> int:
    home = Path(os.environ.get("TAPEDECK_HOME") or ".tapedeck").absolute() / "scale"
    fresh_home(home)
    found = scale(home, 20.0, lambda line: print(line, flush=True))
    for name, read in found.shares.items():
        print(f"{name:<20}{read:>8,} records read while there were two")
    print(f"{found.equal:,} records replayed equal; " + ("; ".join(found.problems) or "nothing lost or doubled"))
    return 1 if found.problems else 0


if __name__ == "__main__":
    sys.exit(main())
