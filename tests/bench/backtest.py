"""Backtest: market events a second, against a bare loop that only calls the same strategy, and against nautilus_trader.

nautilus_trader is installed for this alone, in a virtual environment of its own; where that cannot be done, its row is left out.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from pipelines import backtest as module
from pipelines.backtest import Settings
from pipelines.backtest_arrivals import normalized
from pipelines.backtest_source import open_source
from strategies.desk import Desk
from strategies.folded import Folded
from strategies.loading import load_strategy
from tests.bench.measure import Row, row
from tests.bench.scene import Scene
from tests.pipelines.backtests import three
from tests.pipelines.flow_capture import record_flow
from tests.recordings import data_folder
from topics.market import Instrument, Quote, Trade

SECONDS, REPETITIONS = 300, 3
STRATEGY = "quoter"
OTHERS = ("buyer", "cross")


def measure(scene: Scene) -> Iterator[Row]:
    """Over generated flow, with few events and many orders, and over a recorded capture, with three times the events."""
    yield from _measured(scene, "backtest", record_flow(scene.home, seed=9, seconds=SECONDS, symbols=("BTCUSDT",))[0])
    capture = data_folder() / "hftbacktest" / "spot" / "btcusdt_20240808.gz"
    if capture.exists():
        yield from _measured(scene, "backtest of a capture", capture)


def _measured(scene: Scene, name: str, path: Path) -> Iterator[Row]:
    instruments = dict.fromkeys((STRATEGY, *OTHERS), "sim:BTC-USDT")
    config = three("bench", scene.home, instruments, dict.fromkeys(instruments, "0.01"), half_spread_bps="0.2")
    config = msgspec.structs.replace(config, strategies={STRATEGY: config.strategies[STRATEGY]})
    source = normalized(open_source([path], "sim"), {"sim": "binance"})
    events = [e for arrival in source.arrivals() for e in arrival.events]
    ours, bare = _in_turn(lambda: module.run_backtest(config, source, Settings()), lambda: _bare(config, events))
    note = "reference: the strategy's callbacks alone, no book, no orders, no gateway"
    yield row(
        f"{name}, one strategy", "events/s a core", len(events) / ours, len(events) / bare, at_least=0.5, note=note
    )
    peer = _nautilus(scene.home, events)
    if peer is not None:
        yield row(f"{name}, one strategy, and nautilus_trader", "events/s a core", len(events) / ours, peer, at_least=5)


def _in_turn(*tries: Callable[[], Any]) -> list[float]:
    found: list[list[float]] = [[] for _ in tries]
    for _ in range(REPETITIONS):
        for index, one in enumerate(tries):
            began = time.process_time()
            one()
            found[index].append(time.process_time() - began)
    return [statistics.median(some) for some in found]


def _bare(config: Any, events: list[Any]) -> int:
    section = config.strategies[STRATEGY]
    strategy = load_strategy(section.class_path, section.params)
    view, state, folded = strategy.View(), strategy.State(), Folded()
    desk = Desk(STRATEGY, section.account, folded, strategy.params)
    quote, commands = None, 0
    for event in events:
        signals: Any = ()
        if type(event) is Quote:
            quote = event
            signals = strategy.on_quote(view, event) or ()
        elif type(event) is Trade:
            signals = strategy.on_trade(view, event) or ()
        elif type(event) is Instrument:
            folded.instruments[event.instrument] = event
        for signal in signals:
            commands += _decide(strategy, state, desk, folded, signal, event, quote)
    return commands


def _decide(strategy: Any, state: Any, desk: Any, folded: Any, signal: Any, event: Any, quote: Any) -> int:
    whole = msgspec.structs.replace(
        signal,
        strategy=STRATEGY,
        instrument=event.instrument,
        best_bid=quote.best_bid,
        bid_size=quote.bid_size,
        best_ask=quote.best_ask,
        ask_size=quote.ask_size,
        ts_event=event.ts_event,
        ts_init=event.ts_init,
    )
    folded.advance(whole.ts_init)
    folded.on_signal(whole)
    return len(list(strategy.on_signal(state, desk, whole) or ()))


def _nautilus(folder: Path, events: list[Any]) -> float | None:
    """Quotes and trades of the same events through its BacktestEngine, with a strategy that quotes both sides."""
    console = Console(stderr=True)
    quotes = [
        (str(e.best_bid), str(e.bid_size), str(e.best_ask), str(e.ask_size), e.ts_event, e.ts_init)
        for e in events
        if type(e) is Quote
    ]
    data = folder / "quotes.json"
    data.write_bytes(msgspec.json.encode(quotes))
    python = folder / "peer" / "bin" / "python"
    steps = (
        [sys.executable, "-m", "venv", str(folder / "peer")],
        [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--only-binary",
            ":all:",
            "nautilus_trader",
        ],
        [str(python), str(Path(__file__).with_name("peer_nautilus.py")), str(data)],
    )
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            console.print(f"no figure of nautilus_trader: {done.stderr.strip()[-300:]}")
            return None
    return float(done.stdout.split()[-1])
