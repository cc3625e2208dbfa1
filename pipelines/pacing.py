"""When the records of a tape are due: as far apart as they were recorded, divided by a speed. Pure; whoever plays them waits."""

from dataclasses import dataclass
from typing import Self

from infra.errors import Problem

MAX = "max"


@dataclass
class Pacing:
    """``speed`` None: everything at once. Times may step back in a tape of several partitions; what is due never does."""

    speed: float | None = 1.0
    _first: int | None = None
    _due: int = 0

    @classmethod
    def of(cls, text: str) -> Self:
        """``10``, ``0.5`` or ``max``; Problem for what is none."""
        if text == MAX:
            return cls(None)
        try:
            speed = float(text)
        except ValueError:
            speed = 0.0
        if not 0 < speed < float("inf"):
            raise Problem(f"--speed {text!r}: a number above 0, or {MAX}")
        return cls(speed)

    def due(self, recorded: int) -> int:
        """Nanoseconds after the beginning of play at which a record of this time is to be written."""
        if self.speed is None:
            return 0
        if self._first is None:
            self._first = recorded
        self._due = max(self._due, int((recorded - self._first) / self.speed))
        return self._due
