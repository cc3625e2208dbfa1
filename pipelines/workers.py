"""The composition root of every worker: its name, and how it runs.

Names: ``ingest/<venue>``, ``paper/<venue>``,
``gateway/<account>``, ``signals/<strategy>``, ``intents/<strategy>``, ``host/<strategy>`` (instead of these two),
``marketdata``, and ``normalize bars orders positions
portfolio controls clock audit archive``.
"""

import asyncio
import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from infra.config import Config, ConfigError
from infra.kafka import KafkaConf, check_broker
from infra.metrics import Exposition
from topics.record import StrategyId
from topics.stage import Stage

if TYPE_CHECKING:
    from strategies import Strategy


def worker_names(config: Config) -> list[str]:
    """Every worker of a configuration, in the order they are started. One without accounts and strategies only records."""
    if not config.accounts and not config.strategies:
        return ["normalize", "archive", *(f"ingest/{v}" for v in sorted(config.venues))]
    names = ["controls", "orders", "positions", "portfolio", "normalize", "bars", "audit", "archive"]
    names += ["marketdata"] if config.serves_marketdata else []
    names += [f"{kind}/{s}" for s in sorted(config.strategies) for kind in strategy_workers(config, s)]
    names += [f"paper/{v}" for v in config.paper_venues]
    names += [f"gateway/{a}" for a in sorted(config.accounts)]
    names += [f"ingest/{v}" for v in sorted(config.venues)]
    return [*names, "clock"]


def strategy_workers(config: Config, strategy_id: StrategyId) -> tuple[str, ...]:
    """The kinds of worker that run it."""
    return ("host",) if config.strategies[strategy_id].host == "grpc" else ("signals", "intents")


def stage_of(name: str, config: Config) -> Stage[Any]:
    """The stage a worker runs; ConfigError when the name is none. Imports only what that stage needs."""
    kind, _, which = name.partition("/")
    if kind in ("signals", "intents"):
        return _strategy_stage(kind, which, config)
    match name:
        case "normalize":
            from pipelines.normalize import normalize_stage

            return normalize_stage({venue: v.adapter for venue, v in config.venues.items()})
        case "bars":
            from pipelines.bars import bars_stage

            return bars_stage(_bar_specs(config))
        case "orders":
            from pipelines.orders import STAGE as orders

            return orders
        case "positions":
            from pipelines.positions import STAGE as positions

            return positions
        case "portfolio":
            from pipelines.portfolio import portfolio_stage

            return portfolio_stage({a: c.reporting_currency for a, c in config.accounts.items()})
        case "controls":
            from pipelines.controls import STAGE as controls

            return controls
    raise ConfigError(f"no worker named {name!r}: one of {', '.join(worker_names(config))}")


def strategy_of(strategy_id: StrategyId, config: Config) -> "Strategy":
    """ConfigError for a name, class or parameters that are none."""
    from strategies import StrategyError, load_strategy

    if strategy_id not in config.strategies:
        raise ConfigError(
            f"no strategy named {strategy_id!r} in [strategies]: one of {', '.join(config.strategies) or 'none'}"
        )
    s = config.strategies[strategy_id]
    try:
        return load_strategy(s.class_path, s.params)
    except StrategyError as error:
        raise ConfigError(f"strategies.{strategy_id}: {error}") from error


def _strategy_stage(kind: str, strategy_id: StrategyId, config: Config) -> Stage[Any]:
    strategy = strategy_of(strategy_id, config)
    subscription = config.subscriptions()[strategy_id]
    if kind == "signals":
        from pipelines.signals import signals_stage

        return signals_stage(strategy_id, strategy, subscription)
    from pipelines.intents import intents_stage

    return intents_stage(strategy_id, strategy, subscription)


def _bar_specs(config: Config) -> Mapping[str, tuple[str, ...]]:
    """Of each instrument. ConfigError names the strategy whose specification is none."""
    from pipelines.bars import rule_of

    wanted: dict[str, set[str]] = {}
    for name, s in config.strategies.items():
        for spec in s.bars:
            try:
                rule_of(spec)
            except ValueError as error:
                raise ConfigError(f"strategies.{name}.bars: {error}") from None
        for instrument in s.instruments:
            wanted.setdefault(instrument, set()).update(s.bars)
    return {instrument: tuple(sorted(specs)) for instrument, specs in sorted(wanted.items())}


def run_worker(name: str, config: Config, kafka: KafkaConf, postgres: str, instance: int = 0) -> None:
    """Run one worker until SIGTERM or SIGINT; raises what it died of."""
    logging.basicConfig(
        level=os.environ.get("TAPEDECK_LOG", "INFO"), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    _follow_supervisor()
    collect_rarely()
    kafka = {**kafka, "log_level": os.environ.get("TAPEDECK_KAFKA_LOG_LEVEL", "4")}
    check_broker(kafka)
    with Exposition(config.metrics, config.run_dir, name, instance) as exposition:
        _run(name, config, kafka, postgres, instance, exposition)


def collect_rarely() -> None:
    """Workers hold many objects and make hardly any cycles: looking for some after every 700 new objects cost a gateway with
    15,000 orders a fifth of its time.
    """
    gc.set_threshold(50_000, 20, 100)


def _run(name: str, config: Config, kafka: KafkaConf, postgres: str, instance: int, exposition: Exposition) -> None:
    kind, _, which = name.partition("/")
    match kind:
        case "ingest":
            from pipelines.ingest import run_ingest

            _known(which, config.venues, "venue")
            _run_async(lambda stop: run_ingest(config, kafka, which, stop, exposition))
        case "paper":
            from pipelines.paper.worker import run_paper

            _known(which, dict.fromkeys(config.paper_venues), "paper exchange")
            _run_async(lambda stop: run_paper(config, kafka, which, stop, exposition))
        case "gateway":
            from pipelines.gateway.worker import run_gateway

            _known(which, config.accounts, "account")
            _run_async(lambda stop: run_gateway(config, kafka, which, stop, exposition))
        case "host":
            from pipelines.host.worker import run_host

            _known(which, config.strategies, "strategy")
            _run_async(lambda stop: run_host(config, kafka, which, stop, exposition))
        case "marketdata":
            from pipelines.marketdata.worker import run_marketdata

            _run_async(lambda stop: run_marketdata(config, kafka, stop, exposition))
        case "clock":
            from pipelines.clock import run_clock

            _run_async(lambda stop: run_clock(config, kafka, stop, exposition))
        case "audit":
            from pipelines.audit import run_audit

            run_audit(config, kafka, postgres, _stop_event(), exposition)
        case "archive":
            from pipelines.archive import run_archive

            run_archive(config, kafka, _stop_event(), exposition)
        case _:
            from infra.shell import run_stage
            from pipelines.exhibits import exhibit_of

            run_stage(
                stage_of(name, config),
                kafka=kafka,
                prefix=config.prefix,
                subscriptions=config.subscriptions(),
                state_dir=config.run_dir / "state",
                config_digest=config.digest(),
                instance=instance,
                exposition=exposition,
                exhibit=exhibit_of(name, config),
                snapshot_every_s=config.stages.snapshot_every_s,
            )


def _known(which: str, names: Mapping[str, Any], what: str) -> None:
    if which not in names:
        raise ConfigError(f"no {what} named {which!r}: one of {', '.join(names) or 'none'}")


def _run_async(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await main(stop)

    try:
        import uvloop

        uvloop.run(run())
    except ModuleNotFoundError:
        asyncio.run(run())


def _stop_event() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _follow_supervisor() -> None:
    """A worker does not outlive the supervisor that started it."""
    supervisor = int(os.environ.get("TAPEDECK_SUPERVISOR", "0"))
    if supervisor == 0:
        return

    def watch() -> None:
        while os.getppid() == supervisor:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="follow-supervisor", daemon=True).start()
