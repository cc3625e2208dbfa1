"""A flatten, carried out once: cancel what works in its scope, then close each strategy's position, booked to that
strategy.

Positions are closed by IOC limits at the touch, reaching further with every attempt, up to half of what the collar
allows. An order of ours, of whatever strategy, that one of them would meet is cancelled first: it would be denied
otherwise, for as long as somebody quotes at the touch.
"""

import asyncio
import logging
from dataclasses import dataclass
from decimal import Decimal

from pipelines.exact import EXACT, localcontext
from pipelines.gateway.controller import is_flattening
from pipelines.gateway.engine import Engine
from pipelines.gateway.state import Held, State, concerns
from topics.controls import Flatten, LimitName
from topics.orders import OrderRequested, SubmitOrder
from topics.record import EXTERNAL, InstrumentId, OrderType, Side, StrategyId, TimeInForce

log = logging.getLogger(__name__)

STEP_S = 0.02
DENIED_S = 0.25
PATIENCE_S = 30.0
"""Of time in which the venue could be traded on; the rest is waited for."""
MAX_DENIED = 20
FURTHEST = 10
"""The attempt from which on the whole room is used."""


@dataclass
class Flattening:
    """One control's way. ``attempt`` numbers the closing orders, so that a restart goes on behind those on the tape."""

    engine: Engine
    control: Flatten
    attempt: int = 0
    denied_in_a_row: int = 0

    @property
    def state(self) -> State:
        return self.engine.state

    async def carry_out(self) -> None:
        """Returns once nothing is left to close, or patience is at its end: what is left is then said."""
        spent = 0.0
        while self._left() or self._working():
            if spent > PATIENCE_S or self.denied_in_a_row > MAX_DENIED:
                self._give_up()
                return
            pause = self._step() if self.engine.lease.held and self.state.ready else 0.0
            spent += pause
            await asyncio.sleep(pause or DENIED_S)

    def _step(self) -> float:
        """Cancel what has to go, else close; how long to wait before the next look."""
        left = self._left()
        obstacles = [h for h in self._working() if not is_flattening(h)]
        obstacles += [h for strategy, instrument in left for h in self._in_the_way(strategy, instrument)]
        for held in obstacles:
            self._cancel(held)
        if obstacles or self._working():
            return STEP_S
        sent = [self._close(strategy, instrument) for strategy, instrument in left]
        self.attempt += 1
        self.denied_in_a_row = 0 if any(sent) else self.denied_in_a_row + 1
        return STEP_S if all(sent) else DENIED_S

    def _working(self) -> list[Held]:
        return [h for h in self.state.book.open_orders() if self._is_meant(h.facts.strategy, h.facts.instrument)]

    def _is_meant(self, strategy: StrategyId, instrument: InstrumentId) -> bool:
        return concerns(self.control.scope, self.state.account, strategy, instrument)

    def _left(self) -> list[tuple[StrategyId, InstrumentId]]:
        """Positions in scope of at least one lot. EXTERNAL ones only when they are named."""
        return [
            (strategy, instrument)
            for (strategy, instrument), quantity in sorted(self.state.book.positions.items())
            if self._is_meant(strategy, instrument)
            and (strategy != EXTERNAL or self.control.scope.id == EXTERNAL)
            and self._whole_lots(instrument, abs(quantity)) > 0
        ]

    def _whole_lots(self, instrument: InstrumentId, quantity: Decimal) -> Decimal:
        definition = self.state.market.definitions.get(instrument)
        if definition is None:
            return quantity
        with localcontext(EXACT):
            return quantity - quantity % definition.lot_size

    def _side(self, strategy: StrategyId, instrument: InstrumentId) -> Side:
        return Side.SELL if self.state.book.position(instrument, strategy) > 0 else Side.BUY

    def _in_the_way(self, strategy: StrategyId, instrument: InstrumentId) -> list[Held]:
        side, price = self._side(strategy, instrument), self._price(strategy, instrument)
        if price is None:
            return []
        return [
            h
            for h in self.state.book.open_orders(instrument)
            if h.side is side.opposite and (h.price is None or side.sign * (price - h.price) >= 0)
        ]

    def _cancel(self, held: Held) -> None:
        """Under a new id when the venue has refused the last one."""
        command_id = f"flatten:{self.control.control_id}"
        refused = sum(c.startswith(command_id) and no for c, no in held.facts.cancels.items())
        reason = f"flatten {self.control.scope} by {self.control.who}: {self.control.why}"
        if not held.facts.pending_cancel:
            self.engine.insist(held, command_id if refused == 0 else f"{command_id}#{refused}", reason)

    def _close(self, strategy: StrategyId, instrument: InstrumentId) -> bool:
        """Whether an order went out (or had gone out before a restart)."""
        price = self._price(strategy, instrument)
        if price is None:
            return False
        control = self.control
        command = SubmitOrder(
            client_order_id=f"flatten-{control.control_id}-{strategy}-{instrument}-{self.attempt}",
            strategy=strategy,
            account=self.state.account,
            instrument=instrument,
            side=self._side(strategy, instrument),
            order_type=OrderType.LIMIT,
            order_qty=self._whole_lots(instrument, abs(self.state.book.position(instrument, strategy))),
            price=price,
            time_in_force=TimeInForce.IOC,
            reason=f"flatten {control.control_id} by {control.who}: {control.why}",
            cause=f"flatten:{control.control_id}",
            ts_init=self.engine.clock(),
        )
        decided = self.engine.submit(command)
        return not decided.is_new or isinstance(decided.fact, OrderRequested)

    def _price(self, strategy: StrategyId, instrument: InstrumentId) -> Decimal | None:
        """On a tick, from the touch on outwards; None as long as market or definition are not known."""
        side = self._side(strategy, instrument)
        mark, definition = self.state.market.marks.get(instrument), self.state.market.definitions.get(instrument)
        if mark is None or definition is None:
            return None
        limits = self.state.rules.state.limit_for(LimitName.PRICE_COLLAR, self.state.account, strategy, instrument)
        touch = mark.best_ask if side is Side.BUY else mark.best_bid
        room = mark.mid * min((limit for _, limit in limits), default=Decimal(0)) / 2 - abs(touch - mark.mid)
        price = touch + side.sign * max(room, Decimal(0)) * min(self.attempt, FURTHEST) / FURTHEST
        off = price % definition.tick_size
        return price - off if side is Side.BUY or off == 0 else price - off + definition.tick_size

    def _give_up(self) -> None:
        for strategy, instrument in self._left():
            left = self.state.book.position(instrument, strategy)
            log.error("flatten %s: %s is left with %s %s", self.control.scope, strategy, left, instrument)
