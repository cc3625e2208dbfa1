"""A gateway on the real broker and the simulated exchange: in process, or in a process of its own where it is to be killed."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from infra import kafka
from infra.config import Config, parse
from pipelines.gateway.worker import run_gateway
from tests.adapters.simulated.running import API_KEY, API_SECRET, Client, Exchange
from topics import wire
from topics.catalog import (
    ACCOUNT_EVENTS,
    CONTROLS,
    DEAD_LETTERS,
    GATEWAY_LEASES,
    INSTRUMENTS_LATEST,
    ORDERS_EVENTS,
    ORDERS_INTENTS,
    PORTFOLIO_INBOX,
    STAGE_LOG,
    VENUE_PRIVATE,
    Topic,
)
from topics.controls import AnyControl
from topics.market import Instrument, Mark
from topics.orders import SubmitOrder
from topics.record import OrderType, Record, Side

ACCOUNT = "sim.main"
BTC = "sim:BTC-USDT"
SYMBOL = "BTCUSDT"
LIMITS = {
    "price_collar": "0.05",
    "max_order_value": "20000",
    "max_position_value": "100000",
    "max_orders_per_second": "50",
    "max_data_age": "10",
}
ROOT = Path(__file__).parents[3]
DEADLINE_S = 30.0
KEYS = {"GATEWAY_TEST_KEY": API_KEY, "GATEWAY_TEST_SECRET": API_SECRET}
BTC_DEFINITION = {"tick_size": Decimal("0.01"), "lot_size": Decimal("0.00001")}


def settings(exchange_address: str, prefix: str, home: Path, **changes: Any) -> dict[str, Any]:
    """The configuration as it would be read from TOML."""
    made: dict[str, Any] = {
        "run": {"name": prefix, "home": str(home)},
        "venues": {
            "sim": {
                "adapter": "binance",
                "rest_url": f"http://{exchange_address}/api/v3",
                "ws_api_url": f"ws://{exchange_address}/ws-api/v3",
                "recv_window_ms": 1500,
                "instruments": [BTC],
            }
        },
        "accounts": {ACCOUNT: {"api_key_env": "GATEWAY_TEST_KEY", "api_secret_env": "GATEWAY_TEST_SECRET"}},
        "limits": [{"scope": "firm", **LIMITS}],
        "gateway": {"lease_s": 4.0, "reconcile_every_s": 1.0},
    }
    for section, values in changes.items():
        made[section] = {**made.get(section, {}), **values} if isinstance(values, dict) else values
    return made


USED = (
    ACCOUNT_EVENTS,
    CONTROLS,
    DEAD_LETTERS,
    GATEWAY_LEASES,
    INSTRUMENTS_LATEST,
    ORDERS_EVENTS,
    ORDERS_INTENTS,
    PORTFOLIO_INBOX,
    STAGE_LOG,
    VENUE_PRIVATE,
)


class Platform:
    """One run's topics, and a hand to write on them."""

    def __init__(self, conf: dict[str, str], prefix: str, exchange: Exchange, home: Path, **changes: Any) -> None:
        self.conf, self.prefix, self.exchange, self.home = conf, prefix, exchange, home
        self.raw = settings(exchange.address, prefix, home, **changes)
        self.config: Config = parse(self.raw)
        self.producer = kafka.producer(conf)
        kafka.create_topics(conf, prefix, topics=USED)

    def again(self, **changes: Any) -> "Platform":
        """The same run with another configuration."""
        return Platform(self.conf, self.prefix, self.exchange, self.home, **changes)

    def write(self, *records: Record) -> None:
        kafka.publish(self.conf, self.prefix, records, {})

    def write_raw(self, topic: Topic, value: bytes) -> None:
        self.producer.produce(kafka.physical(self.prefix, topic), value)
        self.producer.flush(5)

    def define(self, **changes: Any) -> None:
        """The instrument's definition, on the topics the gateway reads."""
        definition = Instrument(
            instrument=BTC,
            venue="sim",
            venue_symbol=SYMBOL,
            base="BTC",
            quote="USDT",
            ts_init=time.time_ns(),
            **{**BTC_DEFINITION, **changes},
        )
        for topic in (INSTRUMENTS_LATEST, PORTFOLIO_INBOX):
            self.producer.produce(kafka.physical(self.prefix, topic), wire.encode([definition]), BTC)
        self.producer.flush(5)

    async def touch(self) -> tuple[Decimal, Decimal]:
        async with Client(self.exchange) as client:
            found = await client.touch(SYMBOL)
        return Decimal(found["bidPrice"]), Decimal(found["askPrice"])

    @contextlib.asynccontextmanager
    async def marked(self) -> AsyncIterator[None]:
        """A mark a few times a second, as normalize would write them."""

        async def mark() -> None:
            while True:
                bid, ask = await self.touch()
                now = time.time_ns()
                self.producer.produce(
                    kafka.physical(self.prefix, PORTFOLIO_INBOX),
                    wire.encode([Mark(instrument=BTC, best_bid=bid, best_ask=ask, ts_event=now, ts_init=now)]),
                )
                self.producer.poll(0)
                await asyncio.sleep(0.1)

        self.define()
        task = asyncio.create_task(mark())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    # --- reading ---

    def read(self, topic: Topic) -> list[Any]:
        found: list[Any] = []
        for message in kafka.read_all(self.conf, kafka.physical(self.prefix, topic)):
            found += wire.decode(message.value() or b"", topic.types)
        return found

    def facts(self, client_order_id: str = "") -> list[Any]:
        return [f for f in self.read(ORDERS_EVENTS) if client_order_id in ("", getattr(f, "client_order_id", ""))]

    def frames(self) -> list[str]:
        name = kafka.physical(self.prefix, VENUE_PRIVATE)
        return [(m.value() or b"").decode() for m in kafka.read_all(self.conf, name)]

    def names(self, client_order_id: str = "") -> list[str]:
        return [type(f).__name__ for f in self.facts(client_order_id)]

    async def until_facts(self, client_order_id: str, *names: str) -> list[Any]:
        """All facts of an order once the named ones are among them."""
        facts = await until(
            lambda: self._having(client_order_id, names), f"{client_order_id}: {names}", lambda: str(self.names())
        )
        return list(facts)

    def _having(self, client_order_id: str, names: tuple[str, ...]) -> list[Any] | None:
        facts = self.facts(client_order_id)
        return facts if set(names) <= {type(f).__name__ for f in facts} else None

    def status(self) -> dict[str, Any]:
        try:
            return json.loads((self.config.run_dir / "status" / f"gateway.{ACCOUNT}.json").read_bytes())  # type: ignore[no-any-return]
        except (OSError, ValueError):
            return {}

    def address(self) -> str:
        return str(json.loads((self.config.run_dir / f"gateway.{ACCOUNT}.json").read_bytes())["address"])

    async def until_ready(self) -> None:
        await until(lambda: self.status().get("ready"), "the gateway is ready", lambda: str(self.status()))

    # --- running ---

    @contextlib.asynccontextmanager
    async def gateway(self, ready: bool = True) -> AsyncIterator[None]:
        """In this process; stopped cleanly at the end."""
        os.environ.update(KEYS)
        self._forget_status()
        stop = asyncio.Event()
        task = asyncio.create_task(run_gateway(self.config, self.conf, ACCOUNT, stop))
        try:
            if ready:
                ready_task = asyncio.create_task(self.until_ready())
                await asyncio.wait({ready_task, task}, return_when=asyncio.FIRST_COMPLETED)
                if not ready_task.done():
                    ready_task.cancel()
                    task.result()
                await ready_task
            yield
        finally:
            stop.set()
            await asyncio.wait_for(task, 15)

    def _forget_status(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self.config.run_dir / "status" / f"gateway.{ACCOUNT}.json").unlink()

    @contextlib.contextmanager
    def gateway_process(self, *arguments: str, secret: str | None = None) -> Iterator["subprocess.Popen[bytes]"]:
        """In a process of its own, killed at the end if it is still there."""
        self._forget_status()
        words = json.dumps({"config": self.raw, "kafka": self.conf, "account": ACCOUNT})
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.pipelines.gateway.child", words, *arguments],
            cwd=ROOT,
            env={**os.environ, **KEYS, **({} if secret is None else {"GATEWAY_TEST_SECRET": secret})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()


async def until(condition: Callable[[], Any], what: str, tell: Callable[[], str] = lambda: "") -> Any:
    """The condition's first true value; fails after a generous deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        found = await asyncio.to_thread(condition)
        if found:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"did not come true in {DEADLINE_S} s: {what} {tell()}")


def order(price: Decimal | None, qty: str = "0.01", side: Side = Side.BUY, **changes: Any) -> SubmitOrder:
    return SubmitOrder(
        **{
            "client_order_id": f"o{uuid.uuid4().hex[:12]}",
            "strategy": "tester",
            "account": ACCOUNT,
            "instrument": BTC,
            "side": side,
            "order_type": OrderType.MARKET if price is None else OrderType.LIMIT,
            "order_qty": Decimal(qty),
            "price": price,
            "ts_init": time.time_ns(),
            **changes,
        }
    )


def control(kind: type[AnyControl], scope: Any, **more: Any) -> AnyControl:
    return kind(control_id=uuid.uuid4().hex, scope=scope, who="tester", why="a test", ts_init=time.time_ns(), **more)
