"""What a backtest is about: which configuration, which strategies, over which source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from infra import services
from infra.config import AccountConfig, Config, ConfigError, RunConfig, find, load, parse
from infra.errors import Problem
from pipelines.backtest_runs import RunSource
from pipelines.backtest_source import Recordings, Source, open_source
from pipelines.recorded_run import LiveRun
from strategies import StrategyError
from strategies.loading import load_strategy, typed_params
from topics.record import Currency, Venue, venue_of

TOPIC = "topic"
"""As a source: the live topics of the configured run."""
BARS = ("time-1s",)
LIMITS = {
    "scope": "firm",
    "price_collar": "0.05",
    "max_order_value": "1000000",
    "max_position_value": "10000000",
    "max_orders_per_second": "100",
    "max_data_age": "5",
}
"""For a strategy that is run without a configuration: wide, and still checked."""


class Unusable(ConfigError):
    """These parameters cannot be the strategy's."""


@dataclass(frozen=True)
class Plan:
    """``origin``: the configuration before it was narrowed to a strategy; None where a class path stands for it."""

    config: Config
    source: Source
    origin: Config | None = None

    @property
    def venue(self) -> str:
        return _venue(self.config)

    @property
    def venues(self) -> dict[str, str]:
        return _venues(self.config)

    def again(self, strategy: str, params: Mapping[str, Any]) -> Config:
        """The same with other parameters."""
        name, home = self.config.run.name, Path(self.config.run.home)
        if self.origin is None:
            return _of_class(strategy, params, self.source, name, home)
        return configured(self.origin, strategy, params, name, home)


def plan(
    path: Path | None,
    strategy: str | None,
    paths: Sequence[Path],
    params: Mapping[str, Any],
    name: str,
    home: Path,
) -> Plan:
    """ConfigError or Problem in one line. A class path needs no configuration; a recorded run brings its own.

    ``paths`` may be ``topic``: the topics of the configured run.
    """
    live = list(map(str, paths)) == [TOPIC]
    if strategy is not None and ":" in strategy and path is None:
        source = live_source(load(find())) if live else open_source(paths, "sim")
        return Plan(_of_class(strategy, params, source, name, home), source)
    config = load(path or _recorded_config(paths) or find())
    source = live_source(config) if live else open_source(paths, _venue(config), _venues(config))
    return Plan(configured(config, strategy, params, name, home), source, config)


def configured(config: Config, strategy: str | None, params: Mapping[str, Any], name: str, home: Path) -> Config:
    """Narrowed to the strategy, with these of its parameters changed, as a run of this name."""
    if strategy is not None:
        config = _narrowed(config, strategy, params)
    elif params:
        raise ConfigError("--params are one strategy's: name it")
    return msgspec.structs.replace(in_stages(config), run=RunConfig(name=name, home=str(home)))


def live_source(config: Config) -> Source:
    """The topics of the configured run as they are now, from the broker."""
    conf = services.broker(config.home)
    if conf is None:
        raise Problem(f"Kafka is down in {config.home}: start it with 'tapedeck services up'")
    return RunSource(f"the topics of {config.run.name}", LiveRun(conf, config.prefix))


def in_stages(config: Config) -> Config:
    """In process there is one way to host a strategy, and no need of the fast one."""
    stages = {name: msgspec.structs.replace(s, host="kafka") for name, s in config.strategies.items()}
    marketdata = msgspec.structs.replace(config.marketdata, serve=False)
    return msgspec.structs.replace(config, strategies=stages, marketdata=marketdata)


def _recorded_config(paths: Sequence[Path]) -> Path | None:
    own = [p / "tapedeck.toml" for one in paths[:1] for p in (one, one.parent)]
    return next((p for p in own if paths[0].is_dir() and p.exists()), None)


def _venue(config: Config) -> str:
    """Of the captures: the one venue of the strategies."""
    venues = sorted({venue_of(i) for s in config.strategies.values() for i in s.instruments})
    if not venues:
        raise ConfigError("no [strategies] to run")
    return venues[0]


def _venues(config: Config) -> dict[str, str]:
    """By adapter what its venue is called; those that the strategies trade on come first."""
    traded = {venue_of(i) for s in config.strategies.values() for i in s.instruments}
    found: dict[str, str] = {}
    for name in sorted(config.venues, key=lambda name: (name not in traded, name)):
        found.setdefault(config.venues[name].adapter, name)
    return found


def _narrowed(config: Config, strategy: str, params: Mapping[str, Any]) -> Config:
    if strategy not in config.strategies:
        known = ", ".join(config.strategies) or "none"
        raise ConfigError(f"no strategy named {strategy!r} in [strategies]: one of {known}; or a module:Class")
    chosen = config.strategies[strategy]
    chosen = msgspec.structs.replace(
        chosen, params={**chosen.params, **_usable(chosen.class_path, chosen.params, params)}
    )
    return msgspec.structs.replace(config, strategies={strategy: chosen})


def _usable(class_path: str, known: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """As the strategy declares them. ConfigError says which of them it cannot be made with."""
    try:
        typed = typed_params(class_path, given)
        load_strategy(class_path, {**known, **typed})
    except StrategyError as error:
        raise Unusable(str(error)) from error
    return typed


def _money(source: Source, venue: Venue) -> Currency:
    """What the venue's instruments are settled in: the usual one where it is among several."""
    settled, usual = (
        sorted({i.settled_in for i in source.instruments if i.venue == venue}),
        AccountConfig().reporting_currency,
    )
    return usual if usual in settled else settled[0]


def _of_class(class_path: str, params: Mapping[str, Any], source: Source, name: str, home: Path) -> Config:
    """One strategy on everything that the source has, named after its class; on several venues one of it on each."""
    params = _usable(class_path, {}, params)
    strategy = load_strategy(class_path, params)
    adapters = source.venues if isinstance(source, Recordings) else {}
    venues = sorted({i.venue for i in source.instruments})
    called = class_path.partition(":")[2]
    keyless = {"api_key_env": "NONE", "api_secret_env": "NONE"}
    raw = {
        "run": {"name": name, "home": str(home)},
        "venues": {venue: {"adapter": adapters.get(venue, "binance")} for venue in venues},
        "accounts": {f"{venue}.main": keyless | {"reporting_currency": _money(source, venue)} for venue in venues},
        "strategies": {
            called if len(venues) == 1 else f"{called}_{venue}": {
                "class": class_path,
                "account": f"{venue}.main",
                "instruments": [i.instrument for i in source.instruments if i.venue == venue],
                "bars": BARS if strategy.overrides("on_bar") else (),
                "params": dict(params),
            }
            for venue in venues
        },
        "limits": [LIMITS],
    }
    return parse(raw, class_path)
