"""Recordings of any venue as the input of backtests and replays; one strategy, unchanged, on several venues."""

import gzip
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from infra.config import parse
from infra.errors import Problem
from pipelines import cli
from pipelines.backtest import Settings
from pipelines.backtest_arrivals import Arrival, InMemory
from pipelines.backtest_plan import plan
from pipelines.backtest_run import run_backtest
from pipelines.backtest_source import Captures, Recordings, Source, open_source
from pipelines.tape_check import check
from pipelines.topic_source import captured
from strategies.api import Decision, Strategy
from strategies.desk import Desk
from tests.pipelines.backtests import events
from tests.recordings import data_folder
from topics import wire
from topics.book import Book
from topics.catalog import FILLS, MARKET_EVENTS, ORDERS_EVENTS, ORDERS_INTENTS, STRATEGY_RECORDS
from topics.market import BookDelta, BookSnapshot, Instrument, Quote, Trade
from topics.orders import OrderAccepted, OrderDenied, OrderFilled, OrderRejected, SubmitOrder
from topics.record import Level, Record, Side
from topics.strategy import Signal, StrategyHalted

D = Decimal
MS, S = 1_000_000, 1_000_000_000
T0 = 1_700_000_000 * S


class Nibbler(Strategy):
    """Buys once at a price and of a size that no venue takes as they are; knows no venue, symbol, tick or lot."""

    class Params(msgspec.Struct, frozen=True):
        value: Decimal = D(100)

    class View(msgspec.Struct):
        told: bool = False

    class State(msgspec.Struct):
        bought: list[str] = []

    def on_quote(self, view: Any, quote: Quote) -> Iterator[Signal]:
        if not view.told:
            view.told = True
            yield Signal("ask", float(quote.best_ask), data={"ask": str(quote.best_ask)})

    def on_signal(self, state: Any, desk: Desk, signal: Signal) -> Iterator[Decision]:
        ask, name = D(signal.data["ask"]), signal.instrument
        price = desk.round_price(name, ask * D("1.00037"), Side.SELL)
        qty = desk.round_qty(name, self.params.value / ask)
        if name not in state.bought and desk.valid_qty(name, qty, price):
            state.bought.append(name)
            yield desk.limit(name, Side.BUY, price, qty)


def defined(instrument: str, tick: str, lot: str) -> Instrument:
    venue, _, pair = instrument.partition(":")
    base, quote = pair.split("-")[:2]
    return Instrument(
        instrument=instrument,
        venue=venue,
        venue_symbol=f"{base}{quote}",
        base=base,
        quote=quote,
        tick_size=D(tick),
        lot_size=D(lot),
        ts_init=T0,
    )


def book(instrument: str, at: int, bid: Level, ask: Level, sequence: int = 0) -> BookSnapshot:
    ts = T0 + at * MS
    return BookSnapshot(instrument=instrument, bids=(bid,), asks=(ask,), sequence=sequence, ts_event=ts, ts_init=ts)


def delta(instrument: str, at: int, bids: Sequence[Level] = (), asks: Sequence[Level] = ()) -> BookDelta:
    ts = T0 + at * MS
    return BookDelta(instrument=instrument, bids=tuple(bids), asks=tuple(asks), ts_event=ts, ts_init=ts)


def quote(instrument: str, at: int, bid: Level, ask: Level) -> Quote:
    ts = T0 + at * MS
    sizes = {"best_bid": D(bid[0]), "bid_size": D(bid[1]), "best_ask": D(ask[0]), "ask_size": D(ask[1])}
    return Quote(instrument=instrument, ts_event=ts, ts_init=ts, **sizes)


def source(found: Sequence[Any]) -> InMemory:
    definitions = [event for event in found if isinstance(event, Instrument)]
    arrivals = [
        Arrival(e.ts_init, MARKET_EVENTS, e.instrument.encode(), wire.encode([e]), b"recording||0|%d" % n, [e])
        for n, e in enumerate(found)
    ]
    return InMemory("made", definitions, arrivals)


def config_of(home: Path, venues: dict[str, str], strategies: dict[str, tuple[str, list[str]]]) -> Any:
    """``strategies``: its venue and instruments, of one class."""
    limits = {"price_collar": "0.05", "max_order_value": "100000", "max_position_value": "1000000"}
    return parse(
        {
            "run": {"name": "r", "home": str(home)},
            "venues": {name: {"adapter": adapter} for name, adapter in venues.items()},
            "accounts": {f"{name}.main": {"api_key_env": "N", "api_secret_env": "N"} for name in venues},
            "strategies": {
                name: {"class": f"{__name__}:Nibbler", "account": f"{venue}.main", "instruments": instruments}
                for name, (venue, instruments) in strategies.items()
            },
            "limits": [{"scope": "firm", "max_orders_per_second": "100", "max_data_age": "5", **limits}],
        }
    )


def ran(config: Any, found: Source) -> Path:
    run_backtest(config, found, Settings())
    run: Path = config.run_dir
    assert events(run, STRATEGY_RECORDS) == [] or not any(
        isinstance(e, StrategyHalted) for e in events(run, STRATEGY_RECORDS)
    )
    return run


BINANCE, KRAKEN, PERP = "binance:BTC-USDT", "kraken:ETH-USD", "bybit:BTC-USDT-PERP"
SPOT = "bybit:BTC-USDT"
MARKETS: list[Record] = [
    defined(BINANCE, "0.01", "0.00001"),
    defined(KRAKEN, "0.1", "0.25"),
    defined(PERP, "0.5", "0.001"),
    defined(SPOT, "0.25", "0.0001"),
    book(BINANCE, 0, ("60000.00", "2"), ("60000.01", "2"), sequence=9),
    book(KRAKEN, 0, ("2500.1", "4"), ("2500.3", "40")),
    book(PERP, 0, ("60010", "3"), ("60010.5", "3")),
    book(SPOT, 0, ("60001.25", "3"), ("60001.5", "3")),
    quote(BINANCE, 100, ("60000.00", "2"), ("60000.01", "2")),
    quote(KRAKEN, 100, ("2500.1", "4"), ("2500.3", "40")),
    quote(PERP, 100, ("60010", "3"), ("60010.5", "3")),
    quote(SPOT, 100, ("60001.25", "3"), ("60001.5", "3")),
    *(delta(KRAKEN, 1000 + n, bids=[("2500.1", str(n + 1))]) for n in range(3)),
]


def test_one_strategy_runs_unchanged_on_several_venues_with_other_ticks_and_lots(tmp_path: Path) -> None:
    venues = {"binance": "binance", "kraken": "kraken", "bybit": "bybit"}
    strategies = {"one": ("binance", [BINANCE]), "two": ("kraken", [KRAKEN]), "three": ("bybit", [PERP, SPOT])}
    config = config_of(tmp_path, venues, strategies)
    dear = msgspec.structs.replace(config.strategies["two"], params={"value": "1300"})
    run = ran(msgspec.structs.replace(config, strategies={**config.strategies, "two": dear}), source(MARKETS))
    commands = {c.instrument: c for c in events(run, ORDERS_INTENTS) if isinstance(c, SubmitOrder)}
    assert {name: (c.price, c.order_qty) for name, c in commands.items()} == {
        BINANCE: (D("60022.22"), D("0.00166")),
        KRAKEN: (D("2501.3"), D("0.50")),
        PERP: (D("60033.0"), D("0.001")),
        SPOT: (D("60023.75"), D("0.0016")),
    }
    assert not any(isinstance(e, OrderDenied | OrderRejected) for e in events(run, ORDERS_EVENTS))
    fills = {f.instrument: (f.account, f.last_qty, f.last_px) for f in events(run, FILLS)}
    assert fills == {
        BINANCE: ("binance.main", D("0.00166"), D("60000.01")),
        KRAKEN: ("kraken.main", D("0.5"), D("2500.3")),
        PERP: ("bybit.main", D("0.001"), D("60010.5")),
        SPOT: ("bybit.main", D("0.0016"), D("60001.5")),
    }, "each at its own venue; two that their venue spells alike are two"


def test_a_book_whose_changes_have_no_numbers_is_followed(tmp_path: Path) -> None:
    moved = [
        defined(KRAKEN, "0.1", "0.25"),
        book(KRAKEN, 0, ("2500.1", "4"), ("2500.3", "40")),
        delta(KRAKEN, 50, asks=[("2500.3", "0"), ("2500.5", "40")]),
        quote(KRAKEN, 100, ("2500.1", "4"), ("2500.5", "40")),
        *(delta(KRAKEN, 1000 + n, bids=[("2500.1", str(n + 1))]) for n in range(3)),
    ]
    config = config_of(tmp_path, {"kraken": "kraken"}, {"two": ("kraken", [KRAKEN])})
    bigger = msgspec.structs.replace(config.strategies["two"], params={"value": "1300"})
    run = ran(msgspec.structs.replace(config, strategies={"two": bigger}), source(moved))
    assert [f.last_px for f in events(run, FILLS)] == [D("2500.5")]


def test_a_tick_that_is_too_fine_for_a_backtest_is_refused_in_a_line(tmp_path: Path) -> None:
    fine = "kucoin:ANKR-BTC"
    config = config_of(tmp_path, {"kucoin": "kucoin"}, {"one": ("kucoin", [fine])})
    with pytest.raises(Problem, match=r"kucoin:ANKR-BTC cannot be backtested: tick 0.0000000001"):
        ran(config, source([defined(fine, "0.0000000001", "1"), book(fine, 0, ("0.01", "1"), ("0.02", "1"))]))


# --- recordings -------------------------------------------------------------------------------------------------------


def recording(name: str) -> Path:
    path = data_folder() / name
    if not path.exists():
        pytest.skip(f"no recording {name} here")
    return path


@pytest.mark.parametrize(
    ("name", "instrument", "tick"),
    [
        ("cryptofeed/COINBASE.jsonl.zst", "coinbase:ETH-USD", "0.01"),
        ("cryptofeed/OKX.jsonl.zst", "okx:BTC-USDT", "0.1"),
        ("cryptofeed/BYBIT.jsonl.zst", "bybit:BTC-USDT-PERP", "0.1"),
        ("hftbacktest/usdm/ethusdt_20240808.gz", "binance_usdm:ETH-USDT-PERP", "0.01"),
    ],
)
def test_a_recording_of_any_venue_is_what_its_books_say_and_a_strategy_trades_on_it(
    name: str, instrument: str, tick: str, tmp_path: Path
) -> None:
    path = recording(name)
    if path.suffix == ".gz":
        path = begun(path, tmp_path, 0, 8000)
    found = open_source([path], "sim")
    assert isinstance(found, Recordings)
    assert {i.instrument: i.tick_size for i in found.instruments}[instrument] == D(tick)
    arrivals = list(found.arrivals())
    times = [arrival.ts for arrival in arrivals]
    assert times == sorted(times), "in the order of receipt"
    assert found.span == (times[0], times[-1])
    own = [e for a in arrivals for e in a.events or () if getattr(e, "instrument", "") == instrument]
    book = Book()
    for event in own:
        if isinstance(event, BookSnapshot):
            book = Book.of(event)
        elif isinstance(event, BookDelta):
            book.apply(event)
    (checked,) = [one for one in check([path]).instruments if one.instrument == instrument]
    assert book.digest() == checked.book_digest
    assert sum(isinstance(event, Trade) for event in own) == checked.trades
    venue = instrument.partition(":")[0]
    config = config_of(tmp_path, {venue: venue}, {"one": (venue, [instrument])})
    traded = ran(config, InMemory("it", found.instruments, arrivals[: len(arrivals) // 2]))
    assert any(isinstance(e, OrderAccepted) for e in events(traded, ORDERS_EVENTS))
    assert any(isinstance(e, OrderFilled) for e in events(traded, ORDERS_EVENTS))


def begun(path: Path, folder: Path, first: int, lines: int = 3000) -> Path:
    """So many lines of a recording, the snapshot among them."""
    made = folder / path.parent.name / f"{first}-{path.name}"
    made.parent.mkdir(exist_ok=True)
    with gzip.open(path) as file:
        made.write_bytes(gzip.compress(b"".join(islice(file, first, first + lines)), 1))
    return made


def test_files_in_a_row_are_one_stream_and_files_of_one_time_run_beside_each_other(tmp_path: Path) -> None:
    eth, btc = (recording(f"hftbacktest/usdm/{name}usdt_20240808.gz") for name in ("eth", "btc"))
    files = [begun(path, tmp_path, first) for path in (eth, btc) for first in (3000, 0)]
    both = open_source(files, "sim")
    assert [i.instrument for i in both.instruments] == ["binance_usdm:BTC-USDT-PERP", "binance_usdm:ETH-USDT-PERP"]
    times = [arrival.ts for arrival in both.arrivals()]
    assert times == sorted(times)
    books: dict[str, Book] = {}
    for event in (event for arrival in both.arrivals() for event in arrival.events or ()):
        if isinstance(event, BookSnapshot):
            books[event.instrument] = Book.of(event)
        elif isinstance(event, BookDelta):
            books[event.instrument].apply(event)
    for late, early in (files[:2], files[2:]):
        (checked,) = check([early, late]).instruments
        assert books[checked.instrument].digest() == checked.book_digest


def test_a_class_alone_runs_on_a_recording_and_hftbacktests_spot_stays_what_it_was(tmp_path: Path) -> None:
    made = plan(None, f"{__name__}:Nibbler", [recording("cryptofeed/COINBASE.jsonl.zst")], {}, "x", tmp_path)
    assert {name: one.adapter for name, one in made.config.venues.items()} == {"coinbase": "coinbase"}
    spot = recording("hftbacktest/spot/ethusdt_20240808.gz")
    assert isinstance(open_source([spot], "sim"), Captures)


def test_recordings_without_a_time_in_common_are_refused() -> None:
    paths = [recording(f"cryptofeed/{name}.jsonl.zst") for name in ("COINBASE", "OKX")]
    with pytest.raises(Problem, match="no time in common"):
        open_source(paths, "sim")


def test_a_recording_played_into_the_tape_is_what_ingest_would_have_written() -> None:
    path = recording("cryptofeed/OKX.jsonl.zst")
    played = list(captured([path], "", {"okx": "ok"}).records())
    assert {record.key.partition(b":")[0] for record in played if record.key} == {b"ok"}
    assert [record.ts for record in played] == sorted(record.ts for record in played)
    frames = sum(one.frames for one in check([path]).instruments)
    assert len(played) >= frames
    with pytest.raises(Problem, match="no venue with that adapter is configured"):
        captured([path], "", {"kraken": "k"})


def test_a_broken_recording_is_refused_in_a_line(tmp_path: Path) -> None:
    whole = recording("cryptofeed/OKX.jsonl.zst").read_bytes()
    broken = tmp_path / "OKX.jsonl.zst"
    broken.write_bytes(whole[: len(whole) // 2])
    result = CliRunner().invoke(cli.app, ["backtest", f"{__name__}:Nibbler", "--from", str(broken)])
    assert isinstance(result.exception, Problem)
    assert str(result.exception).startswith(str(broken))
