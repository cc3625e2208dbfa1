"""Rows a second into the audit: records taken apart, typed and written, against a bare COPY of the very same rows.

By the wall clock, since Postgres works for both in processes of its own.
"""

import itertools
import time
from collections.abc import Iterator

import msgspec
import psycopg
from psycopg import sql

from infra.postgres.migrate import migrate
from infra.postgres.store import AuditStore, Batch
from infra.postgres.tables import COORDINATES, TYPED
from infra.postgres.tables import RECORDS as RECORD_COLUMNS
from infra.tail import Taken
from tests.bench.measure import Row, in_turn, row
from tests.bench.scene import Scene
from tests.bench.stages import facts
from topics.catalog import ORDERS_EVENTS
from topics.coordinates import Coordinate

RECORDS, TAKE, REPETITIONS = 20_000, 2000, 5
COLUMNS = {"records": list(RECORD_COLUMNS)} | {t.name: [*COORDINATES, *(c.name for c in t.columns)] for t in TYPED}


def measure(scene: Scene) -> Iterator[Row]:
    migrate(scene.postgres, scene.prefix)
    numbers = itertools.count()
    with AuditStore(scene.postgres, scene.prefix) as store, psycopg.connect(scene.postgres, autocommit=True) as bare:
        try:
            tries = [lambda: _audited(store, numbers), lambda: _copied(bare, scene.prefix, numbers)]
            ours, copied = in_turn(tries, REPETITIONS)
        finally:
            bare.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(scene.prefix)))
    judged = row("audit", "rows/s", ours, at_least=50_000)
    yield msgspec.structs.replace(
        judged, reference=copied, ratio=ours / copied, note="reference: COPY of the same rows, made before, no keys"
    )


def _taken(numbers: Iterator[int]) -> list[Taken]:
    return [_one(next(numbers), value) for _, value, _ in itertools.islice(facts(1), RECORDS)]


def _one(n: int, value: bytes) -> Taken:
    src = Coordinate("gateway.sim.main", "", 1, n).encode()
    return Taken(ORDERS_EVENTS.name, "bench", 0, n, 1_700_000_000_000 + n, b"sim.main", value, src, b"bench")


def _audited(store: AuditStore, numbers: Iterator[int]) -> float:
    taken, rows = _taken(numbers), 0
    began = time.perf_counter()
    for first in range(0, len(taken), TAKE):
        batch = Batch(taken[first : first + TAKE])
        store.settle()
        store.begin(batch)
        rows += sum(len(some) for some in batch.rows.values())
    store.settle()
    return rows / (time.perf_counter() - began)


def _copied(connection: "psycopg.Connection[tuple[object, ...]]", schema: str, numbers: Iterator[int]) -> float:
    taken, rows = _taken(numbers), 0
    batches = [Batch(taken[first : first + TAKE]).rows for first in range(0, len(taken), TAKE)]
    for table in batches[0]:
        bare, like = sql.Identifier(schema, f"bare_{table}"), sql.Identifier(schema, table)
        connection.execute(sql.SQL("CREATE TABLE IF NOT EXISTS {} (LIKE {})").format(bare, like))
    began = time.perf_counter()
    for batch in batches:
        with connection.transaction(), connection.cursor() as cursor:
            for table, some in batch.items():
                names = sql.SQL(", ").join(map(sql.Identifier, COLUMNS[table]))
                bare = sql.Identifier(schema, f"bare_{table}")
                with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(bare, names)) as copy:
                    for one in some:
                        copy.write_row(one)
                rows += len(some)
    return rows / (time.perf_counter() - began)
