"""Pre-trade checks: one function each. A check says nothing, or why it denies: its name, the value and the limit.

They are asked in the order of ``CHECKS``; the first that denies is the one named in ``OrderDenied``. A check whose
limit no scope supplies denies. What is pending, unknown or at the venue counts as if it filled. None of them is asked
for a cancel.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from pipelines.exact import LONGEST, ZERO, is_sane, ratio, text
from pipelines.gateway.revise import is_linked, replacement_of
from pipelines.gateway.state import SECOND_NS, Applying, Held, State, concerns, spends
from topics.controls import LimitName, Scope, ScopeKind, TradingState
from topics.market import Instrument, Mark
from topics.orders import SubmitOrder
from topics.record import OrderType, Payoff, Side, StrategyId, TimeInForce

NONE = "none"
FLATTEN_CAUSE = "flatten:"
"""Begins the ``cause`` of the gateway's own closing orders, and of nobody else's."""
AHEAD_NS = SECOND_NS
"""How far the clocks of this platform's processes may differ."""
SHOWN = 40
SANE = f"above 0, of at most {LONGEST} digits"


class Denial(NamedTuple):
    """Why an order is not sent. ``scope`` is whose limit it was, where it is one."""

    check: str
    value: str
    limit: str


class Asked(NamedTuple):
    """One order as the checks see it: the inputs, the time of the decision, and what was looked up for it.
    ``carries_out``: the flatten that the gateway made it for. ``instead_of``: a modification is judged as the order for
    what would be left, in place of this one, which then counts no more.
    """

    state: State
    order: SubmitOrder
    now_ns: int
    definition: Instrument | None
    mark: Mark | None
    applying: Applying
    carries_out: str = ""
    instead_of: Held | None = None

    @property
    def signed_qty(self) -> Decimal:
        return self.order.side.sign * self.order.order_qty

    @property
    def touch(self) -> Decimal:
        """What the order would meet first; needs a mark."""
        assert self.mark is not None
        return self.mark.best_ask if self.order.side is Side.BUY else self.mark.best_bid

    @property
    def price(self) -> Decimal:
        """What a unit may cost: the limit, else the touch or the trigger; a sell is valued at no less than the touch."""
        if self.order.price is None:
            return max(self.touch, self.order.trigger_price or ZERO)
        return self.order.price if self.order.side is Side.BUY else max(self.order.price, self.touch)

    @property
    def value(self) -> Decimal:
        """In quote."""
        assert self.definition is not None
        return self.definition.notional(self.order.order_qty, self.price)

    @property
    def expected(self) -> Decimal:
        """About where it would be executed: the limit, else the trigger, else the touch."""
        given = self.order.price if self.order.price is not None else self.order.trigger_price
        return self.touch if given is None else given

    def pending(self, strategy: StrategyId | None) -> Decimal:
        """What the other open orders of its side would add if they all filled."""
        pending = self.state.book.pending(self.order.instrument, self.order.side, strategy)
        return pending if self.instead_of is None else pending - self.instead_of.leaves

    def limits(self, name: LimitName) -> list[tuple[Scope, Decimal]]:
        return self.applying.limits[name]

    def strictest(self, name: LimitName) -> tuple[Scope, Decimal] | None:
        return self.applying.strictest.get(name)


def look_up(state: State, order: SubmitOrder, now_ns: int, carries_out: str = "") -> Asked:
    market = state.market
    definition, mark = market.definitions.get(order.instrument), market.marks.get(order.instrument)
    applying = state.rules.applying(order.account, order.strategy, order.instrument)
    return Asked(state, order, now_ns, definition, mark, applying, carries_out)


Check = Callable[[Asked], Denial | None]


def _missing(name: LimitName) -> Denial:
    return Denial(name, NONE, "no scope supplies it")


def _limit_text(scope: Scope, limit: Decimal) -> str:
    return f"{text(limit)} ({scope})"


# --- whether anything may be done at all ---------------------------------------------------------------------------


def trading_state(a: Asked) -> Denial | None:
    """A kill stops all but cancels; what closes a position by order of a named ``Flatten`` passes."""
    state = a.applying.state
    if state is TradingState.ACTIVE or flattens(a):
        return None
    if state is TradingState.REDUCING and reduces(a):
        return None
    return Denial("trading_state", state, "only cancels" if state is TradingState.HALTED else "only orders that reduce")


def flattens(a: Asked) -> bool:
    """The gateway made it for a ``Flatten`` under way, which covers this position, and it only reduces that."""
    control, o = a.state.flatten(a.carries_out), a.order
    return control is not None and concerns(control.scope, o.account, o.strategy, o.instrument) and reduces(a)


def reduces(a: Asked, strategy_only: bool = True) -> bool:
    """Whether the position can only shrink, with all open orders of that side filled as well."""
    strategy = a.order.strategy if strategy_only else None
    position = a.state.book.position(a.order.instrument, strategy)
    if position == 0 or (position > 0) == (a.order.side is Side.BUY):
        return False
    return a.pending(strategy) + a.order.order_qty <= abs(position)


def reconciled(a: Asked) -> Denial | None:
    return None if a.state.ready else Denial("reconciled", "false", "true")


def instrument_halted(a: Asked) -> Denial | None:
    """Stops new risk: what only reduces a position passes."""
    halt = a.state.halt(a.order.instrument)
    if halt is None or reduces(a):
        return None
    return Denial("instrument_halted", halt.why, "a named resume")


def command_age(a: Asked) -> Denial | None:
    """What was decided on old data is not done late."""
    return _age(a, "command_age", a.order.ts_init)


# --- whether the order is one ---------------------------------------------------------------------------------------


def well_formed(a: Asked) -> Denial | None:
    """Asked first: the others may reckon with what it passes."""
    o = a.order
    if o.cause.startswith(FLATTEN_CAUSE) and not a.carries_out:
        return Denial("cause", o.cause[:SHOWN], f"{FLATTEN_CAUSE} is the gateway's own")
    if o.order_type not in a.state.venue.order_types:
        return Denial("order_type", o.order_type, f"this venue takes {', '.join(sorted(a.state.venue.order_types))}")
    if not is_sane(o.order_qty) or o.order_qty <= 0:
        return Denial("order_qty", str(o.order_qty)[:SHOWN], SANE)
    for name, price, wanted in (
        ("price", o.price, o.order_type.is_priced),
        ("trigger_price", o.trigger_price, o.order_type.is_stop),
    ):
        if price is not None and not wanted:
            return Denial(name, str(price)[:SHOWN], f"none on a {o.order_type} order")
        if wanted and (price is None or not is_sane(price) or price <= 0):
            return Denial(name, str(price)[:SHOWN], SANE)
    if o.post_only and o.order_type is not OrderType.LIMIT:
        return Denial("post_only", "true", "limit orders only")
    if o.order_type is OrderType.STOP and o.time_in_force is not TimeInForce.GTC:
        return Denial("time_in_force", o.time_in_force, "gtc on a stop order")
    if o.post_only and o.time_in_force is not TimeInForce.GTC:
        return Denial("post_only", o.time_in_force, "gtc")
    return None


def linked(a: Asked) -> Denial | None:
    """Ids that end in ~n are the gateway's own, for the rest of an order that it cancelled in order to replace it."""
    o = a.order
    if a.instead_of is not None:
        return None
    if not o.replaces:
        ident = o.client_order_id
        return Denial("client_order_id", ident[-SHOWN:], "no ~n at its end") if is_linked(ident) else None
    held = a.state.book.orders.get(o.replaces)
    if held is None or replacement_of(held) != o:
        return Denial("replaces", o.replaces[-SHOWN:], "an order that is to be replaced by this one")
    return None


def instrument_known(a: Asked) -> Denial | None:
    if a.definition is None:
        return Denial("instrument_known", a.order.instrument, "a definition on the tape")
    return None


def contract_value(a: Asked) -> Denial | None:
    """Neither limits nor P&L can be right on what nobody can value."""
    definition = a.definition
    assert definition is not None
    if definition.has_value:
        return None
    if definition.multiplier <= 0:
        return Denial("contract_value", f"multiplier {text(definition.multiplier)}", "the size of a contract")
    wanted = f"{definition.base if definition.inverse else definition.quote} (not quanto)"
    return Denial("contract_value", f"settled in {definition.settled_in}", wanted)


def instrument_tradable(a: Asked) -> Denial | None:
    if a.definition is not None and a.definition.tradable and (a.mark is None or a.mark.tradable):
        return None
    return Denial("instrument_tradable", "false", "true")


def tick_size(a: Asked) -> Denial | None:
    assert a.definition is not None
    for price in (a.order.price, a.order.trigger_price):
        if price is not None and price % a.definition.tick_size != 0:
            return Denial("tick_size", text(price), text(a.definition.tick_size))
    return None


def lot_size(a: Asked) -> Denial | None:
    assert a.definition is not None
    if a.order.order_qty % a.definition.lot_size == 0:
        return None
    return Denial("lot_size", text(a.order.order_qty), text(a.definition.lot_size))


def quantity_bounds(a: Asked) -> Denial | None:
    assert a.definition is not None
    return _bounds("qty", a.order.order_qty, a.definition.min_qty, a.definition.max_qty)


def notional_bounds(a: Asked) -> Denial | None:
    assert a.definition is not None
    value = a.definition.notional(a.order.order_qty, a.expected)
    return _bounds("notional", value, a.definition.min_notional, a.definition.max_notional)


def _bounds(what: str, value: Decimal, low: Decimal | None, high: Decimal | None) -> Denial | None:
    if low is not None and value < low:
        return Denial(f"min_{what}", text(value), text(low))
    if high is not None and value > high:
        return Denial(f"max_{what}", text(value), text(high))
    return None


# --- whether the market is known well enough ------------------------------------------------------------------------


def data_age(a: Asked) -> Denial | None:
    """On receive time: a venue's clock may be off. What only reduces is denied as well: at which price it would, nobody
    knows.
    """
    if a.mark is None:
        return Denial(LimitName.MAX_DATA_AGE, "no mark", "a mark")
    return _age(a, LimitName.MAX_DATA_AGE, a.mark.ts_init)


def _age(a: Asked, check: str, ts: int) -> Denial | None:
    found = a.strictest(LimitName.MAX_DATA_AGE)
    if found is None:
        return _missing(LimitName.MAX_DATA_AGE)
    age_ns = a.now_ns - ts
    if age_ns < -AHEAD_NS:
        return Denial(check, _seconds(age_ns), f"{_seconds(-AHEAD_NS)}: it is from the future")
    return Denial(check, _seconds(age_ns), _limit_text(*found)) if age_ns > found[1] * SECOND_NS else None


def _seconds(ns: int) -> str:
    return text(ratio(Decimal(ns), Decimal(SECOND_NS)))


def price_collar(a: Asked) -> Denial | None:
    """The distance from the mid, as a fraction of it; a market order is judged by the touch. A stop order meets the market
    where it is triggered: there its limit must be near, and its trigger must not be reached already.
    """
    assert a.mark is not None
    found = a.strictest(LimitName.PRICE_COLLAR)
    if found is None:
        return _missing(LimitName.PRICE_COLLAR)
    market, trigger = a.mark.mid, a.order.trigger_price
    if trigger is not None:
        if trigger <= a.touch if a.order.side is Side.BUY else trigger >= a.touch:
            return Denial("trigger_price", text(trigger), f"beyond the touch, {text(a.touch)}")
        market = trigger
    distance = abs(a.expected - market)
    if market > 0 and distance <= found[1] * market:
        return None
    return Denial(LimitName.PRICE_COLLAR, text(ratio(distance, market)), _limit_text(*found))


# --- how much -------------------------------------------------------------------------------------------------------


def max_order_value(a: Asked) -> Denial | None:
    found = a.strictest(LimitName.MAX_ORDER_VALUE)
    if found is None:
        return _missing(LimitName.MAX_ORDER_VALUE)
    return Denial(LimitName.MAX_ORDER_VALUE, text(a.value), _limit_text(*found)) if a.value > found[1] else None


def max_position_value(a: Asked) -> Denial | None:
    """A strategy's limit is about its own position, every other scope's about the net of the account. What only
    reduces passes.
    """
    limits = a.limits(LimitName.MAX_POSITION_VALUE)
    if not limits:
        return _missing(LimitName.MAX_POSITION_VALUE)
    for scope, limit in limits:
        own = scope.kind is ScopeKind.STRATEGY
        value = worst_value(a, a.order.strategy if own else None)
        if value > limit and not reduces(a, strategy_only=own):
            return Denial(LimitName.MAX_POSITION_VALUE, text(value), _limit_text(scope, limit))
    return None


def worst_value(a: Asked, strategy: StrategyId | None) -> Decimal:
    """Of the position, were this order and every open one of its side to fill."""
    instrument, side = a.order.instrument, a.order.side
    position = a.state.book.position(instrument, strategy)
    worst = position + side.sign * (a.pending(strategy) + a.order.order_qty)
    assert a.definition is not None
    return a.definition.notional(abs(worst), a.price)


def max_orders_per_second(a: Asked) -> Denial | None:
    """A strategy's limit counts its own orders, an instrument's those on it, the others all of the account."""
    limits = a.limits(LimitName.MAX_ORDERS_PER_SECOND)
    if not limits:
        return _missing(LimitName.MAX_ORDERS_PER_SECOND)
    for scope, limit in limits:
        strategy = scope.id if scope.kind is ScopeKind.STRATEGY else None
        instrument = scope.id if scope.kind is ScopeKind.INSTRUMENT else None
        rate = a.state.book.requests.since(a.now_ns - SECOND_NS, strategy, instrument) + 1
        if rate > limit:
            return Denial(LimitName.MAX_ORDERS_PER_SECOND, str(rate), _limit_text(scope, limit))
    return None


# --- what the account allows ----------------------------------------------------------------------------------------


def self_match(a: Asked) -> Denial | None:
    """An order that could meet our own resting one. How deep a market order reaches is not known, so any opposite one
    denies it.
    """
    if not _may_meet(a):
        return None
    for held in a.state.book.open_orders(a.order.instrument):
        if held is not a.instead_of and held.side is a.order.side.opposite and _would_meet(a.order, held):
            resting = "market" if held.price is None else text(held.price)
            return Denial(
                "self_match",
                "market" if a.order.price is None else text(a.order.price),
                f"{held.client_order_id} at {resting}",
            )
    return None


def _may_meet(a: Asked) -> bool:
    """False where the nearest order of the other side is out of reach, and all of them are plain limit orders."""
    o, sums = a.order, a.state.book.sums
    other = o.side.opposite
    if o.price is None or o.order_type.is_stop or sums.odd.get((o.instrument, other)):
        return True
    nearest = sums.nearest(o.instrument, other)
    return nearest is not None and (o.price >= nearest if o.side is Side.BUY else o.price <= nearest)


def _would_meet(order: SubmitOrder, resting: Held) -> bool:
    if order.order_type.is_stop or resting.waits:
        return _would_meet_triggered(order, resting)
    if order.price is None or resting.price is None:
        return True
    return order.price >= resting.price if order.side is Side.BUY else order.price <= resting.price


def _would_meet_triggered(order: SubmitOrder, resting: Held) -> bool:
    """A waiting stop meets what rests between its trigger and its limit: what is nearer is gone when it is triggered."""
    if order.order_type.is_stop and resting.waits:
        return False
    stop, price = (order, resting.price) if order.order_type.is_stop else (resting, order.price)
    if price is None or stop.trigger_price is None:
        return False
    if stop.side is Side.BUY:
        return stop.trigger_price <= price and (stop.price is None or price <= stop.price)
    return price <= stop.trigger_price and (stop.price is None or price >= stop.price)


def reduce_only(a: Asked) -> Denial | None:
    if not a.order.reduce_only or reduces(a):
        return None
    position = a.state.book.position(a.order.instrument, a.order.strategy)
    return Denial("reduce_only", text(a.signed_qty), f"position {text(position)}")


def free_holdings(a: Asked) -> Denial | None:
    """A spot sell needs the base, a buy the quote, beside what all open orders may still spend of it."""
    if a.definition is None or a.definition.payoff is not Payoff.SPOT:
        return None
    buys = a.order.side is Side.BUY
    currency = a.definition.quote if buys else a.definition.base
    balance = a.state.market.balances.get(currency)
    held = ZERO if balance is None else balance.free + balance.locked
    definitions, marks = a.state.market.definitions, a.state.market.marks
    free = held - a.state.book.reserved(currency, definitions, marks)
    if a.instead_of is not None:
        free += spends(a.instead_of, currency, definitions, marks)
    need = a.order.order_qty * (a.order.price if a.order.price is not None else a.price) if buys else a.order.order_qty
    return Denial("free_holdings", f"{text(need)} {currency}", f"{text(free)} {currency}") if need > free else None


CHECKS: tuple[Check, ...] = (
    well_formed,
    linked,
    trading_state,
    reconciled,
    instrument_halted,
    command_age,
    instrument_known,
    contract_value,
    instrument_tradable,
    data_age,
    tick_size,
    lot_size,
    quantity_bounds,
    notional_bounds,
    reduce_only,
    price_collar,
    max_order_value,
    max_position_value,
    max_orders_per_second,
    self_match,
    free_holdings,
)


def first_denial(a: Asked) -> Denial | None:
    for check in CHECKS:
        denial = check(a)
        if denial is not None:
            return denial
    return None
