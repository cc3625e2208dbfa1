"""Parity: a run's strategies decided again in the backtest's composition, over the run's own record.

Recomputed: from ``market.raw`` normalize, bars and signals; from the recorded facts in ``orders.events``, fed back, the
orders, fills and positions; from ``controls`` what is in force. Ticks are the record's, and of a hosted
strategy (``host = "grpc"``) the order in which it saw market and inbox. The recomputed records stand in
each inbox where the run recorded them, and what the strategies then decide must be what was recorded: the same commands
and notes, byte by byte, with the same ids.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.config import Config, ConfigError
from pipelines.compose import compose
from pipelines.parity_host import commands_recorded, hosted_in
from pipelines.parity_tape import Count, Found, RecordedTape
from pipelines.partitioning import partition_of
from pipelines.recorded_run import Recorded, committed
from pipelines.replay import Difference, Replayed, outputs_of
from pipelines.replay_all import version_notes
from pipelines.replay_host import replay_host
from pipelines.workers import stage_of
from topics.catalog import HOST_INBOX, ORDERS_INTENTS, STRATEGY_INBOX, STRATEGY_RECORDS, TOPICS
from topics.record import StrategyId

INPUTS = ("normalize", "bars", "orders", "positions", "controls")
"""The stages that all strategies share."""
DECISIONS = (ORDERS_INTENTS.name, STRATEGY_RECORDS.name)


@dataclass
class StrategyParity:
    """``inbox`` counts records by producer: recomputed to the same bytes, or (``fed``) read from the record."""

    strategy: StrategyId
    inbox: dict[str, int] = field(default_factory=dict)
    fed: dict[str, int] = field(default_factory=dict)
    commands: int = 0
    notes: int = 0
    differences: int = 0
    first: Difference | None = None

    @property
    def decisions(self) -> int:
        """Records of commands and of the strategy's own notes that were decided again to the same bytes."""
        return self.commands + self.notes


@dataclass
class Exact:
    """``inputs`` counts what the shared stages made again, by topic; their differences are in ``shared``."""

    strategies: list[StrategyParity]
    inputs: dict[str, int]
    shared_differences: int
    shared: Difference | None
    repeated: int
    beyond: int
    notes: list[str]

    @property
    def is_equal(self) -> bool:
        return self.shared is None and all(one.first is None for one in self.strategies)


def exact_parity(config: Config, run: Recorded, run_dir: Path, strategies: Sequence[StrategyId] = ()) -> Exact:
    """All strategies where none is named. ConfigError for one that the configuration does not have."""
    chosen = _chosen(config, strategies)
    hosted = hosted_in(config)
    staged = [one for one in chosen if one not in hosted]
    names = [*INPUTS, *(f"{kind}/{one}" for one in staged for kind in ("signals", "intents"))]
    stages = [stage_of(name, config) for name in names]
    tape = RecordedTape(run, names, {name: committed(run_dir, name) for name in names})
    compose(stages, tape, config.subscriptions())
    touched = {stage.input.name for stage in stages} | {t.name for s in stages for t in outputs_of(s)}
    tape.run([topic for name, topic in TOPICS.items() if name in touched and not topic.compacted])
    notes = version_notes(tape.versions, config)
    commands = commands_recorded(run)
    judged = [_of_strategy(one, tape, commands[one]) for one in staged]
    for one in (one for one in chosen if one in hosted):
        again = replay_host(one, config, run)
        judged.append(_of_hosted(one, tape, again, commands[one]))
        notes += [
            f"{one} is hosted: decided again in the order of its host.inbox, as replay-stage host/{one} does",
            *again.notes,
        ]
    return _judged(sorted(judged, key=lambda one: one.strategy), tape, notes)


def _chosen(config: Config, strategies: Sequence[StrategyId]) -> list[StrategyId]:
    for one in strategies:
        if one not in config.strategies:
            raise ConfigError(f"no strategy named {one!r} in [strategies]: one of {', '.join(config.strategies)}")
    return sorted(strategies or config.strategies)


def _judged(judged: list[StrategyParity], tape: RecordedTape, notes: list[str]) -> Exact:
    own = {name for one in judged for name in (f"signals/{one.strategy}", f"intents/{one.strategy}")}
    shared = [found for found in tape.found if found.producer not in own]
    inputs: Counter[str] = Counter()
    for count, n in tape.equal.items():
        if count.producer not in own:
            inputs[count.topic] += n
    first = shared[0].difference if shared else None
    return Exact(judged, dict(sorted(inputs.items())), len(shared), first, tape.repeated, tape.beyond, notes)


def _of_strategy(strategy: StrategyId, tape: RecordedTape, recorded: int) -> StrategyParity:
    """``recorded``: how many records of its commands are on the tape."""
    found = [one for one in tape.found if _concerns(strategy, one)]
    intents = f"intents/{strategy}"

    def decided(topic: str) -> int:
        return sum(n for c, n in tape.equal.items() if c.topic == topic and c.producer == intents)

    commands = decided(ORDERS_INTENTS.name)
    return _told(strategy, tape, commands, decided(STRATEGY_RECORDS.name), [f.difference for f in found], recorded)


def _of_hosted(strategy: StrategyId, tape: RecordedTape, again: Replayed, recorded: int) -> StrategyParity:
    """Its inbox and ``market.events`` are made again by the tape; from them, in the order of ``host.inbox``, signals and decisions."""
    found = [one.difference for one in tape.found if _concerns(strategy, one)]
    found += [again.difference] if again.difference is not None else []
    commands, notes = again.equal_in[ORDERS_INTENTS.name], again.equal_in[STRATEGY_RECORDS.name]
    told = _told(strategy, tape, commands, notes, found, recorded)
    told.inbox["signals"] = again.equal_in[HOST_INBOX.name]
    return told


def _told(
    strategy: StrategyId, tape: RecordedTape, commands: int, notes: int, found: list[Difference], recorded: int
) -> StrategyParity:
    if recorded and not commands and not found:
        what = f"none of {recorded} records of commands was decided again"
        found = [Difference(what, f"{ORDERS_INTENTS.name} of {strategy}", None, None)]
    return StrategyParity(
        strategy=strategy,
        inbox=_by_producer(tape.equal, strategy),
        fed=_by_producer(tape.fed, strategy),
        commands=commands,
        notes=notes,
        differences=len(found),
        first=found[0] if found else None,
    )


def _concerns(strategy: StrategyId, found: Found) -> bool:
    own = found.producer in (f"signals/{strategy}", f"intents/{strategy}")
    return own or (found.topic == STRATEGY_INBOX.name and found.key == strategy.encode())


def _by_producer(counts: Counter[Count], strategy: StrategyId) -> dict[str, int]:
    """Of its own partition: what is addressed to it, and the ticks."""
    key, made = strategy.encode(), Counter[str]()
    place = (STRATEGY_INBOX.name, partition_of(key, STRATEGY_INBOX.partitions))
    for count, n in counts.items():
        if (count.topic, count.partition) == place and count.key in (key, b""):
            made[count.producer or "operators"] += n
    return dict(sorted(made.items()))
