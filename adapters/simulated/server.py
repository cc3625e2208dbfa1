"""The server process's middle: configuration in, an application that serves until it is told to stop."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import orjson
from aiohttp import web
from aiohttp.typedefs import Middleware

from adapters.simulated import rest, sockets
from adapters.simulated.capture import Capture
from adapters.simulated.capture_player import CapturePlayer
from adapters.simulated.control import Control
from adapters.simulated.core import Core
from adapters.simulated.instruments import Instrument
from adapters.simulated.ledger import LedgerWriter
from adapters.simulated.model import SelfTradePrevention
from adapters.simulated.players import FlowPlayer, Player
from adapters.simulated.requests import Budget, Key
from adapters.simulated.settlement import Fees
from adapters.simulated.venue import Venue


class Account(msgspec.Struct, frozen=True):
    """Who may trade; the secret never shows in a repr."""

    name: str
    api_key: str
    api_secret: str

    def __repr__(self) -> str:
        return f"Account(name={self.name!r})"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the process needs; amounts in 1e-8. A limit of 0 is none."""

    folder: Path
    instruments: tuple[Instrument, ...]
    accounts: tuple[Account, ...]
    balances: dict[str, int]
    host: str = "127.0.0.1"
    port: int = 0
    seed: int = 1
    captures: tuple[Capture, ...] = ()
    speed: float = 1.0
    wait_for_start: bool = False
    fees: Fees = Fees()
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.EXPIRE_MAKER
    time_offset_ns: int = 0
    weight_limit: int = 6000
    order_limit: int = 100


def build_venue(settings: Settings, ledger: LedgerWriter) -> Venue:
    """The venue with its accounts opened."""
    clock: Callable[[], int] = lambda: time.time_ns() + settings.time_offset_ns  # noqa: E731
    core = Core(
        settings.instruments,
        fees=settings.fees,
        recorded=[capture.symbol for capture in settings.captures],
        self_trade_prevention=settings.self_trade_prevention,
    )
    keys = {one.api_key: Key(one.name, one.api_secret.encode()) for one in settings.accounts}
    ledger.open_with(settings.instruments)
    venue = Venue(core, clock, ledger, keys, Budget(settings.weight_limit, settings.order_limit))
    for account in settings.accounts:
        ledger.append(core.open_account(clock(), account.name, settings.balances))
    return venue


def build_player(settings: Settings, venue: Venue) -> Player:
    if settings.captures:
        return CapturePlayer(venue, settings.captures, settings.speed)
    return FlowPlayer(venue, settings.seed, settings.speed)


def build_app(
    venue: Venue, player: Player, gate: asyncio.Event, middlewares: Sequence[Middleware] = ()
) -> web.Application:
    """`middlewares` stand before every route: where faults will be injected."""
    app = web.Application(middlewares=list(middlewares))
    app.add_routes([*rest.routes(venue), *sockets.routes(venue), *Control(venue, player, gate).routes()])
    return app


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop`; says that it is ready on stdout and in `ready.json`. OSError when the port is taken."""
    ledger = LedgerWriter(settings.folder / "ledger.jsonl")
    try:
        venue = build_venue(settings, ledger)
        player = build_player(settings, venue)
        player.prepare()
        gate = asyncio.Event()
        runner = web.AppRunner(build_app(venue, player, gate), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, settings.host, settings.port, shutdown_timeout=1.0)
            await site.start()
            await ledger.durable()
            if not settings.wait_for_start:
                gate.set()
            announce(settings, runner)
            await _play_until(stop, gate, player, ledger)
        finally:
            await asyncio.gather(*(connection.close() for connection in venue.hub.connections()))
            await runner.cleanup()
            if ledger.failure is None:
                await ledger.durable()
    finally:
        ledger.close()


def announce(settings: Settings, runner: web.AppRunner) -> None:
    host, port = runner.addresses[0][:2]
    symbols = [one.symbol for one in settings.instruments]
    line = orjson.dumps({"ready": True, "host": host, "port": port, "symbols": symbols}) + b"\n"
    (settings.folder / "ready.json").write_bytes(line)
    sys.stdout.write(line.decode())
    sys.stdout.flush()


async def _play_until(stop: asyncio.Event, gate: asyncio.Event, player: Player, ledger: LedgerWriter) -> None:
    """The player may end before the server does; if it or the ledger fails, so does the server."""

    async def play() -> None:
        await gate.wait()
        await player.run()

    playing = asyncio.create_task(play())
    ends = [asyncio.create_task(stop.wait()), asyncio.create_task(ledger.failed.wait())]
    await asyncio.wait((playing, *ends), return_when=asyncio.FIRST_COMPLETED)
    if playing.done():
        playing.result()
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for task in (playing, *ends):
        task.cancel()
    await asyncio.gather(playing, *ends, return_exceptions=True)
    if ledger.failure is not None:
        raise ledger.failure
