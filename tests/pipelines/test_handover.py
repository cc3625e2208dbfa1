"""Several connections of one stream, on real sockets and the real broker: a handover in time, and one of two that breaks."""

import asyncio
import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from infra import kafka
from infra.config import Config
from pipelines.normalize import MarketState, normalize_stage
from pipelines.tape_check import check
from tests.adapters.simulated.running import until
from tests.folding import Folding
from tests.pipelines.scripted_venue import ScriptedVenue
from tests.pipelines.test_ingest import config, ingesting, raw_lines, scripted, topics
from tests.pipelines.test_normalize import digits, kinds
from tests.pipelines.venue_model import INSTRUMENT, VenueModel
from topics.record import Record

__all__ = ["topics"]

pytestmark = pytest.mark.timeout(180)


def folded(conf: dict[str, str], prefix: str) -> tuple[MarketState, list[Record]]:
    folding, seen = Folding(normalize_stage({"sim": "binance"})), list[Record]()
    for message in kafka.read_all(conf, f"{prefix}.market.raw"):
        seen += folding.feed(message.value())
    return folding.states[INSTRUMENT], seen


def frames(conf: dict[str, str], prefix: str) -> list[bytes]:
    return [line.frame for line in raw_lines(conf, prefix)]


def sessions(conf: dict[str, str], prefix: str) -> list[tuple[str, str]]:
    found = [json.loads(frame) for frame in frames(conf, prefix) if frame.startswith(b'{"session"')]
    return [(said["session"], said.get("beside", "")) for said in found]


def chosen(prefix: str, home: Path, venue: ScriptedVenue, connections: int) -> Config:
    plain = config(prefix, home, venue.address)
    return replace(plain, venues={"sim": replace(plain.venues["sim"], connections=connections, capture=True)})


async def test_a_connection_hands_over_before_the_venue_ends_it_and_nothing_is_lost_or_told_twice(
    kafka_conf: dict[str, str], topics: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.binance.market.LIFE_S", 3.0)
    model = VenueModel(21)
    most = 0
    async with scripted(model) as venue:
        run = chosen(topics, tmp_path, venue, 1)
        async with ingesting(run, kafka_conf) as status:
            await until(lambda: status().get("ready"))
            while status()["connections"] < 4:
                await venue.send(model.depth(), model.quote(), model.trade())
                most = max(most, len(venue.sockets))
                await asyncio.sleep(0.01)
            assert venue.asked["depth"] == 1
            last = model.depth()
            await venue.send(last)
            await until(lambda: last in frames(kafka_conf, topics))
    assert most == 2
    (first, *later) = sessions(kafka_conf, topics)
    assert first[1] == ""
    assert [beside for _, beside in later[:3]] == [name for name, _ in (first, *later)][:3]
    state, out = folded(kafka_conf, topics)
    counted = kinds(out)
    assert not counted.keys() & {"Gap", "ResyncRequested", "DeadLetter"}
    assert state.book.book is not None
    assert state.book.copies > 0
    assert digits(state.book.book) == model.truth[model.sequence]
    assert counted["Trade"] == state.trades == model.trades
    (one,) = check(sorted((run.run_dir / "captures").iterdir()), "binance").instruments
    assert (one.book_state, one.gaps, one.trades) == ("live", 0, state.trades)
    assert one.book_digest == state.book.book.digest()


async def test_of_two_connections_one_fills_the_others_holes_and_carries_on_alone(
    kafka_conf: dict[str, str], topics: str, tmp_path: Path
) -> None:
    model = VenueModel(22)
    async with scripted(model) as venue:
        run = chosen(topics, tmp_path, venue, 2)
        async with ingesting(run, kafka_conf) as status:
            await until(lambda: status().get("ready") and len(venue.sockets) == 2)
            for n in range(20):
                sent = (model.depth(), model.trade())
                await venue.send_on(venue.sockets[n % 2], *sent)
                if n % 3 == 0:
                    await venue.send_on(venue.sockets[(n + 1) % 2], *sent)
            await until(lambda: status()["events_in"] >= 58)
            venue.abort(venue.sockets[0])
            await venue.send(model.depth(), model.trade())
            await until(lambda: status()["connections"] == 3 and len(venue.sockets) == 2)
            last = model.depth()
            await venue.send(model.trade(), last)
            await until(lambda: last in frames(kafka_conf, topics))
            assert status()["connected"] is True
    state, out = folded(kafka_conf, topics)
    counted = kinds(out)
    assert not counted.keys() & {"Gap", "ResyncRequested", "DeadLetter"}
    assert state.book.book is not None
    assert digits(state.book.book) == model.truth[model.sequence]
    assert counted["Trade"] == model.trades
    assert [bool(beside) for _, beside in sessions(kafka_conf, topics)] == [False, True, True]
