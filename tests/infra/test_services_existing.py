"""Clusters that somebody else runs, named by the environment."""

from pathlib import Path

import pytest

from infra import services
from infra.services import existing
from infra.services.kafka import free_ports


def test_an_existing_cluster_and_server_are_used_and_nothing_is_started(
    kafka_conf: dict[str, str], postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEDECK_KAFKA", kafka_conf["bootstrap.servers"])
    monkeypatch.setenv("TAPEDECK_KAFKA_CLIENT_ID", "tester")
    monkeypatch.setenv("TAPEDECK_POSTGRES", postgres_dsn)
    found = services.up(tmp_path)
    assert found.kafka == {**kafka_conf, "client.id": "tester"}
    assert found.postgres == postgres_dsn
    assert services.endpoints(tmp_path) == found
    assert [(one.running, one.pid) for one in services.status(tmp_path)] == [(True, None), (True, None)]
    services.down(tmp_path)
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "services.lock"])
    existing.check_kafka(kafka_conf)
    existing.check_postgres(postgres_dsn)


def test_sasl_and_tls_settings_are_passed_through() -> None:
    environment = {
        "TAPEDECK_KAFKA": "b1:9092,b2:9092",
        "TAPEDECK_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "TAPEDECK_KAFKA_SASL_MECHANISMS": "SCRAM-SHA-512",
        "TAPEDECK_KAFKA_SSL_CA_LOCATION": "ca.pem",
        "HOME": "elsewhere",
    }
    assert existing.kafka_settings(environment) == {
        "bootstrap.servers": "b1:9092,b2:9092",
        "security.protocol": "SASL_SSL",
        "sasl.mechanisms": "SCRAM-SHA-512",
        "ssl.ca.location": "ca.pem",
    }


@pytest.mark.parametrize("environment", [{}, {"TAPEDECK_KAFKA": ""}, {"TAPEDECK_KAFKA_SECURITY_PROTOCOL": "SSL"}])
def test_without_an_address_no_cluster_is_named(environment: dict[str, str]) -> None:
    assert existing.kafka_settings(environment) is None


def test_a_misspelt_setting_is_named_in_one_line() -> None:
    settings = existing.kafka_settings({"TAPEDECK_KAFKA": "127.0.0.1:1", "TAPEDECK_KAFKA_SECURTY_PROTOCOL": "SSL"})
    assert settings is not None
    with pytest.raises(services.ServiceError, match="securty") as caught:
        existing.check_kafka(settings)
    assert "\n" not in str(caught.value)


def test_a_cluster_that_does_not_answer_is_one_line_with_its_address() -> None:
    (port,) = free_ports(1)
    with pytest.raises(services.ServiceError, match=f"127.0.0.1:{port}") as caught:
        existing.check_kafka({"bootstrap.servers": f"127.0.0.1:{port}"}, within_s=1.0)
    assert "\n" not in str(caught.value)


def test_a_database_that_does_not_answer_is_one_line_without_its_password() -> None:
    (port,) = free_ports(1)
    with pytest.raises(services.ServiceError, match=f"127.0.0.1:{port}/db") as caught:
        existing.check_postgres(f"postgresql://me:secret@127.0.0.1:{port}/db")
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_endpoints_do_not_show_their_secrets() -> None:
    assert "secret" not in repr(services.Endpoints({"sasl.password": "secret"}, "postgresql://me:secret@db/x"))
