"""One exchange for these tests; every test has topics of its own."""

from collections.abc import Iterator

import pytest

from tests.adapters.simulated.running import Exchange, started


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    with started(tmp_path_factory.mktemp("fast") / "exchange", "--symbols", "BTCUSDT", "--seed", "11") as running:
        yield running
