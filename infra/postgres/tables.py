"""The audit's tables, as one list that drives both the SQL and the rows.

A typed table holds the records of its types: its columns are their fields, under the names they have on the tape (quote
`"limit"`, `"check"` and `"offset"` in SQL). Decimals are NUMERIC, so digits survive; a time `ts_x` is a timestamptz in
microseconds beside `ts_x_ns`, the exact nanoseconds; what is itself a structure is jsonb. `records` holds every event of
every audited topic as it was, redelivered ones too; a typed table holds each event once by its source coordinate.

`python -m infra.postgres.tables` prints the SQL that makes them all. Migration 0001 is that of its time; columns that came
later have migrations of their own.
"""

import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Any

import msgspec

from topics import catalog, controls, orders, portfolio, strategy, system
from topics.record import Record

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
IDENTITY = ("topic", "topic_id", "partition", "offset", "index")
SOURCE = ("topic", "topic_id", "producer", "source", "major", "minor", "index")
COORDINATES = {
    "topic": "text NOT NULL",
    "topic_id": "text NOT NULL",
    "partition": "integer NOT NULL",
    "offset": "bigint NOT NULL",
    "index": "integer NOT NULL",
    "producer": "text NOT NULL",
    "source": "text NOT NULL",
    "major": "bigint NOT NULL",
    "minor": "bigint NOT NULL",
    "version": "text NOT NULL",
}
"""Where an event stands on the tape, where it came from (header `src`), and the software that made it (header `ver`)."""


Convert = Callable[[Any], Any] | None
"""None where the value stays as it is."""


@dataclass(frozen=True)
class Column:
    """``field`` of a record, empty for what is no field, as ``convert`` says; None where a record has none."""

    name: str
    type: str
    field: str
    convert: Convert


@dataclass(frozen=True)
class Table:
    """`types` are the records that go to it; `extra` are indexes beside the two unique ones."""

    name: str
    types: tuple[type[Record], ...]
    extra: tuple[tuple[str, ...], ...] = ()

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The union of the types' fields, in order of first appearance."""
        found = {"type": Column("type", "text NOT NULL", "", None)}
        for record in self.types:
            hints = typing.get_type_hints(record)
            for field in msgspec.structs.fields(record):
                for column in _columns(field.name, hints[field.name]):
                    found.setdefault(column.name, column)
        return tuple(found.values())

    def row(self, record: Record) -> tuple[Any, ...]:
        """The values of `columns`; None where the record's type has no such field."""
        fields = (type(record).__name__, *msgspec.structs.astuple(record), None)
        places = self._places[type(record)]
        return tuple([v if (v := fields[at]) is None or convert is None else convert(v) for at, convert in places])

    @cached_property
    def _places(self) -> dict[type[Record], list[tuple[int, Convert]]]:
        """Where a type's `row` has each column: 0 is its name, -1 nowhere."""
        return {
            record: [(names.get(column.field, -1), column.convert) for column in self.columns]
            for record in self.types
            for names in [{"": 0} | {name: n for n, name in enumerate(record.__struct_fields__, 1)}]
        }

    def ddl(self) -> str:
        typed = {column.name: column.type for column in self.columns}
        lines = [f'    "{name}" {kind}' for name, kind in (COORDINATES | typed).items()]
        lines += [f"    PRIMARY KEY ({_quoted(IDENTITY)})", f"    UNIQUE ({_quoted(SOURCE)})"]
        indexes = [f'CREATE INDEX ON "{self.name}" ({_quoted(names)});' for names in self.extra]
        return "\n".join([f'CREATE TABLE "{self.name}" (', ",\n".join(lines), ");", *indexes, append_only(self.name)])


TYPED = (
    Table("commands", catalog.ORDERS_INTENTS.types, (("client_order_id",), ("strategy", "ts_init_ns"))),
    Table(
        "order_facts",
        tuple(t for t in catalog.ORDERS_EVENTS.types if issubclass(t, orders.OrderFact)),
        (("client_order_id",), ("account", "instrument", "ts_init_ns")),
    ),
    Table("orders", (orders.OrderUpdated,), (("client_order_id", "offset"), ("strategy", "ts_init_ns"))),
    Table("anomalies", (orders.OrderAnomaly, orders.ReconciliationDifference)),
    Table("fills", (orders.Fill,), (("account", "instrument", "ts_event_ns"), ("strategy",), ("client_order_id",))),
    Table("positions", (portfolio.PositionChanged,), (("account", "strategy", "instrument", "offset"),)),
    Table("balances", (portfolio.BalanceChanged,), (("account", "currency", "offset"),)),
    Table("portfolio", (portfolio.PortfolioLine,), (("account", "strategy", "instrument", "ts_init_ns"),)),
    Table("controls", catalog.CONTROLS.types, (("scope", "ts_init_ns"),)),
    Table("controls_done", (orders.ControlDone,), (("control_id",),)),
    Table("in_force", (controls.InForce,), (("scope", "ts_init_ns"),)),
    Table(
        "strategy_records",
        (strategy.StrategyRecord, strategy.StrategyHalted, strategy.StrategyResumed),
        (("strategy", "ts_init_ns"),),
    ),
    Table("stage_starts", (system.StageStarted,)),
    Table("dead_letters", (system.DeadLetter,)),
)

TABLE_OF: dict[type[Record], Table] = {record: table for table in TYPED for record in table.types}

AUDITED = (
    catalog.ORDERS_INTENTS,
    catalog.ORDERS_EVENTS,
    catalog.ORDERS_STATE,
    catalog.FILLS,
    catalog.ACCOUNT_EVENTS,
    catalog.POSITIONS,
    catalog.PORTFOLIO_STATE,
    catalog.CONTROLS,
    catalog.CONTROLS_STATE,
    catalog.STRATEGY_RECORDS,
    catalog.STAGE_LOG,
    catalog.DEAD_LETTERS,
)
"""The logs that are audited, each event of them; the inboxes repeat these and are left to the archive."""

RECORDS = COORDINATES | {
    "type": "text",
    "key": "text",
    "ts_broker": "timestamptz NOT NULL",
    "record": "jsonb",
    "payload": "bytea",
    "reason": "text",
}
"""Columns of `records`; what could not be read has no record, but its payload and the reason."""


def instant(ns: int) -> datetime | None:
    """UTC to the microsecond, None for 0 (a time that nobody gave)."""
    return EPOCH + timedelta(microseconds=ns // 1000) if ns else None


def printable(text: str) -> str:
    """Postgres' text cannot hold NUL, which a venue's or a user's words might."""
    return text.replace("\0", "\ufffd")


def as_json(value: Any) -> str:
    return msgspec.json.encode(value, order="deterministic").decode().replace("\\u0000", "\\ufffd")


def _columns(name: str, hint: Any) -> Iterator[Column]:
    """The column of a field, two for a time."""
    if name.startswith("ts_"):
        yield Column(name, "timestamptz", name, instant)
        yield Column(f"{name}_ns", "bigint", name, None)
        return
    prefix = "record_" if name in COORDINATES else ""  # a dead letter's own topic, partition and offset
    kind, convert = _kind(hint)
    yield Column(f"{prefix}{name}", kind, name, convert)


def _kind(hint: Any) -> tuple[str, Convert]:
    """SQL type and conversion by a field's annotation."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    if hint is Decimal:
        return "numeric", None
    if hint is bool:
        return "boolean", None
    if hint is int:
        return "bigint", None
    if hint is bytes:
        return "bytea", None
    if hint is controls.Scope or (isinstance(hint, type) and issubclass(hint, (str, Enum))):
        return "text", lambda v: printable(str(v))
    return "jsonb", as_json


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def append_only(table: str) -> str:
    return (
        f'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON "{table}" FOR EACH ROW EXECUTE FUNCTION refuse_change();\n'
        f'CREATE TRIGGER append_only_all BEFORE TRUNCATE ON "{table}" FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();'
    )


def ddl() -> str:
    """The whole schema, as all migrations together make it."""
    columns = ",\n".join(f'    "{name}" {kind}' for name, kind in RECORDS.items())
    records = f"CREATE TABLE records (\n{columns},\n    PRIMARY KEY ({_quoted(IDENTITY)})\n);"
    source = f"CREATE INDEX ON records ({_quoted(SOURCE)});"
    return (
        "\n\n".join([HEAD, records + "\n" + source + "\n" + append_only("records"), *(t.ddl() for t in TYPED)]) + "\n"
    )


HEAD = """\
-- The audit: what stands here was on the tape. Made from infra/postgres/tables.py; a later change is a new migration.

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

-- How far each partition is in here; written in the transaction of the rows themselves.
CREATE TABLE offsets (
    "topic" text NOT NULL,
    "topic_id" text NOT NULL,
    "partition" integer NOT NULL,
    "next_offset" bigint NOT NULL,
    PRIMARY KEY ("topic", "topic_id", "partition")
);"""


if __name__ == "__main__":
    print(ddl(), end="")
