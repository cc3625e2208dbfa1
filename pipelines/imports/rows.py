"""The rows of a table in a text file: plain, packed with gzip or zstd, or the one file within a zip."""

import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple, cast

from infra.captures import CaptureError
from infra.captures.files import Line, lines, packing, translated
from infra.captures.times import of_epoch
from topics.record import InstrumentId

DIGITS = 18
MOST = Decimal(10) ** DIGITS


@dataclass
class Tally:
    """How many rows were about each instrument; and how many of all led to nothing, as the format's rules have it."""

    rows: Counter[InstrumentId] = field(default_factory=Counter)
    passed_over: int = 0


class Row(NamedTuple):
    """``line`` counts from 1. The formats that are read here quote nothing."""

    path: Path
    line: int
    fields: list[str]

    def wrong(self, what: str) -> CaptureError:
        return CaptureError(self.path, what, self.line)

    def positive(self, field: int, what: str) -> Decimal:
        found = self.number(field, what)
        if found <= 0:
            raise self.wrong(f"{what} {self.fields[field]!r} is not positive")
        return found

    def number(self, field: int, what: str) -> Decimal:
        """Not negative, with the digits that stand there, of which there are at most 18 on either side of the point."""
        try:
            found = Decimal(self.fields[field])
        except (InvalidOperation, IndexError):
            raise self.wrong(f"no {what} in it") from None
        if not found.is_finite() or not 0 <= found < MOST or int(found.as_tuple().exponent) < -DIGITS:
            raise self.wrong(f"{what} {self.fields[field][:40]!r} is none")
        return found

    def whole(self, field: int, what: str) -> int:
        try:
            return int(self.fields[field])
        except (ValueError, IndexError):
            raise self.wrong(f"no {what} in it") from None

    def time(self, field: int) -> int:
        """UTC ns, of whatever unit it is in."""
        try:
            return of_epoch(str(self.whole(field, "time")).encode())
        except ValueError as error:
            raise self.wrong(str(error)) from None


def rows(path: Path) -> Iterator[Row]:
    found = _zipped(path) if packing(path) == "zip" else lines(path)
    for number, data in found:
        try:
            yield Row(path, number, data.decode().split(","))
        except UnicodeDecodeError:
            raise CaptureError(path, "is no text", number) from None


def first_row(path: Path) -> Row:
    """``CaptureError`` where there is none."""
    for row in rows(path):
        return row
    raise CaptureError(path, "is empty")


def member(path: Path) -> str:
    """The name of the one file within a zip."""
    try:
        with translated(path), zipfile.ZipFile(path) as packed:
            names = packed.namelist()
    except zipfile.BadZipFile as error:
        raise CaptureError(path, f"is damaged: {error}") from error
    if len(names) != 1:
        raise CaptureError(path, f"holds {len(names)} files, not one")
    return names[0]


def _zipped(path: Path) -> Iterator[Line]:
    name = member(path)
    try:
        with translated(path), zipfile.ZipFile(path) as packed, packed.open(name) as raw:
            for number, data in enumerate(io.BufferedReader(cast(io.RawIOBase, raw)), start=1):
                if stripped := data.rstrip(b"\r\n"):
                    yield Line(number, stripped)
    except (zipfile.BadZipFile, zlib.error, RuntimeError) as error:  # the last: a password, an unknown way of packing
        raise CaptureError(path, f"is damaged or locked: {error}") from error
