"""What is wrong with a capture that is played all the same: lines whose time goes back, and lines that are there twice."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

Lines = Iterable[tuple[int, bytes]]
"""Time and frame."""


@dataclass(frozen=True)
class Flaws:
    """``backward``: lines earlier than one before them; they are played at that one's time. ``repeated``: whole lines seen before."""

    last: int = 0
    backward: int = 0
    repeated: int = 0

    def told(self, unreadable: int = 0) -> str:
        """Empty where there are none."""
        counts = ((unreadable, "unreadable"), (self.backward, "backward in time"), (self.repeated, "repeated"))
        found = ", ".join(f"{n:,} {what}" for n, what in counts if n)
        counted = ": what is repeated counts twice" if self.repeated else ""
        return f"flaws of the input, records: {found}{counted}" if found else ""


def survey(read: Callable[[], Lines]) -> Flaws:
    """One pass over sound lines. Memory only for what lies between the times that are gone through twice."""
    last = backward = same = high = 0
    low: int | None = None
    before: tuple[int, bytes] | None = None
    for line in read():
        ts = line[0]
        if ts < last:
            backward, high, low = backward + 1, last, ts if low is None else min(low, ts)
        elif line == before:
            same += 1
        last, before = max(last, ts), line
    if not backward and not same:
        return Flaws(last)
    return Flaws(last, backward, sum(_repeated(read(), (high + 1 if low is None else low, high))))


def _repeated(lines: Lines, twice: tuple[int, int]) -> Iterator[bool]:
    seen: set[int] = set()
    before: tuple[int, bytes] | None = None
    for line in lines:
        if twice[0] <= line[0] <= twice[1]:
            at = hash(line)
            yield at in seen
            seen.add(at)
        else:
            yield line == before
        before = line
