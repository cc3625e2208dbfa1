"""What can be found out before anything starts: strategies, keys, instruments, ports. Problem in one line, within seconds."""

import asyncio
import socket

from adapters.execution import KeyPermissions
from adapters.registry import market_data
from infra.config import Config, ConfigError
from infra.errors import Problem
from pipelines.workers import stage_of
from topics.record import Account, Venue, venue_of


def check(config: Config) -> None:
    """What needs nobody else: adapters, strategies, bars and ports."""
    for venue in sorted(config.venues):
        check_adapter(config, venue)
    stage_of("bars", config)
    for strategy in sorted(config.strategies):
        stage_of(f"intents/{strategy}", config)
    if config.gateway.port:
        check_port(config.gateway.host, config.gateway.port)
    if config.serves_marketdata and config.marketdata.port:
        check_port(config.marketdata.host, config.marketdata.port, "marketdata")


def check_accounts(config: Config) -> None:
    """What only the venues know: keys, clock, instruments. A paper exchange begins with the run."""
    for account in sorted(a for a, keys in config.accounts.items() if keys.kind == "venue"):
        check_account(config, account)


def check_adapter(config: Config, venue: Venue) -> str:
    """The adapter's name, when there is one."""
    adapter = config.venues[venue].adapter
    try:
        if config.venues[venue].book == "L3" and not market_data(adapter).has_orders:
            raise ConfigError(f'venues.{venue}.book: {adapter} has no book order by order ("L3")')
        market_data(adapter)
    except ValueError as error:
        raise ConfigError(f"venues.{venue}.adapter: {error}") from error
    return adapter


def check_port(host: str, port: int, section: str = "gateway") -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Problem(f"{section}.port: {host}:{port} is not to be had: {error.strerror}") from None


def key_permissions(config: Config, account: Account) -> KeyPermissions | None:
    """What the venue says that the account's key may do; None where it does not say. VenueError."""
    from pipelines.gateway.venue import execution_adapter

    async def ask() -> KeyPermissions | None:
        adapter = execution_adapter(config, account, lambda at_ns, frame: None)
        try:
            told = getattr(adapter, "key_permissions", None)
            return None if told is None else await told()
        finally:
            await adapter.close()

    return asyncio.run(ask())


def check_account(config: Config, account: Account) -> int:
    """Keys, permissions and clock by the same connection that the gateway makes; the number of instruments the venue lists."""
    from pipelines.gateway.venue import connect, execution_adapter

    async def ask() -> set[str]:
        adapter = execution_adapter(config, account, lambda at_ns, frame: None)
        try:
            await connect(adapter, account)
            return set(adapter.listed)
        finally:
            await adapter.close()

    listed = asyncio.run(ask())
    venue = venue_of(account)
    unknown = sorted(set(config.instruments_of(venue)) - listed)
    if unknown:
        raise ConfigError(
            f"the venue {venue} lists no {unknown[0]} (it has {len(listed)} instruments, such as {min(listed, default='none')})"
        )
    return len(listed)
