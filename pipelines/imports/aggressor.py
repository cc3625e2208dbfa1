"""Who took, where a file does not say it: by the tick rule, a trade above the last other price was bought."""

from decimal import Decimal

from topics.record import Side


class TickRule:
    def __init__(self) -> None:
        self._last: Decimal | None = None
        self._side = Side.BUY

    def side(self, price: Decimal) -> Side:
        if self._last is not None and price != self._last:
            self._side = Side.BUY if price > self._last else Side.SELL
        self._last = price
        return self._side
