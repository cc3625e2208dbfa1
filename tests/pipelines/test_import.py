"""`tapedeck import`: each format by a small file and by the recorded ones; what is written is what a backtest reads."""

import gzip
import zipfile
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from infra.errors import Problem
from pipelines import cli
from pipelines.backtest_source import open_source
from pipelines.imports.source import Imported
from tests.pipelines.tables import HEAD, US, lean_files, tardis_files, write, zipped
from tests.recordings import data_folder
from topics import wire
from topics.book import Book
from topics.market import BookDelta, BookSnapshot, Instrument, Quote, Trade
from topics.record import Payoff, Side

AGGREGATES = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
RECORDED = pytest.mark.skipif(not data_folder().exists(), reason="the recordings are not here")


def imported(*args: object) -> Result:
    result = CliRunner().invoke(cli.app, ["import", *map(str, args)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def archived(folder: Path) -> list[Any]:
    return [event for arrival in open_source([folder], "").arrivals() for event in wire.decode(arrival.value)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "LTCUSDT_1.csv.gz",
            "timestamp,price,quantity,side,tradeId\n1750507467356,83.29,0.107,buy,9\n1750507470500,83.3,1.39,sell,10\n",
        ),
        (
            "LTCUSDT-trades-2025-06-21.csv",
            "9,83.29,0.107,8.9,1750507467356000,False,True\n10,83.3,1.39,1.0,1750507470500000,True,True\n",
        ),
        (
            "LTCUSDT-aggTrades-2025.csv",
            "9,83.29,0.107,1,1,1750507467356,false,true\n10,83.3,1.39,2,2,1750507470500,true,true\n",
        ),
        (
            "LTCUSDT-aggTrades-2024.csv",
            f"{AGGREGATES}\n9,83.29,0.107,1,1,1750507467356,false\n10,83.3,1.39,2,2,1750507470500,true\n",
        ),
    ],
)
def test_trades_of_binance_keep_their_digits_and_say_who_took(tmp_path: Path, name: str, text: str) -> None:
    result = imported(write(tmp_path / name, text), "--to", tmp_path / "run")
    assert "binance:LTC-USDT (spot, tick 0.01, lot 0.001)" in result.stderr
    definition, first, second = archived(tmp_path / "run")
    assert definition == Instrument(
        instrument="binance:LTC-USDT",
        venue="binance",
        venue_symbol="LTCUSDT",
        base="LTC",
        quote="USDT",
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.001"),
        ts_init=1750507467356 * 10**6,
    )
    assert first == Trade(
        instrument="binance:LTC-USDT",
        trade_id="9",
        price=Decimal("83.29"),
        size=Decimal("0.107"),
        aggressor=Side.BUY,
        ts_event=1750507467356 * 10**6,
        ts_init=1750507467356 * 10**6,
    )
    assert (second.trade_id, second.aggressor) == ("10", Side.SELL)


def test_ticks_of_lean_are_one_equity_on_new_yorks_clock(tmp_path: Path) -> None:
    imported(*lean_files(tmp_path), "--venue", "us", "--to", tmp_path / "run")
    definition, book, quote, *trades = archived(tmp_path / "run")
    start = 1_381_152_600_000 * 10**6  # 2013-10-07 09:30 in New York, 13:30 UTC
    assert (definition.instrument, definition.kind, definition.quote) == ("us:IBM-USD", "equity", "USD")
    assert (definition.tick_size, definition.lot_size) == (Decimal("0.001"), 1)
    assert (quote.best_bid, quote.bid_size, quote.best_ask, quote.ask_size) == (
        Decimal("183.63"),
        100,
        Decimal("183.64"),
        300,
    )
    assert quote.ts_init == quote.ts_event == start
    assert (book.bids, book.asks, book.depth) == ((("183.63", "100"),), (("183.64", "300"),), 1)
    assert 0 < book.sequence < quote.sequence
    assert [(t.price, t.size, t.aggressor, t.trade_id) for t in trades] == [
        (Decimal("183.64"), 283, Side.BUY, "20131007.1.P"),
        (Decimal("183.63"), 5, Side.SELL, "20131007.2.N"),
        (Decimal("183.635"), 5, Side.BUY, "20131007.3.N"),
    ]
    assert trades[0].ts_init == start + 10**6


def test_tables_of_tardis_become_trades_quotes_and_a_book_that_can_be_kept(tmp_path: Path) -> None:
    imported(*tardis_files(tmp_path), "--to", tmp_path / "run")
    events = archived(tmp_path / "run")
    assert Counter(type(event) for event in events) == {
        Instrument: 1,
        Trade: 2,
        Quote: 1,
        BookSnapshot: 1,
        BookDelta: 2,
    }
    assert all(event.instrument == "binance:BTC-USDT" for event in events)
    assert [event.ts_init for event in events] == sorted(event.ts_init for event in events)
    (snapshot,) = (event for event in events if isinstance(event, BookSnapshot))
    assert snapshot.bids == (("100.20", "0.5"), ("100.10", "1.50"))
    assert snapshot.asks == (("100.3", "7"),)
    assert (snapshot.ts_event, snapshot.ts_init) == ((US + 2) * 1000, (US + 7) * 1000)
    book = Book.of(snapshot)
    for event in events:
        if isinstance(event, BookDelta):
            book.apply(event)
    assert (book.best_bid, book.best_ask) == ((Decimal("100.15"), 2), (Decimal("100.25"), Decimal("0.00000001")))
    sold, unknown = (event for event in events if isinstance(event, Trade))
    assert (sold.trade_id, sold.aggressor) == ("7", Side.SELL)
    assert unknown.aggressor is Side.BUY  # above the last price
    assert unknown.trade_id


@pytest.mark.parametrize(
    ("exchange", "symbol", "instrument", "kind"),
    [
        ("kraken", "XBT/USD", "kraken:BTC-USD", "spot"),
        ("binance-futures", "BTCUSDT", "binance_usdm:BTC-USDT-PERP", "linear"),
        ("bybit-spot", "BTCUSDT", "bybit:BTC-USDT", "spot"),
        ("bybit", "BTCUSDT", "bybit:BTC-USDT-PERP", "linear"),
        ("bybit", "BTCUSD", "bybit:BTC-USD-PERP", "inverse"),
        ("deribit", "BTC-PERPETUAL", "deribit:BTC-USD-PERP", "inverse"),
        ("cryptofacilities", "PI_XBTUSD", "kraken_futures:BTC-USD-PERP-INV", "inverse"),
        ("other", "ETH_EUR", "mine:ETH-EUR", "spot"),
        ("other", "SOLUSDT", "mine:SOL-USDT", "spot"),
    ],
)
def test_a_symbol_is_named_as_the_venues_adapter_names_it(
    tmp_path: Path, exchange: str, symbol: str, instrument: str, kind: str
) -> None:
    path = write(tmp_path / "t.csv", f"{HEAD}id,side,price,amount\n{exchange},{symbol},{US},{US},1,buy,2,3\n")
    (definition,) = Imported([path], "mine" if exchange == "other" else "").definitions
    assert (definition.instrument, definition.kind) == (instrument, kind)


@pytest.mark.parametrize(
    ("exchange", "symbol", "payoff", "settled", "multiplier"),
    [
        ("binance-delivery", "BTCUSD_PERP", Payoff.INVERSE, "BTC", 100),
        ("binance-delivery", "ETHUSD_260327", Payoff.INVERSE, "ETH", 10),
        ("bybit", "BTCUSD", Payoff.INVERSE, "BTC", 1),
        ("binance-futures", "BTCUSDT", Payoff.LINEAR, "USDT", 1),
        ("okex-swap", "BTC-USD-SWAP", Payoff.INVERSE, "BTC", 100),
        ("okex-swap", "BTC-USDT-SWAP", Payoff.LINEAR, "USDT", 0),
        ("kraken", "XBT/USD", Payoff.SPOT, "USD", 1),
    ],
)
def test_a_table_has_the_size_of_a_contract_as_far_as_it_is_known(
    tmp_path: Path, exchange: str, symbol: str, payoff: Payoff, settled: str, multiplier: int
) -> None:
    path = write(tmp_path / "t.csv", f"{HEAD}id,side,price,amount\n{exchange},{symbol},{US},{US},1,buy,2,3\n")
    (definition,) = Imported([path], "").definitions
    assert (definition.payoff, definition.settled_in, definition.multiplier) == (payoff, settled, multiplier)
    assert definition.has_value == (multiplier > 0)


@pytest.mark.parametrize(
    ("name", "venue", "instrument", "kind"),
    [
        ("LTCUSDT-trades-2025.csv", "binance_usdm", "binance_usdm:LTC-USDT-PERP", "linear"),
        ("LTCUSDT-trades-2025.csv", "mine", "mine:LTC-USDT", "spot"),
        ("BTCUSD_PERP-trades-2025.csv", "", "binance_coinm:BTC-USD-PERP", "inverse"),
    ],
)
def test_the_venue_says_which_market_a_table_of_binance_is_of(
    tmp_path: Path, name: str, venue: str, instrument: str, kind: str
) -> None:
    path = write(tmp_path / name, "9,83.29,1,8.9,1750507467356,False,True\n")
    (definition,) = Imported([path], venue).definitions
    assert (definition.instrument, definition.kind) == (instrument, kind)


def test_an_instrument_can_be_said(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", f"{HEAD}id,side,price,amount\nftx,BTC-MOVE-0101,{US},{US},1,buy,2,3\n")
    with pytest.raises(Problem, match="cannot tell the venue from it: name it with --venue"):
        Imported([path])
    with pytest.raises(Problem, match="say it with --instrument"):
        Imported([path], "ftx")
    (definition,) = Imported([path], "ftx", "BTC-USD-PERP", "inverse").definitions
    assert (definition.instrument, definition.kind) == ("ftx:BTC-USD-PERP", "inverse")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("x.csv", "a,b\n1,2\n", "is no table that can be imported"),
        ("x.csv", "", "is empty"),
        ("1.csv", "timestamp,price,quantity,side,tradeId\n1,2,3,buy,4\n", "is named after no symbol"),
        ("LTCUSDT_.csv", "timestamp,price,quantity,side,tradeId\n1,2,3,buy,4\n1,x,3,buy,4\n", "line 3: no price in it"),
        ("LTCUSDT_.csv", "timestamp,price,quantity,side,tradeId\n1,NaN,3,buy,4\n", "line 2: price 'NaN' is none"),
        ("LTCUSDT_.csv", "timestamp,price,quantity,side,tradeId\n1,0,3,buy,4\n", "line 2: price '0' is not positive"),
        ("LTCUSDT_.csv", "timestamp,price,quantity,side,tradeId\n1,2,3,both,4\n", "line 2: does not say who took"),
        ("t.csv", f"{HEAD}id,side,price,amount\nbinance,BTCUSDT,1,2\n", "line 2: has 4 fields, not 8"),
        (
            "t.csv",
            f"{HEAD}id,side,price,amount\nbinance,BTCUSDT,1,2,3,x,4,5\n",
            "line 2: side 'x' is none of buy, sell, unknown",
        ),
        (
            "t.csv",
            f"{HEAD}funding\nbinance,BTCUSDT,1,2,3\n",
            "none of trades, quotes, incremental_book_L2 and book_snapshot_",
        ),
    ],
)
def test_what_cannot_be_imported_is_said_in_one_line(tmp_path: Path, name: str, text: str, says: str) -> None:
    with pytest.raises(Problem, match=says) as told:
        imported(write(tmp_path / name, text), "--to", tmp_path / "run")
    assert "\n" not in str(told.value)
    assert not (tmp_path / "run").exists()


def test_a_broken_zip_is_said_and_an_archive_is_never_written_over(tmp_path: Path) -> None:
    files = lean_files(tmp_path)
    imported(*files, "--venue", "us", "--to", tmp_path / "run")
    with pytest.raises(Problem, match="holds an archive already"):
        imported(*files, "--venue", "us", "--to", tmp_path / "run")
    files[0].write_bytes(files[0].read_bytes()[:80])
    with pytest.raises(Problem, match="is damaged"):
        imported(files[0], "--venue", "us", "--to", tmp_path / "other")


@settings(max_examples=60)
@given(data=st.data())
def test_a_mutated_table_is_imported_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("mutated")
    path = data.draw(st.sampled_from([*lean_files(folder), *tardis_files(folder)]))
    text = bytearray(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b"9e99", b"-1", b","])
        )
    path.write_bytes(gzip.compress(bytes(text)) if path.suffix == ".gz" else bytes(text))
    try:
        found = Imported([path], "us")
    except Problem:
        return
    assert sum(1 for _ in found.events()) == found.count


@pytest.mark.parametrize("price", ["9e99", "1e-19", "-1", "Infinity", ""])
def test_a_number_that_none_can_be_is_refused(tmp_path: Path, price: str) -> None:
    text = f"timestamp,price,quantity,side,tradeId\n1750507467356,{price},1,buy,9\n"
    with pytest.raises(Problem, match="line 2"):
        Imported([write(tmp_path / "LTCUSDT_1.csv", text)])


def test_a_backtest_trades_on_what_was_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f"{34_200_000 + 100 * n},{(1_000_000 + 1000 * (n // 10 % 7))},100,0,0,Q,1,0\n" for n in range(600)]
    rows = [
        row
        for n, row in enumerate(rows)
        for row in (row, f"{34_200_000 + 100 * n},0,0,{1_000_100 + 1000 * (n // 10 % 7)},100,Q,1,0\n")
    ]
    trades = "".join(f"{34_200_050 + 100 * n},{1_000_100 + 1000 * (n // 10 % 7)},5,Q,1,0\n" for n in range(600))
    files = [
        zipped(tmp_path / "20131007_quote.zip", "20131007_ibm_Quote_Tick.csv", "".join(rows)),
        zipped(tmp_path / "20131007_trade.zip", "20131007_ibm_Trade_Tick.csv", trades),
    ]
    imported(*files, "--venue", "us", "--to", tmp_path / "run")
    monkeypatch.setenv("TAPEDECK_HOME", str(tmp_path / "home"))
    strategy = [
        "strategies.moving_average_cross:MovingAverageCross",
        "--params",
        "fast=1,slow=3,order_qty=10,max_qty=30,slippage_bps=50",
    ]
    args = ["backtest", *strategy, "--from", str(tmp_path / "run"), "--name", "t", "--no-report"]
    assert CliRunner().invoke(cli.app, args).exit_code == 0
    fills = CliRunner().invoke(
        cli.app, ["sql", "--run", str(tmp_path / "home" / "runs" / "t"), "select count(*) n from fills", "--json"]
    )
    assert int(fills.stdout.partition(":")[2].strip(" }\n")) > 5


@RECORDED
def test_the_recorded_trades_of_binance_are_imported_whole() -> None:
    folder = data_folder() / "binance-ltcusdt-trades"
    found = Imported([folder / "LTCUSDT_2025-06-21_06h_trades.csv.gz"])
    trades = [event for event in found.events() if isinstance(event, Trade)]
    assert len(trades) == 4311
    assert str(trades[0].price) == "83.29"
    assert (found.definitions[0].tick_size, found.definitions[0].lot_size) == (Decimal("0.01"), Decimal("0.001"))


@RECORDED
def test_the_recorded_ticks_of_lean_are_imported_whole() -> None:
    path = data_folder() / "lean-equity-tick" / "ibm" / "20131007_trade.zip"
    with zipfile.ZipFile(path) as packed:
        rows = [row.split(b",") for row in packed.read(packed.namelist()[0]).splitlines()]
    trades = [event for event in Imported([path], "us").events() if isinstance(event, Trade)]
    assert [(trade.price * 10_000, trade.size) for trade in trades] == [(int(row[1]), int(row[2])) for row in rows]
