"""The demo on a recording of any venue: the recording is played as the venue itself would send it, ingest reads it with the
venue's adapter, and the strategies trade on paper, against the venue's public book.
"""

from collections.abc import Mapping, Sequence
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

from infra.errors import Problem
from pipelines.imports.naming import Listed, Naming
from pipelines.market_process import MarketProcess
from pipelines.paper.listing import step_of
from pipelines.player.defining import first_book, steps_in
from pipelines.player.recording import Recording
from pipelines.toml import to_toml
from topics.record import InstrumentId

PART = Decimal("0.25")
"""Of what is shown at the best price: an order's quantity."""
OPENING = "1000000000000"
MOST = "1000000000000"


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
    """The three strategies on the instrument that the recording says most of. Problem where none has a book and a definition."""
    for instrument in recording.busiest():
        book = None if instrument in undefined else first_book(recording, instrument)
        if book is not None and book.best_ask is not None:
            steps = steps_in(book, instrument)
            lot = step_of(steps.tick, steps.lot)
            qty = max(lot, (book.best_ask[1] * PART / lot).quantize(Decimal(1), ROUND_DOWN) * lot)
            listed = Naming(recording.venue).listed(recording.symbols[instrument])
            return to_toml(_table(name, home, address, listed, qty))
    raise Problem(f"{recording.paths[0]}: no instrument in it has a book and a definition to trade by")


def _table(
    name: str, home: Path, address: str, listed: Listed, qty: Decimal
) -> dict[str, Mapping[str, Any] | list[Any]]:
    venue, instrument, settle = listed.venue, listed.instrument, listed.settle or listed.quote
    account = f"{venue}.paper"
    market = {"account": account, "instruments": [instrument]}
    sized = {"order_qty": f"{qty:f}"}
    return {
        "limits": [
            {
                "scope": "firm",
                "price_collar": "0.05",
                "max_order_value": MOST,
                "max_position_value": MOST,
                "max_orders_per_second": "50",
                "max_data_age": "5",
            }
        ],
        "run": {"name": name, "home": str(home)},
        "venues": {venue: {"adapter": venue, "rest_url": f"http://{address}", "ws_url": f"ws://{address}"}},
        "accounts": {account: {"kind": "paper", "reporting_currency": settle}},
        "paper": {"balances": {listed.base: OPENING, settle: OPENING}},
        "strategies": {
            "buyer": {
                "class": "strategies.spread_buyer:SpreadBuyer",
                **market,
                "params": {
                    **sized,
                    "max_spread_bps": "20",
                    "min_gain_bps": "0.1",
                    "max_hold_s": 1,
                    "repeg_bps": "0.02",
                },
            },
            "quoter": {
                "class": "strategies.two_sided_quoter:TwoSidedQuoter",
                **market,
                "params": {**sized, "max_qty": f"{5 * qty:f}", "half_spread_bps": "0.2"},
            },
            "cross": {
                "class": "strategies.moving_average_cross:MovingAverageCross",
                **market,
                "bars": ["time-1s"],
                "params": {
                    **sized,
                    "fast": 1,
                    "slow": 3,
                    "max_qty": f"{3 * qty:f}",
                    "allow_short": True,
                    "slippage_bps": "0.1",
                },
            },
        },
    }
