"""Where a venue's paper exchange is: a file in the run's folder, written when it serves. Its keys are made for the run and open
nothing but it.
"""

import asyncio
import os
import secrets
from pathlib import Path

import msgspec

from infra.config import Config
from infra.errors import Problem
from topics.record import Account, Venue, venue_of


class Place(msgspec.Struct, frozen=True):
    """``keys``: by account. ``pid``: the process that serves."""

    address: str
    keys: dict[Account, tuple[str, str]]
    pid: int

    def __repr__(self) -> str:
        return f"Place({self.address})"


def path_of(config: Config, venue: Venue) -> Path:
    return config.run_dir / f"paper.{venue}.json"


def folder_of(config: Config, venue: Venue) -> Path:
    """The exchange's own, with its ledger. Where a run has one exchange it is where ``verify`` looks."""
    return config.run_dir / ("exchange" if len(config.paper_venues) == 1 else f"exchange.{venue}")


def kept(config: Config, venue: Venue) -> Place | None:
    """As of the last start."""
    try:
        return msgspec.json.decode(path_of(config, venue).read_bytes(), type=Place)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def keys_for(accounts: list[Account], before: Place | None) -> dict[Account, tuple[str, str]]:
    """Those of before go on."""
    known = {} if before is None else before.keys
    return {account: known.get(account) or (secrets.token_hex(16), secrets.token_hex(32)) for account in accounts}


def write(config: Config, venue: Venue, place: Place) -> None:
    path = path_of(config, venue)
    temporary = path.with_suffix(".tmp")
    temporary.touch(mode=0o600)
    temporary.write_bytes(msgspec.json.encode(place))
    temporary.replace(path)


def found(config: Config, account: Account) -> tuple[str, str, str]:
    """Address, key and secret. Problem while it does not serve yet."""
    place = kept(config, venue_of(account))
    if place is None or account not in place.keys or not _lives(place.pid):
        raise Problem(f"{account}: its paper exchange is not up yet (worker paper/{venue_of(account)})")
    return place.address, *place.keys[account]


async def await_up(config: Config, account: Account, stop: asyncio.Event) -> None:
    """Until it serves, or ``stop``: the exchange waits for definitions, and those for the venue."""
    while not stop.is_set():
        try:
            found(config, account)
        except Problem:
            await asyncio.sleep(0.2)
        else:
            return


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
