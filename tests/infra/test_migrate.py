"""Numbered SQL files, each applied once, against the real Postgres."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from infra.postgres.migrate import FOLDER, MigrationError, migrate


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two migrations."""
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (n int);\nINSERT INTO first VALUES (1);\n")
    (tmp_path / "0002_second.sql").write_text("CREATE TABLE second (n int);\n")
    return tmp_path


def tables(dsn: str, schema: str) -> set[str]:
    """Names of the schema's tables."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (schema,)).fetchall()
    return {str(name) for (name,) in rows}


def count(dsn: str, schema: str, table: str) -> object:
    """Rows of one table."""
    query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query).fetchone()
    return row and row[0]


def test_all_files_are_applied_in_order_into_the_named_schema_and_only_once(
    postgres_dsn: str, run_prefix: str, folder: Path
) -> None:
    assert migrate(postgres_dsn, run_prefix, folder) == ["0001_first", "0002_second"]
    assert tables(postgres_dsn, run_prefix) == {"schema_migrations", "first", "second"}
    assert migrate(postgres_dsn, run_prefix, folder) == []
    assert count(postgres_dsn, run_prefix, "first") == 1


def test_a_file_that_is_added_later_is_applied_then(postgres_dsn: str, run_prefix: str, folder: Path) -> None:
    migrate(postgres_dsn, run_prefix, folder)
    (folder / "0003_third.sql").write_text("ALTER TABLE second ADD COLUMN m int")
    assert migrate(postgres_dsn, run_prefix, folder) == ["0003_third"]


def test_an_applied_file_that_changed_is_an_error(postgres_dsn: str, run_prefix: str, folder: Path) -> None:
    migrate(postgres_dsn, run_prefix, folder)
    (folder / "0001_first.sql").write_text("CREATE TABLE first (n bigint)")
    with pytest.raises(MigrationError, match="0001_first was changed"):
        migrate(postgres_dsn, run_prefix, folder)


def test_an_applied_file_that_went_missing_is_an_error(postgres_dsn: str, run_prefix: str, folder: Path) -> None:
    migrate(postgres_dsn, run_prefix, folder)
    (folder / "0002_second.sql").unlink()
    with pytest.raises(MigrationError, match="0002_second"):
        migrate(postgres_dsn, run_prefix, folder)


def test_a_file_before_an_applied_one_is_an_error(postgres_dsn: str, run_prefix: str, folder: Path) -> None:
    (folder / "0001_first.sql").rename(folder / "0003_first.sql")
    migrate(postgres_dsn, run_prefix, folder)
    (folder / "0001_late.sql").write_text("SELECT 1")
    with pytest.raises(MigrationError, match="0001_late"):
        migrate(postgres_dsn, run_prefix, folder)


def test_a_file_that_fails_leaves_nothing_of_the_call_behind(postgres_dsn: str, run_prefix: str, folder: Path) -> None:
    (folder / "0002_second.sql").write_text("CREATE TABLE second (n int); SELECT no_such_column")
    with pytest.raises(psycopg.Error):
        migrate(postgres_dsn, run_prefix, folder)
    assert tables(postgres_dsn, run_prefix) == set()


def test_processes_that_migrate_at_once_apply_each_file_once(postgres_dsn: str, run_prefix: str, folder: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(lambda _: migrate(postgres_dsn, run_prefix, folder), range(4)))
    assert sorted(applied, key=len) == [[], [], [], ["0001_first", "0002_second"]]
    assert count(postgres_dsn, run_prefix, "first") == 1


@pytest.mark.parametrize("name", ["1_x.sql", "0001-x.sql", "0002_again.sql"])
def test_a_wrong_or_repeated_number_is_an_error(postgres_dsn: str, run_prefix: str, folder: Path, name: str) -> None:
    (folder / name).write_text("SELECT 1")
    with pytest.raises(MigrationError):
        migrate(postgres_dsn, run_prefix, folder)


def test_the_projects_own_migrations_apply_to_an_empty_schema(postgres_dsn: str, run_prefix: str) -> None:
    assert migrate(postgres_dsn, run_prefix) == [path.stem for path in sorted(FOLDER.glob("*.sql"))]
    assert migrate(postgres_dsn, run_prefix) == []
