"""fills -> positions. State per account and instrument: one position per strategy.

The four sums and the fees are exact and do not depend on the order of fills; neither does ``realized_pnl`` plus what is
unrealized at any price, since realized is what the sums have earned less what is tied up in the open position. Only the
split follows the tape: average cost, closing at the average, through zero opening the rest at the fill's price.

Counted once: a venue's second report of an execution ends in the orders stage, which knows its identity for days; a
second delivery of a ``Fill`` ends at the shell's fence of coordinates, which needs one number. So no set grows here.
What a host without a fence would see again is what a producer repeats after a crash, the latest: the last ``RECENT``
identities are kept too, a bounded second line that no total relies on.
"""

from decimal import Decimal

import msgspec

from pipelines.contracts import average_px
from pipelines.exact import EXACT, ZERO, add_to, localcontext, ratio
from topics.catalog import FILLS
from topics.coordinates import At
from topics.orders import Fill
from topics.portfolio import PositionChanged
from topics.record import Currency, Side, StrategyId
from topics.stage import Outputs, Stage

RECENT = 256

FillId = tuple[str, str, str, bool]


class Position(msgspec.Struct):
    """``open_value`` is what the open quantity cost, as ``contracts.value`` signs it."""

    quantity: Decimal = ZERO
    open_value: Decimal = ZERO
    bought_qty: Decimal = ZERO
    sold_qty: Decimal = ZERO
    bought_value: Decimal = ZERO
    sold_value: Decimal = ZERO
    fees: dict[Currency, Decimal] = {}
    fills: int = 0

    def fold(self, fill: Fill) -> None:
        count = -1 if fill.reversal else 1
        qty = count * fill.last_qty
        value = count * fill.value
        self.open_value = self._open_value_after(fill.side.sign * qty, fill.side.sign * value, fill.reversal)
        self.quantity += fill.side.sign * qty
        if fill.side is Side.BUY:
            self.bought_qty, self.bought_value = self.bought_qty + qty, self.bought_value + value
        else:
            self.sold_qty, self.sold_value = self.sold_qty + qty, self.sold_value + value
        add_to(self.fees, fill.fee_currency, count * fill.fee)
        self.fills += count

    def _open_value_after(self, qty: Decimal, value: Decimal, reversal: bool) -> Decimal:
        """A bust takes out the very value that its execution put in, where the position still holds that much."""
        after = self.quantity + qty
        if after == 0:
            return ZERO
        if self.quantity * qty >= 0:
            return self.open_value + value
        if self.quantity * after < 0:
            return ratio(value * after, qty)
        if reversal and (self.open_value + value) * self.open_value > 0:
            return self.open_value + value
        return ratio(self.open_value * after, self.quantity)

    @property
    def realized_pnl(self) -> Decimal:
        return EXACT.add(EXACT.subtract(self.sold_value, self.bought_value), self.open_value)

    def changed_by(self, fill: Fill) -> PositionChanged:
        return PositionChanged(
            account=fill.account,
            strategy=fill.strategy,
            instrument=fill.instrument,
            base=fill.base,
            quote=fill.quote,
            settle=fill.settle,
            quantity=self.quantity,
            avg_px=average_px(fill.payoff, fill.multiplier, self.quantity, self.open_value),
            realized_pnl=self.realized_pnl,
            bought_qty=self.bought_qty,
            sold_qty=self.sold_qty,
            bought_value=self.bought_value,
            sold_value=self.sold_value,
            fees=dict(self.fees),
            multiplier=fill.multiplier,
            payoff=fill.payoff,
            fills=self.fills,
            last_px=fill.last_px,
            ts_event=fill.ts_event,
            ts_init=fill.ts_init,
        )


class Positions(msgspec.Struct):
    positions: dict[StrategyId, Position] = {}
    recent: dict[FillId, None] = {}
    """The last ``RECENT`` fills, oldest first."""

    def is_repeated(self, fill: Fill) -> bool:
        """Remembers it as well."""
        key = (fill.venue_order_id, fill.trade_id, fill.client_order_id, fill.reversal)
        if key in self.recent:
            return True
        self.recent[key] = None
        if len(self.recent) > RECENT:
            del self.recent[next(iter(self.recent))]
        return False


def state_key(fill: Fill) -> str:
    return f"{fill.account}|{fill.instrument}"


def on_event(state: Positions | None, fill: Fill, at: At) -> tuple[Positions, Outputs]:
    state = state or Positions()
    if state.is_repeated(fill):
        return state, ()
    with localcontext(EXACT):
        position = state.positions.setdefault(fill.strategy, Position())
        position.fold(fill)
        return state, (position.changed_by(fill),)


STAGE = Stage(
    name="positions",
    input=FILLS,
    state_type=Positions,
    state_key=state_key,
    on_event=on_event,
    outputs=(PositionChanged,),
)
