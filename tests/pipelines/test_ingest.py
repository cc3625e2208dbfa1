"""Ingest against real servers: the real broker, the simulated exchange as a process, and a small venue that does as it is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.base import Endpoints, VenueBusy, VenueRefused, VenueUnreachable, rest_frame
from adapters.binance.market import MARKET_DATA
from infra import kafka
from infra.config import Config, ConfigError, parse
from infra.edge import Edge
from pipelines.clock import run_clock
from pipelines.ingest import run_ingest
from pipelines.normalize import MarketState, normalize_stage
from pipelines.raw import Line, decode_lines
from pipelines.tape_check import check
from tests.adapters.simulated.running import started, until
from tests.folding import Folding
from tests.pipelines.scripted_venue import ScriptedVenue
from tests.pipelines.test_normalize import Reader, definition, kinds
from tests.pipelines.venue_model import INSTRUMENT, SYMBOL, VenueModel
from topics import wire
from topics.catalog import (
    INGEST_REQUESTS,
    MARKET_EVENTS,
    MARKET_RAW,
    PORTFOLIO_INBOX,
    STAGE_LOG,
    STRATEGY_INBOX,
    TICKED,
    TOPICS,
)
from topics.coordinates import HEADER, Coordinate
from topics.market import ResyncRequested, Tick

pytestmark = pytest.mark.timeout(180)

Running = Callable[[], dict[str, Any]]


def config(prefix: str, home: Path, address: str, *instruments: str, adapter: str = "binance") -> Config:
    venue = {"adapter": adapter, "rest_url": f"http://{address}", "ws_url": f"ws://{address}"}
    chosen = {**venue, "instruments": instruments or [INSTRUMENT]}
    return parse({"run": {"name": prefix, "home": str(home)}, "venues": {"sim": chosen}})


@pytest.fixture
def topics(kafka_conf: dict[str, str], run_prefix: str) -> str:
    """The prefix of fresh topics: those that these edges use."""
    used = {MARKET_RAW, INGEST_REQUESTS, STAGE_LOG, *TICKED}
    kafka.create_topics(kafka_conf, run_prefix, topics=[t for t in TOPICS.values() if t in used])
    return run_prefix


@asynccontextmanager
async def ingesting(config: Config, kafka_conf: dict[str, str]) -> AsyncIterator[Running]:
    """Ingest in this loop; gives its status file. It must stop within the ten seconds that a clean stop may take."""
    stop = asyncio.Event()
    task = asyncio.create_task(run_ingest(config, kafka_conf, "sim", stop))
    path = config.run_dir / "status" / "ingest.sim.json"

    def status() -> dict[str, Any]:
        if task.done():
            task.result()
        return json.loads(path.read_bytes()) if path.exists() else {}

    try:
        yield status
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)
    assert status()["ready"] is False


def raw_lines(conf: dict[str, str], prefix: str) -> list[Line]:
    return [line for m in kafka.read_all(conf, f"{prefix}.market.raw") for line in decode_lines(m.value() or b"")]


def scripted(model: VenueModel) -> ScriptedVenue:
    venue = ScriptedVenue()
    venue.bodies["exchangeInfo"] = lambda: json.dumps(json.loads(definition())["data"]).encode()
    venue.bodies["depth"] = lambda: json.dumps(json.loads(model.snapshot())["data"]).encode()
    return venue


async def test_the_simulated_exchange_comes_in_whole_and_its_books_are_true(
    kafka_conf: dict[str, str], topics: str, tmp_path: Path
) -> None:
    with started(tmp_path / "exchange", "--seed", "5") as exchange:
        chosen = config(topics, tmp_path, exchange.address, "sim:BTC-USDT", "sim:ETH-USDT")
        async with ingesting(chosen, kafka_conf) as status:
            await until(lambda: status().get("ready"))
            await until(lambda: status()["events_in"] > 100)
    folding, reader = Folding(normalize_stage({"sim": "binance"})), Reader()
    seen = []
    for message in kafka.read_all(kafka_conf, f"{topics}.market.raw"):
        out = folding.feed(message.value())
        seen += out
        if (message.key() or b"") == b"sim:BTC-USDT":
            reader.take(out)
        keys = {line.key.encode() for line in decode_lines(message.value() or b"")}
        assert keys == {message.key()}
    counted = kinds(seen)
    assert counted["Instrument"] == counted["BookSnapshot"] == 2
    assert min(counted["BookDelta"], counted["Quote"], counted["Mark"]) > 5
    assert not counted.keys() & {"Gap", "DeadLetter", "ResyncRequested"}
    state: MarketState = folding.states["sim:BTC-USDT"]
    assert state.book.book == reader.book


async def test_frames_stand_on_the_tape_as_they_were_sent(
    kafka_conf: dict[str, str], topics: str, tmp_path: Path
) -> None:
    model = VenueModel(1)
    async with scripted(model) as venue, ingesting(config(topics, tmp_path, venue.address), kafka_conf) as status:
        await until(lambda: status().get("ready"))
        odd = b'{ "stream" : "btcusdt@odd" , "data" : [1.10, "\\u00e9"] , "s":"BTCUSDT" }'
        stranger = b'{"stream":"dogeusdt@trade","data":{}}'
        sent = [model.depth(), model.trade(), odd, model.quote(), stranger]
        await venue.send(*sent)
        await until(lambda: status()["events_in"] >= 4 + len(sent))
    lines = raw_lines(kafka_conf, topics)
    ours = [line.frame for line in lines if line.key == INSTRUMENT]
    assert [f for f in ours if f in sent] == sent[:-1]
    assert [line.key for line in lines if line.frame == stranger] == ["sim:"]
    wrapped = [rest_frame(what, SYMBOL, body) for what, body in zip(venue.asked, venue.answered, strict=True)]
    assert sorted(f for f in ours if f.startswith(b'{"rest"')) == sorted(wrapped)
    received = [line.ts for line in lines if line.key == INSTRUMENT]
    assert received == sorted(received)


async def test_a_capture_beside_the_tape_says_the_same(kafka_conf: dict[str, str], topics: str, tmp_path: Path) -> None:
    with started(tmp_path / "exchange", "--seed", "6") as exchange:
        plain = config(topics, tmp_path, exchange.address, "sim:BTC-USDT", "sim:ETH-USDT")
        chosen = replace(plain, venues={"sim": replace(plain.venues["sim"], capture=True)})
        async with ingesting(chosen, kafka_conf) as status:
            await until(lambda: status().get("ready"))
            await until(lambda: status()["events_in"] > 100)
    folding = Folding(normalize_stage({"sim": "binance"}))
    for message in kafka.read_all(kafka_conf, f"{topics}.market.raw"):
        folding.feed(message.value())
    found = check(sorted((chosen.run_dir / "captures").iterdir()), "binance")
    assert [one.instrument for one in found.instruments] == ["binance:BTC-USDT", "binance:ETH-USDT"]
    for one in found.instruments:
        state: MarketState = folding.states[f"sim:{one.instrument.partition(':')[2]}"]
        assert state.book.book is not None
        assert (one.book_digest, one.trades, one.quotes) == (state.book.book.digest(), state.trades, state.quotes)
        assert (one.book_state, one.gaps) == ("live", 0)


async def test_a_hole_in_a_connection_is_told_to_its_instruments_and_a_book_is_asked_for_again_by_subscription(
    kafka_conf: dict[str, str], topics: str, tmp_path: Path
) -> None:
    """Coinbase numbers all frames of a connection."""

    def heartbeat(n: int) -> bytes:
        return json.dumps({"channel": "heartbeats", "sequence_num": n, "events": []}).encode()

    async with ScriptedVenue() as venue:
        chosen = config(topics, tmp_path, venue.address, "sim:BTC-USD", "sim:ETH-USD", adapter="coinbase")
        async with ingesting(chosen, kafka_conf) as status:
            await until(lambda: venue.sockets)
            asked = len(venue.subscribed)
            await venue.send(heartbeat(0), heartbeat(1), heartbeat(1), heartbeat(4))
            await until(lambda: status().get("holes") == 1)
            request = ResyncRequested(venue="sim", venue_symbol="BTC-USD", reason="connection", ts_init=1)
            producer = kafka.producer(kafka_conf)
            producer.produce(f"{topics}.ingest.requests", wire.encode([request]), "sim")
            producer.flush()
            await until(lambda: any(m["type"] == "unsubscribe" for m in venue.subscribed[asked:]))
            await until(lambda: any(m["type"] == "subscribe" for m in venue.subscribed[asked:]))
    assert all(m["product_ids"] == ["BTC-USD"] for m in venue.subscribed[asked:])
    holes = [line for line in raw_lines(kafka_conf, topics) if line.frame.startswith(b'{"expected":2,"got":4')]
    assert sorted(line.key for line in holes) == ["sim:BTC-USD", "sim:ETH-USD"]


async def test_a_damaged_frame_goes_to_all_that_it_may_be_about(
    kafka_conf: dict[str, str], topics: str, tmp_path: Path
) -> None:
    """Where a lost one would not show, as at Coinbase by product."""
    damaged = b'{"channel":"l2_data","events":[{"type":"update","prod'
    async with ScriptedVenue() as venue:
        chosen = config(topics, tmp_path, venue.address, "sim:BTC-USD", "sim:ETH-USD", adapter="coinbase")
        async with ingesting(chosen, kafka_conf) as status:
            await until(lambda: venue.sockets)
            before = status().get("events_in", 0)
            await venue.send(b"pong", damaged)
            await until(lambda: status().get("events_in", 0) >= before + 4)
    lines = raw_lines(kafka_conf, topics)
    assert sorted(line.key for line in lines if line.frame == damaged) == ["sim:", "sim:BTC-USD", "sim:ETH-USD"]
    assert [line.key for line in lines if line.frame == b"pong"] == ["sim:"]


async def test_frames_that_queue_up_travel_together(kafka_conf: dict[str, str], topics: str, tmp_path: Path) -> None:
    model = VenueModel(2)
    async with scripted(model) as venue, ingesting(config(topics, tmp_path, venue.address), kafka_conf) as status:
        await until(lambda: status().get("ready"))
        await venue.send(*[model.trade() for _ in range(2000)])
        await until(lambda: status()["events_in"] >= 2000)
        records = status()["records_out"]
    trades = [line for line in raw_lines(kafka_conf, topics) if b"@trade" in line.frame]
    assert [json.loads(line.frame)["data"]["t"] for line in trades] == list(range(1, 2001))
    assert records < 1500


async def test_a_lost_connection_is_opened_again_with_a_session_line_and_a_new_snapshot(
    kafka_conf: dict[str, str], topics: str, tmp_path: Path
) -> None:
    model = VenueModel(3)
    async with scripted(model) as venue, ingesting(config(topics, tmp_path, venue.address), kafka_conf) as status:
        await until(lambda: status().get("ready"))
        await venue.send(model.depth(), model.depth())
        await until(lambda: status()["events_in"] >= 6)
        await venue.drop()
        for _ in range(3):
            model.depth()
        await until(lambda: status()["connections"] == 2 and status()["ready"])
        await venue.send(model.depth())
        await until(lambda: status()["events_in"] >= 10)
    folding, reader, seen = Folding(normalize_stage({"sim": "binance"})), Reader(), []
    for message in kafka.read_all(kafka_conf, f"{topics}.market.raw"):
        out = folding.feed(message.value())
        reader.take(out)
        seen += out
    assert kinds(seen)["Gap"] == 1
    assert kinds(seen)["BookSnapshot"] == 2
    assert reader.book is not None
    assert reader.book.sequence == model.sequence
    sessions = [json.loads(x.frame)["session"] for x in raw_lines(kafka_conf, topics) if b'"session"' in x.frame]
    assert len(set(sessions)) == 2


async def test_a_venue_that_is_away_is_tried_until_it_is_there(
    kafka_conf: dict[str, str], topics: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    venue = scripted(VenueModel(4))
    async with ingesting(config(topics, tmp_path, venue.address), kafka_conf) as status:
        await until(lambda: status().get("problem"))
        await asyncio.sleep(2.0)  # several attempts: what is asserted is that they are not told
        assert status()["connected"] is False
        troubles = [r.getMessage() for r in caplog.records if r.name == "tapedeck.ingest"]
        assert len([t for t in troubles if "no connection to" in t]) == 1
        assert len([t for t in troubles if "trying again" in t]) == 2  # the stream, and REST
        venue.trouble = [503, 418]
        await venue.start()
        await until(lambda: status()["ready"], 60)
        await venue.stop()
        await until(lambda: not status()["connected"])


async def test_what_normalize_asks_for_is_fetched_and_asked_often_it_is_fetched_seldom(
    kafka_conf: dict[str, str], topics: str, tmp_path: Path
) -> None:
    model = VenueModel(5)
    async with scripted(model) as venue:
        chosen = config(topics, tmp_path, venue.address)
        async with ingesting(chosen, kafka_conf) as status:
            await until(lambda: status().get("ready"))
            assert venue.asked == {"exchangeInfo": 1, "depth": 1}
            asking = ResyncRequested(venue="sim", venue_symbol=SYMBOL, reason="sequence", ts_init=1)
            other = ResyncRequested(venue="nyse", venue_symbol=SYMBOL, reason="sequence", ts_init=1)
            unknown = ResyncRequested(venue="sim", venue_symbol="DOGEUSDT", reason="sequence", ts_init=1)
            with Edge(kafka_conf, topics, "test", config_digest="", subscriptions={}) as edge:
                for _ in range(20):
                    edge.publish([other, unknown, asking])
                edge.publish_raw(INGEST_REQUESTS, "sim", b"not json")
            await until(lambda: venue.asked["depth"] >= 2)
            await asyncio.sleep(0.5)  # room for the fetches that must not happen
            assert venue.asked["depth"] <= 3
            assert venue.asked["exchangeInfo"] == 1
    depths = [line for line in raw_lines(kafka_conf, topics) if b'"rest":"depth"' in line.frame]
    assert len(depths) == venue.asked["depth"]


async def test_a_symbol_that_the_venue_does_not_know_is_named_and_holds_up_no_other(
    kafka_conf: dict[str, str], topics: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with started(tmp_path / "exchange", "--symbols", "BTCUSDT") as exchange:
        chosen = config(topics, tmp_path, exchange.address, "sim:AAA-USDT", "sim:BTC-USDT")
        async with ingesting(chosen, kafka_conf) as status:
            await until(lambda: status().get("problem") and status()["events_in"] > 20)
            assert status()["ready"] is False
            assert "Invalid symbol" in status()["problem"]
    told = [r.getMessage() for r in caplog.records if "AAAUSDT" in r.getMessage()]
    assert len(told) == 2  # its definition, its depth
    rests = [line.key for line in raw_lines(kafka_conf, topics) if line.frame.startswith(b'{"rest"')]
    assert sorted(rests) == ["sim:BTC-USDT"] * 2


async def test_open_interest_is_asked_for_where_no_stream_tells_it_and_nothing_waits_for_it(
    kafka_conf: dict[str, str], topics: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.ingest.worker.ASK_EVERY_S", 0.1)
    interest = b'{"openInterest":"10659.509","symbol":"BTCUSDT","time":1589437530011}'
    plain = config(topics, tmp_path, "", "sim:BTC-USDT-PERP").venues["sim"]
    async with scripted(VenueModel(1)) as venue:
        at = {"rest_url": f"http://{venue.address}", "ws_url": f"ws://{venue.address}"}
        chosen = config(topics, tmp_path, venue.address, "sim:BTC-USDT-PERP")
        chosen = replace(chosen, venues={"sim": replace(plain, adapter="binance_usdm", **at)})
        async with ingesting(chosen, kafka_conf) as status:
            await until(lambda: status().get("ready") and venue.asked["openInterest"] > 1)
            assert status()["problem"] == ""
            venue.bodies["openInterest"] = lambda: interest
            await until(lambda: interest in venue.answered)
    frames = [line.frame for line in raw_lines(kafka_conf, topics) if line.key == "sim:BTC-USDT-PERP"]
    assert rest_frame("openInterest", "BTCUSDT", interest) in frames


async def test_the_venues_answers_are_told_apart(tmp_path: Path) -> None:
    async with ScriptedVenue() as venue:
        venue.bodies["depth"] = lambda: b'{"code":-1121,"msg":"Invalid symbol."}'
        rest = MARKET_DATA.rest(Endpoints(rest_url=f"http://{venue.address}"))
        try:
            with pytest.raises(VenueRefused):
                await rest.depth("NOPE")
            venue.trouble = [429]
            with pytest.raises(VenueBusy):
                await rest.depth(SYMBOL)
            venue.trouble = [500]
            with pytest.raises(VenueUnreachable):
                await rest.depth(SYMBOL)
            venue.bodies["depth"] = lambda: b"<html>maintenance</html>"
            with pytest.raises(VenueUnreachable):
                await rest.depth(SYMBOL)
            await venue.stop()
            with pytest.raises(VenueUnreachable):
                await rest.depth(SYMBOL)
        finally:
            await rest.close()


async def test_a_wrong_key_in_the_configuration_is_named(kafka_conf: dict[str, str], tmp_path: Path) -> None:
    wrong = config("x", tmp_path, "h", "sim:BTC-USDT-PERP")
    with pytest.raises(ConfigError, match=r"venues\.sim: not a spot instrument"):
        await run_ingest(wrong, kafka_conf, "sim", asyncio.Event())


async def test_the_clock_writes_numbered_ticks_to_every_partition(
    kafka_conf: dict[str, str], topics: str, tmp_path: Path
) -> None:
    chosen = config(topics, tmp_path, "h")
    path = chosen.run_dir / "status" / "clock.json"
    stop = asyncio.Event()
    task = asyncio.create_task(run_clock(chosen, kafka_conf, stop))
    try:
        await until(lambda: path.exists() and json.loads(path.read_bytes())["records_out"] >= 150)
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)
    numbers: dict[tuple[str, int], list[int]] = {}
    coordinates = []
    for topic in (STRATEGY_INBOX, PORTFOLIO_INBOX, MARKET_EVENTS):
        for message in kafka.read_all(kafka_conf, f"{topics}.{topic.name}"):
            assert message.key() is None
            (tick,) = wire.decode(message.value() or b"", topic.types)
            assert isinstance(tick, Tick)
            assert 0 <= tick.ts_init - tick.n * 100_000_000 < 10_000_000_000
            numbers.setdefault((topic.name, message.partition() or 0), []).append(tick.n)
            coordinates.append(Coordinate.decode(kafka.header(message, HEADER) or b""))
    assert len(numbers) == sum(t.partitions for t in TICKED)
    assert len(set(coordinates)) == len(coordinates)
    for topic in TICKED:
        (same,) = {tuple(numbers[topic.name, p]) for p in range(topic.partitions)}
        assert list(same) == sorted(set(same))
        assert all(n % 10 == 0 for n in same) or topic is not MARKET_EVENTS
    assert len(numbers["portfolio.inbox", 0]) > 5 * len(numbers["market.events", 0])
