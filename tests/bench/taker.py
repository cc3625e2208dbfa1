"""The least strategy: every quote is a signal, every signal an order."""

from collections.abc import Iterator
from decimal import Decimal

from strategies import Desk, Quote, Side, Signal, Strategy
from topics.orders import SubmitOrder


class Taker(Strategy):
    def on_quote(self, view: object, quote: Quote) -> Iterator[Signal]:
        yield Signal(name="quote", value=1.0)

    def on_signal(self, state: object, desk: Desk, signal: Signal) -> Iterator[SubmitOrder]:
        if signal.best_bid is not None:
            yield desk.limit(signal.instrument, Side.BUY, signal.best_bid, Decimal("0.001"))
