"""A flatten, carried out once: cancel what works in its scope, then close each strategy's position, booked to that
strategy.

Positions are closed by IOC limits at the touch, reaching further with every attempt, in as many orders as the limits
make of it. An order of ours, of whatever strategy, that one of them would meet is cancelled first: it would be denied
otherwise, for as long as somebody quotes at the touch. What denies them (a mark too old, a rate) is waited out.

Its end is a ``ControlDone`` in the log: from then on it is not carried out again, whatever becomes of committed offsets.
"""

import asyncio
import logging
from dataclasses import dataclass
from decimal import Decimal

from pipelines.gateway import decide
from pipelines.gateway.checks import FLATTEN_CAUSE
from pipelines.gateway.closing import Position, closing, is_dust
from pipelines.gateway.engine import Engine
from pipelines.gateway.state import Held, State, concerns
from topics.controls import Flatten
from topics.orders import ControlDone, OrderDenied, OrderRequested, SubmitOrder
from topics.record import EXTERNAL, OrderType, TimeInForce

log = logging.getLogger(__name__)

STEP_S = 0.02
DENIED_S = 0.25
PATIENCE_S = 30.0
"""Of time in which orders went out or cancels were asked for, without an end."""
DENIED_PATIENCE_S = 600.0
"""Of time in which nothing could go out; before a reconnected venue and fresh marks are back, minutes may pass."""
BALANCES_S = 2.0
"""What the tape has bought is in the folded balances a little later: until then it is not called dust."""


def done(state: State, control: Flatten, offset: int, outcome: str, detail: str, now_ns: int) -> ControlDone:
    return ControlDone(
        account=state.account,
        control_id=control.control_id,
        control=Flatten.__name__,
        scope=control.scope,
        offset=offset,
        outcome=outcome,
        detail=detail,
        ts_init=now_ns,
    )


@dataclass
class Flattening:
    """One control's way, and its offset in ``controls``. ``attempt`` numbers the closing orders, so that a restart goes
    on behind those on the tape.
    """

    engine: Engine
    control: Flatten
    offset: int = -1
    attempt: int = 0
    denial: str = ""

    @property
    def state(self) -> State:
        return self.engine.state

    async def carry_out(self) -> None:
        """Returns once nothing is left that can be closed, or patience is at its end; either is on the tape then."""
        spent = denied = settled = 0.0
        while self._working() or (self._left() and settled < BALANCES_S):
            if spent > PATIENCE_S or denied > DENIED_PATIENCE_S:
                await self._tell("abandoned")
                return
            if not (self.engine.lease.held and self.state.ready) or self.engine.stopping:
                await asyncio.sleep(DENIED_S)
                continue
            pause = self._step()
            spent += STEP_S if pause is None else 0.0
            denied += pause or 0.0
            settled = settled + (pause or 0.0) if self._only_dust() else 0.0
            await asyncio.sleep(STEP_S if pause is None else pause)
        await self._tell("closed")

    def _step(self) -> float | None:
        """Cancel what has to go, else close. How long to wait where nothing could go out; None where something did."""
        left = [p for p in self._left() if not is_dust(self.state, p)]
        obstacles = [h for h in self._working() if not self.state.is_flattening(h)]
        obstacles += [h for position in left for h in self._in_the_way(position)]
        for held in obstacles:
            self._cancel(held)
        if obstacles or self._working():
            return None
        sent = [self._close(position) for position in left]
        return None if any(sent) else DENIED_S

    def _working(self) -> list[Held]:
        return [
            h
            for h in self.state.book.open_orders()
            if concerns(self.control.scope, self.state.account, h.facts.strategy, h.facts.instrument)
        ]

    def _left(self) -> list[Position]:
        """Positions in scope. EXTERNAL ones only when they are named."""
        return [
            Position(strategy, instrument, quantity)
            for (strategy, instrument), quantity in sorted(self.state.book.positions.items())
            if quantity != 0
            and concerns(self.control.scope, self.state.account, strategy, instrument)
            and (strategy != EXTERNAL or self.control.scope.id == EXTERNAL)
        ]

    def _only_dust(self) -> bool:
        return all(is_dust(self.state, position) for position in self._left())

    def _in_the_way(self, position: Position) -> list[Held]:
        side, price = position.side, self._price(position)
        if price is None:
            return []
        return [
            h
            for h in self.state.book.open_orders(position.instrument)
            if h.side is side.opposite and (h.price is None or side.sign * (price - h.price) >= 0)
        ]

    def _price(self, position: Position) -> Decimal | None:
        try:
            return closing(self.state, position, self.attempt).price
        except ArithmeticError:
            return None

    def _cancel(self, held: Held) -> None:
        """Under a new id when the venue has refused the last one."""
        command_id = f"flatten:{self.control.control_id}"
        refused = sum(c.startswith(command_id) and no for c, no in held.facts.cancels.items())
        reason = f"flatten {self.control.scope} by {self.control.who}: {self.control.why}"
        if not held.facts.pending_cancel:
            self.engine.insist(held, command_id if refused == 0 else f"{command_id}#{refused}", reason)

    def _close(self, position: Position) -> bool:
        """Whether an order went out (or had gone out before a restart)."""
        command = self._command(position)
        if command is None or self._is_denied_again(command):
            return False
        self.attempt += 1
        decided = self.engine.submit(command, self.control.control_id)
        return not decided.is_new or isinstance(decided.fact, OrderRequested)

    def _is_denied_again(self, command: SubmitOrder) -> bool:
        """A reason for which it is denied is on the tape once, not four times a second."""
        fact = decide.decide(self.state, command, self.engine.clock(), self.control.control_id)
        before, self.denial = self.denial, ""
        if isinstance(fact, OrderDenied):
            self.denial = f"{fact.check}: {fact.value} against {fact.limit}"
            if before.partition(":")[0] == fact.check:
                return True
            log.warning("flatten %s waits: %s", self.control.scope, self.denial)
        return False

    def _command(self, position: Position) -> SubmitOrder | None:
        """None while there is no price, or nothing free to sell."""
        try:
            order_qty, price = closing(self.state, position, self.attempt)
        except ArithmeticError as error:
            self.denial = f"unjudgeable: {type(error).__name__}"
            return None
        if price is None or order_qty == 0:
            self.denial = "no mark or definition" if price is None else "nothing of it may go out: holdings or limits"
            return None
        control = self.control
        return SubmitOrder(
            client_order_id=f"flatten-{control.control_id}-{position.strategy}-{position.instrument}-{self.attempt}",
            strategy=position.strategy,
            account=self.state.account,
            instrument=position.instrument,
            side=position.side,
            order_type=OrderType.LIMIT,
            order_qty=order_qty,
            price=price,
            time_in_force=TimeInForce.IOC,
            reason=f"flatten {control.control_id} by {control.who}: {control.why}",
            cause=f"{FLATTEN_CAUSE}{control.control_id}",
            ts_init=self.engine.clock(),
        )

    async def _tell(self, outcome: str) -> None:
        left = ", ".join(map(str, self._left()))
        detail = f"left: {left}" if left else ""
        if outcome == "abandoned":
            detail = "; ".join(part for part in (detail, self.denial) if part)
            log.error("flatten %s abandoned: %s", self.control.scope, detail)
        elif left:
            detail += ": too little to be traded"
            log.warning("flatten %s: %s", self.control.scope, detail)
        now_ns = self.engine.clock()
        await self.engine.tape.write([done(self.state, self.control, self.offset, outcome, detail, now_ns)])
