"""What a chaos run does to the system, drawn from its seed alone: round N of seed S is the same plan each time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

SERVICES = ("broker", "postgres")
KINDS = ("one", "gateway", "broker", "postgres", "several", "start-up")
WEIGHTS = (30, 20, 10, 10, 20, 10)
CALM = 0.15
"""Share of rounds without any fault of the venue."""


@dataclass(frozen=True)
class Round:
    """``targets`` are killed together ``after_s`` into the load, ``lead_s`` after a burst of commands; with ``again_after_s``
    the same ones once more while they start. ``faults`` is the exchange's profile meanwhile.
    """

    number: int
    kind: str
    targets: tuple[str, ...]
    after_s: float
    lead_s: float
    again_after_s: float | None = None
    faults: dict[str, Any] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """What its time is counted under."""
        return self.kind if len(self.targets) != 1 or self.kind == "start-up" else self.targets[0]


def plan(seed: int, number: int, workers: Sequence[str]) -> Round:
    random = Random(f"chaos:{seed}:{number}")
    kind = random.choices(KINDS, WEIGHTS)[0]
    return Round(
        number,
        kind,
        _targets(random, kind, workers),
        after_s=random.uniform(0.3, 1.5),
        lead_s=random.uniform(0.0, 0.01),
        again_after_s=random.uniform(0.6, 3.0) if kind == "start-up" else None,
        faults={} if random.random() < CALM else faults(random),
    )


def _targets(random: Random, kind: str, workers: Sequence[str]) -> tuple[str, ...]:
    gateways = [w for w in workers if w.startswith("gateway/")]
    match kind:
        case "gateway":
            return (random.choice(gateways),)
        case "broker" | "postgres":
            return (kind,)
        case "several":
            return tuple(random.sample([*workers, *SERVICES], random.randint(2, 5)))
        case "start-up":
            return tuple(random.sample([*workers, *gateways * 3, "broker"], random.randint(1, 3)))
    return (random.choice(workers),)


def faults(random: Random) -> dict[str, Any]:
    """Some of them, each now and then: enough to hurt, not so much that nothing trades."""
    every: dict[str, dict[str, Any]] = {
        "answer_lost": {"probability": 0.05},
        "answer_delayed": {"probability": 0.1, "min_ms": 50, "max_ms": 800},
        "answer_repeated": {"probability": 0.05},
        "error_before": {"probability": 0.04},
        "error_after": {"probability": 0.04},
        "rate_limited": {"probability": 0.02, "retry_after_s": 1},
        "event_delayed": {"probability": 0.03, "min_ms": 50, "max_ms": 500},
        "event_repeated": {"probability": 0.08},
        "event_reordered": {"probability": 0.08, "min_ms": 20, "max_ms": 300},
        "event_dropped": {"probability": 0.05},
        "market_disconnected": {"probability": 0.1},
        "user_disconnected": {"probability": 0.1},
        "depth_missing": {"probability": 0.01},
        "snapshot_lags": {"probability": 0.3, "min_ms": 100, "max_ms": 1500},
        "maintenance": {"probability": 0.05, "min_ms": 300, "max_ms": 1500, "most": 1},
    }
    chosen: dict[str, Any] = {name: words for name, words in every.items() if random.random() < 0.5}
    offset = random.choice((0, 0, -400, 400))
    return {"seed": random.randrange(2**31), "time_offset_ms": offset, **chosen}
