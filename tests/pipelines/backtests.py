"""Backtests for tests: the three examples as the demo has them, and what came out of a run's archive."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infra.config import Config, parse
from pipelines import archive_reader
from pipelines.backtest import Settings
from pipelines.backtest_run import run_backtest
from pipelines.backtest_source import open_source
from topics import wire
from topics.catalog import TOPICS, Topic

BUYER = {"max_spread_bps": "1", "min_gain_bps": "0.1", "max_hold_s": 1, "repeg_bps": "0.02"}
CROSS = {"fast": 1, "slow": 3, "allow_short": True, "slippage_bps": "0.1"}


def three(
    name: str, home: Path, instruments: dict[str, str], qty: dict[str, str], half_spread_bps: str = "0.05"
) -> Config:
    """Each strategy on its instrument, with its order quantity."""

    def section(strategy: str, path: str, params: dict[str, Any], bars: tuple[str, ...] = ()) -> dict[str, Any]:
        return {
            "class": path,
            "account": "sim.main",
            "instruments": [instruments[strategy]],
            "bars": bars,
            "params": {"order_qty": qty[strategy], **params},
        }

    def times(strategy: str, n: int) -> str:
        return str(float(qty[strategy]) * n)

    return parse(
        {
            "run": {"name": name, "home": str(home)},
            "venues": {"sim": {"adapter": "binance"}},
            "accounts": {"sim.main": {"api_key_env": "NONE", "api_secret_env": "NONE"}},
            "limits": [
                {
                    "scope": "firm",
                    "price_collar": "0.02",
                    "max_order_value": "50000",
                    "max_position_value": "200000",
                    "max_orders_per_second": "50",
                    "max_data_age": "5",
                }
            ],
            "strategies": {
                "buyer": section("buyer", "strategies.spread_buyer:SpreadBuyer", BUYER),
                "quoter": section(
                    "quoter",
                    "strategies.two_sided_quoter:TwoSidedQuoter",
                    {"max_qty": times("quoter", 5), "half_spread_bps": half_spread_bps},
                ),
                "cross": section(
                    "cross",
                    "strategies.moving_average_cross:MovingAverageCross",
                    {"max_qty": times("cross", 3), **CROSS},
                    ("time-1s",),
                ),
            },
        }
    )


def on_flow(name: str, home: Path) -> Config:
    instruments = {"buyer": "sim:BTC-USDT", "quoter": "sim:ETH-USDT", "cross": "sim:SOL-USDT"}
    return three(name, home, instruments, {"buyer": "0.01", "quoter": "0.2", "cross": "5"})


def backtest(config: Config, paths: Sequence[Path], settings: Settings = Settings()) -> Path:  # noqa: B008
    """Run it; the run's folder."""
    run_backtest(config, open_source(paths, "sim"), settings)
    return config.run_dir


def events(run: Path, topic: Topic) -> list[Any]:
    rows = archive_reader.all_rows(archive_reader.archive_of(run), topic)
    return [event for row in rows for event in wire.decode(row.value or b"", topic.types)]


def digests(run: Path) -> dict[str, str]:
    """Of every topic: all bytes of all its records, with their places and headers."""
    found: dict[str, Any] = defaultdict(hashlib.sha256)
    for name, topic in TOPICS.items():
        for row in archive_reader.all_rows(run / "archive", topic):
            found[name].update(repr(row).encode())
    return {name: one.hexdigest() for name, one in found.items()}


def file_digests(run: Path) -> dict[str, str]:
    root = run / "archive"
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.glob("*/*/*.parquet"))
    }
