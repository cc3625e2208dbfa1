"""Writes our own captures: the compressed JSON lines of ``jsonl.py``, times with nine decimals, ``"tapedeck":1`` in the header.

A file is a row of complete zstd frames, each of them handed to the operating system in one piece: a recorder that is
killed leaves a whole file that lacks at most what the last ``flush_seconds`` brought. Nothing is ever appended to a file
that was there before. Time is the items' own.
"""

import os
import sys
from base64 import b64encode
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import msgspec

from infra.captures.item import Item, Kind
from infra.captures.times import SECOND, as_seconds, stamp

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FORMAT = 1
_NAMES = {Kind.ANSWER: b"http", Kind.OPENED: b"connect", Kind.CLOSED: b"close", Kind.SENT: b"send", Kind.FRAME: b"recv"}


class Writer:
    """Files ``<folder>/<name>.<time of its first item>.jsonl.zst``; the next one after ``max_bytes`` packed or ``max_seconds``.

    ``about`` is added to each header. Headers among the items are left out: each file has its own.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        venue: str = "",
        about: dict[str, Any] | None = None,
        max_bytes: int = 256 * 1024 * 1024,
        max_seconds: int = 3600,
        flush_bytes: int = 1024 * 1024,
        flush_seconds: float = 2.0,
        level: int = 6,
    ) -> None:
        self.folder, self.name, self.venue = folder, name, venue
        self.paths: list[Path] = []
        self.items = 0
        self._about = about or {}
        self._max_bytes, self._max_ns = max_bytes, max_seconds * SECOND
        self._flush_bytes, self._flush_ns = flush_bytes, int(flush_seconds * SECOND)
        self._level = level
        self._file: BinaryIO | None = None
        self._lines: list[bytes] = []
        self._size = self._written = 0
        self._first = self._began = 0

    def write(self, item: Item) -> None:
        """Kept until a flush is due, by size or by the items' time."""
        if item.kind is Kind.HEADER:
            return
        if self._file is not None and self._full(item.ts):
            self.close()
        if self._file is None:
            self._file = self._open(item.ts)
        if not self._lines:
            self._began = item.ts
        self._add(_line(item))
        self.items += 1
        if self._size >= self._flush_bytes or item.ts - self._began >= self._flush_ns:
            self.flush()

    def flush(self) -> None:
        """What was written so far survives a kill of this process."""
        if self._file is not None and self._lines:
            packed = zstd.compress(b"".join(self._lines), self._level)
            self._file.write(packed)
            self._written += len(packed)
            self._lines.clear()
            self._size = 0

    def close(self) -> None:
        """What was written survives a power cut too. The next item begins a new file."""
        if self._file is not None:
            self.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _full(self, ts: int) -> bool:
        return self._written + self._size // 8 >= self._max_bytes or ts - self._first >= self._max_ns

    def _open(self, ts: int) -> BinaryIO:
        self.folder.mkdir(parents=True, exist_ok=True)
        file, path = _created(self.folder, f"{self.name}.{stamp(ts)}")
        self.paths.append(path)
        self._first = self._began = ts
        self._written = 0
        self._add(_header(ts, self.venue, self._about))
        return file

    def _add(self, line: bytes) -> None:
        self._lines.append(line)
        self._size += len(line)


def _created(folder: Path, stem: str) -> tuple[BinaryIO, Path]:
    for n in range(10_000):
        path = folder / f"{stem}{f'-{n}' if n else ''}.jsonl.zst"
        try:
            return open(path, "xb", buffering=0), path
        except FileExistsError:
            continue
    raise FileExistsError(f"{folder / stem}.jsonl.zst and 9,999 more of that second are there")


def _header(ts: int, venue: str, about: dict[str, Any]) -> bytes:
    head = {"t": "header", "format": 2, "tapedeck": FORMAT, "exchange": venue.upper(), "venue": venue}
    return msgspec.json.encode({**head, "recorded": msgspec.Raw(as_seconds(ts).encode()), **about}) + b"\n"


def _line(item: Item) -> bytes:
    encode = msgspec.json.encode
    parts = [
        b'{"t":"%s","conn":%s,"ts":%s' % (_NAMES[item.kind], encode(item.connection), as_seconds(item.ts).encode())
    ]
    if item.about:
        parts.append(b',"%s":%s' % (b"url" if item.kind is Kind.ANSWER else b"addr", encode(item.about)))
    if item.kind is not Kind.OPENED or item.data:
        parts.append(_data(item.data))
    return b"".join((*parts, b"}\n"))


def _data(data: bytes) -> bytes:
    try:
        return b',"data":' + msgspec.json.encode(data.decode())
    except UnicodeDecodeError:
        return b',"b64":"' + b64encode(data) + b'"'
