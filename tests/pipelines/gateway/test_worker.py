"""The process around the parts, on the matching core and a tape in memory: when it is ready, and how it ends."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.base import VenueRefused
from adapters.execution import StreamUp, VenueEvent
from adapters.paper import PaperExecution
from infra.config import parse
from infra.edge import EdgeFailed
from infra.errors import Hopeless
from pipelines.gateway import recover, worker
from pipelines.gateway.lease import LeaseLost
from pipelines.gateway.venue import Frames
from pipelines.gateway.worker import Gateway
from tests.pipelines.gateway.bench import Bench
from tests.pipelines.gateway.platform import settings
from tests.pipelines.gateway.worlds import ACCOUNT, add_market
from topics import wire
from topics.portfolio import BalanceChanged


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "RECONNECT_S", (0.001,))
    monkeypatch.setattr(worker, "STOP_S", 1.0)
    monkeypatch.setattr(recover, "CONFIRM_S", 0.01)


def gateway_on(bench: Bench, home: Path, kind: type[Gateway] = Gateway, **run: object) -> Gateway:
    """With the bench's state, engine and recovery in the place of its own."""
    config = parse(settings("127.0.0.1:1", "test", home, run=run))
    made = kind(config, {}, ACCOUNT, bench.adapter, bench.edge, Frames())  # type: ignore[arg-type]
    made.state, made.tape, made.engine, made.recovery = bench.state, bench.tape, bench.engine, bench.recovery
    return made


class RefusesAgain(PaperExecution):
    """Takes the subscription ``up`` times, and then refuses our clock."""

    up, asked = 0, 0

    async def events(self) -> AsyncIterator[VenueEvent]:
        self.asked += 1
        if self.asked <= self.up:
            yield StreamUp()
        raise VenueRefused("-1021 Timestamp for this request is outside of the recvWindow.")


async def test_a_clock_refused_at_the_first_contact_is_hopeless(tmp_path: Path) -> None:
    gateway = gateway_on(Bench(RefusesAgain), tmp_path)
    with pytest.raises(Hopeless):
        await gateway._follow_stream(asyncio.Event())


async def test_a_clock_refused_later_is_tried_again(tmp_path: Path) -> None:
    bench = Bench(RefusesAgain)
    gateway, stop = gateway_on(bench, tmp_path), asyncio.Event()
    adapter = bench.adapter
    assert isinstance(adapter, RefusesAgain)
    adapter.up = 1
    following = asyncio.create_task(gateway._follow_stream(stop))
    deadline = time.monotonic() + 10
    while adapter.asked < 4 and not following.done():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)
    stop.set()
    await following
    await gateway._close()
    assert adapter.asked >= 4
    assert not bench.state.ready


async def test_it_is_ready_when_its_own_word_on_the_balances_has_come_back(tmp_path: Path) -> None:
    bench = Bench()
    bench.state.ready, bench.state.market.balances = False, {}
    gateway = gateway_on(bench, tmp_path)
    becoming = asyncio.create_task(gateway._become_ready(0, asyncio.Event()))
    deadline = time.monotonic() + 10
    while not bench.recovery.rounds:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)
    await asyncio.sleep(0)
    assert not bench.state.ready
    said = [
        r
        for topic, value in bench.edge.written
        if topic == "portfolio.inbox"
        for r in wire.decode(value, (BalanceChanged,))
    ]
    add_market(bench.state, *said)
    await asyncio.wait_for(becoming, 10)
    assert bench.state.ready


class Failing(Gateway):
    """Serves until it meets this."""

    error: Exception = EdgeFailed("the broker takes nothing")

    async def _open(self, stop: asyncio.Event) -> None:
        raise self.error


async def failed(bench: Bench, home: Path, error: Exception, **run: object) -> int:
    """How many orders rest at the venue after the gateway has ended with this error."""
    bench.submit()
    await bench.until("OrderAccepted")
    bench.hear()
    gateway = gateway_on(bench, home, Failing, **run)
    gateway.error = error  # type: ignore[attr-defined]
    with pytest.raises(type(error)):
        await gateway.run(asyncio.Event())
    return len(bench.core.open_orders("main"))


@pytest.mark.parametrize("error", [EdgeFailed("the broker takes nothing"), Hopeless("keys"), KeyError("a mistake")])
async def test_a_gateway_that_fails_cancels_what_rests(tmp_path: Path, error: Exception) -> None:
    bench = Bench()
    assert await failed(bench, tmp_path, error) == 0


async def test_what_is_to_be_left_is_left_and_another_holders_orders_are_not_touched(tmp_path: Path) -> None:
    assert await failed(Bench(), tmp_path, Hopeless("keys"), cancel_on_stop=False) == 1
    assert await failed(Bench(), tmp_path, LeaseLost("fenced")) == 1
