"""How much of a position one closing order can take, and at which price: pure, of the state alone."""

from decimal import Decimal
from typing import NamedTuple

from pipelines.exact import EXACT, ZERO, localcontext
from pipelines.gateway.state import State
from topics.controls import LimitName
from topics.market import Instrument, Mark
from topics.record import InstrumentId, Payoff, Side, StrategyId

ONE = Decimal(1)
FURTHEST = 10
"""The attempt from which on the whole room is used."""


class Position(NamedTuple):
    strategy: StrategyId
    instrument: InstrumentId
    quantity: Decimal

    @property
    def side(self) -> Side:
        """The side that closes it."""
        return Side.SELL if self.quantity > 0 else Side.BUY

    def __str__(self) -> str:
        return f"{self.quantity.normalize():f} {self.instrument} of {self.strategy}"


class Closing(NamedTuple):
    """``quantity`` of 0: nothing can go out now. ``price`` is None as long as no mark or definition is known."""

    quantity: Decimal
    price: Decimal | None


def is_dust(state: State, position: Position) -> bool:
    """No order can take it: less than a lot is held of it (the venue took its fee out of it), or less than the venue
    trades. What other open orders hold back is not dust: they end.
    """
    definition, mark = _known(state, position)
    if definition is None:
        return position.quantity == 0
    try:
        with localcontext(EXACT):
            held = min(abs(position.quantity), _held(state, position, definition))
            whole = _whole_lots(held, definition)
            return whole <= 0 or _is_too_little(whole, None if mark is None else mark.mid, definition)
    except ArithmeticError:
        return False


def closing(state: State, position: Position, attempt: int) -> Closing:
    """ArithmeticError for marks and limits that cannot be reckoned with."""
    definition, mark = _known(state, position)
    if definition is None or mark is None:
        return Closing(ZERO, None)
    with localcontext(EXACT):
        price = _price(state, position, definition, mark, attempt)
        free = _held(state, position, definition) - _reserved(state, position, definition)
        quantity = min(abs(position.quantity), free, *_largest(state, position, definition, mark, price))
        whole = max(ZERO, _whole_lots(quantity, definition))
        return Closing(ZERO if _is_too_little(whole, price, definition) else whole, price)


def _known(state: State, position: Position) -> tuple[Instrument | None, Mark | None]:
    market = state.market
    return market.definitions.get(position.instrument), market.marks.get(position.instrument)


def _whole_lots(quantity: Decimal, definition: Instrument) -> Decimal:
    return (quantity - quantity % definition.lot_size).quantize(definition.lot_size, context=EXACT)


def _is_too_little(quantity: Decimal, price: Decimal | None, definition: Instrument) -> bool:
    if definition.min_qty is not None and quantity < definition.min_qty:
        return True
    if price is None or definition.min_notional is None:
        return False
    return definition.notional(quantity, price) < definition.min_notional


def _held(state: State, position: Position, definition: Instrument) -> Decimal:
    """What the account has of what a spot sell gives away."""
    if definition.payoff is not Payoff.SPOT or position.side is Side.BUY:
        return abs(position.quantity)
    balance = state.market.balances.get(definition.base)
    return ZERO if balance is None else balance.free + balance.locked


def _reserved(state: State, position: Position, definition: Instrument) -> Decimal:
    if definition.payoff is not Payoff.SPOT or position.side is Side.BUY:
        return ZERO
    return state.book.reserved(definition.base, state.market.definitions, state.market.marks)


def _largest(state: State, position: Position, definition: Instrument, mark: Mark, price: Decimal) -> list[Decimal]:
    """What one order may be at most, by limits and by the venue; a sell is valued at no less than the touch."""
    unit = definition.notional(ONE, price if position.side is Side.BUY else max(price, mark.best_bid))
    limits = state.rules.state.limit_for(
        LimitName.MAX_ORDER_VALUE, state.account, position.strategy, position.instrument
    )
    most = [EXACT.divide(limit, unit) for _, limit in limits]
    if definition.max_notional is not None:
        most.append(EXACT.divide(definition.max_notional, definition.notional(ONE, price)))
    return most if definition.max_qty is None else [*most, definition.max_qty]


def _price(state: State, position: Position, definition: Instrument, mark: Mark, attempt: int) -> Decimal:
    """On a tick, from the touch on outwards, up to half of what the collar allows."""
    side = position.side
    limits = state.rules.state.limit_for(LimitName.PRICE_COLLAR, state.account, position.strategy, position.instrument)
    touch = mark.best_ask if side is Side.BUY else mark.best_bid
    room = mark.mid * min((limit for _, limit in limits), default=ZERO) / 2 - abs(touch - mark.mid)
    price = touch + side.sign * max(room, ZERO) * min(attempt, FURTHEST) / FURTHEST
    off = price % definition.tick_size
    on_tick = price - off if side is Side.BUY or off == 0 else price - off + definition.tick_size
    return on_tick.quantize(definition.tick_size, context=EXACT)
