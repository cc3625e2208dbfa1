"""``tapedeck record`` on venues that are recordings: what it wrote, to Kafka and to files at once, is what was played."""

import asyncio
import json
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from adapters.base import OURS
from infra import kafka
from infra.services import Endpoints
from pipelines.player import Faults, Player
from pipelines.player.recording import Recording
from pipelines.raw import decode_lines
from pipelines.tape_check import Checked, check
from tests.pipelines.playing import events
from tests.pipelines.running import TAPEDECK, environment, eventually
from topics.book import Book
from topics.catalog import MARKET_RAW
from topics.market import BookDelta, BookSnapshot, Gap, Trade
from topics.record import InstrumentId, Record, Venue, venue_of

pytestmark = pytest.mark.timeout(400)

VENUES = {
    "binance": "BINANCE",
    "binance_usdm": "BINANCE_FUTURES",
    "kraken": "KRAKEN",
    "bybit": "BYBIT",
    "okx": "OKX",
    "kucoin": "KUCOIN",
}


class Played(NamedTuple):
    """``tapedeck play`` as a process: what it said when it was ready."""

    process: "subprocess.Popen[str]"
    ready: dict[str, Any]

    def ended(self) -> int:
        """Waits for the recording's end: how many frames were sent."""
        assert self.process.stdout is not None
        found = json.loads(self.process.stdout.readline())
        assert (found["ended"], found["unheard"]) == (True, 0)
        return int(found["sent"])


@contextmanager
def playing(env: Mapping[str, str], *arguments: str) -> Iterator[Played]:
    process = subprocess.Popen([*TAPEDECK, "play", *arguments], env=dict(env), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield Played(process, json.loads(process.stdout.readline()))
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def toml(players: Sequence[Mapping[str, Any]]) -> str:
    sections = (
        f'[venues.{one["venue"]}]\nadapter = "{one["venue"]}"\n'
        f'rest_url = "http://{one["address"]}"\nws_url = "ws://{one["address"]}"\n'
        f"instruments = {json.dumps(one['instruments'])}\n"
        for one in players
    )
    return "[metrics]\nenabled = false\n" + "".join(sections)


class Recorder(NamedTuple):
    """``tapedeck record`` as a process."""

    process: "subprocess.Popen[bytes]"
    log: Path
    run_dir: Path

    @property
    def captures(self) -> Path:
        return self.run_dir / "captures"

    @property
    def said(self) -> str:
        return self.log.read_text()

    def interrupted(self) -> None:
        """Ctrl-C, and a clean end."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 0, self.said

    def status(self, venue: str) -> dict[str, Any]:
        path = self.run_dir / "status" / f"ingest.{venue}.json"
        return dict(json.loads(path.read_bytes()))


@contextmanager
def recording(env: Mapping[str, str], home: Path, run: str, *arguments: str) -> Iterator[Recorder]:
    path = home / "record.log"
    with path.open("w") as log:
        command = [*TAPEDECK, "record", "--run", run, *arguments]
        process = subprocess.Popen(command, env=dict(env), stdout=log, stderr=log)
        try:
            yield Recorder(process, path, home / "runs" / run)
        finally:
            process.kill()
            process.wait()


def frames_on_tape(conf: dict[str, str], prefix: str) -> Counter[str]:
    """Of each venue; answers to pings are nobody's."""
    found: Counter[str] = Counter()
    for message in kafka.read_all(conf, kafka.physical(prefix, MARKET_RAW)):
        for line in decode_lines(message.value() or b""):
            found[venue_of(line.key)] += not line.frame.startswith(OURS) and line.frame != b"pong"
    return found


class Figures(NamedTuple):
    trades: int
    gaps: int
    digest: str | None


def figures_of(told: Sequence[Record]) -> dict[InstrumentId, Figures]:
    """What the tape's events come to, instrument by instrument."""
    books: dict[InstrumentId, Book | None] = {}
    counts: Counter[tuple[InstrumentId, type]] = Counter()
    for event in told:
        match event:
            case BookSnapshot():
                books[event.instrument] = Book.of(event)
            case BookDelta():
                book = books[event.instrument]
                assert book is not None
                book.apply(event)
            case Gap():
                books[event.instrument] = None
        if isinstance(event, Trade | Gap):
            counts[event.instrument, type(event)] += 1
    return {
        i: Figures(counts[i, Trade], counts[i, Gap], None if book is None else book.digest())
        for i, book in books.items()
    }


def figures(found: Checked) -> Figures:
    return Figures(found.trades, found.gaps, found.book_digest)


def same_books(conf: dict[str, str], prefix: str, originals: Mapping[Venue, Mapping[InstrumentId, Checked]]) -> bool:
    """Whether each instrument's events end in the book that its recording ends in."""
    found = figures_of(events(conf, prefix))
    wanted = {i: one.book_digest for venue in originals.values() for i, one in venue.items()}
    return wanted == {i: one.digest for i, one in found.items()}


def proofs(found: Checked) -> tuple[int, ...]:
    return found.quotes, found.book_updates, found.checksums_verified, found.checksums_failed


def checked(paths: Sequence[Path]) -> dict[InstrumentId, Checked]:
    found = check(paths)
    assert found.problem == ""
    return {one.instrument: one for one in found.instruments}


def paths_in(data_dir: Path) -> dict[Venue, Path]:
    return {venue: data_dir / "cryptofeed" / f"{name}.jsonl.zst" for venue, name in VENUES.items()}


def test_what_is_recorded_of_six_venues_at_once_is_what_was_played(
    tmp_path: Path, endpoints: Endpoints, data_dir: Path, run_prefix: str
) -> None:
    env, conf, paths = environment(tmp_path, endpoints), dict(endpoints.kafka), paths_in(data_dir)
    with ExitStack() as stack:
        players = {v: stack.enter_context(playing(env, str(path), "--speed", "5")) for v, path in paths.items()}
        config = tmp_path / "venues.toml"
        config.write_text(toml([player.ready for player in players.values()]))
        recorder = stack.enter_context(recording(env, tmp_path, run_prefix, "--config", str(config)))
        sent = Counter({venue: player.ended() for venue, player in players.items()})
        eventually(lambda: frames_on_tape(conf, run_prefix) == sent, 60, f"{sent} on the tape")
        originals = {venue: checked([path]) for venue, path in paths.items()}
        eventually(lambda: same_books(conf, run_prefix, originals), 60, "the same books")
        recorder.interrupted()
    on_tape = figures_of(events(conf, run_prefix))
    for venue, originally in originals.items():
        again = checked(sorted(recorder.captures.glob(f"{venue}.*")))
        for instrument, one in originally.items():
            assert proofs(again[instrument]) == proofs(one)
            assert figures(again[instrument]) == figures(one) == on_tape[instrument]
        assert f"{venue} {recorder.status(venue)['events_in']:,} frames" in recorder.said


async def test_connections_that_are_cut_end_in_gaps_and_then_in_the_same_books(
    tmp_path: Path, endpoints: Endpoints, data_dir: Path, run_prefix: str
) -> None:
    env, conf, paths = environment(tmp_path, endpoints), dict(endpoints.kafka), paths_in(data_dir)
    players = {v: cut_in_the_middle(Recording([paths[v]])) for v in ("binance_usdm", "kraken", "kucoin")}
    async with AsyncExitStack() as stack:
        for player in players.values():
            await stack.enter_async_context(player)
        config = tmp_path / "venues.toml"
        config.write_text(toml([told_of(player) for player in players.values()]))
        recorder = stack.enter_context(recording(env, tmp_path, run_prefix, "--config", str(config)))
        await asyncio.gather(*(player.run() for player in players.values()))
        originals = {venue: checked([paths[venue]]) for venue in players}
        await asyncio.to_thread(eventually, lambda: same_books(conf, run_prefix, originals), 60, "the same books")
        await asyncio.to_thread(recorder.interrupted)
    on_tape = figures_of(events(conf, run_prefix))
    for venue, originally in originals.items():
        again = checked(sorted(recorder.captures.glob(f"{venue}.*")))
        for instrument, one in originally.items():
            assert again[instrument].book_digest == on_tape[instrument].digest == one.book_digest
            assert again[instrument].gaps == again[instrument].resyncs == on_tape[instrument].gaps >= 1
        assert f"{venue} {recorder.status(venue)['events_in']:,} frames, connection" in recorder.said


def cut_in_the_middle(recording: Recording) -> Player:
    return Player(recording, 5.0, Faults(cut=frozenset({recording.frames // 2})))


def told_of(player: Player) -> dict[str, Any]:
    """As ``tapedeck play`` says it."""
    recording = player.recording
    return {"venue": recording.venue, "address": player.address, "instruments": recording.busiest()}
