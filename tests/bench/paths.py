"""From a tick on the tape to its order leaving for the venue, on both paths, against the raw parts that each consists of.

Kafka: market.events → signals → strategy.inbox → intents → orders.intents → gateway → orders.events, acknowledged → the venue; against
two relays and a last process that writes what it consumes and waits for the acknowledgement. gRPC: market.events → marketdata → host →
gateway → orders.events, acknowledged → the venue; against one process that consumes, calls a bare unary grpc.aio service (as many
messages as one record of a stream and one call's request), writes and waits for the acknowledgement.

One tick at a time, ours and the raw one in turn; every process is one of its own. An order is taken off the strategy's desk by what the
orders stage would say, between two ticks: nothing grows but the gateway's book.
"""

import json
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Consumer, Producer

from infra import kafka
from infra.shell.status import status_path
from tests.bench.gateway import KEYS, define, settings
from tests.bench.measure import Row, quantiles, row
from tests.bench.scene import Scene, eventually, next_record
from tests.bench.told import Listener
from tests.pipelines.gateway.platform import ACCOUNT, BTC
from topics import wire
from topics.catalog import INSTRUMENTS_LATEST, MARKET_EVENTS, ORDERS_INTENTS, PORTFOLIO_INBOX, STRATEGY_INBOX, Topic
from topics.coordinates import HEADER, Coordinate
from topics.market import BookSnapshot, Quote
from topics.orders import OrderStatus, OrderUpdated, SubmitOrder

STRATEGY = "taker"
WARM, ROUNDS, LONGEST_S = 100, 1500, 45.0
RAW = [Topic(f"raw.{n}", partitions=1) for n in range(4)]
Lane = Callable[[int], float]


def measure(scene: Scene) -> Iterator[Row]:
    yield from _rows(scene, "kafka", "its raw hops: two relays, a consumer, an acknowledged write")
    yield from _rows(scene, "grpc", "its raw parts: a consumer, a grpc.aio echo, an acknowledged write")


def _rows(scene: Scene, how: str, parts: str) -> Iterator[Row]:
    ours, raw = Listener(), Listener()
    try:
        workers = Workers(scene, how, ours)
        lanes = [workers.lane, _raw_lane(scene, how, raw)]
        taken = _in_turn(lanes)
    finally:
        scene.stop()
        ours.close()
        raw.close()
    (p50, p99), (raw_p50, raw_p99) = map(quantiles, taken)
    name = f"tick → order sent, {'Kafka' if how == 'kafka' else 'gRPC'} path"
    yield row(f"{name} p50", "ms", p50, raw_p50, note=f"reference: {parts}")
    yield row(f"{name} p99", "ms", p99, raw_p99, at_most=1.5, note=f"{len(taken[0])} ticks")


def _in_turn(lanes: list[Lane]) -> list[list[float]]:
    """So many rounds as fit into the time; the first ones are not counted."""
    taken: list[list[float]] = [[] for _ in lanes]
    end = time.monotonic() + LONGEST_S
    for n in range(WARM + ROUNDS):
        for index in (0, 1) if n % 2 else (1, 0):
            took = lanes[index](n + 1)
            if n >= WARM:
                taken[index].append(took)
        if n > 2 * WARM and time.monotonic() > end:
            break
    return taken


class Workers:
    """The real workers of one path, on the stub venue."""

    def __init__(self, scene: Scene, how: str, told: Listener) -> None:
        self.prefix = f"{scene.prefix}.{how}"
        self._told = told
        self._conf = scene.conf
        kafka.create_topics(scene.conf, self.prefix)
        define(scene.conf, self.prefix, (INSTRUMENTS_LATEST, PORTFOLIO_INBOX, STRATEGY_INBOX), STRATEGY)
        hosted = {"host": "grpc"} if how == "grpc" else {}
        section = {"class": "tests.bench.taker:Taker", "account": ACCOUNT, "instruments": [BTC], **hosted}
        config = {**settings(self.prefix, scene.home), "strategies": {STRATEGY: section}, "metrics": {"enabled": False}}
        self._producer: Producer = kafka.producer(scene.conf)
        self._write(MARKET_EVENTS, _snapshot(), BTC, 1)
        run_dir = scene.home / "runs" / self.prefix
        gateway, status = f"gateway/{ACCOUNT}", run_dir / "status"
        ready = {gateway: status / f"gateway.{ACCOUNT}.json"}
        if how == "kafka":
            for name in (f"signals/{STRATEGY}", f"intents/{STRATEGY}"):
                ready[name] = status_path(run_dir / "state", name, 0)
        else:
            ready |= {"marketdata": status / "marketdata.json", f"host/{STRATEGY}": status / f"host-{STRATEGY}.json"}
        words = json.dumps({"config": config, "kafka": scene.conf})
        for name, path in ready.items():
            process = scene.run("-m", "tests.bench.worker_child", name, words, env={**KEYS, **told.env})
            eventually(lambda path=path, process=process: _ready(path, process.poll()), f"{name} is ready")
        self._intents: Consumer = scene.reader([(kafka.physical(self.prefix, ORDERS_INTENTS), 0)])
        self._last_words = scene.last_words

    def lane(self, n: int) -> float:
        """One tick, in milliseconds; then its order leaves the desk."""
        now = time.time_ns()
        bid = Decimal(59_000 + n % 900)
        quote = Quote(
            instrument=BTC,
            best_bid=bid,
            bid_size=Decimal(1),
            best_ask=bid + 1,
            ask_size=Decimal(1),
            ts_event=now,
            ts_init=now,
        )
        began = time.monotonic_ns()
        self._write(MARKET_EVENTS, quote, BTC, n + 1)
        try:
            took = (self._told.next() - began) / 1e6
        except TimeoutError:
            raise RuntimeError(f"no order left for tick {n}: {self._last_words()}") from None
        (order,) = wire.decode(next_record(self._intents).value() or b"", ORDERS_INTENTS.types)
        self._write(STRATEGY_INBOX, _done(order), STRATEGY, n)
        return took

    def _write(self, topic: Topic, event: Any, key: str, n: int) -> None:
        src = Coordinate("bench", "", 1, n).encode()
        self._producer.produce(kafka.physical(self.prefix, topic), wire.encode([event]), key, headers=[(HEADER, src)])
        self._producer.poll(0)


def _snapshot() -> BookSnapshot:
    now, one = time.time_ns(), Decimal(1)
    return BookSnapshot(
        instrument=BTC,
        bids=((Decimal(59_000), one),),
        asks=((Decimal(60_000), one),),
        sequence=1,
        ts_event=now,
        ts_init=now,
    )


def _done(order: SubmitOrder) -> OrderUpdated:
    return OrderUpdated(
        client_order_id=order.client_order_id,
        account=order.account,
        instrument=order.instrument,
        strategy=order.strategy,
        side=order.side,
        order_type=order.order_type,
        order_qty=order.order_qty,
        price=order.price,
        status=OrderStatus.CANCELED,
        fact="OrderCanceled",
        ts_init=time.time_ns(),
    )


def _ready(path: Path, ended: int | None) -> bool:
    if ended is not None:
        raise RuntimeError(f"a worker ended with {ended}")
    try:
        return bool(msgspec.json.decode(path.read_bytes())["ready"])
    except (OSError, msgspec.DecodeError, KeyError):
        return False


def _raw_lane(scene: Scene, how: str, told: Listener) -> Lane:
    prefix = f"{scene.prefix}.{how}.bare"
    kafka.create_topics(scene.conf, prefix, topics=RAW)
    names = [kafka.physical(prefix, topic) for topic in RAW]
    conf, address, last = json.dumps(scene.conf), "", names[0]
    if how == "kafka":
        for source, target in ((names[0], names[1]), (names[1], names[2])):
            scene.run("-m", "tests.bench.raw_child", conf, source, target, "", "1")
        last = names[2]
    else:
        file = scene.home / "echo"
        scene.run("-m", "tests.bench.echo_child", str(file))
        eventually(file.exists, "the echo listens")
        address = file.read_text()
    scene.run("-m", "tests.bench.raw_end_child", conf, last, names[3], address, env=told.env)
    producer = kafka.producer(scene.conf)
    value = wire.encode([_snapshot()])

    def lane(n: int) -> float:
        src = Coordinate("bench", "", 1, n).encode()
        began = time.monotonic_ns()
        producer.produce(names[0], value, BTC, headers=[(HEADER, src)])
        producer.poll(0)
        return (told.next() - began) / 1e6

    return lane
