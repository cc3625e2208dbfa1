"""One hop: a record into a topic, and out of the next. A stage of ours against a consumer that produces what it got."""

import json
import time
from collections.abc import Callable, Iterator

from confluent_kafka import Consumer, Producer

from infra import kafka
from tests.bench.measure import Row, quantiles, row
from tests.bench.scene import Scene, next_record
from tests.infra.shell_toys import trade
from topics import wire
from topics.catalog import DEAD_LETTERS, MARKET_EVENTS, STAGE_LOG, STRATEGY_INBOX, Topic
from topics.coordinates import HEADER, Coordinate

ROUNDS, WARM = 2000, 200
RAW_IN, RAW_OUT = Topic("raw.in", partitions=1), Topic("raw.out", partitions=1)
KEY = "x:A"


def measure(scene: Scene) -> Iterator[Row]:
    scene.topics(MARKET_EVENTS, STRATEGY_INBOX, STAGE_LOG, DEAD_LETTERS, RAW_IN, RAW_OUT)
    scene.stage("count")
    scene.run(
        "-m", "tests.bench.raw_child", json.dumps(scene.conf), scene.physical(RAW_IN), scene.physical(RAW_OUT), "", "1"
    )
    producer = kafka.producer(scene.conf)
    inbox = scene.physical(STRATEGY_INBOX)
    ours = scene.reader((inbox, p) for p in range(STRATEGY_INBOX.partitions))
    raw = scene.reader([(scene.physical(RAW_OUT), 0)])
    lanes = [_lane(producer, scene.physical(MARKET_EVENTS), ours), _lane(producer, scene.physical(RAW_IN), raw)]
    for n in range(WARM):
        for lane in lanes:
            lane(n + 1)
    taken: list[list[float]] = [[], []]
    for n in range(ROUNDS):
        for index in (0, 1) if n % 2 else (1, 0):
            taken[index].append(lanes[index](WARM + n + 1))
    ours.close()
    raw.close()
    (p50, p99), (raw_p50, raw_p99) = quantiles(taken[0]), quantiles(taken[1])
    yield row("stage hop p50", "ms", p50, raw_p50, at_most=1.3, note="Quix stage with state, fence and checkpoints")
    yield row("stage hop p99", "ms", p99, raw_p99)


def _lane(producer: Producer, topic: str, reader: Consumer) -> Callable[[int], float]:
    """One record there and back, in milliseconds."""

    def there_and_back(n: int) -> float:
        value = wire.encode([trade(KEY, n)])
        src = Coordinate("edge", "", 1, n).encode()
        began = time.perf_counter()
        producer.produce(topic, value, KEY, headers=[(HEADER, src)])
        producer.poll(0)
        next_record(reader)
        return (time.perf_counter() - began) * 1000

    return there_and_back
