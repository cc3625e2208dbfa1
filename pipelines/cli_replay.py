"""`tapedeck replay`: a recorded tape played into a topic of the running system. Mounted by the command line."""

import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from infra import services
from infra.config import Config, load
from infra.errors import Hopeless
from pipelines.cli_research import _Interrupt, _progress, err


def mount(app: typer.Typer) -> None:
    app.command()(replay)


def replay(
    tape: Annotated[
        list[str],
        typer.Argument(help="A run's folder or archive, <run>.<topic> on the broker, or recordings: several in a row."),
    ],
    to: Annotated[str, typer.Option("--to", help="The topic, such as market.raw.")],
    speed: Annotated[str, typer.Option(help="How much faster than recorded, or max.")] = "1",
    since: Annotated[str, typer.Option("--from", help="Begin at this time, as 2026-01-31T12:00:00; UTC.")] = "",
    until: Annotated[str, typer.Option("--until", help="End before this time.")] = "",
    key: Annotated[list[str] | None, typer.Option("--key", help="Only this key, such as an instrument.")] = None,
    venue: Annotated[str, typer.Option(help="A capture's venue; default: the configuration's only one.")] = "",
    name: Annotated[str, typer.Option(help="Of the player: it writes as replay.<name>.")] = "tape",
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Also into a topic of orders, controls or what stages make of them.")
    ] = False,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="The configuration of the run.")] = None,
) -> None:
    """Play a recorded tape into a topic of the configured run: order, keys, partitions and spacing as they were."""
    from infra.edge import Edge
    from pipelines.pacing import Pacing
    from pipelines.topic_replay import MARKET, Chosen, check, partitions_of, play
    from pipelines.topic_source import topic_named

    pacing, target, loaded = Pacing.of(speed), topic_named(to), load(config)
    if target not in MARKET and not anyway:
        raise Hopeless(
            f"{target.name} is not market data: what is played there counts as this run's own orders, executions or controls, and no "
            "book agrees with the venue any more; --anyway does it all the same, for a run that nothing trades on"
        )
    conf = _broker(loaded)
    source = _source(tape, target, loaded, conf, venue)
    chosen = Chosen(_ns(since) or 0, _ns(until), frozenset(k.encode() for k in key or ()))
    count = check(source, target, partitions_of(conf, loaded, target), chosen)
    edge = Edge(
        conf, loaded.prefix, f"replay.{name}", config_digest=loaded.digest(), subscriptions=loaded.subscriptions()
    )
    with edge, _Interrupt() as interrupt, _progress() as bar:
        task = bar.add_task(f"{source.name} → {loaded.prefix}.{target.name}", total=count)
        written = play(
            chosen.of(source, target),
            edge,
            target,
            pacing,
            stopped=lambda: interrupt.requested,
            played=lambda record: bar.advance(task),
        )
    ended = " (stopped)" if written < count else ""
    err.print(
        f"{written:,} of {count:,} records into {loaded.prefix}.{target.name} as {edge.name}, epoch {edge.epoch}{ended}"
    )
    raise typer.Exit(128 + signal.SIGINT if interrupt.requested else 0)


def _broker(config: Config) -> Any:
    found = services.endpoints(config.home)
    if found is None:
        raise services.ServiceError(
            f"Kafka or Postgres is down in {config.home}: start them with 'tapedeck services up'"
        )
    return found.kafka


def _source(tapes: list[str], target: Any, config: Config, conf: Any, venue: str) -> Any:
    """A folder is an archive, files are recordings; what is neither is a topic on the broker."""
    from pipelines.topic_source import archived, captured, on_broker, topic_named
    from topics.catalog import TOPICS

    paths = list(map(Path, tapes))
    if all(path.is_file() for path in paths):
        return captured(paths, *_venues(venue, config, paths))
    if len(tapes) > 1:
        raise Hopeless(
            f"several tapes are recordings in a row, and {next(p for p in paths if not p.is_file())} is no file"
        )
    (tape,), path = tapes, paths[0]
    if path.is_dir():
        return archived(path, TOPICS.get(path.name, target))
    run = next((tape.removesuffix(f".{t}") for t in TOPICS if tape.endswith(f".{t}")), "")
    if not run:
        raise Hopeless(f"no tape {tape}: a run's folder, a capture, or <run>.<topic> such as live.market.raw")
    if run == config.prefix and tape == f"{run}.{target.name}":
        raise Hopeless(f"{tape} would be played into itself: configure another run")
    return on_broker(conf, run, topic_named(tape.removeprefix(f"{run}.")))


def _venues(venue: str, config: Config, paths: list[Path]) -> tuple[str, dict[str, str]]:
    """What the venue of captures that do not tell it is called, and by adapter that of those that do."""
    from pipelines.backtest_source import are_captures

    if not are_captures(paths) and not venue:
        return "", {one.adapter: name for name, one in reversed(config.venues.items())}
    named = _venue(venue, config)
    return named, {config.venues[named].adapter: named}


def _venue(venue: str, config: Config) -> str:
    if not venue and len(config.venues) == 1:
        return next(iter(config.venues))
    if venue not in config.venues:
        raise Hopeless(
            f"--venue names one of {', '.join(config.venues) or 'no'} venues: a capture does not tell its own"
        )
    return venue


def _ns(text: str) -> int | None:
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise Hopeless(f"{text!r} is no time: like 2026-01-31T12:00:00") from None
    since = (when if when.tzinfo is not None else when.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000
