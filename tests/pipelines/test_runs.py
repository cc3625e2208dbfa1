"""Runs are listed with what they take, and removed whole; one that is up is never touched."""

from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AdminClient

from infra import kafka, services
from infra.errors import Problem
from infra.postgres.migrate import migrate
from infra.shell.changelog import changelog
from pipelines.runs import remove, runs
from pipelines.system import alone
from topics.catalog import FILLS, ORDERS_EVENTS


def made(home: Path, name: str, endpoints: services.Endpoints) -> Path:
    folder = home / "runs" / name
    (folder / "archive").mkdir(parents=True)
    (folder / "archive" / "file").write_bytes(b"x" * 1000)
    kafka.create_topics(endpoints.kafka, name, topics=[FILLS])
    own = changelog(f"{name}.orders", kafka.physical(name, ORDERS_EVENTS), 1)
    kafka.create_topics(endpoints.kafka, "", topics=[own])
    migrate(endpoints.postgres, name)
    return folder


def of(name: str, endpoints: services.Endpoints) -> tuple[set[str], bool]:
    topics = AdminClient(dict(endpoints.kafka)).list_topics(timeout=8).topics
    with psycopg.connect(endpoints.postgres) as connection:
        row = connection.execute("select 1 from pg_namespace where nspname = %s", (name,)).fetchone()
    return {t for t in topics if t.startswith((f"{name}.", f"changelog__{name}."))}, row is not None


def test_a_run_is_removed_whole_and_its_neighbour_stays(
    tmp_path: Path, run_prefix: str, endpoints: services.Endpoints
) -> None:
    one, other = run_prefix, f"{run_prefix}.longer"
    folder = made(tmp_path, one, endpoints)
    made(tmp_path, other, endpoints)
    listed = {run.name: run for run in runs(tmp_path, endpoints.kafka)}
    assert [(r.size, r.topics, r.up) for r in listed.values()] == [(1000, 2, False)] * 2
    with alone(folder), pytest.raises(Problem, match="is up"):
        remove(tmp_path, one, endpoints)
    assert "2 topics" in remove(tmp_path, one, endpoints)
    assert not folder.exists()
    left, schema = of(one, endpoints)
    assert (left, schema) == (of(other, endpoints)[0], False)
    assert len(left) == 2
    assert of(other, endpoints)[1]


@pytest.mark.parametrize("name", ["", "nothing", "../runs", "."])
def test_what_is_no_run_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with pytest.raises(Problem, match="no run"):
        remove(tmp_path, name, services.Endpoints({}, ""))
