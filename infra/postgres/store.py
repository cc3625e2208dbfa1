"""Writes what was taken from the tape into the audit's tables: one transaction per batch, offsets in it, so that a batch is in once or not at all."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, LiteralString

import msgspec
import psycopg
from psycopg import sql

from infra.postgres.tables import COORDINATES, RECORDS, TABLE_OF, TYPED, printable
from infra.tail import Place, Taken
from topics import wire
from topics.catalog import TOPICS
from topics.record import Record

Row = tuple[Any, ...]
_elements = msgspec.json.Decoder(list[msgspec.Raw])


class Batch:
    """Rows by table, and how far the tape is in it. `unreadable` are the records that are not what their topic holds, with the reason."""

    def __init__(self, taken: Iterable[Taken]) -> None:
        self.rows: dict[str, list[Row]] = defaultdict(list)
        self.next_offsets: dict[tuple[Place, str], int] = {}
        self.unreadable: list[tuple[Taken, str]] = []
        self.events = 0
        for one in taken:
            self._add(one)

    def _add(self, one: Taken) -> None:
        self.next_offsets[one.place, one.topic_id] = one.offset + 1
        value = one.value or b""
        try:
            events = list(zip(_elements.decode(value), wire.decode(value, TOPICS[one.topic].types), strict=True))
        except (msgspec.MsgspecError, UnicodeDecodeError, wire.BadRecord) as error:
            self.unreadable.append((one, str(error)))
            self.rows["records"].append(
                (*_coordinates(one, 0), None, _key(one), one.timestamp, None, value, printable(str(error)))
            )
            return
        for index, (raw, event) in enumerate(events):
            self._add_event(one, index, bytes(raw), event)

    def _add_event(self, one: Taken, index: int, raw: bytes, event: Record) -> None:
        where = _coordinates(one, index)
        whole = raw.decode().replace("\\u0000", "\\ufffd")
        self.rows["records"].append((*where, type(event).__name__, _key(one), one.timestamp, whole, None, None))
        table = TABLE_OF[type(event)]
        self.rows[table.name].append((*where, *table.row(event)))
        self.events += 1


def _coordinates(one: Taken, index: int) -> Row:
    c = one.coordinate
    return (
        one.topic,
        one.topic_id,
        one.partition,
        one.offset,
        index,
        c.producer,
        c.source,
        c.major,
        c.minor,
        one.version,
    )


def _key(one: Taken) -> str | None:
    return None if one.key is None else printable(one.key.decode(errors="replace"))


class AuditStore:
    """A connection with temporary tables to copy into. Any failure leaves the database as it was. Use as a context manager."""

    def __init__(self, dsn: str, schema: str) -> None:
        self._connection = psycopg.connect(dsn, options=f"-c search_path={schema}", application_name="tapedeck audit")
        self._writer = ThreadPoolExecutor(1, "audit")
        self._begun: Future[Batch] | None = None
        self._columns = {"records": list(RECORDS)} | {
            t.name: [*COORDINATES, *(c.name for c in t.columns)] for t in TYPED
        }
        with self._connection.transaction():
            for name in self._columns:
                self._execute(
                    "CREATE TEMP TABLE {} (LIKE {}) ON COMMIT DELETE ROWS", _staged(name), sql.Identifier(name)
                )

    def offsets(self, ids: Mapping[str, str]) -> dict[Place, int]:
        """Where each partition goes on; a recreated topic, known by its id, starts anew."""
        with self._connection.transaction():
            rows = self._connection.execute("SELECT topic, topic_id, partition, next_offset FROM offsets").fetchall()
        return {
            Place(topic, partition): following for topic, ident, partition, following in rows if ids.get(topic) == ident
        }

    def begin(self, batch: Batch) -> None:
        """Write it beside the caller, who makes the next batch meanwhile; one at a time, to be settled before the next."""
        self._begun = self._writer.submit(self.write, batch)

    def settle(self) -> Batch | None:
        """The batch that was begun, once it is in; raises what kept it from that. None if none was begun."""
        begun, self._begun = self._begun, None
        return None if begun is None else begun.result()

    def write(self, batch: Batch) -> Batch:
        """All of it or nothing."""
        with self._connection.transaction():
            for name, rows in batch.rows.items():
                self._insert(name, rows)
            for (place, ident), following in batch.next_offsets.items():
                self._connection.execute(ADVANCE, (place.topic, ident, place.partition, following))
        return batch

    def _insert(self, name: str, rows: Sequence[Row]) -> None:
        """At once, unless something is there already, by its place on the tape or by its source: then only what is not."""
        try:
            with self._connection.transaction():
                self._copy(sql.Identifier(name), name, rows)
        except psycopg.errors.UniqueViolation:
            self._copy(_staged(name), name, rows)
            columns = self._names(name)
            self._execute(
                "INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT DO NOTHING",
                sql.Identifier(name),
                columns,
                columns,
                _staged(name),
            )

    def _copy(self, table: sql.Identifier, name: str, rows: Sequence[Row]) -> None:
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(table, self._names(name))
        with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def _names(self, name: str) -> sql.Composed:
        return sql.SQL(", ").join(map(sql.Identifier, self._columns[name]))

    def _execute(self, statement: LiteralString, *parts: sql.Composable) -> None:
        self._connection.execute(sql.SQL(statement).format(*parts))

    def close(self) -> None:
        self._writer.shutdown()
        self._connection.close()

    def __enter__(self) -> "AuditStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


ADVANCE: LiteralString = """
INSERT INTO offsets AS o (topic, topic_id, partition, next_offset) VALUES (%s, %s, %s, %s)
ON CONFLICT (topic, topic_id, partition) DO UPDATE SET next_offset = GREATEST(o.next_offset, excluded.next_offset)
"""


def _staged(name: str) -> sql.Identifier:
    return sql.Identifier(f"staged_{name}")
