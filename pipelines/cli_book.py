"""`tapedeck book`: one market of a running system in the terminal, as a ladder with its last trades."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.live import Live

from infra import kafka, services
from infra.config import Config, load
from infra.errors import Problem
from pipelines.ladder_picture import DEPTH, depth_that_fits, picture
from pipelines.ladder_queue import Where, place
from topics.record import InstrumentId, venue_of

if TYPE_CHECKING:
    from pipelines.ladder_feed import LadderFeed

REDRAW_S = 0.25
ALIVE_NS = 10_000_000_000
ONCE_S = 5.0


def book(
    instrument: Annotated[str, typer.Argument(metavar="VENUE:INSTRUMENT", help="Such as sim:BTC-USDT.")],
    depth: Annotated[int, typer.Option(min=1, help="Levels of each side, as far as the screen holds them.")] = DEPTH,
    queue: Annotated[
        str | None,
        typer.Option(
            metavar="bid|ask|PRICE",
            help='The queue of a level in place of the trades, where orders are known (book = "L3").',
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end.")] = False,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="The configuration; default: the current run's.")
    ] = None,
) -> None:
    """A live order book with the last trades, of a running system, until Ctrl-C."""
    from pipelines.ladder_feed import LadderFeed, known

    loaded = load(config)
    name = known(loaded, instrument)
    where = _place(loaded, name, queue)
    console = Console(highlight=False, emoji=False)
    conf = _broker(loaded)
    with Console(stderr=True).status("reading the tape from the last snapshot on"):
        feed = LadderFeed(loaded, conf, name)
        feed.catch_up()
    with feed:
        _check_running(loaded, feed)
        if once:
            feed.await_book(ONCE_S)
            now, width = time.time_ns(), console.size.width
            console.print(picture(feed.ladder, now, depth=depth, width=width, run=loaded.run.name, queue=where))
        else:
            _follow(feed, console, depth, loaded.run.name, where)


def _place(config: Config, instrument: InstrumentId, queue: str | None) -> Where | None:
    if queue is None:
        return None
    if config.venues[venue_of(instrument)].book != "L3":
        raise Problem(f'--queue: orders of {venue_of(instrument)} are not followed: book = "L3" in [venues] does')
    try:
        return place(queue)
    except ValueError as error:
        raise Problem(f"--queue: {error}") from None


def _broker(config: Config) -> kafka.KafkaConf:
    found = services.broker(config.home)
    if found is None:
        raise services.ServiceError(f"Kafka is down in {config.home}: nothing runs there (see 'tapedeck up')")
    kafka.check_broker(found)
    return found


def _check_running(config: Config, feed: "LadderFeed") -> None:
    """Problem where neither a worker nor the tape has said anything of late."""
    from pipelines.live_view import Observed

    now = time.time_ns()
    heard = [int(words.get("ts", 0)) for words in Observed(config, {}).statuses().values()]
    if now - max([feed.ladder.newest_ts, *heard]) > ALIVE_NS:
        raise Problem(f"run {config.run.name} is not running: 'tapedeck up' starts it")


def _follow(feed: "LadderFeed", console: Console, depth: int, run: str, queue: Where | None) -> None:
    drawn = 0.0
    with Live(console=console, auto_refresh=False) as live:
        while True:
            feed.poll(0.1)
            if time.monotonic() - drawn < REDRAW_S:
                continue
            drawn = time.monotonic()
            width, height = console.size
            fits = depth_that_fits(depth, width, height)
            live.update(
                picture(feed.ladder, time.time_ns(), depth=fits, width=width, run=run, queue=queue), refresh=True
            )


def mount(app: typer.Typer) -> None:
    app.command()(book)
