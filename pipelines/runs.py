"""The runs of a home: what each takes, and removing one with all it has: its topics, its schema, its folder."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg
from confluent_kafka.admin import AdminClient
from psycopg import sql

from infra import kafka, services
from infra.errors import Hopeless, Problem
from pipelines.recorded_run import is_up
from pipelines.system import alone
from topics.catalog import TOPICS


@dataclass(frozen=True)
class Run:
    """``age_s`` since anything in it was written; ``topics`` None where the broker was not asked."""

    name: str
    folder: Path
    size: int
    age_s: float
    up: bool
    topics: int | None = None


def runs(home: Path, conf: kafka.KafkaConf | None) -> list[Run]:
    """Newest first."""
    existing = None if conf is None else set(AdminClient(dict(conf)).list_topics(timeout=8).topics)
    folders = [path for path in (home / "runs").glob("*") if path.is_dir()]
    found = [_run(folder, existing) for folder in folders]
    return sorted(found, key=lambda one: (one.age_s, one.name))


def _run(folder: Path, existing: set[str] | None) -> Run:
    files = [path.stat() for path in folder.rglob("*") if path.is_file()]
    newest = max((one.st_mtime for one in files), default=folder.stat().st_mtime)
    topics = None if existing is None else len(topics_of(folder.name, existing))
    return Run(folder.name, folder, sum(f.st_size for f in files), time.time() - newest, _is_running(folder), topics)


def _is_running(folder: Path) -> bool:
    """Held by an ``up`` on this machine, or an archive worker has just told of itself."""
    if is_up(folder, time.time_ns()):
        return True
    try:
        if (folder / "up.lock").exists():
            alone(folder).close()
    except Problem:
        return True
    return False


def topics_of(name: str, existing: set[str]) -> list[str]:
    """The run's own topics and changelogs, by their whole names: another run's name may begin with this one's."""
    inputs = {kafka.physical(name, topic) for topic in TOPICS.values()}
    changelogs = {
        t for t in existing if t.startswith(f"changelog__{name}.") and t.split("--")[1:2] and t.split("--")[1] in inputs
    }
    return sorted((inputs & existing) | changelogs)


def remove(home: Path, name: str, found: services.Endpoints) -> str:
    """What was removed, in a line. Problem where there is no such run, or it is running."""
    folder = home / "runs" / name
    if not name or Path(name).name != name or not folder.is_dir():
        raise Hopeless(f"no run {name!r} in {home}: see 'tapedeck runs ls'")
    if _is_running(folder):
        raise Problem(f"run {name!r} is up: stop it first")
    with alone(folder):
        gone = _remove_topics(name, found.kafka)
        with psycopg.connect(found.postgres) as connection:
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))
        current = home / "current.toml"
        if current.is_symlink() and folder.resolve() in current.resolve().parents:
            current.unlink()
        shutil.rmtree(folder)
    return f"removed {name}: {gone} topics, its schema, its folder"


def _remove_topics(name: str, conf: kafka.KafkaConf) -> int:
    admin = AdminClient(dict(conf))
    names = topics_of(name, set(admin.list_topics(timeout=8).topics))
    for future in admin.delete_topics(names, operation_timeout=30).values() if names else ():
        future.result()
    return len(names)
