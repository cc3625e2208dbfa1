"""A strategy that says which quote each of its orders came from: what is lost, or decided twice, can be seen."""

from collections.abc import Iterator
from decimal import ROUND_DOWN, Decimal

import msgspec

from strategies import Desk, Quote, Side, Signal, Strategy
from topics.orders import SubmitOrder


class View(msgspec.Struct):
    quotes: int = 0


class Pinger(Strategy):
    View = View

    def on_quote(self, view: View, quote: Quote) -> Iterator[Signal]:
        view.quotes += 1
        yield Signal(name="quote", value=float(view.quotes))

    def on_signal(self, state: object, desk: Desk, signal: Signal) -> Iterator[SubmitOrder]:
        reason = f"quote {signal.value:.0f}"
        if signal.best_bid is None or any(order.reason == reason for order in desk.orders.values()):
            return
        price = (signal.best_bid * Decimal("0.98")).quantize(Decimal("0.01"), ROUND_DOWN)
        yield desk.limit(signal.instrument, Side.BUY, price, Decimal("0.001"), reason=reason)
