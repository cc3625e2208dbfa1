"""What a strategy sees when it decides: a read-only desk, as folded from its inbox, that also builds its commands."""

from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from strategies.folded import Folded
from topics.controls import TradingState
from topics.market import Instrument, Quote
from topics.orders import CancelAll, CancelOrder, ModifyOrder, OrderUpdated, SubmitOrder
from topics.portfolio import PositionChanged
from topics.record import Account, InstrumentId, OrderType, Side, StrategyId, TimeInForce

MS = 1_000_000


class Desk:
    """Does not change while a callback runs: what a callback yields shows from the next event on.

    ``now`` is the inbox's time, UTC ns: the latest ``ts_init`` of ticks, market data, and its own orders and positions.
    Commands are built without ids; the host gives them theirs. Mappings iterate in an order that a restart may change:
    sort before deciding by it.
    """

    __slots__ = ("_folded", "account", "params", "strategy")

    def __init__(self, strategy: StrategyId, account: Account, folded: Folded, params: Any = None) -> None:
        self.strategy = strategy
        self.account = account
        self.params = params
        self._folded = folded

    @classmethod
    def of(
        cls,
        instruments: Iterable[Instrument] = (),
        *,
        now: int = 0,
        positions: Iterable[PositionChanged] = (),
        orders: Iterable[OrderUpdated] = (),
        quotes: Iterable[Quote] = (),
        commanded: Iterable[SubmitOrder] = (),
        strategy: StrategyId = "strategy",
        account: Account = "sim.main",
        params: Any = None,
        state: TradingState = TradingState.ACTIVE,
    ) -> "Desk":
        """A desk by hand, for calling a strategy in a test. ``commanded``: its own orders of which nothing was heard yet."""
        folded = Folded(
            now=now,
            instruments={i.instrument: i for i in instruments},
            positions={p.instrument: p for p in positions},
            orders={o.client_order_id: o for o in orders},
            quotes={q.instrument: q for q in quotes},
            in_force={"firm": state},
        )
        folded.commanded(replace(c, client_order_id=c.client_order_id or f"o{n}") for n, c in enumerate(commanded, 1))
        return cls(strategy, account, folded, params)

    # --- what is known ---------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        return self._folded.now

    @property
    def instruments(self) -> Mapping[InstrumentId, Instrument]:
        return MappingProxyType(self._folded.instruments)

    @property
    def positions(self) -> Mapping[InstrumentId, PositionChanged]:
        return MappingProxyType(self._folded.positions)

    @property
    def orders(self) -> Mapping[str, OrderUpdated]:
        """Every order that may still trade, by client order id.

        Also one whose fate is unknown, and one just commanded, of which nothing was heard yet (its ``fact`` is
        ``SubmitOrder``). ``pending_cancel`` also says that a cancel was commanded just now.
        """
        return {ident: self._folded.seen(order) for ident, order in self._folded.orders.items()}

    def working(self, instrument: InstrumentId, side: Side | None = None) -> list[OrderUpdated]:
        """The orders of one instrument (and side) that may still trade, by client order id."""
        orders, seen = self._folded.orders, self._folded.seen
        found = [o for o in orders.values() if o.instrument == instrument and side in (None, o.side)]
        return [seen(o) for o in (sorted(found, key=lambda o: o.client_order_id) if len(found) > 1 else found)]

    def position(self, instrument: InstrumentId) -> PositionChanged | None:
        return self._folded.positions.get(instrument)

    def quantity(self, instrument: InstrumentId) -> Decimal:
        """Signed, in base units; fills that an order update told before the position did are counted."""
        return self._folded.quantity(instrument)

    def quote(self, instrument: InstrumentId, max_age_ms: int | None = None) -> Quote | None:
        """The best bid and ask of the last signal that carried them; None when older than ``max_age_ms`` by receive time."""
        quote = self._folded.quotes.get(instrument)
        if quote is None or max_age_ms is None or self.now - quote.ts_init <= max_age_ms * MS:
            return quote
        return None

    @property
    def state(self) -> TradingState:
        """The strictest in force for the firm, the venue, the account and the strategy."""
        return self._folded.trading_state()

    def state_of(self, instrument: InstrumentId) -> TradingState:
        """The same with the instrument's own."""
        return self._folded.trading_state(instrument)

    def may_trade(self, instrument: InstrumentId, side: Side) -> bool:
        """Whether the trading state lets an order on this side through; when reducing, only what reduces."""
        state = self.state_of(instrument)
        if state is TradingState.REDUCING:
            return self.quantity(instrument) * side.sign < 0
        return state is TradingState.ACTIVE

    # --- rounding --------------------------------------------------------------------------------------------------

    def round_price(self, instrument: InstrumentId, price: Decimal, side: Side) -> Decimal:
        """To the tick, away from the market: bids down, asks up. KeyError without a definition."""
        tick = self._folded.instruments[instrument].tick_size
        return price if tick == 0 else _steps(price, tick, ROUND_FLOOR if side is Side.BUY else ROUND_CEILING)

    def round_qty(self, instrument: InstrumentId, qty: Decimal) -> Decimal:
        """Down to the lot; the sign is dropped."""
        lot = self._folded.instruments[instrument].lot_size
        return abs(qty) if lot == 0 else _steps(abs(qty), lot, ROUND_FLOOR)

    def valid_qty(self, instrument: InstrumentId, qty: Decimal, price: Decimal | None = None) -> bool:
        """Whether the instrument's rules allow an order of ``qty`` (and, where a price is given, of its notional)."""
        rules = self._folded.instruments[instrument]
        notional = None if price is None else rules.notional(qty, price)
        return (
            qty > 0
            and self.round_qty(instrument, qty) == qty
            and _within(qty, rules.min_qty, rules.max_qty)
            and (notional is None or _within(notional, rules.min_notional, rules.max_notional))
        )

    # --- commands --------------------------------------------------------------------------------------------------

    def limit(
        self,
        instrument: InstrumentId,
        side: Side,
        price: Decimal,
        qty: Decimal,
        *,
        post_only: bool = False,
        time_in_force: TimeInForce = TimeInForce.GTC,
        reduce_only: bool = False,
        reason: str = "",
    ) -> SubmitOrder:
        return SubmitOrder(
            client_order_id="",
            strategy=self.strategy,
            account=self.account,
            instrument=instrument,
            side=side,
            order_type=OrderType.LIMIT,
            order_qty=qty,
            price=price,
            time_in_force=time_in_force,
            post_only=post_only,
            reduce_only=reduce_only,
            reason=reason,
            ts_init=self.now,
        )

    def market(
        self, instrument: InstrumentId, side: Side, qty: Decimal, *, reduce_only: bool = False, reason: str = ""
    ) -> SubmitOrder:
        return SubmitOrder(
            client_order_id="",
            strategy=self.strategy,
            account=self.account,
            instrument=instrument,
            side=side,
            order_type=OrderType.MARKET,
            order_qty=qty,
            time_in_force=TimeInForce.IOC,
            reduce_only=reduce_only,
            reason=reason,
            ts_init=self.now,
        )

    def stop(
        self,
        instrument: InstrumentId,
        side: Side,
        trigger_price: Decimal,
        qty: Decimal,
        *,
        limit: Decimal | None = None,
        time_in_force: TimeInForce = TimeInForce.GTC,
        reduce_only: bool = False,
        reason: str = "",
    ) -> SubmitOrder:
        """Waits until the market trades at the trigger or beyond (a buy above it, a sell below); then an order at the
        market, or at ``limit``. The venue keeps it: it works also when this platform is down.
        """
        return SubmitOrder(
            client_order_id="",
            strategy=self.strategy,
            account=self.account,
            instrument=instrument,
            side=side,
            order_type=OrderType.STOP if limit is None else OrderType.STOP_LIMIT,
            order_qty=qty,
            price=limit,
            trigger_price=trigger_price,
            time_in_force=time_in_force,
            reduce_only=reduce_only,
            reason=reason,
            ts_init=self.now,
        )

    def modify(
        self,
        order: OrderUpdated,
        *,
        qty: Decimal | None = None,
        price: Decimal | None = None,
        trigger_price: Decimal | None = None,
        reason: str = "",
    ) -> ModifyOrder:
        """Other terms; ``qty`` is the whole order's, executed part included. A smaller quantity keeps the order's place in
        the queue where the venue can do that; anything else makes another order of it, whose id ends in ``~2``.
        """
        return ModifyOrder(
            command_id="",
            client_order_id=order.client_order_id,
            strategy=self.strategy,
            account=self.account,
            instrument=order.instrument,
            order_qty=qty,
            price=price,
            trigger_price=trigger_price,
            reason=reason,
            ts_init=self.now,
        )

    def cancel(self, order: OrderUpdated, *, reason: str = "") -> CancelOrder:
        return CancelOrder(
            command_id="",
            client_order_id=order.client_order_id,
            strategy=self.strategy,
            account=self.account,
            instrument=order.instrument,
            reason=reason,
            ts_init=self.now,
        )

    def cancel_all(self, instrument: InstrumentId | None = None, *, reason: str = "") -> CancelAll:
        """Of this strategy alone."""
        return CancelAll(
            command_id="",
            account=self.account,
            strategy=self.strategy,
            instrument=instrument or "",
            reason=reason,
            ts_init=self.now,
        )


def _steps(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    return (value / step).to_integral_value(rounding) * step


def _within(value: Decimal, low: Decimal | None, high: Decimal | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)
