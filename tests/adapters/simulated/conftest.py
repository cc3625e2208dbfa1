"""The exchange as a process on a free port, and ccxt and a plain client pointed at it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.adapters.simulated.running import Client, Exchange, pointed_ccxt, started


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """Generated flow, without the venue's budgets so that tests do not spend each other's."""
    folder = tmp_path_factory.mktemp("exchange")
    with started(folder, "--seed", "5", "--weight-limit", "0", "--order-limit", "0") as running:
        yield running


@pytest.fixture
async def client(exchange: Exchange) -> AsyncIterator[Client]:
    async with Client(exchange) as made:
        yield made


@pytest.fixture
async def ccxt_client(exchange: Exchange) -> AsyncIterator[object]:
    """Unmodified ccxt.pro whose URLs point at the exchange."""
    made = pointed_ccxt(exchange)
    try:
        await made.load_markets()
        yield made
    finally:
        await made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "exchange"
