"""How far our clock is behind a venue's, told from what is on the tape: receive times and the venue's own.

A frame's receive time less the venue's time is its way plus the difference of the clocks, and no way takes less than no
time. So where the least of them over a window is below 0, our clock was behind by at least that; with it added no way is
below 0. A clock of ours that is ahead looks like a long way and is not corrected: nothing on the tape tells the two apart.

A window is a minute by receive time and the one before it, so a clock that is set right counts as right soon after. What
is dated more than ``BELIEVED_NS`` after we received it (some venues date some of their words so) says nothing of clocks.
Nothing is ever put into another order by these times: the order is the tape's.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

WINDOW_NS: Final = 60_000_000_000
BELIEVED_NS: Final = 60_000_000_000


def believed(ts_event: int, ts_init: int) -> bool:
    """Whether the venue's time says anything; 0: it told none."""
    return ts_event > 0 and ts_event - ts_init <= BELIEVED_NS


def behind(least: int | None) -> int:
    """Of the least receive time less the venue's, how far our clock is behind, ns."""
    return 0 if least is None else max(0, -least)


class ClockSkew:
    """Of one venue, from its events in the order of the tape; times are ns."""

    __slots__ = ("_before", "_least", "_window")

    def __init__(self) -> None:
        self._window = -1
        self._least: int | None = None
        self._before: int | None = None

    @property
    def ns(self) -> int:
        """How far our clock is behind the venue's, as known by now."""
        return max(behind(self._least), behind(self._before))

    def latency(self, ts_event: int, ts_init: int) -> int | None:
        """From the venue's time to the receipt, on one clock: never below 0. None where the venue's time says nothing."""
        if not believed(ts_event, ts_init):
            return None
        window, offset = ts_init // WINDOW_NS, ts_init - ts_event
        if window > self._window:
            self._before = self._least if window == self._window + 1 else None
            self._window, self._least = window, offset
        elif self._least is None or offset < self._least:
            self._least = offset
        return offset + self.ns


class Skews:
    """The same of a recording that is there as a whole: each window's is known from its beginning."""

    def __init__(self, times: Iterable[tuple[int, int]]) -> None:
        """``times``: (the venue's, ours) in any order."""
        least: dict[int, int] = {}
        for ts_event, ts_init in times:
            if believed(ts_event, ts_init):
                window, offset = ts_init // WINDOW_NS, ts_init - ts_event
                if offset < least.get(window, offset + 1):
                    least[window] = offset
        self._windows = sorted(least)
        self._least = [least[window] for window in self._windows]

    def at(self, ts_init: int) -> int:
        """How far our clock was behind at this time of ours; where nothing was received then, as when something last was."""
        place = bisect_right(self._windows, ts_init // WINDOW_NS)
        return behind(self._least[max(0, place - 1)]) if self._windows else 0
