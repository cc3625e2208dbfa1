"""One exchange, followed by our own parser and by ccxt.pro at once: what the sampled view shows is what the exact one was then."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace

from adapters.generic.watching import DEPTH
from infra import kafka
from infra.config import parse
from pipelines.ingest import run_ingest
from pipelines.normalize import MarketState, normalize_stage
from pipelines.raw import decode_lines
from pipelines.tape_check import check
from tests.adapters.simulated.running import started, until
from topics.book import Book
from topics.catalog import INGEST_REQUESTS, MARKET_RAW, STAGE_LOG, TICKED, TOPICS
from topics.coordinates import At
from topics.market import BookSnapshot, Gap, Instrument, Trade
from topics.record import Record
from topics.system import DeadLetter

pytestmark = pytest.mark.timeout(180)
OPTIONS = {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False}
Sides = tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]
SPOT, SAMPLED = "sim:BTC-USDT", "gen:BTC-USDT"


async def test_ccxts_binance_shows_the_books_that_our_own_parser_builds(
    kafka_conf: dict[str, str], run_prefix: str, tmp_path: Path
) -> None:
    used = {MARKET_RAW, INGEST_REQUESTS, STAGE_LOG, *TICKED}
    kafka.create_topics(kafka_conf, run_prefix, topics=[t for t in TOPICS.values() if t in used])
    with started(tmp_path / "exchange", "--seed", "5") as exchange:
        where = {"rest_url": f"http://{exchange.address}", "ws_url": f"ws://{exchange.address}"}
        venues = {
            "sim": {"adapter": "binance", "instruments": [SPOT], **where},
            "gen": {"adapter": "ccxt:binance", "instruments": [SAMPLED], "options": OPTIONS, "capture": True, **where},
        }
        config = parse({"run": {"name": run_prefix, "home": str(tmp_path)}, "venues": venues})
        stop = asyncio.Event()
        tasks = [asyncio.create_task(run_ingest(config, kafka_conf, venue, stop)) for venue in venues]
        status = config.run_dir / "status" / "ingest.gen.json"

        def enough() -> bool:
            for task in tasks:
                if task.done():
                    task.result()
            return status.exists() and json.loads(status.read_bytes())["events_in"] > 60

        await until(enough, 60)
        assert json.loads(status.read_bytes())["ready"]
        stop.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 10)
    stage, states = normalize_stage({"sim": "binance", "gen": "ccxt:binance"}), dict[str, MarketState]()
    exact: dict[int, Sides] = {}
    told: dict[str, list[Record]] = {SPOT: [], SAMPLED: []}
    for message in kafka.read_all(kafka_conf, f"{run_prefix}.market.raw"):
        for line in decode_lines(message.value() or b""):
            states[line.key], out = stage.on_event(states.get(line.key), line, At(0, 0, 0))
            told.setdefault(line.key, []).extend(out)
            book = states[line.key].book.book
            if line.key == SPOT and book is not None:
                exact[book.sequence] = (book.bids(DEPTH), book.asks(DEPTH))
    assert not [r for r in told[SAMPLED] if isinstance(r, Gap | DeadLetter)]
    books = [r for r in told[SAMPLED] if isinstance(r, BookSnapshot) and r.sequence in exact]
    assert len(books) > 5
    for snapshot in books:
        book = Book.of(snapshot)
        assert snapshot.sampled
        assert (book.bids(), book.asks()) == exact[snapshot.sequence]
    trades = {name: {r.trade_id: r for r in records if isinstance(r, Trade)} for name, records in told.items()}
    common = trades[SPOT].keys() & trades[SAMPLED].keys()
    assert common
    for trade_id in common:
        ours, theirs = trades[SPOT][trade_id], trades[SAMPLED][trade_id]
        assert replace(theirs, instrument=SPOT, ts_init=ours.ts_init, ts_event=ours.ts_event) == ours
    definitions = {name: [r for r in records if isinstance(r, Instrument)] for name, records in told.items()}
    (ours,), (theirs,) = definitions[SPOT], definitions[SAMPLED]
    assert (theirs.tick_size, theirs.lot_size, theirs.sampled) == (ours.tick_size, ours.lot_size, True)
    (one,) = check(sorted((config.run_dir / "captures").iterdir())).instruments
    assert (one.instrument, one.venue_symbol, one.book_state) == ("binance:BTC-USDT", "BTC/USDT", "live")
