"""A two-sided quoter: rests on both sides of the microprice, leans against its inventory, never crosses the spread.

    [strategies.quoter]
    class = "strategies.two_sided_quoter:TwoSidedQuoter"
    account = "sim.main"
    instruments = ["sim:BTC-USDT"]

    [strategies.quoter.params]
    order_qty = "0.01"          # base units, each side
    max_qty = "0.05"            # the position, long or short, that fills may take it to
    half_spread_bps = "0.2"     # distance of each quote from the microprice; 0 quotes at the touch
    lean_bps = "0.1"            # both quotes move this far against each order_qty held
    requote_bps = "0.05"        # leave a quote where it is until the wanted price is this far off
    requote_ms = 500            # at most one new order a side in this time
    retry_ms = 1000             # wait after a denied or rejected order
    max_age_ms = 5000           # with a quote older than this it is blind: nothing new, what rests is withdrawn

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
from topics.orders import OrderStatus, OrderUpdated
from topics.portfolio import PositionChanged
from topics.record import InstrumentId, Side
from topics.strategy import Signal

ZERO = Decimal(0)
SIDES = tuple(Side)


class TwoSidedQuoter(Strategy):
    """One order a side: a quote no longer wanted is cancelled, and its successor waits until that is confirmed."""

    class Params(msgspec.Struct, frozen=True):
        order_qty: Decimal
        max_qty: Decimal
        half_spread_bps: Decimal = Decimal("0.2")
        lean_bps: Decimal = Decimal("0.1")
        requote_bps: Decimal = Decimal("0.05")
        requote_ms: int = 500
        retry_ms: int = 1000
        max_age_ms: int = 5000

        def __post_init__(self) -> None:
            if not 0 < self.order_qty <= self.max_qty:
                raise ValueError("order_qty must be above 0 and at most max_qty")
            if min(self.half_spread_bps, self.lean_bps, self.requote_bps) < 0:
                raise ValueError("half_spread_bps, lean_bps and requote_bps must be at least 0")

    class View(Touch):
        pass

    class State(msgspec.Struct):
        fair: dict[InstrumentId, float] = {}
        pace: Pace = msgspec.field(default_factory=Pace)

    params: Params

    def on_quote(self, view: View, quote: Quote) -> Iterator[Signal]:
        if view.is_news(quote):
            yield Signal("fair", quote.microprice)

    def on_signal(self, state: State, desk: Desk, signal: Signal) -> Iterator[Decision]:
        state.fair[signal.instrument] = signal.value
        yield from self._quote(state, desk, signal.instrument)

    def on_order(self, state: State, desk: Desk, order: OrderUpdated) -> Iterator[Decision]:
        if order.status in (OrderStatus.DENIED, OrderStatus.REJECTED):
            state.pace.hold(_key(order.instrument, order.side), desk.now, self.params.retry_ms)
        yield from self._quote(state, desk, order.instrument)

    def on_position(self, state: State, desk: Desk, position: PositionChanged) -> Iterator[Decision]:
        yield from self._quote(state, desk, position.instrument)

    def on_tick(self, state: State, desk: Desk, tick: Tick) -> Iterator[Decision]:
        for instrument in sorted(state.fair):
            yield from self._quote(state, desk, instrument)

    def _quote(self, state: State, desk: Desk, instrument: InstrumentId) -> Iterator[Decision]:
        fair = self._fair(state, desk, instrument)
        for side in SIDES:
            working = desk.working(instrument, side)
            qty = sum((o.leaves_qty for o in working), ZERO) if working else self.params.order_qty
            wanted = None if fair is None else self._wanted(desk, instrument, side, qty, *fair)
            if working:
                yield from (desk.cancel(o) for o in working if self._is_off(o, wanted))
            elif wanted is not None and state.pace.ready(_key(instrument, side), desk.now):
                state.pace.hold(_key(instrument, side), desk.now, self.params.requote_ms)
                yield desk.limit(instrument, side, wanted, self.params.order_qty, post_only=True, reason="quote")

    def _is_off(self, order: OrderUpdated, wanted: Decimal | None) -> bool:
        """Whether to cancel it; once."""
        if order.pending_cancel or order.price is None or order.price == wanted:
            return False
        return wanted is None or abs(order.price - wanted) >= wanted * self.params.requote_bps * BPS

    def _fair(self, state: State, desk: Desk, instrument: InstrumentId) -> tuple[Decimal, Quote] | None:
        """With the quote it is held against; None when blind."""
        quote = desk.quote(instrument, self.params.max_age_ms)
        if quote is None or instrument not in desk.instruments or instrument not in state.fair:
            return None
        return Decimal(repr(state.fair[instrument])), quote

    def _wanted(
        self, desk: Desk, instrument: InstrumentId, side: Side, qty: Decimal, fair: Decimal, quote: Quote
    ) -> Decimal | None:
        """The price for ``qty`` to rest at, never beyond the touch; None where nothing is to rest on this side."""
        params, held = self.params, desk.quantity(instrument)
        if held * side.sign + qty > params.max_qty or not desk.may_trade(instrument, side):
            return None
        away = params.half_spread_bps * side.sign + params.lean_bps * (held / params.order_qty)
        wanted = fair - fair * away * BPS
        wanted = min(wanted, quote.best_bid) if side is Side.BUY else max(wanted, quote.best_ask)
        wanted = desk.round_price(instrument, wanted, side)
        return wanted if desk.valid_qty(instrument, params.order_qty, wanted) else None


def _key(instrument: InstrumentId, side: Side) -> str:
    return f"{instrument}|{side}"
