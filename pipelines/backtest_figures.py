"""What a backtest came to, in one row, from the records as they are written: no archive is needed."""

import math
from decimal import Decimal
from typing import Any

import msgspec

from pipelines.compose import Written
from pipelines.exact import EXACT, ZERO
from topics.catalog import FILLS, PORTFOLIO_STATE
from topics.record import Side

SECOND = 1_000_000_000
DAY_S = 86_400


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Money in the reporting currency, over all accounts; ``turnover``: the
    size of what was executed, in the currencies that it is settled in.

    ``sharpe``: mean of the changes of the P&L from second to second over their standard deviation, times the root of
    a day's seconds; None where nothing changed. ``duration_s`` is the input's time.
    """

    fills: int
    buys: int
    sells: int
    maker: int
    pnl: Decimal
    fees: Decimal
    max_drawdown: Decimal
    sharpe: float | None
    turnover: Decimal
    duration_s: float


class Collector:
    """A sink. Reads fills and the accounts' lines of ``portfolio.state``, nothing else."""

    def __init__(self) -> None:
        self._fills = self._buys = self._maker = 0
        self._turnover = ZERO
        self._last: dict[str, Any] = {}
        self._drawdown = ZERO
        self._curve: list[tuple[int, Decimal]] = []

    def __call__(self, written: Written) -> None:
        if written.topic is FILLS:
            for fill in written.events:
                self._on_fill(fill)
        elif written.topic is PORTFOLIO_STATE:
            for line in written.events:
                if line.strategy == line.instrument == "":
                    self._on_account(line)

    def _on_fill(self, fill: Any) -> None:
        self._fills += 1
        self._buys += fill.side is Side.BUY
        self._maker += fill.liquidity == "maker"
        self._turnover = EXACT.add(self._turnover, abs(fill.value))

    def _on_account(self, line: Any) -> None:
        self._last[line.account] = line
        self._drawdown = max(self._drawdown, line.drawdown)
        self._curve.append((line.ts_init, self._sum("total_pnl")))

    def _sum(self, name: str) -> Decimal:
        return sum((getattr(line, name) for line in self._last.values()), ZERO)

    def figures(self, first: int, last: int) -> Figures:
        """``first`` and ``last``: the input's span."""
        return Figures(
            fills=self._fills,
            buys=self._buys,
            sells=self._fills - self._buys,
            maker=self._maker,
            pnl=self._sum("total_pnl"),
            fees=self._sum("fees"),
            max_drawdown=self._drawdown,
            sharpe=sharpe(self._curve, first, last),
            turnover=self._turnover,
            duration_s=(last - first) / SECOND,
        )


def sharpe(curve: list[tuple[int, Decimal]], first: int, last: int) -> float | None:
    """Of a P&L that is 0 before the first (time, total), and stays as it was between two."""
    seconds = (last - first) // SECOND
    level = {max(0, min((ts - first) // SECOND, seconds)): float(total) for ts, total in curve}
    changes, before = [0.0] * (seconds + 1), 0.0
    for second in sorted(level):
        changes[second], before = level[second] - before, level[second]
    mean = sum(changes) / len(changes)
    spread = math.sqrt(sum((c - mean) ** 2 for c in changes) / len(changes))
    return None if spread == 0 else mean / spread * math.sqrt(DAY_S)
