"""Waiting longer after each failure, never in step with others."""

import random
import time

CALM_S = 60.0
"""Asked again later than this, a thing counts as asked for the first time."""


def backoff_s(failures: int, *, first: float = 0.5, most: float = 30.0) -> float:
    """Between half and the whole of first, 2 first, 4 first, …"""
    return min(most, first * 2.0 ** min(failures, 20)) * random.uniform(0.5, 1.0)


class Repeats:
    """What is asked for again and again waits longer each time."""

    def __init__(self) -> None:
        self._asked_at: dict[str, float] = {}
        self._count: dict[str, int] = {}

    def wait_s(self, what: str) -> float:
        """Before it is asked for now: nothing the first time, or after a calm."""
        now = time.monotonic()
        if now - self._asked_at.get(what, -CALM_S) >= CALM_S:
            self._count[what] = 0
        count = self._count[what]
        self._count[what] = count + 1
        wait = backoff_s(count) if count else 0.0
        self._asked_at[what] = now + wait
        return wait
