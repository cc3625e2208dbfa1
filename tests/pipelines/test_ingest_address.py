"""A venue that gives each connection an address of its own: ingest asks for one, and for another one where it must connect again."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import unused_port

from infra import kafka
from infra.config import parse
from pipelines.ingest import run_ingest
from pipelines.tape_check import check
from tests.adapters.simulated.running import until
from topics.catalog import INGEST_REQUESTS, MARKET_RAW, STAGE_LOG, TICKED, TOPICS

pytestmark = pytest.mark.timeout(180)
BOOK = {"time": 1_600_000_000_000, "sequence": "10", "bids": [["99", "1"]], "asks": [["101", "2"]]}


class Kucoin:
    """``tokens`` that were given out, and those that somebody came with; each is good for one connection."""

    def __init__(self) -> None:
        self.port = unused_port()
        self.tokens: list[str] = []
        self.used: list[str] = []
        self.sockets: list[web.WebSocketResponse] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        app = web.Application()
        app.add_routes([web.route("*", "/api/{path:.*}", self._rest), web.get("/endpoint", self._stream)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        try:
            yield
        finally:
            await runner.cleanup()

    async def _rest(self, request: web.Request) -> web.Response:
        data: Any = BOOK
        if request.path.endswith("bullet-public"):
            assert request.method == "POST"
            if not self.tokens and not self.used and self._refuse():
                return web.Response(status=500, text="<html>trouble</html>")
            self.tokens.append(f"token-{len(self.tokens)}")
            data = {"token": self.tokens[-1], "instanceServers": [{"endpoint": f"ws://127.0.0.1:{self.port}/endpoint"}]}
        elif "/symbols/" in request.path:
            data = {"symbol": "BTC-USDT"}
        return web.json_response({"code": "200000", "data": data})

    refused = False

    def _refuse(self) -> bool:
        was, self.refused = self.refused, True
        return not was

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        token = request.query["token"]
        assert token in self.tokens
        assert token not in self.used
        self.used.append(token)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        with suppress(ConnectionError):
            async for message in socket:
                if message.type is WSMsgType.TEXT and "level2" in message.data:
                    changes = {"asks": [["101", "5", "11"]], "bids": []}
                    told = {"sequenceStart": 11, "sequenceEnd": 11, "symbol": "BTC-USDT", "changes": changes}
                    frame = {"topic": "/market/level2:BTC-USDT", "type": "message", "data": told}
                    await socket.send_str(json.dumps(frame, separators=(",", ":")))
        return socket


async def test_each_connection_has_an_address_of_its_own(
    kafka_conf: dict[str, str], run_prefix: str, tmp_path: Path
) -> None:
    used = {MARKET_RAW, INGEST_REQUESTS, STAGE_LOG, *TICKED}
    kafka.create_topics(kafka_conf, run_prefix, topics=[t for t in TOPICS.values() if t in used])
    venue, stop = Kucoin(), asyncio.Event()
    chosen = {
        "adapter": "kucoin",
        "instruments": ["kucoin:BTC-USDT"],
        "rest_url": f"http://127.0.0.1:{venue.port}",
        "capture": True,
    }
    config = parse({"run": {"name": run_prefix, "home": str(tmp_path)}, "venues": {"kucoin": chosen}})
    async with venue.running():
        task = asyncio.create_task(run_ingest(config, kafka_conf, "kucoin", stop))
        try:
            await until(lambda: len(venue.used) == 1)
            await venue.sockets[0].close()
            await until(lambda: len(venue.used) == 2)
            path = config.run_dir / "status" / "ingest.kucoin.json"
            await until(lambda: path.exists() and json.loads(path.read_bytes())["ready"])
        finally:
            stop.set()
            await asyncio.wait_for(task, 10)
    assert venue.refused
    captures = sorted((config.run_dir / "captures").iterdir())
    (one,) = check(captures).instruments
    assert (one.instrument, one.book_state, one.best_ask) == ("kucoin:BTC-USDT", "live", ("101", "5"))
