"""Two gateways never hold one account: the lease on the real tape."""

import asyncio
import time

import pytest

from infra import kafka
from infra.edge import Edge, EdgeFailed
from pipelines.gateway.lease import Lease, LeaseLost, await_free, free_at
from pipelines.gateway.state import State
from pipelines.gateway.tape import Tape
from topics.catalog import GATEWAY_LEASES, STAGE_LOG
from topics.system import GatewayLease

ACCOUNT = "sim.main"
NS = 1_000_000_000
WINDOW_NS = NS // 5


@pytest.fixture
def prefix(kafka_conf: dict[str, str], run_prefix: str) -> str:
    kafka.create_topics(kafka_conf, run_prefix, topics=[GATEWAY_LEASES, STAGE_LOG])
    return run_prefix


def held_by(edge: Edge, conf: dict[str, str], prefix: str, lease_s: float = 1.0) -> Lease:
    return Lease(Tape(edge, State.empty(ACCOUNT), {}), conf, prefix, ACCOUNT, edge.epoch, lease_s, WINDOW_NS)


def edge(conf: dict[str, str], prefix: str) -> Edge:
    return Edge(conf, prefix, f"gateway.{ACCOUNT}", config_digest="test", subscriptions={})


async def test_a_released_lease_is_free_at_once(kafka_conf: dict[str, str], prefix: str) -> None:
    stop = asyncio.Event()
    with edge(kafka_conf, prefix) as one:
        lease = held_by(one, kafka_conf, prefix, lease_s=60)
        await lease.claim(stop)
        assert lease.held
        await lease.release()
        assert not lease.held
        await asyncio.wait_for(await_free(kafka_conf, prefix, ACCOUNT, WINDOW_NS, stop), 10)


async def test_what_was_reconciled_is_handed_on(kafka_conf: dict[str, str], prefix: str) -> None:
    stop = asyncio.Event()
    with edge(kafka_conf, prefix) as one, edge(kafka_conf, prefix) as two:
        first, second = held_by(one, kafka_conf, prefix, 60), held_by(two, kafka_conf, prefix, 60)
        await first.claim(stop)
        first.reconciled["sim:BTC-USDT"] = 17
        await first.release()
        await second.claim(stop)
        assert second.reconciled == {"sim:BTC-USDT": 17}


async def test_an_edge_that_must_not_wait_fails_when_more_waits_than_the_producer_holds(
    kafka_conf: dict[str, str], prefix: str
) -> None:
    conf = {**kafka_conf, "queue.buffering.max.messages": "3"}
    with Edge(conf, prefix, "one", config_digest="test", subscriptions={}, blocking=False) as full:

        def flood() -> None:
            for _ in range(100_000):
                full.publish_raw(GATEWAY_LEASES, None, b"[]")

        with pytest.raises(EdgeFailed, match="records wait for the broker"):
            flood()
        with pytest.raises(EdgeFailed):  # for good: what came behind would hide the one that is missing
            full.publish_raw(GATEWAY_LEASES, None, b"[]")


async def test_a_dead_holders_lease_is_waited_out_with_the_receive_window(
    kafka_conf: dict[str, str], prefix: str
) -> None:
    stop = asyncio.Event()
    with edge(kafka_conf, prefix) as one:
        lease = held_by(one, kafka_conf, prefix)
        await lease.claim(stop)
        claimed = time.time_ns()
    await await_free(kafka_conf, prefix, ACCOUNT, WINDOW_NS, stop)
    assert time.time_ns() - claimed >= WINDOW_NS
    assert not lease.held


async def test_a_living_holder_keeps_others_out(kafka_conf: dict[str, str], prefix: str) -> None:
    stop = asyncio.Event()
    with edge(kafka_conf, prefix) as one:
        lease = held_by(one, kafka_conf, prefix, lease_s=10)
        await lease.claim(stop)
        keeping = asyncio.create_task(lease.keep(stop))
        with pytest.raises(LeaseLost, match="another gateway trades"):
            await await_free(kafka_conf, prefix, ACCOUNT, WINDOW_NS, stop)
        stop.set()
        await keeping


async def test_a_frozen_holder_that_wakes_behind_its_successor_never_holds_again(
    kafka_conf: dict[str, str], prefix: str
) -> None:
    stop = asyncio.Event()
    with edge(kafka_conf, prefix) as one, edge(kafka_conf, prefix) as two:
        frozen, successor = held_by(one, kafka_conf, prefix, 0.3), held_by(two, kafka_conf, prefix, 30)
        await frozen.claim(stop)
        await await_free(kafka_conf, prefix, ACCOUNT, WINDOW_NS, stop)
        await successor.claim(stop)
        assert not frozen.held
        with pytest.raises(LeaseLost, match="fenced"):
            await frozen.keep(stop)
        assert not frozen.held
        assert successor.held


async def test_of_two_that_claim_together_the_newer_one_stays(kafka_conf: dict[str, str], prefix: str) -> None:
    stop = asyncio.Event()
    with edge(kafka_conf, prefix) as one, edge(kafka_conf, prefix) as two:
        older, newer = held_by(one, kafka_conf, prefix, 2), held_by(two, kafka_conf, prefix, 2)
        outcomes = await asyncio.gather(older.claim(stop), newer.claim(stop), return_exceptions=True)
        assert isinstance(outcomes[0], LeaseLost) or not older.held
        assert outcomes[1] is None
        assert newer.held


def test_free_is_after_the_last_lease_and_the_window() -> None:
    def lease(epoch: int, expires_ns: int, released: bool = False) -> GatewayLease:
        return GatewayLease(account=ACCOUNT, epoch=epoch, expires_ns=expires_ns, released=released, ts_init=0)

    assert free_at({}, WINDOW_NS) == 0
    assert free_at({1: lease(1, 5 * NS, released=True)}, WINDOW_NS) == 0
    assert free_at({1: lease(1, 5 * NS), 2: lease(2, 3 * NS)}, WINDOW_NS) > 5 * NS + WINDOW_NS
