"""A moving-average cross on bars: long while the fast average is above the slow one, else flat or short; a taker.

[strategies.cross]
class = "strategies.moving_average_cross:MovingAverageCross"
account = "sim.main"
instruments = ["sim:BTC-USDT"]
bars = ["time-1s"]

[strategies.cross.params]
bar_spec = "time-1s"        # the bars it counts
fast = 1                    # bars
slow = 3                    # bars
order_qty = "0.01"          # base units in one order
max_qty = "0.03"            # the position it goes to: long, and short where allowed
allow_short = true          # on spot: sells base that the account holds
slippage_bps = "0.1"        # basis points beyond the touch that it pays at most
order_ms = 300              # at most one new order in this time
retry_ms = 500              # wait after a denied or rejected order
max_age_ms = 5000           # with a quote older than this it is blind: nothing new
"""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from strategies.api import BPS, Decision, Strategy
from strategies.desk import Desk
from strategies.pacing import Pace
from strategies.touch import Touch
from topics.market import Bar, Quote, Tick
from topics.orders import OrderStatus, OrderUpdated
from topics.portfolio import PositionChanged
from topics.record import InstrumentId, Side, TimeInForce
from topics.strategy import Signal

ZERO = Decimal(0)


class MovingAverageCross(Strategy):
    """One IOC order at a time. Bars say where to be; the last touch signalled says at which price to get there."""

    class Params(msgspec.Struct, frozen=True):
        fast: int
        slow: int
        order_qty: Decimal
        max_qty: Decimal
        bar_spec: str = "time-1s"
        allow_short: bool = False
        slippage_bps: Decimal = ZERO
        order_ms: int = 300
        retry_ms: int = 500
        max_age_ms: int = 5000

        def __post_init__(self) -> None:
            if not 1 <= self.fast < self.slow:
                raise ValueError("fast must be at least 1 and below slow")
            if not 0 < self.order_qty <= self.max_qty:
                raise ValueError("order_qty must be above 0 and at most max_qty")

    class View(Touch):
        pass

    class State(msgspec.Struct):
        """``closes``: the last ``slow`` bars' closes, oldest first. ``target``: the position wanted."""

        closes: dict[InstrumentId, list[Decimal]] = {}
        target: dict[InstrumentId, Decimal] = {}
        pace: Pace = msgspec.field(default_factory=Pace)

    params: Params

    def on_quote(self, view: View, quote: Quote) -> Iterator[Signal]:
        if view.is_news(quote):
            yield Signal("mid", float(quote.mid))

    def on_bar(self, state: State, desk: Desk, bar: Bar) -> Iterator[Decision]:
        if bar.spec != self.params.bar_spec:
            return
        closes = [*state.closes.get(bar.instrument, ()), bar.close][-self.params.slow :]
        state.closes[bar.instrument] = closes
        target = self._target(closes)
        if target is not None and target != state.target.get(bar.instrument):
            state.target[bar.instrument] = target
            yield self.record("crossed", instrument=bar.instrument, target=target, close=bar.close)
        yield from self._act(state, desk, bar.instrument)

    def on_order(self, state: State, desk: Desk, order: OrderUpdated) -> Iterator[Decision]:
        if order.status in (OrderStatus.DENIED, OrderStatus.REJECTED):
            state.pace.hold(order.instrument, desk.now, self.params.retry_ms)
        yield from self._act(state, desk, order.instrument)

    def on_position(self, state: State, desk: Desk, position: PositionChanged) -> Iterator[Decision]:
        yield from self._act(state, desk, position.instrument)

    def on_tick(self, state: State, desk: Desk, tick: Tick) -> Iterator[Decision]:
        for instrument in sorted(state.target):
            yield from self._act(state, desk, instrument)

    def _target(self, closes: list[Decimal]) -> Decimal | None:
        """None (stay) while there are too few bars, or the averages are equal; compared without dividing."""
        fast, slow = self.params.fast, self.params.slow
        if len(closes) < slow:
            return None
        difference = sum(closes[-fast:], ZERO) * slow - sum(closes, ZERO) * fast
        if difference == 0:
            return None
        if difference > 0:
            return self.params.max_qty
        return -self.params.max_qty if self.params.allow_short else ZERO

    def _act(self, state: State, desk: Desk, instrument: InstrumentId) -> Iterator[Decision]:
        """The next order towards the target, once the one before has ended."""
        target, quote = state.target.get(instrument), desk.quote(instrument, self.params.max_age_ms)
        if target is None or quote is None or instrument not in desk.instruments or desk.working(instrument):
            return
        missing = target - desk.quantity(instrument)
        side = Side.BUY if missing > 0 else Side.SELL
        price = self._price(desk, quote, side)
        qty = desk.round_qty(instrument, min(abs(missing), self.params.order_qty))
        sensible = desk.valid_qty(instrument, qty, price) and desk.may_trade(instrument, side)
        if sensible and state.pace.ready(instrument, desk.now):
            state.pace.hold(instrument, desk.now, self.params.order_ms)
            yield desk.limit(instrument, side, price, qty, time_in_force=TimeInForce.IOC, reason="cross")

    def _price(self, desk: Desk, quote: Quote, side: Side) -> Decimal:
        """The other side's touch and the slippage allowed."""
        touch = quote.best_ask if side is Side.BUY else quote.best_bid
        worst = touch + touch * side.sign * self.params.slippage_bps * BPS
        return desk.round_price(quote.instrument, worst, side)
