"""What a recording holds, one item after the other, and the one error for all that is wrong with one."""

from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from infra.errors import Hopeless


class Kind(StrEnum):
    FRAME = "frame"
    """A websocket frame as received."""
    ANSWER = "answer"
    """A REST body as received."""
    SENT = "sent"
    """What was sent to the venue."""
    OPENED = "opened"
    """A connection began; ``data`` names another one that delivers the same, if any."""
    CLOSED = "closed"
    """A connection ended while the one that ``data`` names delivers the same."""
    HEADER = "header"
    """What the recorder says about the recording."""
    BAD_LINE = "bad line"
    """A line that is none, in its place; ``about`` says what is wrong with it. What stood there is not known."""


class Item(NamedTuple):
    """``ts``: receive time, UTC ns. ``connection``: its id within the recording, "" where the format has none.

    ``about``: the full URL for an answer or an opened connection, "" for the rest and where the format tells none.
    ``data``: the bytes, verbatim.
    """

    ts: int
    kind: Kind
    connection: str
    about: str
    data: bytes


def bad_line(before: Item | None, error: Exception, data: bytes) -> Item:
    """Its time and connection are those of what stands before it."""
    return Item(before.ts if before else 0, Kind.BAD_LINE, before.connection if before else "", str(error), data)


class CaptureError(Hopeless):
    """A file is no recording, or not a whole one; the text is one line that says what is wrong and where."""

    def __init__(self, path: Path, what: str, line: int | None = None) -> None:
        super().__init__(f"{path}{'' if line is None else f', line {line}'}: {what}")
        self.path, self.line, self.what = path, line, what
