"""One bar as counted so far, of whatever rule (``bars``)."""

from decimal import Decimal

import msgspec

from pipelines.exact import EXACT
from topics.market import Bar, Trade
from topics.record import InstrumentId


class Tally(msgspec.Struct):
    """``ts_close`` of a time bar is its edge; of another one the time of its last trade."""

    ts_open: int
    ts_close: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    notional: Decimal
    trades: int
    gaps: int = 0
    revision: int = 0
    late: int = 0

    @classmethod
    def of(cls, trade: Trade, ts_open: int, ts_close: int, gaps: int) -> "Tally":
        price, value = trade.price, EXACT.multiply(trade.price, trade.size)
        return cls(ts_open, ts_close, price, price, price, price, trade.size, value, 1, gaps)

    def count(self, trade: Trade) -> None:
        self.high = max(self.high, trade.price)
        self.low = min(self.low, trade.price)
        self.close = trade.price
        self.volume = EXACT.add(self.volume, trade.size)
        self.notional = EXACT.add(self.notional, EXACT.multiply(trade.price, trade.size))
        self.trades += 1

    def told(self, instrument: InstrumentId, spec: str, ts_init: int) -> Bar:
        return Bar(
            instrument=instrument,
            spec=spec,
            open=self.open,
            high=self.high,
            low=self.low,
            close=self.close,
            volume=self.volume,
            notional=self.notional,
            trades=self.trades,
            gaps=self.gaps,
            revision=self.revision,
            late=self.late,
            ts_open=self.ts_open,
            ts_close=self.ts_close,
            ts_init=ts_init,
        )
