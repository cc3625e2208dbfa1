"""The small-spread buyer: buys at the best bid while the spread is small; sells when it has gained, or joins the ask.

    [strategies.buyer]
    class = "strategies.spread_buyer:SpreadBuyer"
    account = "sim.main"
    instruments = ["sim:BTC-USDT"]

    [strategies.buyer.params]
    order_qty = "0.01"          # base units to hold at most
    max_spread_bps = "1"        # buy only while the spread is at most this
    min_gain_bps = "0.1"        # sell at the bid once it is this far above the average price paid
    max_hold_s = 1              # join the ask when there was no such gain for so long
    repeg_bps = "0.02"          # leave a resting order until the touch is this far away from it
    requote_ms = 300            # at most one new order in this time
    retry_ms = 1000             # wait after a denied or rejected order
    max_age_ms = 5000           # with a quote older than this it is blind: nothing new, what rests is withdrawn
    post_only = true            # resting orders never take
    take = false                # true: buys at the ask and sells at the bid at once, and never rests

Distances are basis points of the price, so that the same numbers do for a coarse tick and a fine one.
"""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from strategies.api import BPS, Decision, Strategy
from strategies.desk import Desk
from strategies.pacing import Pace
from strategies.touch import Touch
from topics.market import Quote, Tick
from topics.orders import OrderStatus, OrderUpdated, SubmitOrder
from topics.portfolio import PositionChanged
from topics.record import InstrumentId, Side, TimeInForce
from topics.strategy import Signal

SECOND = 1_000_000_000
ZERO = Decimal(0)


class SpreadBuyer(Strategy):
    """At most one order at a time: it buys, or it sells. What is too little to be sold (dust) counts as nothing."""

    class Params(msgspec.Struct, frozen=True):
        order_qty: Decimal
        max_spread_bps: Decimal
        min_gain_bps: Decimal
        max_hold_s: Decimal
        repeg_bps: Decimal = ZERO
        requote_ms: int = 300
        retry_ms: int = 1000
        max_age_ms: int = 5000
        post_only: bool = True
        take: bool = False

        def __post_init__(self) -> None:
            if not self.order_qty > 0:
                raise ValueError("order_qty must be above 0")
            if self.max_spread_bps <= 0 or self.repeg_bps < 0 or self.max_hold_s < 0:
                raise ValueError("max_spread_bps must be above 0, repeg_bps and max_hold_s at least 0")

    class View(Touch):
        pass

    class State(msgspec.Struct):
        """``held_since``: when the first part of what is held was seen, inbox time."""

        held_since: dict[InstrumentId, int] = {}
        pace: Pace = msgspec.field(default_factory=Pace)

    params: Params

    def on_quote(self, view: View, quote: Quote) -> Iterator[Signal]:
        if view.is_news(quote):
            yield Signal("spread", float(quote.spread))

    def on_signal(self, state: State, desk: Desk, signal: Signal) -> Iterator[Decision]:
        yield from self._act(state, desk, signal.instrument)

    def on_order(self, state: State, desk: Desk, order: OrderUpdated) -> Iterator[Decision]:
        if order.status in (OrderStatus.DENIED, OrderStatus.REJECTED):
            state.pace.hold(order.instrument, desk.now, self.params.retry_ms)
        yield from self._act(state, desk, order.instrument)

    def on_position(self, state: State, desk: Desk, position: PositionChanged) -> Iterator[Decision]:
        yield from self._act(state, desk, position.instrument)

    def on_tick(self, state: State, desk: Desk, tick: Tick) -> Iterator[Decision]:
        for instrument in sorted(desk.instruments):
            yield from self._act(state, desk, instrument)

    def _act(self, state: State, desk: Desk, instrument: InstrumentId) -> Iterator[Decision]:
        """Towards the one order that is wanted now: cancel what is not it, submit it when nothing is in the way."""
        working = desk.working(instrument)
        wanted = self._wanted(state, desk, instrument)
        for order in working:
            if not order.pending_cancel and not self._fits(order, wanted):
                yield desk.cancel(order)
        if wanted is not None and not working and self._may_send(state, desk, wanted):
            state.pace.hold(instrument, desk.now, self.params.requote_ms)
            yield wanted

    def _wanted(self, state: State, desk: Desk, instrument: InstrumentId) -> SubmitOrder | None:
        """The exit when there is one to make; the entry when nothing is held, or while it is half filled."""
        quote = desk.quote(instrument, self.params.max_age_ms)
        if quote is None or instrument not in desk.instruments:
            return None
        held = desk.round_qty(instrument, max(desk.quantity(instrument), ZERO))
        if not desk.valid_qty(instrument, held, quote.best_bid):
            state.held_since.pop(instrument, None)
            return self._entry(desk, quote)
        since = state.held_since.setdefault(instrument, desk.now)
        wanted = self._exit(desk, quote, held, since)
        return self._entry(desk, quote) if wanted is None and desk.working(instrument, Side.BUY) else wanted

    def _entry(self, desk: Desk, quote: Quote) -> SubmitOrder | None:
        if quote.spread > quote.mid * self.params.max_spread_bps * BPS:
            return None
        qty, post_only = self.params.order_qty, self.params.post_only
        if self.params.take:
            ioc = TimeInForce.IOC
            return desk.limit(quote.instrument, Side.BUY, quote.best_ask, qty, time_in_force=ioc, reason="small spread")
        return desk.limit(quote.instrument, Side.BUY, quote.best_bid, qty, post_only=post_only, reason="small spread")

    def _exit(self, desk: Desk, quote: Quote, held: Decimal, since: int) -> SubmitOrder | None:
        name, position = quote.instrument, desk.position(quote.instrument)
        paid = None if position is None else position.avg_px
        if paid is not None and quote.best_bid - paid >= paid * self.params.min_gain_bps * BPS:
            return desk.limit(name, Side.SELL, quote.best_bid, held, time_in_force=TimeInForce.IOC, reason="gained")
        if desk.now - since >= int(self.params.max_hold_s * SECOND):
            if self.params.take:
                return desk.limit(
                    name, Side.SELL, quote.best_bid, held, time_in_force=TimeInForce.IOC, reason="held long"
                )
            post_only = self.params.post_only
            return desk.limit(name, Side.SELL, quote.best_ask, held, post_only=post_only, reason="held long")
        return None

    def _fits(self, order: OrderUpdated, wanted: SubmitOrder | None) -> bool:
        """Whether a working order may stay: it ends by itself, or rests near enough to where one is wanted."""
        if order.price is None or order.time_in_force is TimeInForce.IOC:
            return True
        if wanted is None or wanted.price is None or wanted.side is not order.side:
            return False
        off = abs(order.price - wanted.price)
        return wanted.time_in_force is TimeInForce.GTC and (
            off == 0 or off < wanted.price * self.params.repeg_bps * BPS
        )

    def _may_send(self, state: State, desk: Desk, wanted: SubmitOrder) -> bool:
        return (
            state.pace.ready(wanted.instrument, desk.now)
            and desk.may_trade(wanted.instrument, wanted.side)
            and desk.valid_qty(wanted.instrument, wanted.order_qty, wanted.price)
        )
