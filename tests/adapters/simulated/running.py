"""Starting the exchange, and speaking to it the way its clients do."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
import ccxt.pro
import msgspec
import orjson
from yarl import URL

from adapters.simulated.ledger import Ledger, read_ledger

REPOSITORY = Path(__file__).parents[3]
API_KEY, API_SECRET = "key-of-the-tests", "secret-of-the-tests"
QUIET = ("--weight-limit", "0", "--order-limit", "0")
START_DEADLINE_S, STOP_DEADLINE_S = 20.0, 10.0


class Exchange(msgspec.Struct):
    """A running exchange."""

    process: subprocess.Popen[bytes]
    folder: Path
    host: str
    port: int
    symbols: list[str]

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def ledger(self) -> Ledger:
        return read_ledger(self.folder / "ledger.jsonl")


def command(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "adapters.simulated", "--folder", str(folder), *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "TAPEDECK_SIM_API_KEY": API_KEY, "TAPEDECK_SIM_API_SECRET": API_SECRET}


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[Exchange]:
    """An exchange that is ready; stopped by SIGTERM afterwards, and it has to stop cleanly."""
    with killed(folder, *arguments) as exchange:
        yield exchange
        exchange.process.terminate()
        assert exchange.process.wait(STOP_DEADLINE_S) == 0


@contextmanager
def killed(folder: Path, *arguments: str) -> Iterator[Exchange]:
    """An exchange that is ready; killed afterwards, without a word of complaint before."""
    process = subprocess.Popen(
        command(folder, *arguments), cwd=REPOSITORY, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        ready = orjson.loads(first_line(process))
        yield Exchange(process, folder, ready["host"], ready["port"], ready["symbols"])
    finally:
        if process.poll() is None:
            process.kill()
        _, errors = process.communicate()
        assert errors == b""


def first_line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        assert selector.select(START_DEADLINE_S), "the exchange did not become ready"
    return process.stdout.readline()


async def until(condition: Callable[[], Any], deadline_s: float = 20.0) -> Any:
    """The first truthy answer; fails after the deadline."""
    ends = time.monotonic() + deadline_s
    while time.monotonic() < ends:
        answer = condition()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return answer
        await asyncio.sleep(0.02)
    raise AssertionError("the condition did not come true in time")


def sign(text: str, secret: str = API_SECRET) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Client:
    """A plain client that can also misbehave: it sends exactly what it is told."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self._session = aiohttp.ClientSession()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def call(self, verb: str, path: str, **params: Any) -> tuple[int, Any]:
        """Unsigned."""
        return await self.send(verb, path, urlencode(params))

    async def signed(self, verb: str, path: str, **params: Any) -> tuple[int, Any]:
        query = urlencode({"timestamp": now_ms(), **params})
        return await self.send(verb, path, f"{query}&signature={sign(query)}", {"X-MBX-APIKEY": API_KEY})

    async def send(self, verb: str, path: str, payload: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """In the form's body for POST, else in the query."""
        url, headers = f"http://{self.exchange.address}{path}", dict(headers or {})
        data = None
        if verb == "POST":
            data, headers["Content-Type"] = payload, "application/x-www-form-urlencoded"
        elif payload:
            url = f"{url}?{payload}"
        target = URL(url, encoded=True)
        async with self._session.request(verb, target, data=data, headers=headers) as answer:
            self.last_headers = answer.headers
            return answer.status, orjson.loads(await answer.read())

    async def status(self) -> Any:
        return (await self.call("GET", "/control/status"))[1]

    def socket(self, path: str) -> Any:
        return self._session.ws_connect(f"ws://{self.exchange.address}{path}")

    async def touch(self, symbol: str) -> dict[str, str]:
        return (await self.call("GET", "/api/v3/ticker/bookTicker", symbol=symbol))[1]  # type: ignore[no-any-return]


def ws_params(**params: Any) -> dict[str, Any]:
    """Signed as the WebSocket API wants it."""
    full = {"apiKey": API_KEY, "timestamp": now_ms(), **params}
    return {**full, "signature": sign("&".join(f"{name}={full[name]}" for name in sorted(full)))}


async def receive(socket: Any, wanted: Callable[[Any], bool], deadline_s: float = 15.0) -> Any:
    """The first message that is wanted; others are passed over."""
    async with asyncio.timeout(deadline_s):
        while True:
            message = orjson.loads((await socket.receive_str()).encode())
            if wanted(message):
                return message


def pointed_ccxt(exchange: Exchange) -> Any:
    """Unmodified ccxt.pro; only its URLs, and what it forgets about Binance with other URLs, are set."""
    made = ccxt.pro.binance(
        {
            "apiKey": API_KEY,
            "secret": API_SECRET,
            "number": str,
            "enableRateLimit": False,
            "options": {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False},
        }
    )
    made.urls["api"]["public"] = made.urls["api"]["private"] = f"http://{exchange.address}/api/v3"
    made.urls["api"]["ws"]["spot"] = f"ws://{exchange.address}/stream/ws"
    made.urls["api"]["ws"]["ws-api"]["spot"] = f"ws://{exchange.address}/ws-api/v3"
    made.exceptions["exact"].update(made.exceptions["spot"]["exact"])
    return made
