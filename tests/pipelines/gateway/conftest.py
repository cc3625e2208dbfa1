"""One exchange for the tests of the gateway; every test has topics of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.simulated.running import Exchange, started
from tests.pipelines.gateway.platform import Platform


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    with started(tmp_path_factory.mktemp("gateway") / "exchange", "--symbols", "BTCUSDT", "--seed", "11") as running:
        yield running


@pytest.fixture
def platform(kafka_conf: dict[str, str], run_prefix: str, exchange: Exchange, tmp_path: Path) -> Platform:
    return Platform(kafka_conf, run_prefix, exchange, tmp_path)
