"""The venue of one account, as configured: its adapter, the first contact, and its private frames on their way to the
tape.
"""

from importlib import import_module

from adapters.base import VenueError, VenueRefused, VenueUnreachable
from adapters.execution import ExecutionAdapter, Recorder
from infra.config import Config, ConfigError, secret
from infra.errors import Hopeless, Problem
from pipelines.gateway.tape import Tape
from pipelines.paper import place
from topics.record import Account, venue_of

EXECUTION = {"binance": ("adapters.binance.execution", "BinanceExecution")}


def execution_adapter(config: Config, account: Account, recorder: Recorder) -> ExecutionAdapter:
    """As configured. ConfigError for an adapter that cannot trade, or keys that are not set."""
    name, keys = venue_of(account), config.accounts[account]
    venue = config.venues[name]
    if keys.kind == "paper":
        return _paper(config, account, recorder)
    if venue.adapter not in EXECUTION:
        raise ConfigError(f"venues.{name}.adapter: no trading with {venue.adapter!r}: one of {', '.join(EXECUTION)}")
    module, kind = EXECUTION[venue.adapter]
    made: ExecutionAdapter = getattr(import_module(module), kind)(
        name,
        secret(keys.api_key_env),
        secret(keys.api_secret_env),
        rest_url=venue.rest_url,
        ws_api_url=venue.ws_api_url,
        sandbox=venue.sandbox,
        recv_window_ms=venue.recv_window_ms,
        recorder=recorder,
    )
    return made


def _paper(config: Config, account: Account, recorder: Recorder) -> ExecutionAdapter:
    """The venue's paper exchange, whatever the venue: it speaks Binance's words. Problem while it is not up."""
    address, key, value = place.found(config, account)
    module, kind = EXECUTION["binance"]
    made: ExecutionAdapter = getattr(import_module(module), kind)(
        venue_of(account),
        key,
        value,
        rest_url=f"http://{address}/api/v3",
        ws_api_url=f"ws://{address}/ws-api/v3",
        recv_window_ms=config.venues[venue_of(account)].recv_window_ms,
        recorder=recorder,
    )
    return made


async def connect(adapter: ExecutionAdapter, account: Account) -> None:
    venue = venue_of(account)
    try:
        await adapter.connect()
    except VenueRefused as error:
        raise Hopeless(f"{account}: {error}") from None
    except VenueUnreachable as error:
        raise Problem(f"{account}: venue {venue} cannot be reached: {error}") from None
    except VenueError as error:
        raise Problem(f"{account}: venue {venue}: {error}") from None


class Frames:
    """Private frames on their way to the tape; kept while there is none yet."""

    def __init__(self) -> None:
        self._early: list[tuple[int, str]] = []
        self._tape: Tape | None = None

    def __call__(self, recv_ns: int, frame: str) -> None:
        if self._tape is None:
            self._early.append((recv_ns, frame))
        else:
            self._tape.record(recv_ns, frame)

    def to(self, tape: Tape) -> None:
        self._tape = tape
        for recv_ns, frame in self._early:
            tape.record(recv_ns, frame)
        self._early.clear()
