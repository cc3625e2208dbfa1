"""Bars of every kind are what DuckDB makes of all the trades at once, over midnight too: of recorded, imported and generated trades."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from adapters.registry import market_data
from infra import archive
from infra.captures import read
from infra.duck import open_archive
from infra.tail import Place, Taken
from pipelines import cli
from pipelines.backtest_source import open_source
from pipelines.bars import BarsState, TimeRule, bars_stage, rule_of
from pipelines.lines import Lines
from pipelines.normalize import MarketState, normalize_stage
from tests.folding import run
from topics import wire
from topics.catalog import MARKET_BARS, MARKET_EVENTS, Topic
from topics.coordinates import At
from topics.market import Bar, BookDelta, Tick, Trade
from topics.record import Record, Side

S = 1_000_000_000
DAY = 86_400 * S
INSTRUMENT = "x:A-B"
EXACT = pa.decimal128(18, 9)
Row = tuple[Any, ...]

FIGURES = """
    arg_min(price, n) AS open, max(price) AS high, min(price) AS low, arg_max(price, n) AS close,
    sum(size) AS volume, sum(price * size) AS notional, count(*) AS trades"""
OF_TIME = """
SELECT ts - ts % {length} AS ts_open, ts - ts % {length} + {length} AS ts_close, {figures}
FROM trades GROUP BY ALL ORDER BY ts_open"""
FILLED = """
WITH RECURSIVE summed AS (SELECT *, sum({measure}) OVER (ORDER BY n) AS total FROM trades),
    edges(first, last, total) AS (
        SELECT 0::BIGINT, min(n), min(total) FROM summed WHERE total >= {amount} HAVING count(*) > 0
        UNION ALL
        SELECT edges.last + 1, min(n), min(summed.total) FROM edges, summed WHERE summed.total >= edges.total + {amount}
        GROUP BY edges.last)
SELECT min(ts) AS ts_open, arg_max(ts, n) AS ts_close, {figures}
FROM edges JOIN trades ON n BETWEEN first AND last GROUP BY first ORDER BY first"""
"""Each bar ends with the first trade at which the sum since the bar before reaches the amount."""
MEASURES = {"tick": "1", "volume": "size", "notional": "price * size"}


def asked(con: duckdb.DuckDBPyConnection, spec: str) -> list[Row]:
    """Of the table ``trades`` (n from 0 in the order of the tape, ts, price, size); the last time bar may be open yet."""
    kind, _, amount = spec.partition("-")
    if kind == "time":
        query = OF_TIME.format(length=int(amount.rstrip("s")) * S, figures=FIGURES)
    else:
        query = FILLED.format(measure=MEASURES[kind], amount=amount, figures=FIGURES)
    return con.execute(query).fetchall()


def with_trades(trades: Sequence[Trade]) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    columns = {
        "n": pa.array(range(len(trades)), pa.int64()),
        "ts": pa.array([t.ts_event for t in trades], pa.int64()),
        "price": pa.array([t.price for t in trades], EXACT),
        "size": pa.array([t.size for t in trades], EXACT),
    }
    table = pa.table(columns)
    con.register("arrow", table)
    con.execute("CREATE TABLE trades AS FROM arrow")
    return con


def told(events: Iterable[Any], specs: tuple[str, ...]) -> dict[str, list[Row]]:
    """What the stage makes of the trades of INSTRUMENT, and of ticks."""
    found: dict[str, list[Row]] = {spec: [] for spec in specs}
    state: BarsState | None = None
    stage = bars_stage({INSTRUMENT: specs})
    for n, event in enumerate(events):
        one = msgspec.structs.replace(event, instrument=INSTRUMENT) if isinstance(event, Trade) else event
        state, out = stage.on_event(state, one, At(0, n, 0))
        for bar in out:
            assert isinstance(bar, Bar)
            assert bar.revision == bar.late == 0
            ohlc = (bar.open, bar.high, bar.low, bar.close)
            found[bar.spec].append((bar.ts_open, bar.ts_close, *ohlc, bar.volume, bar.notional, bar.trades))
    return found


def agree(con: duckdb.DuckDBPyConnection, made: dict[str, list[Row]]) -> None:
    """Each kind is there, and equal, digit by digit."""
    for spec, bars in made.items():
        wanted = asked(con, spec)
        still_open = len(wanted) - len(bars)
        assert still_open in ((0, 1) if spec.startswith("time") else (0,)), spec
        assert bars == wanted[: len(bars)], spec


RECORDED = ("time-1s", "time-5s", "time-60s", "tick-100", "volume-25", "volume-0.5", "notional-100000.5")


def test_bars_of_a_recording_over_midnight_are_the_databases(data_dir: Path) -> None:
    paths = [data_dir / "hftbacktest" / "spot" / f"ethusdt_2024080{day}.gz" for day in (8, 9)]
    adapter, events = market_data("binance"), list[Any]()
    stage, state = normalize_stage({"binance": "binance"}), MarketState()
    for line in Lines("binance", adapter).of(read(paths)):
        _, out = stage.on_event(state, line, At(0, 0, 0))
        events += (event for event in out if isinstance(event, Trade))
    assert events[0].ts_event // DAY < events[-1].ts_event // DAY, "midnight is between"
    assert all(t.ts_init < t.ts_event for t in events), "received before it happened, by the recorder's clock"
    made = told(events, RECORDED)
    agree(with_trades(events), made)
    assert min(len(bars) for bars in made.values()) > 2, "there are some of each kind"


def test_bars_of_imported_trades_are_those_of_a_question_to_the_archive(data_dir: Path, tmp_path: Path) -> None:
    names = ("LTCUSDT_2025-06-21_18h_trades.csv.gz", "LTCUSDT_2025-06-22_00h_trades.csv.gz")
    files = [str(data_dir / "binance-ltcusdt-trades" / name) for name in names]
    assert CliRunner().invoke(cli.app, ["import", *files, "--to", str(tmp_path / "run")]).exit_code == 0
    events = [e for a in open_source([tmp_path / "run"], "").arrivals() for e in wire.decode(a.value)]
    with open_archive(tmp_path / "run" / "archive") as con:
        con.execute("""
            CREATE TABLE trades AS SELECT row_number() OVER (ORDER BY "offset", "index") - 1 AS n, ts_event AS ts,
                price::DECIMAL(18,9) AS price, size::DECIMAL(18,9) AS size FROM market_events WHERE type = 'Trade'""")
        specs = ("time-60s", "time-3600s", "tick-250", "volume-1000", "notional-123456.78")
        agree(con, told((e for e in events if isinstance(e, Trade)), specs))


def stalled(events: Iterable[Any], every_s: int, length_s: int) -> Iterator[Any]:
    """From the last two of so many seconds on, our clock ticks while the venue's events wait for the connection."""
    held: list[Any] = []
    second = 0
    for event in events:
        now = event.ts_init // S
        if now > second:
            second = now
            yield Tick(n=now, ts_init=now * S)
        if (now + 2) % every_s < length_s:
            held.append(event)
            continue
        while held:
            yield msgspec.structs.replace(held.pop(0), ts_init=event.ts_init)
        yield event


ASKED_BARS = """
SELECT ts_open, ts_close, open, high, low, close, volume, notional, trades FROM market_bars WHERE spec = ? ORDER BY ts_open"""
ASKED_TRADES = """
SELECT ts_event - ts_event % {length} AS ts_open, ts_open + {length} AS ts_close, arg_min(price, place) AS open, max(price) AS high,
    min(price) AS low, arg_max(price, place) AS close, sum(size) AS volume, sum(price * size) AS notional, count(*) AS trades
FROM (SELECT ts_event, price::DECIMAL(18,9) AS price, size::DECIMAL(18,9) AS size, ("offset", "index") AS place
      FROM market_events WHERE type = 'Trade')
GROUP BY ALL ORDER BY ts_open"""


def written(root: Path, topic: Topic, records: Iterable[Record]) -> None:
    rows = [
        Taken(topic.name, "id", 0, n, n, INSTRUMENT.encode(), wire.encode([record]), b"x|y@1/0|%d|0" % n, None)
        for n, record in enumerate(records)
    ]
    archive.write(root, Place(topic.name, 0), rows)


@pytest.mark.parametrize("length", [3, 7])
def test_bars_of_a_connection_that_stalled_are_those_of_a_question_to_the_archive(
    data_dir: Path, tmp_path: Path, length: int
) -> None:
    adapter, stage, state = market_data("binance"), normalize_stage({"binance": "binance"}), MarketState()
    events = list[Any]()
    for line in Lines("binance", adapter).of(read([data_dir / "hftbacktest" / "spot" / "ethusdt_20240808.gz"])):
        _, out = stage.on_event(state, line, At(0, 0, 0))
        events += (msgspec.structs.replace(e, instrument=INSTRUMENT) for e in out if isinstance(e, Trade | BookDelta))
    seen = list(stalled(events, 10, length))
    specs = ("time-1s", "time-5s")
    bars = run(bars_stage({INSTRUMENT: (*specs, "tick-1")}), [*seen, Tick(n=0, ts_init=seen[-1].ts_init + 60 * S)])
    written(tmp_path, MARKET_EVENTS, (e for e in seen if isinstance(e, Trade)))
    written(tmp_path, MARKET_BARS, bars)
    again = {spec: sum(1 for b in bars if isinstance(b, Bar) and b.spec == spec and b.revision > 0) for spec in specs}
    assert min(again.values()) > 5, "bars were told again"
    with open_archive(tmp_path) as con:
        for spec in specs:
            rule = rule_of(spec)
            assert isinstance(rule, TimeRule)
            wanted = con.execute(ASKED_TRADES.format(length=rule.length_ns)).fetchall()
            assert con.execute(ASKED_BARS, [spec]).fetchall() == wanted
        told, late = con.execute("SELECT count(*), sum(late) FROM market_bars_told").fetchone() or (0, 0)
        assert (told, late) == (len(bars), 0)
        filled = con.execute("SELECT count(*) FROM market_bars WHERE spec = 'tick-1'").fetchone()
        assert filled == (sum(isinstance(e, Trade) for e in seen),), "those that begin at the same time are not one bar"


digits = st.integers(1, 10**9).map(lambda n: Decimal(n).scaleb(-6))
market = st.lists(st.tuples(st.integers(0, 4 * 10**9), digits, digits, st.booleans()), min_size=1, max_size=60)


@settings(max_examples=40, deadline=None)
@given(found=market, behind=st.integers(-2 * S, 2 * S))
def test_bars_of_any_trades_are_the_databases(found: list[tuple[int, Decimal, Decimal, bool]], behind: int) -> None:
    """From a second before midnight, with a clock of ours that is off, and ticks between."""
    at, events = 20_000 * DAY - S, list[Any]()
    for pause, price, size, tick in found:
        at += pause
        events.append(
            Trade(
                instrument=INSTRUMENT,
                trade_id=str(at),
                price=price,
                size=size,
                aggressor=Side.BUY,
                ts_event=at,
                ts_init=at + behind,
            )
        )
        if tick:
            events.append(Tick(n=1, ts_init=at + behind))
    trades = [event for event in events if isinstance(event, Trade)]
    specs = ("time-1s", "time-7s", "tick-3", "volume-900.5", "notional-100000")
    con = with_trades(trades)
    agree(con, told(events, specs))


@pytest.mark.parametrize(
    "spec", ["tick-0", "tick-1.5", "volume-0", "volume-0.0", "volume-01", "volume-", "notional--1", "notional-1e5"]
)
def test_an_amount_that_is_none_is_refused(spec: str) -> None:
    with pytest.raises(ValueError, match="not a bar"):
        rule_of(spec)
