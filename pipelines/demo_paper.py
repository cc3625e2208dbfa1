"""The demo on a recording of any venue: the recording is played as the venue itself would send it, ingest reads it with the
venue's adapter, and the strategies trade on paper, against the venue's public book.
"""

from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

from pipelines.demo_markets import BPS, Market, chosen
from pipelines.market_process import MarketProcess
from pipelines.player.recording import Recording
from pipelines.settled import currencies
from pipelines.toml import to_toml
from topics.book import plain
from topics.record import InstrumentId

OPENING = "1000000000000"
MOST = "1000000000000"
COLLAR = Decimal("0.05")
SMALL_BPS = Decimal(20)
MANY = 20
BLIND_MS = 4000
"""Less than ``max_data_age``, so that nothing is decided on what would be denied for its age."""


class Played(MarketProcess):
    """``tapedeck play`` as a process, held until ``begin``. ``ledger`` is that of the paper exchange."""

    def __init__(
        self, run_dir: Path, captures: Sequence[Path], venue: str, speed: float, env: Mapping[str, str]
    ) -> None:
        self.ledger = run_dir / "exchange" / "ledger.jsonl"
        options = ["--venue", venue, "--speed", str(speed), "--wait-for-start"]
        named = ["pipelines.cli", "play", *map(str, captures), *options]
        super().__init__(named, run_dir / "player.log", env, "the player")


def pace(recording: Recording, seconds: float, wanted: float | None) -> float:
    """As asked for; else as fast as it takes to play it in the time there is, between 1 and 5 times its own."""
    return wanted or max(1.0, min(5.0, (recording.last_ns - recording.first_ns) / 1e9 / seconds))


def toml(name: str, home: Path, address: str, recording: Recording, undefined: Sequence[InstrumentId]) -> str:
    """The three strategies, each on a market of its own as far as the recording has so many that can be traded together. Problem
    where there is none.
    """
    markets = chosen(recording, undefined, 3)
    cross, quoter, buyer = (markets[min(n, len(markets) - 1)] for n in range(3))
    account = f"{recording.venue}.paper"
    venue = {"adapter": recording.venue, "rest_url": f"http://{address}", "ws_url": f"ws://{address}"}
    return to_toml(
        {
            "limits": [{"scope": "firm", **limits(markets)}],
            "run": {"name": name, "home": str(home)},
            "venues": {recording.venue: venue},
            "accounts": {account: {"kind": "paper", "reporting_currency": cross.definition.settled_in}},
            "paper": {
                "balances": {currency: OPENING for market in markets for currency in currencies(market.definition)}
            },
            "strategies": {
                "buyer": _strategy("spread_buyer:SpreadBuyer", account, buyer, _buying(buyer, len(markets) < 2)),
                "quoter": _strategy(
                    "two_sided_quoter:TwoSidedQuoter", account, quoter, _quoting(quoter, len(markets) < 3)
                ),
                "cross": {
                    **_strategy("moving_average_cross:MovingAverageCross", account, cross, _crossing(cross)),
                    "bars": ["time-1s"],
                },
            },
        }
    )


def limits(markets: Sequence[Market]) -> dict[str, str]:
    """The collar holds twice the widest spread."""
    widest = max(market.spread_bps for market in markets) / BPS
    return {
        "price_collar": f"{max(COLLAR, (2 * widest).quantize(COLLAR, ROUND_CEILING)):f}",
        "max_order_value": MOST,
        "max_position_value": MOST,
        "max_orders_per_second": "50",
        "max_data_age": "5",
    }


def _strategy(name: str, account: str, market: Market, params: Mapping[str, Any]) -> dict[str, Any]:
    sized = {"order_qty": _text(market.order_qty), "max_age_ms": BLIND_MS, **params}
    return {"class": f"strategies.{name}", "account": account, "instruments": [market.instrument], "params": sized}


def _buying(market: Market, shared: bool) -> dict[str, Any]:
    """Whatever the spread was, half as much again is small. Where there are few trades nobody would meet what rests, and on a market
    of all three what rests at the best prices would be met by the others.
    """
    small = max(SMALL_BPS, (market.spread_bps * Decimal("1.5")).quantize(Decimal(1), ROUND_CEILING))
    paced = {"min_gain_bps": "0.1", "max_hold_s": 1, "repeg_bps": "0.02"}
    return {"max_spread_bps": f"{small:f}", **paced, "take": shared or market.trades < MANY}


def _quoting(market: Market, shared: bool) -> dict[str, Any]:
    """On a market of others too it stays behind the best prices: orders at them would meet its own."""
    half = (market.spread_bps + 1).quantize(Decimal("0.1"), ROUND_CEILING) if shared else Decimal("0.2")
    return {"max_qty": _text(5 * market.order_qty), "half_spread_bps": f"{half:f}"}


def _crossing(market: Market) -> dict[str, Any]:
    """Where there are few trades there are few bars."""
    slow = 3 if market.trades >= MANY else 2
    most = _text(3 * market.order_qty)
    return {"fast": 1, "slow": slow, "max_qty": most, "allow_short": True, "slippage_bps": "0.1"}


def _text(qty: Decimal) -> str:
    return plain(f"{qty:f}")
