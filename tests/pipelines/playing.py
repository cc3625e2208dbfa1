"""Recordings through the real edge: a player in the venue's place, ingest with the venue's adapter, the broker, and normalize as
a worker of its own; then what stands on the tape, instrument by instrument.
"""

import asyncio
import json
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from infra import kafka
from infra.config import Config, load
from infra.services import Endpoints
from pipelines.ingest import run_ingest
from pipelines.player import NO_FAULTS, Faults, Player
from pipelines.player.kept import Kept
from pipelines.player.player import MAX
from pipelines.player.recording import Recording
from pipelines.raw import decode_lines
from tests.pipelines.running import TAPEDECK, environment
from topics import wire
from topics.catalog import MARKET_EVENTS, MARKET_RAW, TOPICS
from topics.coordinates import HEADER, Coordinate
from topics.market import BookSnapshot, Gap
from topics.record import InstrumentId, Record


class Show(NamedTuple):
    """A recording on its way: under which name its venue is configured, and the places where it is spoilt."""

    venue: str
    recording: Recording
    faults: Faults = NO_FAULTS
    speed: float = MAX


def toml(prefix: str, home: Path, venues: Mapping[str, tuple[str, str, Sequence[InstrumentId]]]) -> str:
    """``venues``: adapter, address and instruments of each."""
    lines = [f'[run]\nname = "{prefix}"\nhome = {json.dumps(str(home))}\n[metrics]\nenabled = false\n']
    for name, (adapter, address, instruments) in venues.items():
        lines.append(
            f'[venues.{name}]\nadapter = "{adapter}"\nrest_url = "http://{address}"\nws_url = "ws://{address}"\n'
            f"instruments = {json.dumps(list(instruments))}\n"
        )
    return "".join(lines)


def renamed(show: Show, instrument: InstrumentId) -> InstrumentId:
    return f"{show.venue}:{instrument.partition(':')[2]}"


def booked(show: Show, place: int) -> set[InstrumentId]:
    """Who has a book there, by the recording alone."""
    kept = Kept(show.recording)
    states = {renamed(show, i): kept.at(place, i) for i in show.recording.symbols}
    return {instrument for instrument, state in states.items() if state is not None and state.book.book is not None}


async def shown(
    config: Config,
    conf: dict[str, str],
    show: Show,
    player: Player,
    settled: Callable[[set[InstrumentId]], Awaitable[None]],
) -> None:
    """The whole recording through ingest: to its end, until what is asked for there has come (``settled``), and until ingest has
    found its connections closed behind the last frame. One with faults begins in earnest when its books are on the tape.
    """
    stop = asyncio.Event()
    ingest = asyncio.create_task(run_ingest(config, conf, show.venue, stop))
    playing = asyncio.create_task(player.run())
    if show.faults != NO_FAULTS:
        async with asyncio.timeout(180):
            while player.state != "held":
                assert not playing.done(), playing
                await asyncio.sleep(0.05)
        await settled(booked(show, player.place))
        player.begin()
    done, _ = await asyncio.wait({ingest, playing}, timeout=240.0, return_when=asyncio.FIRST_COMPLETED)
    assert playing in done, f"{show.venue}: {player.state} at {player.place}"
    playing.result()
    if show.faults != NO_FAULTS:
        await settled(booked(show, player.place))
    await player.close()
    path = config.run_dir / "status" / f"ingest.{show.venue}.json"
    async with asyncio.timeout(60):
        before: list[int] = []
        while len(before) < 3 or before[-1] != before[-3]:
            await asyncio.sleep(0.3)
            told = json.loads(path.read_bytes())
            before.append(-len(before) if told["connected"] else told["events_in"])
    stop.set()
    await ingest


@contextmanager
def normalizing(path: Path, env: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """The worker as the supervisor starts it."""
    log = (path.parent / "normalize.log").open("wb")
    arguments = [*TAPEDECK, "worker", "normalize", "--config", str(path)]
    process = subprocess.Popen(arguments, env=dict(env), stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()
            process.wait()
            log.close()


class Step(NamedTuple):
    """One record of ``market.raw`` about an instrument, and the events that came of it."""

    frames: list[bytes]
    events: list[Record]


def steps(conf: dict[str, str], prefix: str) -> dict[InstrumentId, list[Step]]:
    """The tape, by instrument, in order. What a worker told twice counts once."""
    found: dict[InstrumentId, list[Step]] = {}
    at: dict[tuple[int, int], Step] = {}
    for message in kafka.read_all(conf, kafka.physical(prefix, MARKET_RAW)):
        lines = decode_lines(message.value() or b"")
        step = at[message.partition() or 0, message.offset() or 0] = Step([line.frame for line in lines], [])
        found.setdefault(lines[0].key, []).append(step)
    seen: dict[int, tuple[int, int]] = {}
    for message in kafka.read_all(conf, kafka.physical(prefix, MARKET_EVENTS)):
        src = Coordinate.decode(kafka.header(message, HEADER) or b"")
        partition = int(src.source.rpartition("/")[2])
        if seen.get(partition, (-1, -1)) < (src.major, src.minor):
            seen[partition] = (src.major, src.minor)
            at[partition, src.major].events.extend(wire.decode(message.value() or b"", MARKET_EVENTS.types))
    return found


def events(conf: dict[str, str], prefix: str) -> list[Record]:
    """All of ``market.events``, those of an instrument in order. What a worker told twice counts once."""
    found: list[Record] = []
    seen: dict[str, tuple[int, int]] = {}
    for message in kafka.read_all(conf, kafka.physical(prefix, MARKET_EVENTS)):
        src = Coordinate.decode(kafka.header(message, HEADER) or b"")
        if seen.get(src.source, (-1, -1)) < (src.major, src.minor):
            seen[src.source] = (src.major, src.minor)
            found += wire.decode(message.value() or b"", MARKET_EVENTS.types)
    return found


def live(conf: dict[str, str], prefix: str) -> set[InstrumentId]:
    """Whose books are there, at the end of the tape."""
    books = [event for event in events(conf, prefix) if isinstance(event, BookSnapshot | Gap)]
    last = {event.instrument: event for event in books}
    return {instrument for instrument, event in last.items() if isinstance(event, BookSnapshot)}


async def caught_up(run_dir: Path, process: "subprocess.Popen[bytes]") -> None:
    """Until normalize has told, later than now, that it is at the end of its input."""
    since, path = time.time(), run_dir / "status" / "normalize.0.json"
    told: dict[str, Any] = {}
    async with asyncio.timeout(180):
        while not (told.get("ready") and told["lag"] == 0 and told["ts"] > (since + 1.5) * 1e9):
            assert process.poll() is None, "normalize ended"
            await asyncio.sleep(0.2)
            told = json.loads(path.read_bytes()) if path.exists() else {}


async def through_kafka(endpoints: Endpoints, prefix: str, home: Path, shows: Sequence[Show]) -> dict[str, Player]:
    """All of them at once; the players as they are at the end."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(64))  # each ingest keeps one of its threads
    conf = dict(endpoints.kafka)
    kafka.create_topics(conf, prefix, topics=list(TOPICS.values()))
    players = {
        show.venue: Player(show.recording, show.speed, show.faults, hold=show.faults != NO_FAULTS) for show in shows
    }
    for player in players.values():
        await player.start()
    venues = {
        show.venue: (
            show.recording.venue,
            players[show.venue].address,
            [renamed(show, i) for i in show.recording.symbols],
        )
        for show in shows
    }
    path = home / "tapedeck.toml"
    path.write_text(toml(prefix, home, venues))
    config = load(path, {})
    with normalizing(path, environment(home, endpoints)) as process:
        await caught_up(config.run_dir, process)

        async def settled(wanted: set[InstrumentId]) -> None:
            deadline, missing = time.monotonic() + 180, wanted
            while missing:
                assert time.monotonic() < deadline, f"no book: {sorted(missing)}"
                await caught_up(config.run_dir, process)
                missing = wanted - await asyncio.to_thread(live, conf, prefix)

        await asyncio.gather(*(shown(config, conf, show, players[show.venue], settled) for show in shows))
        await caught_up(config.run_dir, process)
    return players
