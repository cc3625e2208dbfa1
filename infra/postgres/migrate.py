"""The schema of Postgres by numbered SQL files, each applied once.

Files are `NNNN_name.sql`, plain SQL without transaction statements, run with the target schema as `search_path`. What
was applied stands with its sha256 in the table `schema_migrations` of that schema: a file that was changed afterwards
is an error, and so is one that went missing. All of one call is one transaction.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from infra.errors import Hopeless

FOLDER = Path(__file__).with_name("migrations")
LOCK = 7_428_300_451  # any number that is ours: two processes that migrate at once wait for each other
HISTORY = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""


class MigrationError(Hopeless):
    """The files and what was applied do not go together; the message says which file."""


@dataclass(frozen=True)
class Migration:
    """One file, as it is now."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Digest of the text, recorded when it is applied."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrate(dsn: str, schema: str, folder: Path = FOLDER) -> list[str]:
    """Bring the schema up to date, creating it when absent, and return the names that were applied now, in order.

    Raises MigrationError, and psycopg.Error as it comes; then nothing was changed.
    """
    migrations = read(folder)
    with psycopg.connect(dsn) as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(sql.Identifier(schema)))
        connection.execute(HISTORY)
        new = pending(migrations, _applied(connection))
        for migration in new:
            _apply(connection, migration)
    return [migration.name for migration in new]


def read(folder: Path) -> list[Migration]:
    """The files in the order of their numbers; a name of another form, or a number used twice, is an error."""
    paths = sorted(folder.glob("*.sql"))
    for path in paths:
        if re.fullmatch(r"\d{4}_[a-z0-9_]+\.sql", path.name) is None:
            raise MigrationError(f"{path.name}: a migration is named NNNN_name.sql")
    numbers = [path.name[:4] for path in paths]
    for number in sorted({n for n in numbers if numbers.count(n) > 1}):
        raise MigrationError(f"two migrations have the number {number}")
    return [Migration(path.stem, path.read_text()) for path in paths]


def pending(migrations: list[Migration], applied: dict[str, str]) -> list[Migration]:
    """What is to be applied, given name → sha256 of what was; raises MigrationError when the past was rewritten."""
    known = {migration.name: migration for migration in migrations}
    for name, sha256 in sorted(applied.items()):
        if name not in known:
            raise MigrationError(f"{name} was applied but its file is missing: is this an older version of tapedeck?")
        if known[name].sha256 != sha256:
            raise MigrationError(f"{name} was changed after it was applied: add a new migration instead")
    new = [migration for migration in migrations if migration.name not in applied]
    late = [m.name for m in new if applied and m.name < max(applied)]
    if late:
        raise MigrationError(
            f"{late[0]} comes before {max(applied)}, which was applied already: give it a later number"
        )
    return new


def _applied(connection: psycopg.Connection[TupleRow]) -> dict[str, str]:
    rows = connection.execute("SELECT name, sha256 FROM schema_migrations").fetchall()
    return {str(name): str(sha256) for name, sha256 in rows}


def _apply(connection: psycopg.Connection[TupleRow], migration: Migration) -> None:
    connection.execute(migration.text)
    connection.execute(
        "INSERT INTO schema_migrations (name, sha256) VALUES (%s, %s)", (migration.name, migration.sha256)
    )
