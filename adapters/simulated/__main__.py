"""`python -m adapters.simulated`: arguments in, the server's life out. A bad argument is one line and exit code 2."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NoReturn

import orjson

from adapters.simulated.capture import CaptureError, read_capture
from adapters.simulated.endpoints import REQUESTS
from adapters.simulated.faults import FaultError, read_profile
from adapters.simulated.instruments import TABLE, Instrument
from adapters.simulated.ledger_writer import LedgerExists
from adapters.simulated.model import SelfTradePrevention
from adapters.simulated.resume import ResumeError
from adapters.simulated.server import Account, Settings, run
from adapters.simulated.settlement import Fees
from adapters.simulated.units import units

DEFAULT_SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
DEFAULT_BALANCES = {"BTC": "10", "ETH": "100", "SOL": "2000", "USDT": "1000000"}
OTHER_BASE = "1000"


class BadArgument(Exception):
    """One line for the user."""


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadArgument(message)


def parser() -> Parser:
    known = Parser(prog="python -m adapters.simulated", description="A simulated Binance spot exchange.")
    known.add_argument("--folder", type=Path, required=True, help="for ledger.jsonl and ready.json")
    known.add_argument("--host", default="127.0.0.1")
    known.add_argument("--port", type=int, default=0, help="0 takes a free one")
    known.add_argument("--seed", type=int, default=1, help="of the generated flow")
    known.add_argument("--symbols", nargs="+", default=None, help="of the generated flow")
    known.add_argument("--capture", type=Path, action="append", default=[], help="play this instead; repeatable")
    known.add_argument("--speed", type=float, default=1.0, help="of the capture or the flow, times its own")
    known.add_argument("--wait-for-start", action="store_true", help="hold the flow until POST /control/start")
    known.add_argument("--api-key", action="append", default=[], help="repeat for more accounts")
    known.add_argument("--api-secret", action="append", default=[])
    known.add_argument("--account", action="append", default=[], help="names in the ledger; the first is `main`")
    known.add_argument("--balance", action="append", default=[], metavar="ASSET=AMOUNT", help="opening balance")
    known.add_argument("--maker-fee", default="0.001")
    known.add_argument("--taker-fee", default="0.001")
    known.add_argument("--self-trade-prevention", default="EXPIRE_MAKER", choices=[str(m) for m in SelfTradePrevention])
    known.add_argument("--time-offset-ms", type=int, default=0, help="makes the exchange's clock wrong")
    known.add_argument("--weight-limit", type=int, default=6000, help="request weight a minute, 0 for none")
    known.add_argument("--faults", default=None, metavar="FILE|JSON", help="a fault profile, as POST /control/faults")
    known.add_argument("--resume", action="store_true", help="go on from the folder's ledger, on its last port")
    known.add_argument("--order-limit", type=int, default=100, help="orders in ten seconds, 0 for none")
    return known


def settings_of(arguments: list[str]) -> Settings:
    """`BadArgument` or `CaptureError`, before anything is opened."""
    known = parser().parse_args(arguments)
    if not known.speed > 0:
        raise BadArgument("--speed must be above 0")
    if not 0 <= known.port <= 65535:
        raise BadArgument("--port must be between 0 and 65535")
    captures = tuple(read_capture(path) for path in known.capture)
    symbols = known.symbols or DEFAULT_SYMBOLS
    instruments = tuple(one.instrument for one in captures) or tuple(_instrument(symbol) for symbol in symbols)
    if len({one.symbol for one in instruments}) < len(instruments):
        raise BadArgument("each instrument may be given once")
    return Settings(
        folder=known.folder,
        instruments=instruments,
        accounts=_accounts(known),
        balances=_balances(known.balance, instruments),
        host=known.host,
        port=known.port or (_last_port(known.folder) if known.resume else 0),
        seed=known.seed,
        captures=captures,
        speed=known.speed,
        wait_for_start=known.wait_for_start,
        fees=Fees(maker=_amount("--maker-fee", known.maker_fee), taker=_amount("--taker-fee", known.taker_fee)),
        self_trade_prevention=SelfTradePrevention(known.self_trade_prevention),
        time_offset_ns=known.time_offset_ms * 1_000_000,
        weight_limit=known.weight_limit,
        order_limit=known.order_limit,
        faults=None if known.faults is None else read_profile(known.faults, REQUESTS),
        resume=known.resume,
    )


def _last_port(folder: Path) -> int:
    """Where the clients look for it."""
    try:
        port: int = orjson.loads((folder / "ready.json").read_bytes())["port"]
    except (OSError, ValueError, KeyError):
        return 0
    return port


def _instrument(symbol: str) -> Instrument:
    if symbol not in TABLE:
        raise BadArgument(f"--symbols: {symbol} is not known, only {', '.join(TABLE)}")
    return TABLE[symbol]


def _accounts(known: argparse.Namespace) -> tuple[Account, ...]:
    keys = known.api_key or [os.environ.get("TAPEDECK_SIM_API_KEY", "")]
    secrets = known.api_secret or [os.environ.get("TAPEDECK_SIM_API_SECRET", "")]
    if len(keys) != len(secrets) or not all(keys) or not all(secrets) or len(set(keys)) < len(keys):
        raise BadArgument(
            "an API key and secret are needed: --api-key and --api-secret, "
            "or TAPEDECK_SIM_API_KEY and TAPEDECK_SIM_API_SECRET"
        )
    names = [*known.account, *(["main"] if not known.account else [])]
    names += [f"account-{number}" for number in range(len(names) + 1, len(keys) + 1)]
    return tuple(Account(*row) for row in zip(names, keys, secrets, strict=False))


def _balances(given: list[str], instruments: tuple[Instrument, ...]) -> dict[str, int]:
    """Defaults for what the instruments need, then what was asked for."""
    assets = [asset for one in instruments for asset in (one.base, one.quote)]
    balances = {asset: units(DEFAULT_BALANCES.get(asset, OTHER_BASE)) for asset in assets}
    for pair in given:
        asset, _, amount = pair.partition("=")
        balances[asset] = _amount(f"--balance {pair}", amount)
    return balances


def _amount(what: str, value: str) -> int:
    try:
        amount = units(value)
    except ValueError as error:
        raise BadArgument(f"{what}: {error}") from error
    if amount < 0:
        raise BadArgument(f"{what}: must not be negative")
    return amount


async def _serve(settings: Settings) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run(settings, stop)


def _run(main: Coroutine[Any, Any, None]) -> None:
    try:
        from uvloop import new_event_loop
    except ImportError:
        asyncio.run(main)
        return
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main)


def main(arguments: list[str]) -> int:
    try:
        settings = settings_of(arguments)
        settings.folder.mkdir(parents=True, exist_ok=True)
        _run(_serve(settings))
    except LedgerExists as error:
        return _complain(f"{error} exists: give each run a folder of its own")
    except (BadArgument, CaptureError, FaultError, ResumeError, OSError) as error:
        return _complain(str(error))
    return 0


def _complain(message: str) -> int:
    sys.stderr.write(f"simulated exchange: {message}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
