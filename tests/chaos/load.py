"""The load generator: a process of its own that trades over gRPC and through ``orders.intents``, and keeps a log of it.

``python -m tests.chaos.load RUN_DIR LOG SEED``; words on stdin: ``go``, ``burst`` (BURST commands at once), ``pause``
(finish what is open), ``quit``. On stdout a line every 0.1 s: ``{"open", "sent", "answered", "last_answer_ns", "paused"}``.

The log has a JSON object a line, on disk before the command leaves: ``{"t", "do": "submit"|"modify"|"cancel"|
"cancel_all"|"intent", "id", "try"}``, and ``{"t", "answer", "id", …}`` for every answer. A client does not know whether a call that
failed was carried out: it asks again with the same id until it is told.
"""

import asyncio
import contextlib
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

import aiohttp
import grpc

from infra import kafka, services
from infra.config import Config, load
from infra.proto.tapedeck.v1 import gateway_pb2 as pb
from infra.proto.tapedeck.v1 import gateway_pb2_grpc as rpc
from pipelines import demo_config
from topics import wire
from topics.catalog import ORDERS_INTENTS
from topics.orders import SubmitOrder
from topics.record import OrderType, Side, TimeInForce

ACCOUNT = "sim.main"
STRATEGY, BY_TOPIC = "load", "load-intents"
PER_SECOND = 20
BURST = 48
MOST_OPEN = 60
"""No more is begun beside a burst: answers are waited for."""
CALL_S = 3.0
AGAIN_S = 0.4
PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
VALUE = Decimal(60)


class Log:
    """Lines are on disk when ``durable`` returns; those who wait together share one fsync."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._lock = asyncio.Lock()
        self._written = self._synced = 0

    def write(self, **words: Any) -> None:
        os.write(self._file, json.dumps({"t": time.time_ns(), **words}).encode() + b"\n")
        self._written += 1

    async def durable(self) -> None:
        mine = self._written
        async with self._lock:
            if self._synced < mine:
                upto = self._written
                await asyncio.to_thread(os.fdatasync, self._file)
                self._synced = upto


class Load:
    def __init__(self, run_dir: Path, log: Path, seed: int) -> None:
        self.config: Config = load(run_dir / "tapedeck.toml", {})
        self.log = Log(log)
        self.random = random.Random(f"load:{seed}")
        self.tag = f"{seed}-{os.getpid()}"
        self.n = self.open = self.sent = self.answered = self.last_answer_ns = 0
        self.going = False
        self.mine: list[str] = []
        self.prices: dict[str, tuple[Decimal, Decimal]] = {}
        self.session: aiohttp.ClientSession | None = None
        self._address_path = run_dir / f"gateway.{ACCOUNT}.json"
        self._channel: tuple[str, grpc.aio.Channel] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        found = services.endpoints(self.config.home)
        assert found is not None
        self.kafka = found.kafka
        self._producer = kafka.producer(self.kafka)

    # --- talking to the gateway -----------------------------------------------------------------------------------

    def _gateway(self) -> Any:
        """Wherever it listens now; a restarted one has another port."""
        address = str(json.loads(self._address_path.read_bytes())["address"])
        if self._channel is None or self._channel[0] != address:
            options = [("grpc.use_local_subchannel_pool", 1)]
            self._channel = address, grpc.aio.insecure_channel(address, options=options)
        return rpc.OrderGatewayStub(self._channel[1])  # type: ignore[no-untyped-call]

    async def _ask(
        self,
        do: str,
        ident: str,
        call: Callable[[Any], Awaitable[Any]],
        about: dict[str, Any],
        tell: Callable[[Any], dict[str, Any]],
    ) -> None:
        """Until it is answered, whatever happens to the gateway meanwhile."""
        self.open += 1
        tries = 0
        while True:
            tries += 1
            self.log.write(do=do, id=ident, **{"try": tries}, **about)
            await self.log.durable()
            self.sent += 1
            try:
                answer = tell(await call(self._gateway()))
                break
            except (OSError, ValueError, KeyError):
                pass  # nobody has written an address yet
            except grpc.aio.AioRpcError as error:
                if error.code() not in PASSING:
                    answer = {"answer": error.code().name, "why": error.details()}
                    break
            await asyncio.sleep(AGAIN_S * (1 + self.random.random()))
        self._answered(ident, do, answer)

    def _answered(self, ident: str, do: str, answer: dict[str, Any]) -> None:
        self.log.write(id=ident, of=do, **answer)
        self.open -= 1
        self.answered += 1
        self.last_answer_ns = time.time_ns()

    # --- commands -------------------------------------------------------------------------------------------------

    def _next(self, kind: str) -> str:
        self.n += 1
        return f"{kind}-{self.tag}-{self.n}"

    def start(self) -> None:
        roll = self.random.random()
        if roll < 0.01:
            work = self._cancel_all()
        elif roll < 0.25 and self.mine:
            work = self._cancel(self.mine.pop(self.random.randrange(len(self.mine))))
        elif roll < 0.35 and self.mine:
            work = self._modify(self.mine.pop(self.random.randrange(len(self.mine))))
        elif roll < 0.50:
            work = self._intent()
        else:
            work = self._submit()
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            print(f"load: {error!r}", file=sys.stderr, flush=True)
            os._exit(3)  # whoever judges must not take silence for peace

    def _order(self) -> dict[str, Any]:
        """A resting order, one at the touch, one that takes, or a stop that rests until the price comes to it."""
        symbol = self.random.choice(sorted(self.prices))
        bid, ask = self.prices[symbol]
        side = self.random.choice((Side.BUY, Side.SELL))
        buys = side is Side.BUY
        kind = self.random.choice(("far", "far", "far", "touch", "touch", "take", "stop"))
        shift = {"far": Decimal("0.004"), "touch": Decimal(0)}.get(kind, Decimal("-0.0005"))
        price = bid * (1 - shift) if buys else ask * (1 + shift)
        tif = TimeInForce.IOC if kind == "take" else TimeInForce.GTC
        qty = demo_config.order_qty(price * 600 / VALUE)
        price = price.quantize(Decimal("0.01"), ROUND_DOWN)
        stop = kind == "stop"
        return {
            "instrument": demo_config.instrument_of(symbol),
            "side": side,
            "order_type": OrderType.STOP_LIMIT if stop else OrderType.LIMIT,
            "order_qty": qty,
            "price": price,
            "trigger_price": price if stop else None,
            "time_in_force": tif,
            "post_only": kind == "touch",
        }

    async def _submit(self) -> None:
        cid, order = self._next("g"), self._order()
        request = pb.SubmitOrderRequest(
            client_order_id=cid,
            strategy=STRATEGY,
            instrument=order["instrument"],
            side=pb.SIDE_BUY if order["side"] is Side.BUY else pb.SIDE_SELL,
            order_type=getattr(pb, f"ORDER_TYPE_{order['order_type'].name}"),
            order_qty=str(order["order_qty"]),
            price=str(order["price"]),
            trigger_price=str(order["trigger_price"] or ""),
            time_in_force=pb.TIME_IN_FORCE_IOC if order["time_in_force"] is TimeInForce.IOC else pb.TIME_IN_FORCE_GTC,
            post_only=order["post_only"],
            reason="load",
        )

        def tell(answer: Any) -> dict[str, Any]:
            if answer.accepted:
                self.mine.append(cid)
            said = "accepted" if answer.accepted else "denied"
            return {"answer": said, "check": answer.denial.check, "repeated": answer.repeated}

        await self._ask("submit", cid, lambda g: g.SubmitOrder(request, timeout=CALL_S), {}, tell)

    async def _modify(self, cid: str) -> None:
        """A smaller quantity (the venue amends it in its place), or other terms (another order for the rest)."""
        ident, order = self._next("m"), self._order()
        terms = {"price": str(order["price"])} if self.random.random() < 0.5 else {}
        request = pb.ModifyOrderRequest(
            command_id=ident, client_order_id=cid, order_qty=str(order["order_qty"] / 2), reason="load", **terms
        )

        def tell(answer: Any) -> dict[str, Any]:
            if answer.accepted:
                self.mine.append(answer.replacement or cid)
            said = "accepted" if answer.accepted else "denied"
            return {"answer": said, "check": answer.denial.check, "repeated": answer.repeated}

        await self._ask("modify", ident, lambda g: g.ModifyOrder(request, timeout=CALL_S), {"order": cid}, tell)

    async def _cancel(self, cid: str) -> None:
        ident = self._next("c")
        request = pb.CancelOrderRequest(command_id=ident, client_order_id=cid, reason="load")
        await self._ask(
            "cancel",
            ident,
            lambda g: g.CancelOrder(request, timeout=CALL_S),
            {"order": cid},
            lambda _: {"answer": "ok"},
        )

    async def _cancel_all(self) -> None:
        ident = self._next("a")
        request = pb.CancelAllRequest(command_id=ident, strategy=STRATEGY, reason="load")
        await self._ask(
            "cancel_all", ident, lambda g: g.CancelAll(request, timeout=CALL_S), {}, lambda _: {"answer": "ok"}
        )

    async def _intent(self) -> None:
        """Through the topic; ``ok`` once the broker has it. One in four is written twice, as a client that was in doubt would."""
        cid = self._next("i")
        command = SubmitOrder(
            client_order_id=cid, strategy=BY_TOPIC, account=ACCOUNT, reason="load", ts_init=time.time_ns(), **self._order(),
        )  # fmt: skip
        self.open += 1
        self.log.write(do="intent", id=cid, **{"try": 1})
        await self.log.durable()
        self.sent += 1
        twice = self.random.random() < 0.25
        for _ in range(2 if twice else 1):
            await self._written(command)
        self._answered(cid, "intent", {"answer": "ok", "twice": twice})

    async def _written(self, command: SubmitOrder) -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def delivered(error: Any, _: Any) -> None:
            if error is None:
                loop.call_soon_threadsafe(future.set_result, None)
            else:
                loop.call_soon_threadsafe(future.set_exception, RuntimeError(error.str()))

        name = kafka.physical(self.config.prefix, ORDERS_INTENTS)
        self._producer.produce(name, wire.encode([command]), command.strategy, on_delivery=delivered)
        await future

    # --- running --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as self.session:
            while not self.prices:
                await self._look()
                await asyncio.sleep(0.05)
            helpers = [loop.create_task(work()) for work in (self._market, self._steadily, self._tell, self._poll)]
            while (word := (await reader.readline()).decode().strip()) not in ("", "quit"):
                self._obey(word)
            for task in helpers:
                task.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    def _obey(self, word: str) -> None:
        self.going = word != "pause"
        if word == "burst":
            for _ in range(BURST):
                self.start()

    async def _steadily(self) -> None:
        while True:
            await asyncio.sleep(self.random.expovariate(PER_SECOND))
            if self.going and self.open < MOST_OPEN:
                self.start()

    async def _market(self) -> None:
        while True:
            await asyncio.sleep(0.3)
            await self._look()

    async def _look(self) -> None:
        assert self.session is not None
        host = self.config.venues["sim"].rest_url
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, ValueError, KeyError):
            async with self.session.get(f"{host}/ticker/bookTicker") as answer:
                for one in await answer.json():
                    bid, ask = Decimal(one["bidPrice"]), Decimal(one["askPrice"])
                    if bid > 0 and ask > 0:
                        self.prices[one["symbol"]] = (bid, ask)

    async def _poll(self) -> None:
        while True:
            self._producer.poll(0)
            await asyncio.sleep(0.005)

    async def _tell(self) -> None:
        while True:
            words = {
                "open": self.open,
                "sent": self.sent,
                "answered": self.answered,
                "last_answer_ns": self.last_answer_ns,
                "paused": not self.going,
            }
            print(json.dumps(words), flush=True)
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(Load(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])).run())
