"""A strategy that tries out modifications: it shrinks and reprices one bid, and guards itself with a stop that trails."""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from strategies import Desk, Signal, Strategy
from strategies.api import Decision
from strategies.touch import Touch
from topics.market import Quote
from topics.orders import OrderUpdated
from topics.record import InstrumentId, Side


class Modifier(Strategy):
    class Params(msgspec.Struct, frozen=True):
        order_qty: Decimal
        stop_bps: Decimal = Decimal(2)

    class View(Touch):
        pass

    class State(msgspec.Struct):
        steps: int = 0
        replaced: int = 0

    params: Params

    def on_quote(self, view: View, quote: Quote) -> Iterator[Signal]:
        if view.is_news(quote):
            yield Signal("touch", quote.microprice)

    def on_signal(self, state: State, desk: Desk, signal: Signal) -> Iterator[Decision]:
        quote = desk.quote(signal.instrument)
        if quote is None or signal.instrument not in desk.instruments:
            return
        state.steps += 1
        yield from self._bid(state, desk, signal.instrument, quote)
        yield from self._stop(state, desk, signal.instrument, quote)

    def _bid(self, state: State, desk: Desk, instrument: InstrumentId, quote: Quote) -> Iterator[Decision]:
        bids = [o for o in desk.working(instrument, Side.BUY) if o.trigger_price is None]
        if not bids:
            price = desk.round_price(instrument, quote.best_bid * Decimal("0.999"), Side.BUY)
            yield desk.limit(instrument, Side.BUY, price, self.params.order_qty)
        elif not bids[0].pending_replace and state.steps % 3 == 0:
            yield self._changed(state, desk, bids[0], quote)

    def _changed(self, state: State, desk: Desk, bid: OrderUpdated, quote: Quote) -> Decision:
        half = desk.round_qty(bid.instrument, self.params.order_qty / 2)
        if bid.order_qty > half and bid.cum_qty < half:
            return desk.modify(bid, qty=half, reason="smaller")
        price = desk.round_price(bid.instrument, quote.best_bid * Decimal("0.9995"), Side.BUY)
        return desk.modify(bid, qty=bid.cum_qty + self.params.order_qty, price=price, reason="nearer")

    def _stop(self, state: State, desk: Desk, instrument: InstrumentId, quote: Quote) -> Iterator[Decision]:
        stops = [o for o in desk.working(instrument, Side.BUY) if o.trigger_price is not None]
        away = quote.best_ask * (1 + self.params.stop_bps * Decimal("0.0001"))
        trigger = desk.round_price(instrument, away, Side.SELL)
        if not stops:
            yield desk.stop(instrument, Side.BUY, trigger, self.params.order_qty, limit=trigger * Decimal("1.001") // 1)
        elif not stops[0].pending_replace and state.steps % 7 == 0 and stops[0].trigger_price != trigger:
            yield desk.modify(stops[0], trigger_price=trigger, price=trigger * Decimal("1.001") // 1, reason="trail")

    def on_order(self, state: State, desk: Desk, order: OrderUpdated) -> Iterator[Decision]:
        if order.replaced_by:
            state.replaced += 1
        yield from ()
