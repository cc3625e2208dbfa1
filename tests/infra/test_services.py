"""The two services in one folder: started once, found again, stopped, with their data kept."""

import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from infra import services
from infra.services import existing, kafka
from infra.services.kafka import free_ports, is_free
from infra.services.postgres import PostgresServer


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own for local services, stopped at the end whatever the test did."""
    monkeypatch.delenv(existing.KAFKA, raising=False)
    monkeypatch.delenv(existing.POSTGRES, raising=False)
    yield tmp_path / "home"
    services.down(tmp_path / "home")


def pids_below(folder: Path) -> set[int]:
    """Processes whose command line names the folder."""
    found = psutil.process_iter(["cmdline"])
    return {p.pid for p in found if any(str(folder) in word for word in p.info["cmdline"] or [])}


@contextmanager
def somebody_on(port: int) -> Iterator[None]:
    """Another server on this port, as soon as its former owner is gone."""
    deadline = time.monotonic() + 20
    while not is_free(port) and time.monotonic() < deadline:
        time.sleep(0.02)
    with socket.create_server(("127.0.0.1", port)):
        yield


def create_topic(kafka: dict[str, str], name: str) -> None:
    """One partition, retention without end."""
    client = AdminClient(kafka)
    for future in client.create_topics([NewTopic(name, 1, 1)]).values():
        future.result(20)


def publish(kafka: dict[str, str], topic: str, value: bytes) -> None:
    """Written and acknowledged."""
    producer = Producer({**kafka, "acks": "all"})
    producer.produce(topic, value)
    assert producer.flush(20) == 0


def first_value(kafka: dict[str, str], topic: str) -> bytes | None:
    """The first record of the topic."""
    consumer = Consumer({**kafka, "group.id": topic, "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe([topic])
        record = consumer.poll(20)
        return None if record is None else record.value()
    finally:
        consumer.close()


def test_services_run_once_are_found_again_keep_port_and_data_over_a_restart_and_leave_no_process(
    home: Path, run_prefix: str
) -> None:
    said: list[str] = []
    first = services.up(home, progress=said.append)
    assert any("formatting" in line for line in said)
    create_topic(first.kafka, run_prefix)
    publish(first.kafka, run_prefix, b"kept")
    with psycopg.connect(first.postgres) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    running = {one.name: one.pid for one in services.status(home)}
    assert all(one.running for one in services.status(home))
    assert services.endpoints(home) == first

    assert services.up(home) == first
    assert {one.name: one.pid for one in services.status(home)} == running, "a second up starts nothing"

    services.down(home)
    assert [one.running for one in services.status(home)] == [False, False]
    assert services.endpoints(home) is None
    assert pids_below(home) == set()

    said.clear()
    second = services.up(home, progress=said.append)
    assert second == first, "clients find the services where they were"
    assert not any("formatting" in line or "creating" in line for line in said)
    assert first_value(second.kafka, run_prefix) == b"kept"
    with psycopg.connect(second.postgres) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_services_that_were_killed_start_again_even_when_their_port_was_taken_meanwhile(
    home: Path, run_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "FREE_WITHIN_S", 0.5)
    first = services.up(home)
    create_topic(first.kafka, run_prefix)
    publish(first.kafka, run_prefix, b"kept")
    for one in services.status(home):
        assert one.pid is not None
        psutil.Process(one.pid).kill()
    port = int(first.kafka["bootstrap.servers"].rpartition(":")[2])
    with somebody_on(port):
        second = services.up(home)
        assert second.kafka != first.kafka
        assert first_value(second.kafka, run_prefix) == b"kept"


def test_a_server_waits_for_its_port_while_the_one_before_is_still_ending() -> None:
    broker, controller = free_ports(2)
    before = socket.create_server(("127.0.0.1", broker))
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        before.close()

    with before:
        assert kafka.come_free(kafka.Ports(broker, controller, ""), tell)
    assert told == [f"Kafka: waiting for port {broker}"]


def test_down_where_nothing_ever_ran_does_nothing(tmp_path: Path) -> None:
    services.down(tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_status_of_a_folder_that_does_not_exist_says_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(existing.KAFKA, raising=False)
    monkeypatch.delenv(existing.POSTGRES, raising=False)
    assert [(one.name, one.running) for one in services.status(tmp_path / "x")] == [
        ("kafka", False),
        ("postgres", False),
    ]


def test_a_home_that_is_a_file_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(existing.KAFKA, raising=False)
    (tmp_path / "home").write_text("")
    with pytest.raises(services.ServiceError, match="TAPEDECK_HOME"):
        services.up(tmp_path / "home")


def test_postgres_takes_a_short_socket_folder_when_its_own_path_is_too_long(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / ("long" * 30) / "postgres")
    server.folder.parent.mkdir()
    try:
        with psycopg.connect(server.up(lambda _: None)) as connection:
            assert connection.execute("SELECT current_database()").fetchone() == ("tapedeck",)
        assert server.sockets() != server.folder
    finally:
        server.down()
    assert not server.sockets().exists()


def test_postgres_starts_although_another_program_has_the_pid_of_its_last_run(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "postgres")
    try:
        server.up(lambda _: None)
        pid_file = server.folder / "data" / "postmaster.pid"
        stale = pid_file.read_text()
        server.down()
        pid_file.write_text(f"{os.getpid()}\n" + stale.partition("\n")[2])
        assert server.running() is None
        server.down()
        assert psutil.Process().is_running(), "the other program was left alone"
        server.up(lambda _: None)
        assert server.running() is not None
    finally:
        server.down()


def test_postgres_does_not_need_its_folders_to_be_open_to_others(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = PostgresServer(closed / "postgres")
    try:
        server.up(lambda _: None)
        assert closed.stat().st_mode & 0o077 == 0
    finally:
        server.down()
        shutil.rmtree(closed)


def test_a_servers_ports_are_none_that_the_system_gives_to_clients() -> None:
    ports = free_ports(50)
    with socket.socket() as client:
        client.bind(("127.0.0.1", 0))
        given = client.getsockname()[1]
    assert len(set(ports)) == 50
    assert max(ports) < given
    assert all(map(is_free, ports))
