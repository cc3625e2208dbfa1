"""Orders a second through the gateway, with write-ahead and all checks, distinct orders, state kept, on a venue that answers at once.

Unary: many calls at a time, against the same calls to a server that only answers. Batched: records of many intents on the
tape, by the gateway's own processor time.
"""

import asyncio
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import grpc
import psutil
import uvloop

from infra import kafka
from infra.kafka import KafkaConf
from infra.proto.tapedeck.v1 import gateway_pb2 as pb
from infra.proto.tapedeck.v1 import gateway_pb2_grpc as rpc
from tests.bench.measure import Row, in_turn, row
from tests.bench.scene import Scene, eventually
from tests.pipelines.gateway.platform import ACCOUNT, BTC, LIMITS, USED
from topics import wire
from topics.catalog import INSTRUMENTS_LATEST, ORDERS_INTENTS, PORTFOLIO_INBOX, STRATEGY_INBOX, Topic
from topics.market import Instrument, Mark
from topics.orders import SubmitOrder
from topics.record import OrderType, Side

CALLS, AT_ONCE, REPETITIONS = 3000, 64, 5
BATCH, BATCHES = 50, 200
FACTS = 3  # requested, sent, accepted
KEYS = {"BENCH_KEY": "key", "BENCH_SECRET": "secret"}


def measure(scene: Scene) -> Iterator[Row]:
    scene.topics(*USED)
    define(scene.conf, scene.prefix, (INSTRUMENTS_LATEST, PORTFOLIO_INBOX))
    run_dir = scene.home / "runs" / scene.prefix
    words = json.dumps({"config": settings(scene.prefix, scene.home), "kafka": scene.conf})
    gateway = scene.run("-m", "tests.bench.worker_child", f"gateway/{ACCOUNT}", words, env=KEYS)
    echo_file = scene.home / "echo"
    scene.run("-m", "tests.bench.echo_child", str(echo_file))
    eventually(lambda: _ready(run_dir), f"the gateway is ready: {scene.last_words()}")
    eventually(echo_file.exists, "the echo listens")
    address = str(json.loads((run_dir / f"gateway.{ACCOUNT}.json").read_bytes())["address"])
    numbers = itertools.count()
    ours, bare = in_turn(
        [
            lambda: _unary(address, numbers),
            lambda: _unary(echo_file.read_text(), numbers),
        ],
        REPETITIONS,
    )
    yield row("SubmitOrder, unary", "calls/s", ours, bare, at_least=0.5, note="reference: a bare unary call")
    (batched,) = in_turn([lambda: _batched(scene, run_dir, gateway.pid, numbers)], 3)
    yield row("orders from batched intents", "orders/s a core", batched, at_least=5000, note=f"{BATCH} a record")


def settings(name: str, home: Path) -> dict[str, object]:
    """The configuration of a run with one account and limits that let everything pass."""
    return {
        "run": {"name": name, "home": str(home)},
        "venues": {"sim": {"adapter": "binance", "instruments": [BTC]}},
        "accounts": {ACCOUNT: {"api_key_env": "BENCH_KEY", "api_secret_env": "BENCH_SECRET"}},
        "limits": [
            {
                "scope": "firm",
                **LIMITS,
                "max_position_value": "1000000000000",
                "max_orders_per_second": "1000000",
                "max_data_age": "3600",
            }
        ],
        "gateway": {"reconcile_every_s": 3600.0, "lease_s": 60.0},
    }


def define(conf: KafkaConf, prefix: str, topics: Sequence[Topic], strategy: str = "") -> None:
    """The instrument to these topics, under the strategy's key where it has one there; and its mark."""
    now = time.time_ns()
    definition = Instrument(
        instrument=BTC,
        venue="sim",
        venue_symbol="BTCUSDT",
        base="BTC",
        quote="USDT",
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.00001"),
        ts_init=now,
    )
    mark = Mark(instrument=BTC, best_bid=Decimal("60000"), best_ask=Decimal("60000.01"), ts_event=now, ts_init=now)
    producer = kafka.producer(conf)
    for topic in topics:
        key = strategy if topic is STRATEGY_INBOX else BTC
        producer.produce(kafka.physical(prefix, topic), wire.encode([definition]), key)
    producer.produce(kafka.physical(prefix, PORTFOLIO_INBOX), wire.encode([mark]), BTC)
    producer.flush(10)


def _ready(run_dir: Path) -> bool:
    return bool(_status(run_dir).get("ready"))


def _status(run_dir: Path) -> dict[str, int]:
    try:
        return json.loads((run_dir / "status" / f"gateway.{ACCOUNT}.json").read_bytes())  # type: ignore[no-any-return]
    except (OSError, ValueError):
        return {}


def _unary(address: str, numbers: "itertools.count[int]") -> float:
    requests = [
        pb.SubmitOrderRequest(
            client_order_id=f"u{next(numbers)}",
            strategy=f"s{n % 10}",
            account=ACCOUNT,
            instrument=BTC,
            side=pb.SIDE_BUY,
            order_type=pb.ORDER_TYPE_LIMIT,
            order_qty="0.001",
            price=f"{59_000 + n % 900}.5",
        )
        for n in range(CALLS)
    ]
    return uvloop.run(_call_all(address, requests))


async def _call_all(address: str, requests: list[pb.SubmitOrderRequest]) -> float:
    waiting = iter(requests)
    async with grpc.aio.insecure_channel(address) as channel:
        stub = rpc.OrderGatewayStub(channel)
        await channel.channel_ready()

        async def some() -> None:
            for request in waiting:
                answer = await stub.SubmitOrder(request)
                if not answer.accepted:
                    raise RuntimeError(f"denied: {answer}")

        began = time.perf_counter()
        await asyncio.gather(*[some() for _ in range(AT_ONCE)])
        return len(requests) / (time.perf_counter() - began)


def _batched(scene: Scene, run_dir: Path, pid: int, numbers: "itertools.count[int]") -> float:
    """The gateway's processor time from the first intent until all are answered by the venue."""
    producer = kafka.producer(scene.conf)
    before = _written(run_dir)
    process = psutil.Process(pid)
    values = [wire.encode([_intent(next(numbers)) for _ in range(BATCH)]) for _ in range(BATCHES)]
    eventually(lambda: _status(run_dir).get("lag") == 0, "nothing waits")
    used = _used(process)
    for value in values:
        producer.produce(scene.physical(ORDERS_INTENTS), value, "s")
    producer.flush(30)
    wanted = before + FACTS * BATCH * BATCHES
    eventually(lambda: _written(run_dir) >= wanted, "the venue has taken all orders", 180)
    return BATCH * BATCHES / (_used(process) - used)


def _written(run_dir: Path) -> int:
    return int(_status(run_dir).get("events_out", 0))


def _used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _intent(n: int) -> SubmitOrder:
    return SubmitOrder(
        client_order_id=f"i{n}",
        strategy=f"s{n % 10}",
        account=ACCOUNT,
        instrument=BTC,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        order_qty=Decimal("0.001"),
        price=Decimal(f"{59_000 + n % 900}.5"),
        ts_init=time.time_ns(),
    )
