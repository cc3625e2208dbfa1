"""The text files of cryptofeed before version 3, several to a recording (``X.0``, ``X.ws.1.0``, ``X.http.2.0``).

    configuration: {...}
    https://api.venue/instruments -> 1626993367.384902: <body>
    wss://venue/realtime <-> 1626993367.388005                      a connection begins
    wss://venue/realtime <- 1626993367.874177: {"op":"subscribe"}   what was sent
    1626993367.875267: {"table":...}                                a frame; b'...' stands for bytes that are no text

A body may have line ends in it: lines that begin like none of these belong to the answer before them. The files of one
recording share what stands before ``.0``, ``.ws.1.0``, ... and are merged by receive time.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from infra.captures.files import Line, lines
from infra.captures.item import CaptureError, Item, Kind, bad_line
from infra.captures.times import of_seconds

_TS = rb"(?P<ts>\d{9,11}(?:\.\d+)?)"
_LINE = re.compile(
    rb"(?:%s: |(?P<url>(?:https?|wss?)://\S+) (?P<arrow><->|->|<-) %s(?:: |$))(?P<data>.*)"
    % (_TS, _TS.replace(b"<ts>", b"<at>")),
    re.DOTALL,
)
_HEADER = b"configuration: "
_ANSWERS_HEADER = b" header: {"
"""May follow an answer's body, with the headers that came with it."""
_NAME = re.compile(r"(?P<connection>(?P<recording>.+?)(?:\.(?:ws|http|sse)\.[\w-]+)?)(?:\.\d+)?(?:\.(?:gz|zst|txt))*")
_KINDS = {b"->": Kind.ANSWER, b"<->": Kind.OPENED, b"<-": Kind.SENT}


def looks_like(start: bytes) -> bool:
    first = start.lstrip().partition(b"\n")[0]
    return first.startswith(_HEADER) or _LINE.match(first) is not None


def recording(path: Path) -> str:
    """What the files of one recording have in common: folder and name without connection and number."""
    return str(path.parent / _part(path, "recording"))


def items(path: Path, past_bad_lines: bool = False) -> Iterator[Item]:
    connection = _part(path, "connection")
    polled = ".http." in path.name  # such files name no URL
    last: Item | None = None
    for line in lines(path):
        try:
            item = _item(path, line, connection, last)
        except CaptureError as error:
            if not past_bad_lines:
                raise
            item = bad_line(last, error, line.data)._replace(connection=connection)
        if item is None and last is not None:
            last = last._replace(data=last.data + b"\n" + line.data)
        elif item is not None:
            if last is not None:
                yield last._replace(ts=last.ts or item.ts)
            last = item._replace(kind=Kind.ANSWER) if polled and item.kind is Kind.FRAME else item
    if last is not None:
        yield last


def _item(path: Path, line: Line, connection: str, last: Item | None) -> Item | None:
    """None where the line goes on with the answer before it. A header has no time: that of its neighbour."""
    if line.data.startswith(_HEADER):
        return Item(0 if last is None else last.ts, Kind.HEADER, "", "", line.data.removeprefix(_HEADER))
    found = _LINE.fullmatch(line.data)
    if found is None:
        if last is not None and last.kind is Kind.ANSWER:
            return None
        raise CaptureError(path, "no line of a cryptofeed recording", line.number)
    kind = _KINDS[found["arrow"]] if found["arrow"] else Kind.FRAME
    about = found["url"].decode("utf-8", "replace") if kind in (Kind.ANSWER, Kind.OPENED) else ""
    try:
        ts = of_seconds(found["ts"] or found["at"])
    except ValueError as error:
        raise CaptureError(path, str(error), line.number) from None
    data = found["data"]
    if kind is Kind.ANSWER:
        data = data.partition(_ANSWERS_HEADER)[0]
    return Item(ts, kind, connection, about, _bytes(path, line, data))


def _bytes(path: Path, line: Line, data: bytes) -> bytes:
    if data[:2] not in (b"b'", b'b"'):
        return data
    try:
        value = ast.literal_eval(data.decode("ascii"))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
    if not isinstance(value, bytes):
        raise CaptureError(path, "a b'...' that is no bytes literal", line.number)
    return value


def _part(path: Path, part: str) -> str:
    found = _NAME.fullmatch(path.name)
    return path.name if found is None else found[part]
