"""Which parts of a run can be replayed, and the replay of one of them by its worker's name."""

from pathlib import Path

from infra.config import Config, ConfigError
from infra.version import revision
from pipelines.backtest import comparable_digest
from pipelines.recorded_run import Recorded, committed
from pipelines.replay import Range, Replayed
from pipelines.replay import replay_stage as replay
from pipelines.replay_gateway import replay_decisions
from pipelines.replay_host import replay_host
from pipelines.workers import stage_of, worker_names

SINKS = ("audit", "archive")
EDGES = ("ingest", "clock", "marketdata", "paper")


def covered(config: Config) -> list[str]:
    """Every stage, and the gateways for their decisions."""
    return [name for name in worker_names(config) if name.partition("/")[0] not in (*SINKS, *EDGES)]


def not_covered(config: Config) -> list[str]:
    edges = [name for name in worker_names(config) if name.partition("/")[0] in EDGES]
    return [*edges, *(f"what the venue said and cancels of gateway/{account}" for account in sorted(config.accounts))]


def replay_one(
    name: str, config: Config, run: Recorded, run_dir: Path, *, within: Range, recode_every: int | None
) -> Replayed:
    """ConfigError when the name is no stage's and no gateway's."""
    kind, _, which = name.partition("/")
    if kind == "gateway":
        if which not in config.accounts:
            raise ConfigError(f"no account named {which!r}: one of {', '.join(config.accounts)}")
        result = replay_decisions(which, run, within=within)
    elif kind == "host":
        result = replay_host(which, config, run, within=within, recode_every=recode_every)
    elif kind in (*SINKS, *EDGES):
        raise ConfigError(f"{name} is no stage: one of {', '.join(covered(config))}")
    else:
        result = replay(
            stage_of(name, config),
            run,
            config.subscriptions(),
            taken=committed(run_dir, name),
            within=within,
            recode_every=recode_every,
        )
    result.notes += version_notes(set(result.segments), config)
    return result


def version_notes(versions: set[str], config: Config) -> list[str]:
    """Where another version, or another configuration, wrote what is compared."""
    notes = []
    for version in sorted(v for v in versions if v):
        software, _, digest = version.partition(":")
        if software != revision():
            notes.append(f"recorded by version {software}, replayed by {revision()}")
        if digest not in (config.digest(), comparable_digest(config)):
            notes.append(f"recorded under configuration {digest}, replayed under {config.digest()}")
    return list(dict.fromkeys(notes))
