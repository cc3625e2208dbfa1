"""Not more often than: part of a strategy's State that keeps a steady pace, whatever denials come back."""

import msgspec

MS = 1_000_000


class Pace(msgspec.Struct):
    """Per key (an instrument, an instrument and side) the time, UTC ns, before which nothing more is to be done."""

    not_before: dict[str, int] = {}

    def ready(self, key: str, now: int) -> bool:
        return now >= self.not_before.get(key, 0)

    def hold(self, key: str, now: int, wait_ms: int) -> None:
        """For ``wait_ms`` from ``now``; never shortens an earlier hold."""
        self.not_before[key] = max(self.not_before.get(key, 0), now + wait_ms * MS)
