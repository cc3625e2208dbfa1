"""The lines of a file, unpacked on the way. How it is packed is told by its first bytes, not by its name."""

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from infra.captures.item import CaptureError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

GZIP, ZSTD, ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"
BOM = b"\xef\xbb\xbf"
"""What some editors put at the beginning of UTF-8; not of what is read."""
LONGEST_LINE = 64 * 1024 * 1024  # the largest known frame, a Coinbase snapshot, has 5 MB


class Line(NamedTuple):
    number: int
    data: bytes
    """Without its line end."""


def lines(path: Path) -> Iterator[Line]:
    """The lines that are not blank, numbered from 1; ``CaptureError`` after those before a break in the file."""
    with translated(path), _opened(path) as file:
        for number, data in zip(count(1), iter(partial(file.readline, LONGEST_LINE), b""), strict=False):
            if len(data) == LONGEST_LINE:
                raise CaptureError(
                    path, f"a line longer than {LONGEST_LINE >> 20} MiB is no line of a recording", number
                )
            if stripped := (data if number > 1 else data.removeprefix(BOM)).rstrip(b"\r\n"):
                yield Line(number, stripped)


def beginning(path: Path, size: int = 65_536) -> bytes:
    """The first bytes, unpacked; fewer where the file ends or breaks before."""
    with translated(path), _opened(path) as file:
        found = b""
        try:
            while len(found) < size and (more := file.read1(size - len(found))):
                found += more
        except (EOFError, zlib.error, zstd.ZstdError, gzip.BadGzipFile):
            if not found:
                raise
        return found.removeprefix(BOM)


def packing(path: Path) -> str:
    """``gzip``, ``zstd``, ``zip`` or "" by the file's first bytes. A pipe is refused before a byte of it is taken."""
    with translated(path):
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise CaptureError(path, "is a pipe or a device, and a recording is read more than once: name a file")
        with open(path, "rb") as file:
            start = file.read(4)
    names = {GZIP: "gzip", ZSTD: "zstd", ZIP: "zip"}
    return next((name for magic, name in names.items() if start.startswith(magic)), "")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """What the libraries say about a broken file, as a ``CaptureError``."""
    try:
        yield
    except EOFError:
        raise CaptureError(path, f"is cut off: the {packing(path)} stream has no end") from None
    except (zlib.error, gzip.BadGzipFile, zstd.ZstdError) as error:
        raise CaptureError(path, f"is damaged: {error}") from error
    except OSError as error:
        raise CaptureError(path, error.strerror or str(error)) from error


class _Unpacked(io.RawIOBase):
    """What is whole before a break comes first; one large read would lose it."""

    def __init__(self, packed: "gzip.GzipFile | zstd.ZstdFile") -> None:
        self._packed = packed

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        found = self._packed.read1(len(into))
        into[: len(found)] = found
        return len(found)

    def close(self) -> None:
        self._packed.close()
        super().close()


def _opened(path: Path) -> io.BufferedReader:
    match packing(path):
        case "gzip":
            raw: io.RawIOBase = _Unpacked(gzip.open(path))  # noqa: SIM115
        case "zstd":
            raw = _Unpacked(zstd.open(path))
        case _:
            raw = open(path, "rb", buffering=0)  # noqa: SIM115
    return io.BufferedReader(raw, 131_072)
