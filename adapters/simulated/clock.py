"""Two clocks: the one that the exchange tells, which may be off, and the machine's, by which things happen."""

from __future__ import annotations

import time


class Clock:
    """Nanoseconds UTC; `offset_ns` is how far off the told time is."""

    def __init__(self, offset_ns: int = 0) -> None:
        self.offset_ns = offset_ns

    def now(self) -> int:
        return time.time_ns() + self.offset_ns

    def steady(self) -> int:
        return time.time_ns()
