"""The formats, told by content, and the files of a call put together to one stream."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from infra.captures import collected, jsonl, text
from infra.captures.files import beginning, packing
from infra.captures.item import CaptureError, Item
from infra.captures.merging import merged

TABLES = " (tables that others have parsed are for tapedeck import, tape check, stat and head)"


class Format(StrEnum):
    TAPEDECK = "tapedeck"
    CRYPTOFEED = "cryptofeed"
    CRYPTOFEED_TEXT = "cryptofeed text"
    HFTBACKTEST = "hftbacktest"


class Recording(NamedTuple):
    """One file; or the several of one cryptofeed text recording."""

    format: Format
    paths: tuple[Path, ...]

    def items(self, past_bad_lines: bool = False) -> Iterator[Item]:
        """``past_bad_lines``: a line that is none is an item of its own; else it ends the stream with a ``CaptureError``."""
        match self.format:
            case Format.TAPEDECK | Format.CRYPTOFEED:
                return jsonl.items(self.paths[0], past_bad_lines)
            case Format.HFTBACKTEST:
                return collected.items(self.paths[0], past_bad_lines)
            case Format.CRYPTOFEED_TEXT:
                return merged(text.items(path, past_bad_lines) for path in self.paths)


def format_of(path: Path) -> Format:
    """By its first line; ``CaptureError`` for what is no recording."""
    if path.is_dir():
        raise CaptureError(path, "is a folder; a recording is a file (tapedeck tape ls shows what a folder has)")
    if packing(path) == "zip":
        raise CaptureError(path, f"is a zip file, no recording{TABLES}")
    start = beginning(path)
    if not start.strip():
        raise CaptureError(path, "is empty")
    if jsonl.looks_like(start):
        return Format.TAPEDECK if b'"tapedeck":' in start.lstrip().partition(b"\n")[0] else Format.CRYPTOFEED
    if collected.looks_like(start):
        return Format.HFTBACKTEST
    if text.looks_like(start):
        return Format.CRYPTOFEED_TEXT
    is_table = start.partition(b"\n")[0].count(b",") > 2
    raise CaptureError(
        path, f"no recording of a known format; it begins with {_shown(start)}{TABLES if is_table else ''}"
    )


def recordings(paths: Sequence[Path]) -> list[Recording]:
    """In the order given; neighbours that belong to one cryptofeed text recording together. A stream has each file once."""
    each_once(paths)
    formats = [(format_of(path), path) for path in paths]
    return [
        Recording(kind, tuple(path for _, path in group))
        for (kind, _), group in groupby(formats, key=lambda each: (each[0], _together(*each)))
    ]


def each_once(paths: Sequence[Path]) -> None:
    """``CaptureError`` where a file is named twice."""
    known: set[Path] = set()
    for path in paths:
        if path.resolve() in known:
            raise CaptureError(path, "is named twice")
        known.add(path.resolve())


def read(paths: Sequence[Path], past_bad_lines: bool = False) -> Iterator[Item]:
    """The items of several files as one stream, in the order given; lazily, with bounded memory.

    Items before a break (a truncated file, a line that is none unless it is gone past: ``Recording.items``) are delivered,
    then ``CaptureError`` is raised. What is no recording at all is refused before the first item.
    """
    for recording in recordings(paths):
        yield from recording.items(past_bad_lines)


def _together(kind: Format, path: Path) -> str:
    return text.recording(path) if kind is Format.CRYPTOFEED_TEXT else str(path)


def _shown(start: bytes) -> str:
    return repr(start.lstrip()[:40].decode("utf-8", "replace"))
