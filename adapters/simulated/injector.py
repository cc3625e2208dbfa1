"""Draws faults from the profile in force, counts them, and writes each as a line of `faults.jsonl`.

A line is `{n, time, fault, …}` (`profile` when one was set): `time` is the machine's clock in nanoseconds (never the exchange's, which may be off),
the rest says whom it met. The line is in the file before the fault shows. The core and the ledger know nothing of it.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import orjson

from adapters.simulated.faults import AnswerDelay, AnswerFault, Delay, Fault, Profile

MS = 1_000_000
FIELDS = tuple(name for name in Profile.__struct_fields__ if name not in ("seed", "time_offset_ms"))


class Injector:
    """`draw` decides and writes down; carrying it out is the caller's."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._lines = path.read_bytes().count(b"\n")
        self.counts: Counter[str] = Counter()
        self._maintained_until = 0
        self._given: Counter[str] = Counter()
        self._randoms: dict[str, Random] = {}
        self.profile = Profile()
        self._active: frozenset[str] = frozenset()

    def set(self, profile: Profile) -> None:
        """From now on; the random sequences and `most` start again, a maintenance that is on ends."""
        self.profile = profile
        self._given.clear()
        self._randoms = {name: Random(f"{profile.seed}:{name}") for name in FIELDS}
        self._active = frozenset(name for name in FIELDS if getattr(profile, name).probability > 0)
        self._maintained_until = 0
        self.write("profile", profile=msgspec.to_builtins(profile))

    def is_active(self, name: str) -> bool:
        return name in self._active

    def draw(self, name: str, request: str | None = None, **about: Any) -> int | None:
        """None when the fault is not injected now, else its delay in nanoseconds (0 for faults without one)."""
        if name not in self._active:
            return None
        fault: Fault = getattr(self.profile, name)
        if isinstance(fault, AnswerFault | AnswerDelay) and fault.on and request not in fault.on:
            return None
        random = self._randoms[name]
        if random.random() >= fault.probability or (fault.most is not None and self._given[name] >= fault.most):
            return None
        self._given[name] += 1
        delay_ms = random.randint(fault.min_ms, fault.max_ms) if isinstance(fault, Delay) else None
        if request is not None:
            about["request"] = request
        self.write(name, **about, **({} if delay_ms is None else {"delay_ms": delay_ms}))
        return (delay_ms or 0) * MS

    def pick(self, name: str, count: int) -> int:
        """One of `count` kinds of this fault."""
        return self._randoms[name].randrange(count)

    def write(self, fault: str, **about: Any) -> None:
        self._lines += 1
        if fault != "profile":
            self.counts[fault] += 1
        os.write(self._file, orjson.dumps({"n": self._lines, "time": time.time_ns(), "fault": fault, **about}) + b"\n")

    def maintain(self, for_ns: int) -> None:
        self._maintained_until = time.monotonic_ns() + for_ns

    def maintained_ns(self) -> int:
        """How long the maintenance goes on; 0 when there is none."""
        return max(0, self._maintained_until - time.monotonic_ns())

    def status(self) -> dict[str, Any]:
        return {
            "profile": msgspec.to_builtins(self.profile),
            "counts": dict(sorted(self.counts.items())),
            "maintenance_ms_left": self.maintained_ns() // MS,
        }

    def close(self) -> None:
        os.close(self._file)
