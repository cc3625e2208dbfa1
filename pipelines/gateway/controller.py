"""Kills and flattens, carried out until the venue confirms.

A kill is a state in the folded controls, so it survives restarts by itself: whatever works in a halted scope is
cancelled, again and again. A flatten is done once: how far the controls were carried out is committed under the
gateway's group when its positions are closed.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from pipelines.exact import EXACT, localcontext
from pipelines.gateway.engine import Engine
from pipelines.gateway.state import Held, State, concerns
from topics.controls import Flatten, LimitName, TradingState
from topics.orders import OrderRequested, SubmitOrder
from topics.record import EXTERNAL, ClientOrderId, InstrumentId, OrderType, Side, StrategyId, TimeInForce

log = logging.getLogger(__name__)

NS = 1_000_000_000
EVERY_S = 0.25
AGAIN_NS = NS
FLATTEN_S = 30.0


@dataclass
class Controller:
    engine: Engine
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    _tried: dict[ClientOrderId, int] = field(default_factory=dict)

    @property
    def state(self) -> State:
        return self.engine.state

    async def enforce(self, stop: asyncio.Event) -> None:
        """Look at every working order a few times a second, and at once when a control arrives."""
        while not stop.is_set():
            self.wake.clear()
            for held in list(self.state.book.open_orders()):
                self._enforce(held)
            try:
                await asyncio.wait_for(self.wake.wait(), EVERY_S)
            except TimeoutError:
                pass

    def _enforce(self, held: Held) -> None:
        f = held.facts
        if self.state.rules.trading_state(
            f.account, f.strategy, f.instrument
        ) is not TradingState.HALTED or self._is_flattening(held):
            return
        kill = next(
            (k for k in self.state.rules.kills.values() if concerns(k.scope, f.account, f.strategy, f.instrument)), None
        )
        command_id = "halted" if kill is None else f"kill:{kill.control_id}"
        self._cancel(held, command_id, "halted" if kill is None else f"kill by {kill.who}: {kill.why}")

    def _is_flattening(self, held: Held) -> bool:
        return held.command is not None and held.command.cause.startswith("flatten:")

    def _cancel(self, held: Held, command_id: str, reason: str) -> None:
        """At most once a second per order; under a new id when the venue has refused the last."""
        now = self.engine.clock()
        if now - self._tried.get(held.client_order_id, 0) < AGAIN_NS:
            return
        self._tried[held.client_order_id] = now
        refused = sum(c.startswith(command_id) and no for c, no in held.facts.cancels.items())
        self.engine.insist(held, command_id if refused == 0 else f"{command_id}#{refused}", reason)
        if len(self._tried) > 10_000:
            self._tried = {cid: ts for cid, ts in self._tried.items() if cid in self.state.book.working}

    # --- flatten ---------------------------------------------------------------------------------------------------

    async def flatten(self, control: Flatten, done: Callable[[], None]) -> None:
        """Cancel what works in scope, then close each strategy's position; ``done`` once nothing is left, or nothing
        more can be done.
        """
        deadline = self.engine.clock() + int(FLATTEN_S * NS)
        attempt = 0
        while self.engine.clock() < deadline:
            if not self.engine.lease.held or not self.state.ready:
                await asyncio.sleep(EVERY_S)
                continue
            working = [
                h
                for h in self.state.book.open_orders()
                if self._in_scope(control, h.facts.strategy, h.facts.instrument)
            ]
            for held in working:
                if not self._is_flattening(held):
                    self._cancel(held, f"flatten:{control.control_id}", f"flatten by {control.who}: {control.why}")
            if not working:
                left = self._left(control)
                if not left:
                    break
                attempt += 1
                sent = [self._close(control, strategy, instrument, attempt) for strategy, instrument in left]
                if not any(sent) and attempt > 20:
                    break
            await asyncio.sleep(EVERY_S)
        for strategy, instrument in self._left(control):
            log.error(
                "flatten %s: %s is left with %s %s",
                control.scope,
                strategy,
                self.state.book.position(instrument, strategy),
                instrument,
            )
        done()

    def _in_scope(self, control: Flatten, strategy: StrategyId, instrument: InstrumentId) -> bool:
        return concerns(control.scope, self.state.account, strategy, instrument)

    def _left(self, control: Flatten) -> list[tuple[StrategyId, InstrumentId]]:
        """Positions in scope of at least one lot. EXTERNAL ones only when they are named."""
        return [
            (strategy, instrument)
            for (strategy, instrument), quantity in sorted(self.state.book.positions.items())
            if self._in_scope(control, strategy, instrument)
            and (strategy != EXTERNAL or control.scope.id == EXTERNAL)
            and self._lots(instrument, abs(quantity)) > 0
        ]

    def _lots(self, instrument: InstrumentId, quantity: Decimal) -> Decimal:
        definition = self.state.market.definitions.get(instrument)
        if definition is None:
            return quantity
        with localcontext(EXACT):
            return quantity - quantity % definition.lot_size

    def _close(self, control: Flatten, strategy: StrategyId, instrument: InstrumentId, attempt: int) -> bool:
        """An IOC limit through the touch, within the collar and short of our own resting orders, booked to the
        strategy that is flattened.
        """
        position = self.state.book.position(instrument, strategy)
        side = Side.SELL if position > 0 else Side.BUY
        price = self._price(strategy, instrument, side)
        if price is None:
            return False
        command = SubmitOrder(
            client_order_id=f"flatten-{control.control_id}-{strategy}-{instrument}-{attempt}",
            strategy=strategy,
            account=self.state.account,
            instrument=instrument,
            side=side,
            order_type=OrderType.LIMIT,
            order_qty=self._lots(instrument, abs(position)),
            price=price,
            time_in_force=TimeInForce.IOC,
            reason=f"flatten {control.control_id} by {control.who}: {control.why}",
            cause=f"flatten:{control.control_id}",
            ts_init=self.engine.clock(),
        )
        return isinstance(self.engine.submit(command).fact, OrderRequested)

    def _price(self, strategy: StrategyId, instrument: InstrumentId, side: Side) -> Decimal | None:
        """Half of what the collar allows beyond the touch, on a tick, inside our own best opposite order."""
        mark, definition = self.state.market.marks.get(instrument), self.state.market.definitions.get(instrument)
        if mark is None or definition is None:
            return None
        limits = self.state.rules.state.limit_for(LimitName.PRICE_COLLAR, self.state.account, strategy, instrument)
        room = mark.mid * min((limit for _, limit in limits), default=Decimal(0)) / 2
        tick = definition.tick_size
        touch = mark.best_ask if side is Side.BUY else mark.best_bid
        price = touch + side.sign * max(room - abs(touch - mark.mid), Decimal(0))
        own = [
            h.price for h in self.state.book.open_orders(instrument) if h.side is side.opposite and h.price is not None
        ]
        if side is Side.BUY:
            price = min([price, *(p - tick for p in own)])
            return price - price % tick
        price = max([price, *(p + tick for p in own)])
        return price + (-price % tick)
