"""The server process's middle: configuration in, an application that serves until it is told to stop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec
import orjson
from aiohttp import web
from aiohttp.typedefs import Middleware

from adapters.simulated import rest, sockets
from adapters.simulated.capture import Capture
from adapters.simulated.capture_player import CapturePlayer
from adapters.simulated.clock import Clock
from adapters.simulated.control import Control
from adapters.simulated.core import Core
from adapters.simulated.fault_answers import middleware
from adapters.simulated.faults import Profile
from adapters.simulated.injector import Injector
from adapters.simulated.instruments import Instrument
from adapters.simulated.ledger_writer import LedgerWriter
from adapters.simulated.model import SelfTradePrevention
from adapters.simulated.players import FlowPlayer, Player
from adapters.simulated.requests import Budget, Key
from adapters.simulated.resume import Remains, ResumeError, read_remains
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
    """Everything the process needs; amounts in 1e-8. A limit of 0 is none. `recorded`: symbols whose books are fed, not made."""

    folder: Path
    instruments: tuple[Instrument, ...]
    accounts: tuple[Account, ...]
    balances: dict[str, int]
    host: str = "127.0.0.1"
    port: int = 0
    seed: int = 1
    captures: tuple[Capture, ...] = ()
    recorded: tuple[str, ...] = ()
    speed: float = 1.0
    wait_for_start: bool = False
    fees: Fees = Fees()
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.EXPIRE_MAKER
    time_offset_ns: int = 0
    weight_limit: int = 6000
    order_limit: int = 100
    faults: Profile | None = None
    resume: bool = False

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.jsonl"


def build_venue(settings: Settings, ledger: LedgerWriter, injector: Injector, remains: Remains | None) -> Venue:
    """The venue with its accounts opened, or as they were."""
    clock = Clock(settings.time_offset_ns)
    core = Core(
        settings.instruments,
        fees=settings.fees,
        recorded=[*(capture.symbol for capture in settings.captures), *settings.recorded],
        self_trade_prevention=settings.self_trade_prevention,
    )
    keys = {one.api_key: Key(one.name, one.api_secret.encode()) for one in settings.accounts}
    if remains is None or not remains.terms:
        ledger.open_with(settings.instruments)
    else:
        core.restore(remains)
        ledger.note("resume", time=clock.now(), life=remains.life)
    budget = Budget(settings.weight_limit, settings.order_limit)
    venue = Venue(core, clock, ledger, keys, budget, injector, first_id=0 if remains is None else remains.first_id)
    for account in settings.accounts:
        if account.name not in core.accounts():
            ledger.append(core.open_account(clock.now(), account.name, settings.balances))
    return venue


def find_remains(settings: Settings) -> Remains | None:
    """Of the life before this one, when it is to be resumed; `ResumeError` when it traded something else.

    One that was killed before its first line leaves none: then a first life begins.
    """
    if not settings.resume:
        return None
    remains = read_remains(settings.ledger)
    wanted = [one.symbol for one in settings.instruments]
    if remains.terms and list(remains.terms) != wanted:
        raise ResumeError(f"{settings.ledger} cannot be resumed: it traded {list(remains.terms)}, not {wanted}")
    return remains


def build_player(settings: Settings, venue: Venue) -> Player:
    if settings.captures:
        return CapturePlayer(venue, settings.captures, settings.speed)
    return FlowPlayer(venue, settings.seed, settings.speed)


def build_app(
    venue: Venue, player: Player, gate: asyncio.Event, middlewares: Sequence[Middleware] = ()
) -> web.Application:
    """`middlewares` stand before every route: where faults of answers are injected."""
    app = web.Application(middlewares=list(middlewares))
    app.add_routes([*rest.routes(venue), *sockets.routes(venue), *Control(venue, player, gate).routes()])
    return app


async def run(
    settings: Settings, stop: asyncio.Event, make_player: Callable[[Settings, Venue], Player] = build_player
) -> None:
    """Serve until `stop`; says that it is ready on stdout and in `ready.json`. `make_player` makes what moves the market. OSError
    when the port is taken.
    """
    remains = find_remains(settings)
    ledger = LedgerWriter(settings.ledger, remains)
    injector = Injector(settings.folder / "faults.jsonl")
    started_ns = None if remains is None else remains.started_ns
    try:
        venue = build_venue(settings, ledger, injector, remains)
        player = make_player(settings, venue)
        player.prepare(started_ns)
        gate = asyncio.Event()
        if settings.faults is not None:
            await venue.misbehaviour.set(settings.faults)
        app = build_app(venue, player, gate, [middleware(venue.misbehaviour.answers)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, settings.host, settings.port, shutdown_timeout=1.0)
            await site.start()
            await ledger.durable()
            if not settings.wait_for_start or started_ns is not None:
                gate.set()
            announce(settings, runner)
            await _serve_until(stop, _play(venue, player, gate, started_ns), venue)
        finally:
            await asyncio.gather(*(connection.close() for connection in venue.hub.connections()))
            await runner.cleanup()
            if ledger.failure is None:
                await ledger.durable()
    finally:
        ledger.close()
        injector.close()


def announce(settings: Settings, runner: web.AppRunner) -> None:
    host, port = runner.addresses[0][:2]
    symbols = [one.symbol for one in settings.instruments]
    line = orjson.dumps({"ready": True, "host": host, "port": port, "symbols": symbols}) + b"\n"
    (settings.folder / "ready.json").write_bytes(line)
    sys.stdout.write(line.decode())
    sys.stdout.flush()


async def _play(venue: Venue, player: Player, gate: asyncio.Event, started_ns: int | None) -> None:
    await gate.wait()
    if started_ns is None:
        started_ns = venue.clock.steady()
        venue.ledger.note("start", time=started_ns)
    await player.run(started_ns)


async def _serve_until(stop: asyncio.Event, play: Coroutine[Any, Any, None], venue: Venue) -> None:
    """The player may end before the server does; if it, the faults or the ledger fail, so does the server."""
    ledger = venue.ledger
    playing = asyncio.create_task(play)
    faults = [asyncio.create_task(venue.misbehaviour.run()), asyncio.create_task(venue.snapshots.run())]
    ends = [asyncio.create_task(stop.wait()), asyncio.create_task(ledger.failed.wait())]
    await asyncio.wait((playing, *faults, *ends), return_when=asyncio.FIRST_COMPLETED)
    if playing.done():
        playing.result()
        await asyncio.wait((*faults, *ends), return_when=asyncio.FIRST_COMPLETED)
    for broken in (one for one in faults if one.done()):
        broken.result()
    for task in (playing, *faults, *ends):
        task.cancel()
    await asyncio.gather(playing, *faults, *ends, return_exceptions=True)
    if ledger.failure is not None:
        raise ledger.failure
