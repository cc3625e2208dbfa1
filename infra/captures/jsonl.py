"""Compressed JSON lines: what cryptofeed 3 writes, and our own captures, which are the same with a mark in the header.

    {"t":"header","format":2,"exchange":"BINANCE",...}
    {"t":"http","conn":"BINANCE.http.0","ts":1633998512.320639,"url":"https://...","data":"..."}
    {"t":"connect","conn":"BINANCE.ws.1","ts":1633998512.4,"addr":"wss://..."}
    {"t":"send","conn":"BINANCE.ws.1","ts":1633998512.5,"addr":"wss://...","data":"..."}
    {"t":"recv","conn":"BINANCE.ws.1","ts":1633998512.6,"data":"..."}        (bytes that are no text: "b64")

What cryptofeed converted from its older format stands connection by connection: it is merged by receive time, each
connection keeping its own order. Lines of an unknown ``t`` are passed over.
"""

from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from infra.captures.files import Line, lines
from infra.captures.item import CaptureError, Item, Kind, bad_line
from infra.captures.merging import merged
from infra.captures.times import of_seconds

KINDS = {
    "header": Kind.HEADER,
    "http": Kind.ANSWER,
    "connect": Kind.OPENED,
    "close": Kind.CLOSED,
    "send": Kind.SENT,
    "recv": Kind.FRAME,
}


class _Line(msgspec.Struct):
    t: str
    conn: str = ""
    ts: msgspec.Raw = msgspec.Raw(b"0")
    recorded: msgspec.Raw = msgspec.Raw(b"0")
    url: str = ""
    addr: str = ""
    data: str | None = None
    b64: str | None = None


class _Place(msgspec.Struct):
    t: str
    conn: str = ""
    ts: float = 0.0
    tapedeck: Any = 0


_line = msgspec.json.Decoder(_Line)
_place = msgspec.json.Decoder(_Place)


def looks_like(start: bytes) -> bool:
    """Whether a file that begins with these bytes is of this format."""
    first, end, _ = start.lstrip().partition(b"\n")
    head = first[:2000].replace(b" ", b"")
    return head.startswith(tuple(b'{"t":"%s"' % t.encode() for t in KINDS)) or (bool(end) and _decodes(first))


def _decodes(line: bytes) -> bool:
    try:
        return _place.decode(line).t in KINDS
    except ValueError:  # msgspec's errors, and of text that is no UTF-8
        return False


def items(path: Path, past_bad_lines: bool = False) -> Iterator[Item]:
    """In the order they were received."""
    connections, in_order = _scan(path)
    if in_order:
        yield from as_they_stand(path, past_bad_lines)
    else:
        yield from merged(_of_connection(path, connection, past_bad_lines) for connection in connections)


def as_they_stand(path: Path, past_bad_lines: bool = False) -> Iterator[Item]:
    last: Item | None = None
    for line in lines(path):
        try:
            item = _item(path, line)
        except CaptureError as error:
            if not past_bad_lines:
                raise
            item = bad_line(last, error, line.data)
        if item is not None:
            last = item
            yield item


def _scan(path: Path) -> tuple[list[str], bool]:
    """The connections, and whether time never goes back. Up to a break in the file: reading it will tell."""
    connections: dict[str, float] = {}
    last, in_order = 0.0, True
    try:
        for number, data in lines(path):
            try:
                place = _place.decode(data)
            except ValueError:  # a bad line: of the connection before it, if any
                connections.setdefault("", 0.0)
                continue
            if number == 1 and place.tapedeck:
                return [], True
            if place.t != "header":
                in_order = in_order and place.ts >= last
                last = place.ts
            connections[place.conn] = last
    except CaptureError:
        pass  # reading meets it again, after what comes before
    return list(connections), in_order


def _of_connection(path: Path, connection: str, past_bad_lines: bool) -> Iterator[Item]:
    return (item for item in as_they_stand(path, past_bad_lines) if item.connection == connection)


def _item(path: Path, line: Line) -> Item | None:
    try:
        raw = _line.decode(line.data)
        kind = KINDS.get(raw.t)
        if kind is None:
            return None
        if kind is Kind.HEADER:
            return Item(of_seconds(bytes(raw.recorded)), kind, "", "", line.data)
        data = b64decode(raw.b64, validate=True) if raw.b64 is not None else (raw.data or "").encode()
        about = raw.url if kind is Kind.ANSWER else raw.addr if kind is Kind.OPENED else ""
        return Item(of_seconds(bytes(raw.ts)), kind, raw.conn, about, data)
    except ValueError as error:  # msgspec's and binascii's errors are among them
        raise CaptureError(path, f"no line of a recording ({error})", line.number) from error
