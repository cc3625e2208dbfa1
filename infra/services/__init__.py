"""Kafka and Postgres for one folder: started here, or somebody else's when the environment names them.

They run detached and stay until `down`; any number of processes share them. `TAPEDECK_KAFKA` and `TAPEDECK_POSTGRES`
(see `existing`) replace one or both.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infra.services import existing
from infra.services.errors import ServiceError
from infra.services.kafka import KafkaNode
from infra.services.postgres import PostgresServer

__all__ = ["Endpoints", "ServiceError", "ServiceStatus", "default_home", "down", "endpoints", "status", "up"]

SILENT = "0"  # librdkafka writes to the terminal otherwise; workers, which have a log, turn it up
LEAST_FREE_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True)
class Endpoints:
    """Where the services are. Not shown in `repr`: both may hold passwords."""

    kafka: dict[str, str] = field(repr=False)  # librdkafka's client configuration, with bootstrap.servers
    postgres: str = field(repr=False)  # DSN

    def __post_init__(self) -> None:
        self.kafka.setdefault("log_level", SILENT)


@dataclass(frozen=True)
class ServiceStatus:
    """One service as an operator sees it: `where` shows no secret."""

    name: str
    running: bool
    where: str
    pid: int | None
    detail: str


def default_home() -> Path:
    """The folder of this installation's data and logs: `TAPEDECK_HOME`, else `.tapedeck` where we are."""
    return Path(os.environ.get("TAPEDECK_HOME") or ".tapedeck").absolute()


def up(home: Path, *, progress: Callable[[str], None] = lambda _: None) -> Endpoints:
    """Start what does not run yet, wait until both answer, and say where they are."""
    kafka, postgres = existing.kafka_settings(os.environ), existing.postgres_dsn(os.environ)
    if kafka is not None:
        existing.check_kafka(kafka)
    if postgres is not None:
        existing.check_postgres(postgres)
    if kafka is not None and postgres is not None:
        return Endpoints(kafka, postgres)
    with _alone(home):
        started = kafka is None and _node(home).begin(progress)
        dsn = postgres or _server(home).up(progress)  # meanwhile: Kafka takes its time
        return Endpoints(
            kafka=kafka or {"bootstrap.servers": _node(home).await_answer(started, progress)},
            postgres=dsn,
        )


def down(home: Path) -> None:
    """Stop what we started in this folder; an existing cluster or server is left alone."""
    if home.exists():
        with _alone(home):
            _node(home).down()
            _server(home).down()


def endpoints(home: Path) -> Endpoints | None:
    """Where the services are, or None unless both run; those named by the environment are taken at their word."""
    kafka, postgres = existing.kafka_settings(os.environ), existing.postgres_dsn(os.environ)
    if kafka is None and _node(home).running() is not None:
        kafka = {"bootstrap.servers": _node(home).address()}
    if postgres is None and _server(home).running() is not None:
        postgres = _server(home).dsn()
    return None if kafka is None or postgres is None else Endpoints(kafka, postgres)


def broker(home: Path) -> dict[str, str] | None:
    """The broker's client configuration, or None when it does not run: a kill needs nothing else."""
    found = existing.kafka_settings(os.environ)
    if found is None and _node(home).running() is not None:
        found = {"bootstrap.servers": _node(home).address()}
    return None if found is None else {"log_level": SILENT, **found}


def status(home: Path) -> list[ServiceStatus]:
    """What runs where, Kafka first."""
    return [_kafka_status(home), _postgres_status(home)]


def _kafka_status(home: Path) -> ServiceStatus:
    settings = existing.kafka_settings(os.environ)
    if settings is not None:
        return _answered("kafka", settings["bootstrap.servers"], existing.KAFKA, lambda: existing.check_kafka(settings))
    node = _node(home)
    running = node.running()
    where = "" if running is None else node.address()
    return ServiceStatus(
        "kafka", running is not None, where, None if running is None else running.pid, str(node.folder)
    )


def _postgres_status(home: Path) -> ServiceStatus:
    dsn = existing.postgres_dsn(os.environ)
    if dsn is not None:
        where = existing.postgres_address(dsn)
        return _answered("postgres", where, existing.POSTGRES, lambda: existing.check_postgres(dsn))
    server = _server(home)
    running = server.running()
    where = "" if running is None else str(server.sockets())
    pid = None if running is None else running.pid
    return ServiceStatus("postgres", running is not None, where, pid, str(server.folder))


def _answered(name: str, where: str, variable: str, check: Callable[[], None]) -> ServiceStatus:
    try:
        check()
    except ServiceError as error:
        return ServiceStatus(name, False, where, None, str(error))
    return ServiceStatus(name, True, where, None, f"existing one, named by {variable}")


def _node(home: Path) -> KafkaNode:
    return KafkaNode(home.absolute() / "kafka")


def _server(home: Path) -> PostgresServer:
    return PostgresServer(home.absolute() / "postgres")


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Two terminals may say `up` at once: the second waits for the first."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / "services.lock").open("w")
    except OSError as error:
        raise ServiceError(f"{home} cannot be used as the data folder: {error.strerror} (set TAPEDECK_HOME)") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if shutil.disk_usage(home).free < LEAST_FREE_BYTES:
            raise ServiceError(f"less than {LEAST_FREE_BYTES >> 20} MB free at {home}: make room or set TAPEDECK_HOME")
        yield
