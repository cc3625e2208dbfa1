"""Market data over gRPC as it runs: the real broker, a real server and clients."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from infra import kafka
from infra.config import Config, parse
from infra.proto.tapedeck.v1 import marketdata_pb2 as pb
from infra.proto.tapedeck.v1 import marketdata_pb2_grpc as rpc
from pipelines.host.market import address_in
from pipelines.marketdata.history import market_of
from pipelines.marketdata.hub import Everything, Market
from pipelines.marketdata.worker import run_marketdata
from tests.pipelines.fast.books import INSTRUMENTS, book_of, market
from tests.pipelines.gateway.platform import until
from topics import wire
from topics.catalog import MARKET_EVENTS

RECORDS = 400


class Scene:
    """A run's `market.events`, and the worker that serves it."""

    def __init__(self, conf: dict[str, str], prefix: str, home: Path) -> None:
        self.conf, self.prefix = conf, prefix
        self.config: Config = parse(
            {
                "run": {"name": prefix, "home": str(home)},
                "venues": {"sim": {"adapter": "binance", "instruments": list(INSTRUMENTS)}},
            }
        )
        kafka.create_topics(conf, prefix, topics=[MARKET_EVENTS])
        self._n = 0

    def write(self, made: list[Any]) -> None:
        producer = kafka.producer(self.conf)
        for key, events in made:
            self._n += 1
            headers = [("src", f"normalize|market.raw@x/0|{self._n}|0".encode())]
            producer.produce(kafka.physical(self.prefix, MARKET_EVENTS), wire.encode(events), key, headers=headers)
        assert producer.flush(20) == 0

    def tape(self) -> list[Market]:
        return [market_of(m) for m in kafka.read_all(self.conf, kafka.physical(self.prefix, MARKET_EVENTS))]

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[grpc.aio.Channel]:
        stop = asyncio.Event()
        task = asyncio.create_task(run_marketdata(self.config, self.conf, stop))
        try:
            path = self.config.run_dir / "marketdata.json"
            address = await until(lambda: address_in(path), "the worker listens", lambda: str(task))
            async with grpc.aio.insecure_channel(address) as channel:
                await self._until_serving(channel)
                yield channel
        finally:
            stop.set()
            await asyncio.wait_for(task, 15)

    async def _until_serving(self, channel: grpc.aio.Channel) -> None:
        stub = health_pb2_grpc.HealthStub(channel)
        service = pb.DESCRIPTOR.services_by_name["MarketData"].full_name
        while True:
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return
            await asyncio.sleep(0.05)


@pytest.fixture
def scene(kafka_conf: dict[str, str], run_prefix: str, tmp_path: Path) -> Scene:
    return Scene(kafka_conf, run_prefix, tmp_path)


def subscribe(channel: grpc.aio.Channel, mode: "pb.Mode.ValueType" = pb.MODE_ALL, *names: str) -> Any:
    return rpc.MarketDataStub(channel).Subscribe(pb.SubscribeRequest(instruments=names or INSTRUMENTS, mode=mode))


def as_market(record: pb.MarketRecord) -> Market:
    assert record.topic == "market.events"
    return Market(record.partition, record.offset, record.key, record.value, record.src)


async def some(call: Any, last: set[tuple[int, int]]) -> list[Market]:
    """The records up to where all of these coordinates were met."""
    found: list[Market] = []
    while last:
        record = as_market(await asyncio.wait_for(call.read(), 30))
        found.append(record)
        last = last - {(record.partition, record.offset)}
    return found


async def read_slowly(call: Any) -> None:
    while True:
        await asyncio.wait_for(call.read(), 30)
        await asyncio.sleep(0.01)


def ends(records: list[Market]) -> set[tuple[int, int]]:
    newest = {record.key: (record.partition, record.offset) for record in records}
    return set(newest.values())


@pytest.mark.parametrize("tail", [20_000, 3])
async def test_a_late_subscriber_gets_the_records_as_on_the_tape_and_its_books_are_right(
    scene: Scene, tail: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where what followed the last snapshot is more than is kept in memory."""
    monkeypatch.setattr("pipelines.marketdata.hub.TAIL_MOST", tail)
    scene.write(market(5, RECORDS))
    async with scene.serving() as channel:
        before = scene.tape()
        call = subscribe(channel)
        seen = await some(call, ends(before))
        scene.write([made for made in market(6, 50, 10**9) if "Snapshot" not in type(made[1][0]).__name__])
        tape = scene.tape()
        seen += await some(call, ends(tape) - ends(before))
        call.cancel()
    assert set(seen) <= set(tape)
    for instrument in INSTRUMENTS:
        assert book_of(seen, instrument) == book_of(tape, instrument)
        offsets = [r.offset for r in seen if r.key == instrument]
        assert offsets == [r.offset for r in tape if r.key == instrument][-len(offsets) :]


async def test_a_slow_all_subscriber_is_disconnected_and_others_go_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.marketdata.service.Everything", lambda: Everything(most=100))
    scene.write(market(5, 20))
    async with scene.serving() as channel:
        slow, latest = subscribe(channel), subscribe(channel, pb.MODE_LATEST)
        await slow.initial_metadata()
        await latest.initial_metadata()
        big = market(6, 3000, 1)
        await asyncio.to_thread(scene.write, big)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await read_slowly(slow)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        seen, skipped = set(), 0
        while len(seen) < len(INSTRUMENTS):
            record = await asyncio.wait_for(latest.read(), 30)
            skipped += record.skipped
            seen |= {(record.partition, record.offset)} & ends(scene.tape())
        assert skipped > 0
        latest.cancel()


async def test_a_request_for_no_instrument_that_is_known_is_refused(scene: Scene) -> None:
    wrong = [[], [""], ["xx"], ["sim:"], [":BTC-USDT"], ["sim:NO-SUCH"]]
    async with scene.serving() as channel:
        for instruments in wrong:
            call = rpc.MarketDataStub(channel).Subscribe(pb.SubscribeRequest(instruments=instruments))
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call.read()
            expected = grpc.StatusCode.NOT_FOUND if "sim:NO-SUCH" in instruments else grpc.StatusCode.INVALID_ARGUMENT
            assert refused.value.code() is expected
    assert refused.value.details() == f"no instrument 'sim:NO-SUCH': one of {', '.join(sorted(INSTRUMENTS))}"
