"""Events a second and core of the stages that carry most: one event a record, and fifty.

A core is a second of the process's own processor time, so that neighbours on the machine do not count. The reference
takes the same records, decodes and encodes them, and writes them on: no fold, no state, no fence, no checkpoint.
"""

import itertools
import json
import os
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from confluent_kafka import Consumer, Producer, TopicPartition

from infra import kafka
from infra.shell.status import read_status, status_path
from pipelines.backtest_source import open_source
from tests.bench.measure import Row, row
from tests.bench.scene import Scene, eventually
from tests.facts import OrderMaker, fill
from tests.pipelines.flow_capture import record_flow
from topics import wire
from topics.catalog import FILLS, MARKET_RAW, ORDERS_EVENTS, TOPICS, Topic
from topics.coordinates import HEADER, Coordinate
from topics.record import Record, Side

BATCH = 50
EVENTS = int(os.environ.get("TAPEDECK_BENCH_EVENTS", "100000"))
REPETITIONS = 3
RAW_OUT = Topic("raw.out", partitions=4)

Values = Callable[[int], Iterator[tuple[str, bytes, int]]]
"""Records of up to so many events: (key, value, how many)."""


def measure(scene: Scene) -> Iterator[Row]:
    for name, topic, values in (
        ("normalize", MARKET_RAW, frames),
        ("orders", ORDERS_EVENTS, facts),
        ("positions", FILLS, fills),
    ):
        for batch in (BATCH, 1):
            ours, raw = _compare(scene, name, topic, values, batch)
            how = f"{batch} a record" if batch > 1 else "one a record"
            yield (
                row(f"{name}, {how}", "events/s a core", ours, raw, note="reference: consume, decode, encode, produce")
                if batch == 1
                else _batched(f"{name}, {how}", ours, raw)
            )


def _batched(name: str, ours: float, raw: float) -> Row:
    """The aim of batched stages is about our own figure; the ratio is told beside it."""
    judged = row(name, "events/s a core", ours, at_least=300_000)
    return Row(
        name=name,
        unit=judged.unit,
        ours=ours,
        reference=raw,
        ratio=ours / raw,
        aim=judged.aim,
        met=judged.met,
        note="reference: consume, decode, encode, produce",
    )


def _compare(scene: Scene, name: str, topic: Topic, values: Values, batch: int) -> tuple[float, float]:
    """Both processes stay; each gets the same records in turn."""
    prefix = f"{scene.prefix}.{name}{batch}"
    kafka.create_topics(scene.conf, prefix, topics=[*TOPICS.values(), RAW_OUT])
    state_dir = scene.home / prefix / "state"
    stage = scene.run("-m", "tests.bench.stage_child", json.dumps(scene.conf), name, prefix, str(state_dir))
    path = status_path(state_dir, name, 0)
    eventually(
        lambda: (found := read_status(path)) is not None and found.ready, f"{name} is ready: {scene.last_words()}"
    )
    raw_in = f"{prefix}.raw.in"
    kafka.create_topics(scene.conf, prefix, topics=[Topic("raw.in", partitions=topic.partitions)])
    types = topic.name if topic.types else ""
    raw = scene.run("-m", "tests.bench.raw_child", json.dumps(scene.conf), raw_in, f"{prefix}.raw.out", types, "500")
    producer = kafka.producer(scene.conf)
    rates: tuple[list[float], list[float]] = ([], [])
    records = list(values(batch))
    share = len(records) // (REPETITIONS + 1)
    n = sent = 0
    out = _Ends(scene.conf, f"{prefix}.raw.out")
    for repetition in range(REPETITIONS + 1):
        chunk = records[repetition * share : (repetition + 1) * share]
        events = sum(count for _, _, count in chunk)
        wanted = sent + len(chunk)
        used = _used(stage.pid)
        n = _feed(producer, kafka.physical(prefix, topic), chunk, n)
        eventually(lambda wanted=wanted: _committed(path) >= wanted, f"{name} folded {wanted}", 180)
        ours = events / (_used(stage.pid) - used)
        used = _used(raw.pid)
        _feed(producer, raw_in, chunk, n)
        eventually(lambda wanted=wanted: out.total() >= wanted, f"raw relayed {wanted}", 180)
        reference = events / (_used(raw.pid) - used)
        if repetition > 0:
            rates[0].append(ours)
            rates[1].append(reference)
        sent = wanted
    scene.stop()
    return statistics.median(rates[0]), statistics.median(rates[1])


def _used(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _committed(path: Path) -> int:
    status = read_status(path)
    return 0 if status is None else sum(status.committed.values())


class _Ends:
    """How many records a topic has."""

    def __init__(self, conf: dict[str, str], name: str) -> None:
        self._client: Consumer = kafka.consumer(conf, "bench-ends")
        self._places = [TopicPartition(name, p) for p in range(RAW_OUT.partitions)]

    def total(self) -> int:
        return sum(self._client.get_watermark_offsets(p, timeout=10)[1] for p in self._places)


def _feed(producer: Producer, name: str, records: Sequence[tuple[str, bytes, int]], n: int) -> int:
    for key, value, _ in records:
        n += 1
        headers: list[tuple[str, str | bytes | None]] = [(HEADER, Coordinate("edge", "", 1, n).encode())]
        while True:
            try:
                producer.produce(name, value, key, headers=headers)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush(60)
    return n


def _batches(events: Iterator[Record], key: str, batch: int) -> Iterator[tuple[str, bytes, int]]:
    while some := list(itertools.islice(events, batch)):
        yield key, wire.encode(some), len(some)


def facts(batch: int) -> Iterator[tuple[str, bytes, int]]:
    """Lives of orders: requested, sent, accepted, filled twice; a few canceled."""

    def made() -> Iterator[Record]:
        for n in range(EVENTS // 5):
            order = OrderMaker(f"quoter-{n:x}", f"v{n}", ts_init=1_700_000_000_000_000_000 + n * 100_000_000)
            yield from (order.requested(), order.sent(), order.accepted())
            yield order.filled(f"{n}a", "2")
            yield order.canceled() if n % 4 == 0 else order.filled(f"{n}b", "3")

    return _batches(made(), "sim.main|sim:BTC-USDT", batch)


def fills(batch: int) -> Iterator[tuple[str, bytes, int]]:
    def made() -> Iterator[Record]:
        for n in range(EVENTS):
            side = Side.BUY if n % 3 else Side.SELL
            yield fill(side, f"0.{n % 997 + 1:05}", f"{60_000 + n % 700}.{n % 100:02}", f"t{n}", fee="0.0123")

    return _batches(made(), "sim.main|sim:BTC-USDT", batch)


def frames(batch: int) -> Iterator[tuple[str, bytes, int]]:
    """Generated flow of three instruments, as ingest writes it: the lines of one instrument travel together."""
    with TemporaryDirectory() as folder:
        paths = record_flow(Path(folder), seed=5, seconds=EVENTS // 100)
        waiting: dict[str, list[bytes]] = defaultdict(list)
        for arrival in open_source(paths, "sim").arrivals():
            key = (arrival.key or b"").decode()
            waiting[key].append(arrival.value)
            if len(waiting[key]) >= batch:
                yield key, b"\n".join(waiting[key]), len(waiting.pop(key))
