"""How far the assigned partitions are read."""

import logging
from collections.abc import Mapping

log = logging.getLogger(__name__)


class Progress:
    """Offsets of the input, by partition. ``caught_up`` once everything is read that was there at the assignment."""

    def __init__(self) -> None:
        self._next: dict[int, int] = {}
        self._target: dict[int, int] | None = None

    def assign(self, ranges: Mapping[int, tuple[int, int]]) -> None:
        """``ranges``: partition to (next offset, end as of now)."""
        self._next = {p: first for p, (first, _) in ranges.items()}
        self._target = {p: end for p, (_, end) in ranges.items()}

    def seen(self, partition: int, offset: int) -> int:
        """Note a record; how many before it are missing (they fell out of retention while this stage was behind)."""
        expected = self._next.get(partition, offset)
        self._next[partition] = offset + 1
        if offset > expected:
            log.error(
                "partition %d: offsets %d to %d are gone, and missing in the state", partition, expected, offset - 1
            )
        return max(0, offset - expected)

    @property
    def next_offsets(self) -> dict[int, int]:
        """By partition, the first offset not read."""
        return dict(self._next)

    @property
    def caught_up(self) -> bool:
        return self._target is not None and all(self._next[p] >= end for p, end in self._target.items())

    def lag(self, ends: Mapping[int, int]) -> int:
        """Records that wait, given where each partition ends now."""
        return sum(max(0, end - self._next.get(p, end)) for p, end in ends.items())
