"""A hosted strategy on the real broker, the real gateway and the simulated exchange: it trades, is killed, and comes back."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from infra import kafka
from pipelines.marketdata.worker import run_marketdata
from pipelines.recorded_run import LiveRun
from pipelines.replay import Range, Replayed
from pipelines.replay_all import covered, replay_one
from tests.adapters.simulated.running import Exchange
from tests.pipelines.gateway.platform import ACCOUNT, BTC, ROOT, Platform, until
from topics import wire
from topics.catalog import MARKET_EVENTS, ORDERS_INTENTS, STRATEGY_INBOX
from topics.market import BookSnapshot, Quote, Tick
from topics.orders import OrderDenied, OrderRequested

STRATEGY = "pinger"
CLASS = "tests.pipelines.fast.pinger:Pinger"


class Fast(Platform):
    """The gateway's platform with one hosted strategy, and market data that the test itself writes."""

    def __init__(self, conf: dict[str, str], prefix: str, exchange: Exchange, home: Path) -> None:
        hosted = {"class": CLASS, "account": ACCOUNT, "instruments": [BTC], "host": "grpc"}
        super().__init__(conf, prefix, exchange, home, strategies={STRATEGY: hosted})
        kafka.create_topics(conf, prefix)
        self.quotes = 0

    @contextlib.asynccontextmanager
    async def marketdata(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        task = asyncio.create_task(run_marketdata(self.config, self.conf, stop))
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait_for(task, 15)

    @contextlib.asynccontextmanager
    async def quoting(self) -> AsyncIterator[None]:
        """A quote some twenty times a second, and the clock."""

        async def quote() -> None:
            bid, ask = await self.touch()
            self._snapshot(bid, ask)
            while True:
                bid, ask = await self.touch()
                self._quote(bid, ask)
                await asyncio.sleep(0.05)

        task = asyncio.create_task(quote())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert self.producer.flush(10) == 0

    def _snapshot(self, bid: Decimal, ask: Decimal) -> None:
        """From which on a host that comes back is told everything."""
        now, one = time.time_ns(), Decimal(1)
        made = BookSnapshot(
            instrument=BTC, bids=((bid, one),), asks=((ask, one),), sequence=1, ts_event=now, ts_init=now
        )
        self.producer.produce(kafka.physical(self.prefix, MARKET_EVENTS), wire.encode([made]), BTC)

    def _quote(self, bid: Decimal, ask: Decimal) -> None:
        self.quotes += 1
        now, one = time.time_ns(), Decimal(1)
        made = Quote(instrument=BTC, best_bid=bid, bid_size=one, best_ask=ask, ask_size=one, ts_event=now, ts_init=now)
        src = f"normalize|market.raw@x/0|{self.quotes}|0".encode()
        name = kafka.physical(self.prefix, MARKET_EVENTS)
        self.producer.produce(name, wire.encode([made]), BTC, headers=[("src", src)])
        tick = wire.encode([Tick(n=self.quotes, ts_init=now)])
        for partition in range(STRATEGY_INBOX.partitions):
            src = f"clock||1|{self.quotes * 10 + partition}".encode()
            inbox = kafka.physical(self.prefix, STRATEGY_INBOX)
            self.producer.produce(inbox, tick, partition=partition, headers=[("src", src)])
        self.producer.poll(0)

    def host(self) -> "subprocess.Popen[bytes]":
        words = json.dumps({"config": self.raw, "kafka": self.conf, "strategy": STRATEGY})
        self.host_status_path.unlink(missing_ok=True)
        log = (self.home / "host.log").open("ab")
        with log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.pipelines.fast.host_child", words], cwd=ROOT, stdout=log, stderr=log
            )

    @property
    def host_status_path(self) -> Path:
        return self.config.run_dir / "status" / f"host-{STRATEGY}.json"

    def host_status(self) -> dict[str, Any]:
        try:
            return json.loads(self.host_status_path.read_bytes())  # type: ignore[no-any-return]
        except (OSError, ValueError):
            return {}

    def log(self) -> str:
        return (self.home / "host.log").read_text()

    def decided(self) -> list[OrderRequested | OrderDenied]:
        return [f for f in self.facts() if isinstance(f, OrderRequested | OrderDenied)]

    def replay(self, recode_every: int | None = None) -> Replayed:
        run = LiveRun(self.conf, self.prefix)
        name = f"host/{STRATEGY}"
        return replay_one(name, self.config, run, self.config.run_dir, within=Range(), recode_every=recode_every)


@pytest.fixture
def fast(kafka_conf: dict[str, str], run_prefix: str, exchange: Exchange, tmp_path: Path) -> Fast:
    return Fast(kafka_conf, run_prefix, exchange, tmp_path)


async def trades(fast: Fast, more: int) -> None:
    """Until so many orders more have been decided on."""
    before = len(fast.decided())
    await until(lambda: len(fast.decided()) >= before + more, f"{more} orders more", fast.log)


@pytest.mark.timeout(300)  # three starts of a process, on a machine that may be busy
async def test_a_hosted_strategy_is_killed_and_comes_back_and_nothing_is_lost_or_decided_twice(fast: Fast) -> None:
    async with fast.marked(), fast.gateway(), fast.marketdata():
        host = fast.host()
        try:
            async with fast.quoting():
                await trades(fast, 6)
                by_grpc = await until(lambda: fast.host_status().get("commands_by_grpc"), "commands by gRPC", fast.log)
                for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
                    host.send_signal(number)
                    await asyncio.to_thread(host.wait, 20)
                    host = fast.host()
                    await trades(fast, 6)
            await until(lambda: reasons(fast)["intents"] >= fast.quotes, "every quote decided on", fast.log)
            await until(lambda: reasons(fast)["facts"] >= fast.quotes, "every decision judged", fast.log)
        finally:
            host.kill()
            await asyncio.to_thread(host.wait)
    assert by_grpc > 0
    orders = [c for c in fast.read(ORDERS_INTENTS) if c.strategy == STRATEGY]
    ids = {o.client_order_id: o.reason for o in orders}
    expected = [f"quote {n}" for n in range(1, fast.quotes + 1)]
    assert sorted(ids.values(), key=lambda r: int(r.split()[1])) == expected  # the view went on counting where it was
    assert Counter(f.command.reason for f in fast.decided()) == Counter(expected)
    assert {f.client_order_id for f in fast.decided()} == set(ids)
    for command in orders:
        assert command.cause.startswith("host.inbox/")

    result = fast.replay()
    assert result.difference is None
    assert result.equal >= 2 * fast.quotes
    assert result.equal_in[ORDERS_INTENTS.name] == fast.quotes
    assert fast.replay(recode_every=7).difference is None
    assert f"host/{STRATEGY}" in covered(fast.config)


def reasons(fast: Fast) -> dict[str, int]:
    intents = {c.reason for c in fast.read(ORDERS_INTENTS) if c.strategy == STRATEGY}
    return {"intents": len(intents), "facts": len({f.command.reason for f in fast.decided()})}
