"""What all tests share: the real broker and database, names that do not collide, and where the recordings are."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from infra import services
from tests.recordings import data_folder

settings.register_profile(
    "tapedeck", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a busy machine fails nothing
settings.load_profile("tapedeck")


@pytest.fixture(scope="session")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[services.Endpoints]:
    """Kafka and Postgres, once per session, in a folder of their own, unless the environment names existing ones."""
    home = tmp_path_factory.mktemp("services")
    try:
        yield services.up(home)
    finally:
        services.down(home)


@pytest.fixture(scope="session")
def kafka_conf(endpoints: services.Endpoints) -> dict[str, str]:
    """librdkafka's client configuration of the real broker."""
    return dict(endpoints.kafka)


@pytest.fixture(scope="session")
def postgres_dsn(endpoints: services.Endpoints) -> str:
    """The real database; a test makes its own schema, named after `run_prefix`."""
    return endpoints.postgres


@pytest.fixture
def run_prefix() -> str:
    """A prefix for the topics, groups and schemas of one test: letters and digits only."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of recorded market data; skips where it is absent."""
    folder = data_folder()
    if not folder.is_dir():
        pytest.skip(f"no recorded data at {folder} (set TAPEDECK_DATA)")
    return folder
