"""SQL that takes archived records apart: one row per event, each event once by where it came from.

A record that was delivered again has the coordinates of the first. What a type leaves out on the wire is filled in; what does not fit
its column is NULL.
"""

import types
import typing
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec

from topics.catalog import Topic
from topics.record import Record

DECIMAL = "DECIMAL(38,18)"
SHORT = "DECIMAL(18,9)"
KEPT = '"partition", "offset", "timestamp", "key", src, ver'
AT = 'timezone(\'UTC\', "timestamp") AS "timestamp"'
"""Plain, in UTC: a time with a zone needs a library more to be read in Python."""
EMPTY = """
(SELECT 0::INTEGER AS "partition", 0::BIGINT AS "offset", NULL::TIMESTAMPTZ AS "timestamp", NULL::BLOB AS "key", NULL::BLOB AS value,
        NULL::VARCHAR AS src, NULL::VARCHAR AS ver, '' AS filename, 0::BIGINT AS file_row_number WHERE false)
"""
ONCE = """
WITH files AS (FROM {files}),
     repeated AS (
        SELECT coalesce(src, "partition" || '@' || "offset") AS origin, min(("offset", filename, file_row_number)) AS kept
        FROM files GROUP BY ALL HAVING count(*) > 1),
     once AS (
        SELECT files.* FROM files LEFT JOIN repeated ON origin = coalesce(src, "partition" || '@' || "offset")
        WHERE kept IS NULL OR kept = ("offset", filename, file_row_number))
"""
"""Only the few records that were delivered again are looked at closely: a window over all would carry every value."""


def taken_apart(topic: Topic, files: str, only: Collection[str] | None = None) -> str:
    """A query over ``files``, which has the archive's columns, `filename` and `file_row_number`; of the fields ``only`` those named."""
    once = ONCE.format(files=files)
    return once + (
        _events(topic.types, only)
        if topic.types
        else f'SELECT "partition", "offset", {AT}, "key", src, ver, value FROM once'
    )


def _events(record_types: Sequence[type[Record]], only: Collection[str] | None) -> str:
    """The records' arrays, taken apart in one pass over the JSON."""
    fields = {name: field for name, field in _fields(record_types).items() if only is None or name in only}
    shape = ", ".join(f'"{name}": "{"JSON" if kind == "JSON" else "VARCHAR"}"' for name, (kind, _) in fields.items())
    columns = ",\n       ".join(_column(name, kind, defaults) for name, (kind, defaults) in fields.items())
    return f"""
     , events AS (
        SELECT {KEPT}, unnest(listed) AS event, generate_subscripts(listed, 1) - 1 AS "index"
        FROM (SELECT {KEPT}, from_json(try_cast(try(decode(value)) AS JSON), '[{{"type": "VARCHAR", {shape}}}]') AS listed FROM once))
SELECT "partition", "offset", "index", {AT}, "key", src, ver, event."type" AS "type",
       {columns}
FROM events
"""


def _column(name: str, kind: str, defaults: Mapping[str, str]) -> str:
    read = f'event."{name}"' if kind in ("VARCHAR", "JSON") else f'try_cast(event."{name}" AS {kind})'
    cases = " ".join(f"WHEN '{tag}' THEN coalesce({read}, {default})" for tag, default in defaults.items())
    return (f'CASE event."type" {cases} ELSE {read} END' if cases else read) + f' AS "{_free(name)}"'


def decimals(topic: Topic) -> dict[str, str]:
    """The columns of numbers with every digit, and their types."""
    return {_free(name): kind for name, (kind, _) in _fields(topic.types).items() if kind == DECIMAL}


def _free(name: str) -> str:
    """A dead letter's own topic, partition and offset stand beside where the letter itself is."""
    return f"record_{name}" if name in ("partition", "offset", "key") else name


def _fields(record_types: Sequence[type[Record]]) -> dict[str, tuple[str, dict[str, str]]]:
    """The union of the types' fields: name to (SQL type, by record type what stands for an omitted one)."""
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for record in record_types:
        hints = typing.get_type_hints(record)
        for field in msgspec.structs.fields(record):
            kind, defaults = found.setdefault(field.name, (_kind(hints[field.name]), {}))
            default = _default(field, kind)
            if default is not None:
                defaults[record.__name__] = default
    return found


def _default(field: msgspec.structs.FieldInfo, kind: str) -> str | None:
    """The literal of a default: the wire leaves defaults out."""
    value = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    if value is msgspec.NODEFAULT or value is None:
        return None
    text = msgspec.json.encode(value).decode()
    return f"'{text if kind == 'JSON' else text.strip(chr(34))}'::{kind}"


def _kind(hint: Any) -> str:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    if not isinstance(hint, type):
        return "JSON"
    simple: dict[type, str] = {Decimal: DECIMAL, bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE", bytes: "VARCHAR"}
    if hint in simple:
        return simple[hint]
    return "VARCHAR" if issubclass(hint, (str, Enum)) else "JSON"
