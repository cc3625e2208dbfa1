"""The market page: what it says of a market is what is on the tape."""

import io
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import closing
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from typer.testing import CliRunner

from infra import archive
from infra.duck import open_archive
from infra.tail import Place, Taken
from pipelines import cli, report, report_market
from pipelines.report_market import MarketData
from pipelines.report_market_charts import market_charts
from tests.strategies.builders import bar
from topics import wire
from topics.market import BookDelta, BookSnapshot, Gap, Quote, Trade
from topics.record import Level, Record, Side

S, MS = 1_000_000_000, 1_000_000
T0 = 1_700_000_000 * S
BTC, ETH = "kraken:BTC-USD", "okx:ETH-USDT"
BEHIND = 1300 * MS


def trade(at: float, size: str = "2", instrument: str = BTC, way: int = 5 * MS) -> Trade:
    """Received at this second by a clock that is behind."""
    ts = T0 + round(at * S)
    times = {"ts_event": ts + BEHIND - way, "ts_init": ts}
    return Trade(
        instrument=instrument, trade_id=str(at), price=Decimal(100), size=Decimal(size), aggressor=Side.BUY, **times
    )


def quote(at: float, bid: str, ask: str, instrument: str = ETH) -> Quote:
    ts = T0 + round(at * S)
    return Quote(
        instrument=instrument,
        best_bid=Decimal(bid),
        bid_size=Decimal(3),
        best_ask=Decimal(ask),
        ask_size=Decimal(4),
        ts_event=ts + BEHIND,
        ts_init=ts,
    )


def snapshot(at: float, bids: Iterable[Level], asks: Iterable[Level]) -> BookSnapshot:
    ts = T0 + round(at * S)
    return BookSnapshot(instrument=BTC, bids=tuple(bids), asks=tuple(asks), ts_event=ts + BEHIND, ts_init=ts)


def delta(at: float, bids: Iterable[Level] = (), asks: Iterable[Level] = ()) -> BookDelta:
    ts = T0 + round(at * S)
    return BookDelta(instrument=BTC, bids=tuple(bids), asks=tuple(asks), ts_event=ts + BEHIND - 7 * MS, ts_init=ts)


def gap(at: float) -> Gap:
    return Gap(instrument=BTC, reason="a hole", ts_init=T0 + round(at * S))


EVENTS: list[Record] = [
    snapshot(0.0, [("99.99", "2"), ("99.95", "5"), ("99", "100")], [("100.01", "1"), ("101", "50")]),
    trade(0.1),
    delta(0.2, asks=[("100.01", "3")]),
    trade(0.3, way=0),
    quote(0.5, "10", "10.01"),
    trade(1.5, size="0.5", way=25 * MS),
    gap(2.0),
    delta(2.2, bids=[("99.99", "0")]),
    snapshot(4.5, [("99.98", "1")], [("100.02", "1")]),
    delta(4.6, bids=[("99.98", "4")]),
    gap(5.5),
    trade(6.0, instrument=ETH),
]


def written(root: Path, events: list[Record], topic: str = "market.events") -> Path:
    """Each delivered twice."""
    rows = []
    for n, event in enumerate(e for e in events for _ in range(2)):
        key = getattr(event, "instrument", "").encode()
        rows.append(Taken(topic, "id", 0, n, n, key, wire.encode([event]), b"normalize|x@1/0|%d|0" % (n // 2), None))
    archive.write(root, Place(topic, 0), rows)
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market") / "night"
    written(folder / "archive", EVENTS)
    return folder


@pytest.fixture(scope="module")
def data(folder: Path) -> MarketData:
    with closing(open_archive(folder / "archive")) as con:
        report_market.prepare(con, folder / "archive")
        return report_market.read(con, folder / "archive")


def test_trades_gaps_and_spreads_of_each_instrument_are_those_on_the_tape_each_once(data: MarketData) -> None:
    btc, eth = data.instruments
    assert (btc["instrument"], btc["trades"], btc["volume"], btc["gaps"]) == (BTC, 3, 4.5, 2)
    assert (eth["instrument"], eth["trades"], eth["gaps"]) == (ETH, 1, 0)
    assert eth["spread"] == pytest.approx(9.995, abs=0.001)
    assert btc["spread"] == pytest.approx(3.0), "of its book, where it has no quotes"
    assert data.width_s == 1
    assert [(row["trade_rate"], row["gaps"]) for row in data.slots[BTC]] == [
        (2, 0),
        (1, 0),
        (0, 1),
        (0, 0),
        (0, 0),
        (0, 1),
    ]


def test_depth_is_what_rests_within_ten_basis_points_of_the_mid(data: MarketData) -> None:
    first, second = data.books[BTC]
    assert (first.bids, first.asks, first.spread) == (7, 3, pytest.approx(2))
    assert (second.bids, second.asks, second.spread) == (4, 1, pytest.approx(4))


def test_a_book_is_not_whole_from_a_gap_to_the_next_snapshot_or_the_end(data: MarketData) -> None:
    assert [one.length_s for one in data.broken[BTC]] == [pytest.approx(2.5), pytest.approx(0.0)]
    assert data.instruments[0]["broken_s"] == pytest.approx(2.5)


def test_latencies_of_a_clock_that_was_behind_are_on_one_clock(data: MarketData) -> None:
    slots = data.slots[BTC]
    assert all(row["usual_ms"] is None or row["usual_ms"] >= 0 for row in slots)
    assert slots[1]["usual_ms"] == slots[1]["worst_ms"] == pytest.approx(25)
    assert data.instruments[0]["skew_ms"] == pytest.approx(1300)


def test_how_long_ago_a_played_recording_was_is_no_latency(tmp_path: Path) -> None:
    year = 365 * 24 * 3600 * S
    written(tmp_path, [trade(0.1, way=year), trade(0.2, way=year)])
    with closing(open_archive(tmp_path)) as con:
        report_market.prepare(con, tmp_path)
        (row,) = report_market.read(con, tmp_path).instruments
    assert (row["trades"], row["usual_ms"], row["worst_ms"]) == (2, None, None)


def test_every_strip_of_a_chart_has_its_own_axis_and_gaps_are_shaded(data: MarketData) -> None:
    btc, eth = (msgspec.json.decode(one.figure) for one in market_charts(data))
    assert len(btc["layout"]["annotations"]) == 4
    assert {trace["yaxis"] for trace in btc["data"]} == {"y", "y2", "y3", "y4"}
    assert len(btc["layout"]["shapes"]) == 2
    assert [a["text"] for a in eth["layout"]["annotations"]][1] == "Size of the best bid and ask, ETH"
    domains = [btc["layout"][f"yaxis{n}"]["domain"] for n in ("", 2, 3, 4)]
    assert all(0 <= low < high <= 1 for low, high in domains)
    assert all(above[0] > below[1] for above, below in pairwise(domains))


def test_the_report_of_a_folder_without_trading_opens_at_the_market(folder: Path) -> None:
    result = CliRunner().invoke(cli.app, ["report", "--run", str(folder)])
    assert result.exit_code == 0, result.output
    assert "2 instruments, 4 trades, 2 gaps" in result.stdout
    page = (folder / "report.html").read_text()
    assert 'data-first="market"' in page
    assert "kraken:BTC-USD" in page


def test_the_market_page_draws_its_charts(folder: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no chromium here to look at the page with")
    quiet = Console(file=io.StringIO())
    page = report.report_of("night", folder, folder / "archive", tmp_path / "r.html", console=quiet)
    options = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}",
        "--virtual-time-budget=8000",
    ]
    command = [browser, *options, "--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom", f"{page.as_uri()}#market"]
    drawn = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True).stdout
    for n in range(2):
        start = drawn.index(f'id="market{n}"')
        assert 'class="main-svg"' in drawn[start : start + 3000]


def test_an_archive_without_market_data_has_a_page_too(tmp_path: Path) -> None:
    with closing(open_archive(tmp_path)) as con:
        report_market.prepare(con, tmp_path)
        found = report_market.read(con, tmp_path)
    assert (found.instruments, found.drawn, market_charts(found)) == ([], [], [])


def test_trades_that_came_too_late_for_a_bar_are_told_once_each(tmp_path: Path) -> None:
    def late(n: int, start: int, spec: str, instrument: str = BTC, revision: int = 0) -> Record:
        told = bar("1", T0 + start * S, instrument, spec)
        return msgspec.structs.replace(told, late=n, revision=revision)

    bars = [late(3, 1, "time-1s"), late(1, 2, "time-1s"), late(2, 5, "time-5s"), late(5, 1, "time-1s", ETH)]
    written(written(tmp_path, EVENTS), [*bars, late(3, 1, "time-1s", revision=1)], "market.bars")
    with closing(open_archive(tmp_path)) as con:
        report_market.prepare(con, tmp_path)
        found = report_market.read(con, tmp_path)
    assert found.late == 4 + 5
    assert ("Trades", "4", "9 too late for their bar") in report.market_tiles(found)


def test_of_very_many_records_trades_and_gaps_are_counted_all_the_same(
    folder: Path, data: MarketData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_market, "SAMPLED", 4)
    monkeypatch.setattr(report_market, "FOLDED", 4)
    with closing(open_archive(folder / "archive")) as con:
        report_market.prepare(con, folder / "archive")
        sampled = report_market.read(con, folder / "archive")
        looked_at = con.execute("SELECT sum(events) FROM market_seconds").fetchone()
    counts = [(row["trades"], row["volume"], row["gaps"]) for row in data.instruments]
    assert [(row["trades"], row["volume"], row["gaps"]) for row in sampled.instruments] == counts
    assert looked_at is not None
    assert looked_at[0] < len(EVENTS)
    assert sampled.books[BTC] == data.books[BTC], "of a market without quotes the book is folded"
