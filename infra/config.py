"""Configuration: one frozen struct per process, decoded once from TOML and the environment. Secrets come from the environment only."""

import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec.structs import replace

from infra.errors import Hopeless
from topics.controls import LimitName
from topics.names import is_strategy_name
from topics.record import EXTERNAL, Account, InstrumentId, StrategyId, Venue, venue_of
from topics.routes import Subscription, Subscriptions

DEFAULT_FILE = "tapedeck.toml"


class ConfigError(Hopeless):
    """One line that names the key and says what is wrong with it."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class RunConfig(_Section, frozen=True):
    """``name`` is the run's own topic prefix, Postgres schema and archive folder; ``home`` holds the services, state and logs."""

    name: str = "live"
    home: str = ".tapedeck"
    replication_factor: int = 1
    cancel_on_stop: bool = True


class VenueConfig(_Section, frozen=True):
    """A venue is a configured instance of an adapter. URLs left empty are the adapter's own (the real venue).

    ``capture``: what ingest receives is also written to compressed files in the run's folder ``captures``.
    ``connections``: how many deliver each stream at once, where a venue's frames can be told apart by their numbers.
    ``book``: "L3" is order by order too, where the venue has it. ``options``: ccxt's, for the generic adapter (``ccxt:<id>``).
    """

    adapter: str
    rest_url: str = ""
    ws_url: str = ""
    ws_api_url: str = ""
    sandbox: bool = False
    recv_window_ms: int = 5000
    instruments: tuple[InstrumentId, ...] = ()
    capture: bool = False
    connections: Annotated[int, msgspec.Meta(ge=1, le=4)] = 1
    book: Literal["L2", "L3"] = "L2"
    options: dict[str, Any] = {}


class AccountConfig(_Section, frozen=True):
    """Keys are read from the environment variables named here, never from the file. ``kind`` "paper": an account of the platform's
    own exchange, in which orders meet the venue's public market; it needs no keys.
    """

    kind: Literal["venue", "paper"] = "venue"
    api_key_env: str = ""
    api_secret_env: str = ""
    reporting_currency: str = "USDT"


class StrategyConfig(_Section, frozen=True):
    """``host``: "kafka" runs it as two stages, "grpc" on the fast path, as ``host/<strategy>``."""

    class_path: str = msgspec.field(name="class")
    account: Account
    instruments: tuple[InstrumentId, ...]
    bars: tuple[str, ...] = ()
    params: dict[str, Any] = {}
    host: Literal["kafka", "grpc"] = "kafka"


class LimitsConfig(_Section, frozen=True):
    """The limits of one scope; they seed what ``controls`` does not hold yet."""

    scope: str
    price_collar: Decimal | None = None
    max_order_value: Decimal | None = None
    max_position_value: Decimal | None = None
    max_orders_per_second: Decimal | None = None
    max_data_age: Decimal | None = None

    def limits(self) -> dict[LimitName, Decimal]:
        values = {name: getattr(self, name.value) for name in LimitName}
        return {name: value for name, value in values.items() if value is not None}


class GatewayConfig(_Section, frozen=True):
    """``port`` 0 takes a free one; it is written to ``<home>/runs/<run>/gateway.<account>.json``."""

    host: str = "127.0.0.1"
    port: int = 0
    reconcile_every_s: float = 10.0
    lease_s: float = 5.0


class MarketDataConfig(_Section, frozen=True):
    """``serve`` runs the worker also where no strategy is hosted on the fast path. ``port`` 0 takes a free one; it is written to
    ``<home>/runs/<run>/marketdata.json``.
    """

    serve: bool = False
    host: str = "127.0.0.1"
    port: int = 0


class PaperConfig(_Section, frozen=True):
    """Of all paper accounts. ``balances``: what each begins with; of what is not named, 1,000,000. Fees are fractions."""

    balances: dict[str, Decimal] = {}
    maker_fee: Decimal = Decimal("0.001")
    taker_fee: Decimal = Decimal("0.001")


class ArchiveConfig(_Section, frozen=True):
    """``compact_every_s``: how often all small files are looked at again."""

    flush_every_s: float = 5.0
    max_rows: int = 50_000
    compact_every_s: float = 3600.0


class MetricsConfig(_Section, frozen=True):
    """``port`` 0 takes a free one, which Prometheus finds by the files in ``<home>/targets``."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = 0


class StagesConfig(_Section, frozen=True):
    """``snapshot_every_s``: how often a stage writes its whole state to the tape, beside once at a clean stop; 0 is never."""

    snapshot_every_s: float = 300.0


class Config(_Section, frozen=True):
    run: RunConfig = RunConfig()
    venues: dict[Venue, VenueConfig] = {}
    accounts: dict[Account, AccountConfig] = {}
    strategies: dict[StrategyId, StrategyConfig] = {}
    limits: tuple[LimitsConfig, ...] = ()
    gateway: GatewayConfig = GatewayConfig()
    marketdata: MarketDataConfig = MarketDataConfig()
    paper: PaperConfig = PaperConfig()
    archive: ArchiveConfig = ArchiveConfig()
    metrics: MetricsConfig = MetricsConfig()
    stages: StagesConfig = StagesConfig()

    @property
    def home(self) -> Path:
        return Path(self.run.home).expanduser().absolute()

    @property
    def run_dir(self) -> Path:
        """State, logs, archive and reports of this run."""
        return self.home / "runs" / self.run.name

    @property
    def captures(self) -> Path:
        """Where venues that are recorded have their files."""
        return self.run_dir / "captures"

    @property
    def prefix(self) -> str:
        """Of every topic and consumer group."""
        return self.run.name

    def subscriptions(self) -> Subscriptions:
        return {
            strategy_id: Subscription(account=s.account, instruments=s.instruments, bars=s.bars)
            for strategy_id, s in self.strategies.items()
        }

    @property
    def serves_marketdata(self) -> bool:
        return self.marketdata.serve or any(s.host == "grpc" for s in self.strategies.values())

    def paper_accounts(self, venue: Venue) -> list[Account]:
        return sorted(a for a, c in self.accounts.items() if c.kind == "paper" and venue_of(a) == venue)

    @property
    def paper_venues(self) -> list[Venue]:
        """Those that have a paper exchange beside them."""
        return sorted({venue_of(a) for a, c in self.accounts.items() if c.kind == "paper"})

    def instruments_of(self, venue: Venue) -> tuple[InstrumentId, ...]:
        """What ingest subscribes to: the venue's own list and every strategy's."""
        wanted = set(self.venues[venue].instruments)
        for s in self.strategies.values():
            wanted.update(i for i in s.instruments if venue_of(i) == venue)
        return tuple(sorted(wanted))

    def digest(self) -> str:
        """Short hash of the whole configuration, as written beside every record; where its folder lies changes nothing."""
        placeless = replace(self, run=replace(self.run, home=""))
        return hashlib.sha256(msgspec.json.encode(placeless, order="deterministic")).hexdigest()[:12]


def load(path: Path | None = None, env: Mapping[str, str] = os.environ) -> Config:
    """Read ``path``, else what ``find`` finds. ConfigError in one line."""
    path = path or find(env)
    try:
        raw = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(
            f"no configuration at {path}: name one with --config or TAPEDECK_CONFIG, or run 'tapedeck init'"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if "TAPEDECK_HOME" in env:
        raw.setdefault("run", {})["home"] = env["TAPEDECK_HOME"]
    if "TAPEDECK_METRICS_HOST" in env:
        raw.setdefault("metrics", {})["host"] = env["TAPEDECK_METRICS_HOST"]
    return parse(raw, str(path))


def find(env: Mapping[str, str] = os.environ) -> Path:
    """The configuration to use when none is named: ``$TAPEDECK_CONFIG``, ``./tapedeck.toml``, or the run that is up (or was last)."""
    if "TAPEDECK_CONFIG" in env:
        return Path(env["TAPEDECK_CONFIG"])
    current = Path(env.get("TAPEDECK_HOME", ".tapedeck")) / "current.toml"
    return current if not Path(DEFAULT_FILE).exists() and current.exists() else Path(DEFAULT_FILE)


def parse(raw: dict[str, Any], origin: str = "configuration") -> Config:
    try:
        config = msgspec.convert(raw, Config, str_keys=True, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{origin}: {error}") from error
    _check(config, origin)
    return config


def check_run_name(name: str) -> None:
    """It names a folder, a Postgres schema and the topics."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name) is None:
        raise ConfigError(
            f"{name!r} cannot be a run's name: up to 100 letters, digits, '-', '_' and '.', a letter or digit first"
        )


def _check(config: Config, origin: str) -> None:
    check_run_name(config.run.name)
    for account in config.accounts:
        if venue_of(account) not in config.venues:
            raise ConfigError(f"{origin}: accounts.{account}: no venue {venue_of(account)!r} in [venues]")
        keys = config.accounts[account]
        for key in ("api_key_env", "api_secret_env") if keys.kind == "venue" else ():
            if not getattr(keys, key):
                raise ConfigError(f'{origin}: accounts.{account}: {key} is missing (kind = "paper" needs no keys)')
    for name, s in config.strategies.items():
        if "|" in name or "/" in name:
            raise ConfigError(f"{origin}: strategies.{name}: a name may not contain '|' or '/'")
        if not is_strategy_name(name) or name == EXTERNAL:
            raise ConfigError(
                f"{origin}: strategies.{name!a}: a name is 1 to 64 printable ASCII characters, not {EXTERNAL}"
            )
        if s.account not in config.accounts:
            raise ConfigError(f"{origin}: strategies.{name}.account: no account {s.account!r} in [accounts]")
        for instrument in s.instruments:
            if venue_of(instrument) not in config.venues:
                raise ConfigError(
                    f"{origin}: strategies.{name}.instruments: no venue {venue_of(instrument)!r} in [venues]"
                )


def secret(variable: str, env: Mapping[str, str] = os.environ) -> str:
    """A secret from the environment, or from the file that ``<variable>_FILE`` names."""
    if f"{variable}_FILE" in env:
        try:
            return Path(env[f"{variable}_FILE"]).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{variable}_FILE: {error}") from error
    if not env.get(variable):
        raise ConfigError(f"{variable} is not set: export it (or {variable}_FILE) with the account's key")
    return env[variable]
