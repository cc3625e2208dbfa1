"""A histogram for one writing thread: an observation costs a bisection and two additions."""

from bisect import bisect_left
from collections.abc import Sequence

SHORT = (0.00005, 0.0002, 0.001, 0.005, 0.02, 0.1, 0.5, 2.0)
"""Seconds, for work inside one process."""
LONG = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Seconds, for what goes through the broker or to a venue and back."""


class Histogram:
    """``bounds`` are upper ends in seconds, growing. Read from any thread: a count may lag behind the sum by one."""

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Below zero (a venue's clock that is ahead) counts as zero: the sum of a histogram never shrinks."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        if seconds > 0:
            self.sum += seconds

    @property
    def count(self) -> int:
        return sum(self._counts)

    def buckets(self) -> list[tuple[str, float]]:
        """(upper end, how many up to it), the last one without end."""
        found, total = [], 0
        for bound, count in zip((*map(repr, self._bounds), "+Inf"), list(self._counts), strict=True):
            total += count
            found.append((bound, float(total)))
        return found
