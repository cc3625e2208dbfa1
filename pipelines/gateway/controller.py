"""Kills, carried out until the venue confirms.

A kill is a state in the folded controls, so it survives restarts by itself: whatever works in a halted scope is
cancelled, again and again.
"""

import asyncio
from dataclasses import dataclass, field

from pipelines.gateway.engine import Engine
from pipelines.gateway.state import Held, State, concerns
from topics.controls import TradingState
from topics.record import ClientOrderId

NS = 1_000_000_000
EVERY_S = 0.25
AGAIN_NS = NS


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
        ) is not TradingState.HALTED or self.state.is_flattening(held):
            return
        kill = next(
            (k for k in self.state.rules.kills.values() if concerns(k.scope, f.account, f.strategy, f.instrument)), None
        )
        command_id = "halted" if kill is None else f"kill:{kill.control_id}"
        self._cancel(held, command_id, "halted" if kill is None else f"kill by {kill.who}: {kill.why}")

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
