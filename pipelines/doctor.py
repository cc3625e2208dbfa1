"""``tapedeck doctor``: is everything there that a run needs? One line a finding: what was looked at, and what to do where it is not well."""

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from rich.console import Console

from adapters.base import VenueError
from adapters.execution import KeyPermissions
from infra import kafka, services
from infra.config import Config, find, load
from infra.errors import Problem
from pipelines.demo_config import KEY as DEMO_KEY
from pipelines.preflight import check_account, check_adapter, key_permissions
from pipelines.workers import stage_of, strategy_workers
from topics import native
from topics.catalog import TOPICS
from topics.controls import LimitName
from topics.record import venue_of

GOOD, BAD, NOTE = "ok", "BAD", "note"
Finding = tuple[str, str, str]
"""(GOOD, BAD or NOTE, what, the word on it)"""

out = Console(highlight=False, soft_wrap=True)


def examine(path: Path | None) -> int:
    """Print every finding as it is made; 1 where one is bad."""
    worst = 0
    for level, what, word in _findings(path or find()):
        style = {GOOD: "green", BAD: "bold red", NOTE: "yellow"}[level]
        out.print(f"[{style}]{level:>4}[/]  {what:<22} ", end="")
        out.print(word, markup=False)
        worst = max(worst, level == BAD)
    return worst


def _findings(path: Path) -> Iterator[Finding]:
    try:
        config = load(path)
    except Problem as problem:
        yield BAD, "configuration", str(problem)
        return
    yield (
        GOOD,
        "configuration",
        f"{path}: run {config.run.name!r}, {len(config.strategies)} strategies, {len(config.accounts)} accounts",
    )
    yield _native()
    yield from _limits(config)
    wrong = set()
    for venue in sorted(config.venues):
        finding = _tried(f"venue {venue}", lambda v=venue: f"adapter {check_adapter(config, v)}")  # type: ignore[misc]
        wrong |= {venue} if finding[0] == BAD else set()
        yield finding
    yield _tried("bars", lambda: f"{stage_of('bars', config).name}: every specification is one")
    for strategy in sorted(config.strategies):
        yield _tried(f"strategy {strategy}", lambda s=strategy: _strategy(s, config))  # type: ignore[misc]
    yield from _disk(config)
    found = services.endpoints(config.home)
    if found is None:
        yield BAD, "services", f"Kafka or Postgres is down in {config.home}: start them with 'tapedeck services up'"
    else:
        yield _tried("broker", lambda: _broker(found.kafka))
        yield _tried("topics", lambda: _topics(config, found.kafka))
        yield _tried("database", lambda: _database(found.postgres))
    for account in sorted(a for a in config.accounts if venue_of(a) not in wrong):
        yield from _account(config, account)


def _strategy(strategy: str, config: Config) -> str:
    stage_of(f"intents/{strategy}", config)
    return f"{strategy_workers(config, strategy)[-1]}/{strategy}"


def _tried(what: str, check: Callable[[], str]) -> Finding:
    try:
        return GOOD, what, check()
    except (Problem, KafkaException, psycopg.Error) as error:
        return BAD, what, " ".join(str(error).split())


def _native() -> Finding:
    if native.ABSENT:
        return NOTE, "compiled code", f"{native.WITHOUT} ({native.ABSENT})"
    return GOOD, "compiled code", "built"


def _limits(config: Config) -> Iterator[Finding]:
    supplied = {name for one in config.limits for name in one.limits()}
    missing = [name.value for name in LimitName if name not in supplied]
    if missing:
        yield (
            NOTE,
            "limits",
            f"no scope in the configuration supplies {', '.join(missing)}: unless 'controls' holds them, every order is denied",
        )
    else:
        yield GOOD, "limits", "every check has a limit"


def _disk(config: Config) -> Iterator[Finding]:
    folder = config.home if config.home.exists() else config.home.parent
    free = shutil.disk_usage(folder).free / 1e9
    yield (
        (GOOD if free > 5 else BAD),
        "disk",
        f"{free:.0f} GB free at {folder}" + ("" if free > 5 else ": make room, the tape grows"),
    )


def _broker(conf: kafka.KafkaConf) -> str:
    kafka.check_broker(conf)
    nodes = AdminClient(dict(conf)).list_topics(timeout=8).brokers
    return f"{conf['bootstrap.servers']}: {len(nodes)} node{'s' if len(nodes) != 1 else ''}"


def _topics(config: Config, conf: kafka.KafkaConf) -> str:
    existing = AdminClient(dict(conf)).list_topics(timeout=8).topics
    wanted = {kafka.physical(config.prefix, t): t for t in TOPICS.values()}
    wrong = [n for n, t in wanted.items() if n in existing and len(existing[n].partitions) != t.partitions]
    if wrong:
        raise Problem(f"{wrong[0]} has another partition count: counts never change; use another run name")
    there = sum(n in existing for n in wanted)
    return f"{there} of {len(wanted)} exist" + ("" if there == len(wanted) else " ('tapedeck up' makes the rest)")


def _database(dsn: str) -> str:
    with psycopg.connect(dsn, connect_timeout=8) as connection:
        row = connection.execute("select current_setting('server_version'), current_database()").fetchone()
    return "PostgreSQL {}, database {}".format(*(row or ("?", "?")))


def _account(config: Config, account: str) -> Iterator[Finding]:
    """Keys, permissions, instruments and the venue's clock."""
    if config.accounts[account].api_key_env == DEMO_KEY and DEMO_KEY not in os.environ:
        at = urlsplit(config.venues[venue_of(account)].rest_url).netloc
        word = f"of the demo's simulated exchange at {at}, which made its keys for the demo's own processes: nothing to look at from here"
        yield NOTE, f"account {account}", word
        return

    if config.accounts[account].kind == "paper":
        yield GOOD, f"account {account}", "on paper: no keys needed"
        return

    def ask() -> str:
        began = time.monotonic()
        listed = check_account(config, account)
        return f"keys accepted, {listed} instruments, answered in {time.monotonic() - began:.1f} s"

    tried = _tried(f"account {account}", ask)
    yield tried
    if tried[0] == GOOD:
        yield from _key(config, account)
    yield from _clock(config, venue_of(account))


def _key(config: Config, account: str) -> Iterator[Finding]:
    what = f"key of {account}"
    try:
        found = key_permissions(config, account)
    except VenueError as error:
        yield NOTE, what, f"its permissions could not be asked for: {' '.join(str(error).split())}"
        return
    yield from ((level, what, word) for level, word in judged_key(found))


def judged_key(found: KeyPermissions | None) -> Iterator[tuple[str, str]]:
    """(level, the word on it): a trading key needs neither withdrawals nor the whole internet."""
    if found is None:
        yield NOTE, "the venue does not say what it may do: look there that it may not withdraw"
        return
    if found.may_withdraw:
        yield BAD, "it may withdraw: make a key without 'Enable Withdrawals'; trading does not need it"
    if not found.ip_restricted:
        yield NOTE, "it works from any address: restrict it to this machine's at the venue"
    if not found.may_withdraw and found.ip_restricted:
        yield GOOD, "may not withdraw, and is restricted by address"


def _clock(config: Config, venue: str) -> Iterator[Finding]:
    """The venue's against ours at the middle of the question; requests are refused beyond the receive window."""
    from adapters.base import Endpoints
    from adapters.registry import market_data

    settings = config.venues[venue]

    async def offset_s() -> float:
        rest = market_data(settings.adapter).rest(
            Endpoints(settings.rest_url, settings.ws_url, settings.sandbox, settings.options)
        )
        try:
            sent = time.time()
            theirs = await rest.time_ms() / 1000
            return theirs - (sent + time.time()) / 2
        finally:
            await rest.close()

    try:
        seconds = asyncio.run(offset_s())
    except VenueError as error:
        yield BAD, f"clock of {venue}", str(error)
        return
    bad = abs(seconds) * 1000 > settings.recv_window_ms / 2
    word = f"{seconds:+.3f} s from ours" + (": set this machine's clock by NTP" if bad else "")
    yield (BAD if bad else GOOD), f"clock of {venue}", word
