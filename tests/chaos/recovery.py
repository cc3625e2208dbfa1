"""``make bench-recovery``: how long from SIGKILL to caught up, with a million keys of state in a stage and a long log of a gateway.

    python -m tests.chaos.recovery [--keys 1000000] [--facts 1000000]

A stage of a million keys is killed and started again: warm (its folder is there) and cold (rebuilt from the changelog).
The gateway's book is read back as at a start.
"""

import argparse
import json
import random
import tempfile
import time
import uuid
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any

from infra import kafka, services
from pipelines.gateway.load import load as load_gateway
from pipelines.gateway.snapshot import take
from pipelines.gateway.state import State
from tests.infra.shell_run import Child, Run
from tests.infra.shell_toys import trade
from topics import wire
from topics.catalog import (
    CONTROLS,
    INSTRUMENTS_LATEST,
    MARKET_EVENTS,
    ORDERS_EVENTS,
    PORTFOLIO_INBOX,
)
from topics.coordinates import HEADER, Coordinate
from topics.orders import Judgement, OrderAccepted, OrderCanceled, OrderRequested, OrderSent, SubmitOrder
from topics.record import OrderType, Record, Side

A_RECORD = 50
REST = 20_000
"""Facts after the snapshot."""
FILL_S = 900.0
TIMES = 3
ACCOUNT, BTC = "sim.main", "sim:BTC-USDT"


def stage_of_many_keys(conf: dict[str, str], home: Path, keys: int) -> dict[str, Any]:
    run = Run(conf, f"r{uuid.uuid4().hex[:8]}", home)
    try:
        child = run.start("count", commit_interval_s=0.5)
        child.ready()
        began = time.monotonic()
        _fill(run, keys)
        _await_all(child, run, FILL_S)
        filled = time.monotonic() - began
        warm = []
        for _ in range(TIMES):
            child, took = _killed_and_back(run, child, keys, cold=False)
            warm.append(took)
        child, cold = _killed_and_back(run, child, keys, cold=True)
        return {"keys": keys, "filled_s": filled, "warm_s": warm, "warm_median_s": median(warm), "cold_s": cold}
    finally:
        run.close()


def _fill(run: Run, keys: int) -> None:
    name = kafka.physical(run.prefix, MARKET_EVENTS)
    producer = kafka.producer(run.conf)
    for first in range(0, keys, A_RECORD):
        events = [trade(f"x:{n}", n) for n in range(first, min(first + A_RECORD, keys))]
        producer.produce(name, wire.encode(events), partition=first // A_RECORD % MARKET_EVENTS.partitions)
        producer.poll(0)
        while len(producer) > 50_000:
            producer.poll(0.1)
    producer.flush()


def _await_all(child: Child, run: Run, timeout_s: float) -> None:
    name = kafka.physical(run.prefix, MARKET_EVENTS)
    deadline = time.monotonic() + timeout_s
    while True:
        ends = {p: high for p, (_, high) in kafka.watermarks(run.conf, [name])[name].items() if high}
        status = child.status()
        if status is not None and all(status.committed.get(p, 0) >= end for p, end in ends.items()):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"not folded in {timeout_s:g} s")
        time.sleep(0.2)


def _killed_and_back(run: Run, child: Child, keys: int, *, cold: bool) -> tuple[Child, float]:
    """Killed in the middle of 20,000 more events on keys that it has."""
    name = kafka.physical(run.prefix, MARKET_EVENTS)
    producer = kafka.producer(run.conf)
    for _ in range(400):
        events = [trade(f"x:{n}", n) for n in random.sample(range(keys), A_RECORD)]
        producer.produce(name, wire.encode(events), partition=random.randrange(MARKET_EVENTS.partitions))
    producer.flush()
    began = time.monotonic()
    child.kill()
    if cold:
        run.forget_state()
    again = run.start("count", commit_interval_s=0.5)
    deadline = time.monotonic() + 300
    while (status := again.status()) is None or not status.ready:
        if again.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"it did not come back: see {again.log}")
        time.sleep(0.02)
    took = time.monotonic() - began
    _await_all(again, run, 60)
    return again, took


def gateway_of_many_facts(conf: dict[str, str], home: Path, facts: int) -> dict[str, Any]:
    """Four facts an order: requested, sent, accepted, cancelled. Read back whole, and from a snapshot of all but some."""
    prefix, path = f"g{uuid.uuid4().hex[:8]}", home / "gateway.book"
    kafka.create_topics(conf, prefix, topics=(CONTROLS, INSTRUMENTS_LATEST, ORDERS_EVENTS, PORTFOLIO_INBOX))
    _write_facts(conf, prefix, 0, facts)
    whole, orders = _loaded(conf, prefix, None, facts)
    began = time.monotonic()
    take(conf, prefix, ACCOUNT, path)
    taken = time.monotonic() - began
    _write_facts(conf, prefix, facts, REST)
    resumed, _ = _loaded(conf, prefix, path, facts + REST)
    return {
        "facts": facts,
        "orders": orders,
        "whole_s": whole,
        "snapshot_taken_s": taken,
        "snapshot_mb": path.stat().st_size / 1e6,
        f"snapshot_and_{REST}_facts_s": resumed,
    }


def _loaded(conf: dict[str, str], prefix: str, path: Path | None, facts: int) -> tuple[float, int]:
    """Seconds, and how many orders."""
    began = time.monotonic()
    state = State.empty(ACCOUNT)
    load_gateway(conf, prefix, state, path)
    took = time.monotonic() - began
    assert state.book.seq == facts
    return took, len(state.book.orders)


def _write_facts(conf: kafka.KafkaConf, prefix: str, first: int, facts: int) -> None:
    producer, name = kafka.producer(conf), kafka.physical(prefix, ORDERS_EVENTS)
    now, n = time.time_ns(), first
    for number in range(first // 4, (first + facts) // 4):
        for fact in _life(number, now + number * 1_000_000):
            n += 1
            src = Coordinate(f"gateway.{ACCOUNT}", "", 1, n).encode()
            producer.produce(name, wire.encode([fact]), BTC, headers=[(HEADER, src)])
        if number % 200 == 0:
            producer.poll(0)
            while len(producer) > 50_000:
                producer.poll(0.1)
    producer.flush()


def _life(number: int, ts: int) -> list[Record]:
    cid = f"quoter-1795374174724-0.{number}.0-1"
    about: dict[str, Any] = {
        "client_order_id": cid, "account": ACCOUNT, "instrument": BTC, "strategy": "quoter", "ts_init": ts,
    }  # fmt: skip
    command = SubmitOrder(
        client_order_id=cid, strategy="quoter", account=ACCOUNT, instrument=BTC, side=Side.BUY,
        order_type=OrderType.LIMIT, order_qty=Decimal("0.01"), price=Decimal("60000.01"), reason="requote", ts_init=ts,
    )  # fmt: skip
    judged = Judgement(
        offsets={"portfolio.inbox": number, "controls": 7, "orders.events.epoch": 1, "orders.events.n": number * 4},
        values={"reconciled": "true", "mid": "60000.005", "position": "0.02", "data_age": "0.013"},
        limits={"price_collar": "0.02", "max_order_value": "50000", "max_position_value": "200000"},
    )
    return [
        OrderRequested(**about, command=command, venue_client_id=f"{number:032x}", judged_by=judged),
        OrderSent(**about),
        OrderAccepted(**about, ts_event=ts, venue_order_id=str(number + 1)),
        OrderCanceled(**about, ts_event=ts, cum_qty=Decimal(0)),
    ]


def main() -> None:
    known = argparse.ArgumentParser(description=__doc__)
    known.add_argument("--keys", type=int, default=1_000_000)
    known.add_argument("--facts", type=int, default=1_000_000)
    known.add_argument("--result", type=Path, default=services.default_home() / "recovery.json")
    given = known.parse_args()
    with tempfile.TemporaryDirectory(prefix="tapedeck-recovery-") as folder:
        home = Path(folder)
        try:
            conf = dict(services.up(home).kafka)
            found: dict[str, Any] = {}
            if given.facts:
                found["gateway"] = gateway_of_many_facts(conf, home, given.facts)
                print(json.dumps(found["gateway"]), flush=True)
            if given.keys:
                found["stage"] = stage_of_many_keys(conf, home, given.keys)
                print(json.dumps(found["stage"]), flush=True)
        finally:
            services.down(home)
    given.result.parent.mkdir(parents=True, exist_ok=True)
    given.result.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
