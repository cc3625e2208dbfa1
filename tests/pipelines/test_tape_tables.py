"""Tables of others through `tape check`, `stat` and `head`: what a row is to them, a frame is to a capture."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.captures import CaptureError
from infra.errors import Hopeless
from pipelines.cli import app
from pipelines.imports.source import Imported
from pipelines.tape_check import Checked, check
from tests.pipelines.tables import HEAD, US, lean_files, tardis_files, write
from tests.pipelines.test_tape_check import KEYS
from topics.book import Book
from topics.market import BookSnapshot, Trade

TRADES = "timestamp,price,quantity,side,tradeId\n"


def only(*paths: Path, **said: str) -> Checked:
    (one,) = check(paths, **said).instruments
    return one


def run(*arguments: Any) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["tape", *map(str, arguments)])
    if isinstance(result.exception, Hopeless):
        return result.exception.exit_code, result.stdout, str(result.exception)
    return result.exit_code, result.stdout, result.stderr


def test_trades_of_binance_have_rows_and_no_book_and_the_same_keys(tmp_path: Path) -> None:
    first = write(tmp_path / "LTCUSDT_1.csv.gz", f"{TRADES}1750507467356,83.29,0.107,buy,9\n")
    second = write(tmp_path / "LTCUSDT_2.csv", f"{TRADES}1750507467357,83.3,1,sell,10\n1750507467358,83.3,1,sell,11\n")
    code, out, said = run("check", first, second, "--json")
    (line,) = out.splitlines()
    assert (code, said) == (0, "")
    assert list(json.loads(line)) == KEYS
    told = json.loads(line)
    assert (told["instrument"], told["venue_symbol"]) == ("binance:LTC-USDT", "LTCUSDT")
    assert (told["frames"], told["trades"], told["book_state"], told["book_digest"]) == (3, 3, "none", None)
    assert only(first, venue="BINANCE_FUTURES").instrument == "binance_usdm:LTC-USDT-PERP"


def test_what_is_sent_again_counts_once_as_everywhere(tmp_path: Path) -> None:
    row = "1750507467356,83.29,0.107,buy,9\n"
    one = only(write(tmp_path / "LTCUSDT_1.csv", TRADES + row + row))
    assert (one.frames, one.trades) == (2, 1)


def test_ticks_of_lean_are_of_one_venue_unless_another_is_said(tmp_path: Path) -> None:
    code, out, said = run("check", *lean_files(tmp_path), "--json")
    told = json.loads(out)
    assert (code, told["instrument"], told["venue_symbol"], told["frames"]) == (0, "us:IBM-USD", "IBM", 8)
    assert (told["trades"], told["quotes"]) == (3, 1)
    assert said == "0 frames about no instrument, 0 that cannot be read, 4 passed over\n"
    assert only(tmp_path / "20131007_trade.zip", venue="mine").instrument == "mine:IBM-USD"


def test_tables_of_tardis_keep_a_book_whose_digest_is_that_of_their_rows(tmp_path: Path) -> None:
    found = check(tardis_files(tmp_path))
    (one,) = found.instruments
    assert (one.frames, one.trades, one.quotes, one.book_updates) == (2 + 2 + 8, 2, 1, 2)
    assert (one.book_state, one.bids, one.asks, one.gaps) == ("live", 2, 2, 0)
    assert (one.best_bid, one.best_ask) == (("100.15", "2"), ("100.25", "0.00000001"))
    bids, asks = (("100.15", "2"), ("100.1", "1.5")), (("100.25", "0.00000001"), ("100.3", "7"))
    book = Book.of(BookSnapshot(instrument="", bids=bids, asks=asks, ts_event=0, ts_init=0))
    assert one.book_digest == book.digest()
    assert found.passed_over == 2  # a quote of one side, a change before the first snapshot


def test_a_crossed_book_in_a_table_is_a_gap_that_stays_open_until_the_next_snapshot(tmp_path: Path) -> None:
    head = f"{HEAD}is_snapshot,side,price,amount\n"
    rows = [
        ("true", "bid", "10", "1"),
        ("true", "ask", "11", "1"),
        ("false", "bid", "12", "1"),
        ("true", "bid", "9", "1"),
    ]
    text = [f"okex,BTC-USDT,{US + n // 2},{US + n // 2},{','.join(row)}\n" for n, row in enumerate(rows)]
    path = write(tmp_path / "book.csv", head + "".join(text[:3]))
    assert run("check", path)[0] == 1
    assert (only(path).gaps, only(path).book_state) == (1, "stale")
    path = write(tmp_path / "again.csv", head + "".join(text))
    assert (only(path).gaps, only(path).resyncs, only(path).best_bid) == (1, 1, ("9", "1"))


SAMPLES = "asks[0].price,asks[0].amount,bids[0].price,bids[0].amount,asks[1].price,asks[1].amount,bids[1].price,bids[1].amount"


def test_samples_of_the_best_levels_are_books_each(tmp_path: Path) -> None:
    rows = "11,1,10,2,12,3,9.50,4\n", "11,1,10,5,,,9,4\n"
    text = "".join(f"bitmex,XBTUSD,{US + n},{US + n},{row}" for n, row in enumerate(rows))
    path = write(tmp_path / "book_snapshot_2.csv", f"{HEAD}{SAMPLES}\n{text}")
    one = only(path)
    assert (one.frames, one.book_updates, one.bids, one.asks, one.best_bid) == (2, 1, 2, 1, ("10", "5"))
    first, second = Imported([path]).events()
    assert isinstance(first, BookSnapshot)
    assert isinstance(second, BookSnapshot)
    assert (first.sampled, first.depth, first.bids, second.asks) == (
        True,
        2,
        (("10", "2"), ("9.50", "4")),
        (("11", "1"),),
    )


def test_what_a_table_cannot_tell_is_asked_for_in_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", f"{HEAD}id,side,price,amount\nftx,BTC-MOVE-0101,{US},{US},1,buy,2,3\n")
    assert run("check", path) == (2, "", f"{path}: cannot tell the venue from it: name it with --venue")
    code, _, said = run("check", path, "--venue", "ftx")
    assert (code, "--instrument" in said) == (2, True)
    assert only(path, venue="ftx", instrument="BTC-USD-PERP").instrument == "ftx:BTC-USD-PERP"


def test_tables_of_two_venues_and_tables_beside_captures_are_no_one_stream(tmp_path: Path) -> None:
    spot = write(tmp_path / "LTCUSDT_1.csv", f"{TRADES}1750507467356,83.29,0.107,buy,9\n")
    coin = write(tmp_path / "BTCUSD_PERP_1.csv", f"{TRADES}1750507467356,83.29,1,buy,9\n")
    said = f"{coin}: is of binance_coinm, and {spot} of binance: several files are one stream, of one venue"
    assert run("check", spot, coin) == (2, "", said)
    with pytest.raises(CaptureError, match="of one venue"):
        Imported([spot, coin])
    capture = write(tmp_path / "capture", '1750507467356000000 {"a":1}\n')
    assert "is a table of records" in run("check", capture, spot)[2]
    assert "is named twice" in run("check", spot, spot)[2]


def test_a_table_that_breaks_off_is_told_as_far_as_it_goes(tmp_path: Path) -> None:
    rows = [f"{1750507467356 + n},83.29,0.107,buy,{n * 7919 % 10**7}\n" for n in range(40_000)]
    path = write(tmp_path / "LTCUSDT_1.csv.gz", TRADES + "".join(rows))
    path.write_bytes(path.read_bytes()[:-20_000])
    code, out, said = run("check", path, "--json")
    assert (code, said) == (2, f"{path}: is cut off: the gzip stream has no end")
    assert 1000 < json.loads(out)["trades"] < 40_000


def test_stat_and_head_of_a_table_are_of_its_records_and_its_rows(tmp_path: Path) -> None:
    files = tardis_files(tmp_path)
    code, out, _ = run("stat", *files, "--gaps", "--json")
    told = json.loads(out)
    assert (code, told["venue"], told["venue_symbol"], told["gaps"]) == (0, "binance", "BTCUSDT", 0)
    assert told["channels"] == {"trades": 2, "quotes": 1, "book snapshots": 1, "book changes": 2}
    assert (told["from"], told["offset_ns"]["min"]) == ((US + 5) * 1000, 5000)
    code, out, _ = run("head", files[1], "-n", 2)
    assert (code, out.splitlines()) == (0, files[1].read_text().splitlines()[:2])
    for command in (["ls"], ["cut", "--out", tmp_path / "out"]):
        code, _, said = run(*command, files[1])
        assert (code, "tapedeck import, tape check, stat and head" in said) == (2, True)


def test_recorded_tables_are_counted_row_by_row(data_dir: Path) -> None:
    path = data_dir / "binance-ltcusdt-trades" / "LTCUSDT_2025-06-21_06h_trades.csv.gz"
    rows = gzip.decompress(path.read_bytes()).splitlines()
    one = only(path)
    assert one.frames == one.trades == len(rows) - 1
    folder = data_dir / "lean-equity-tick" / "ibm"
    trades = [event for event in Imported([folder / "20131007_trade.zip"]).events() if isinstance(event, Trade)]
    assert only(folder / "20131007_trade.zip").trades == len(trades)
