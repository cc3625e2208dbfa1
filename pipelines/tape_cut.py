"""A part of a recording as a capture of our own."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypedDict

from infra.captures import CaptureError, Item, Kind, Writer, read, venue_hint
from infra.errors import Hopeless

NEVER = 10**9


class _Sizes(TypedDict):
    max_bytes: int
    max_seconds: int
    flush_bytes: int
    flush_seconds: float
    level: int


WHOLE = _Sizes(max_bytes=2**62, max_seconds=NEVER, flush_bytes=2**24, flush_seconds=NEVER, level=12)
"""One file, packed well: nobody waits for its last second."""


def cut(paths: Sequence[Path], out: Path, since: int, until: int | None) -> tuple[int, str]:
    """Write the items with ``since`` <= receive time < ``until``; their number, and where the input breaks off ("" where not).

    What stands before a break is kept. ``out`` appears whole, and never over a file that is there.
    """
    if out.exists():
        raise Hopeless(f"{out} exists already: name another file")
    about = {"cut_from": [path.name for path in paths]}
    chosen = _Chosen(read(paths), since, until)
    with Writer(out.parent, f".{out.name}", venue=venue_hint(paths), about=about, **WHOLE) as writer:
        for item in chosen:
            writer.write(item)
    if not writer.paths:
        raise Hopeless(f"nothing was received in that time{f'; {chosen.broken}' if chosen.broken else ''}")
    writer.paths[0].rename(out)
    return writer.items, chosen.broken


class _Chosen:
    def __init__(self, items: Iterator[Item], since: int, until: int | None) -> None:
        self.broken = ""
        self._items, self._since, self._until = items, since, until

    def __iter__(self) -> Iterator[Item]:
        try:
            for item in self._items:
                if (
                    item.kind is not Kind.HEADER
                    and item.ts >= self._since
                    and (self._until is None or item.ts < self._until)
                ):
                    yield item
        except CaptureError as error:
            self.broken = str(error)
