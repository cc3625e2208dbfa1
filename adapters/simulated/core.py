"""The matching core: orders and recorded market data in, events out; no I/O and no clock.

Laws:
- An operation either returns one `Refused` and changes nothing, or is carried out whole.
- Money moves between accounts and is never made: what a buyer pays the seller gets, fees go to `FEES`.
- The buyer pays its fee in base, the seller in quote, each at its account's maker or taker rate.
- Events of one operation are in the order in which things happened; balances come last, one per balance.
- The market's own orders (unlimited accounts) make no reports, only public trades.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from adapters.simulated import filters
from adapters.simulated.book import Contra, Market, PriceTimeBook
from adapters.simulated.instruments import Instrument
from adapters.simulated.matching import Plan, Step, needed, plan_by_quantity, plan_by_quote
from adapters.simulated.model import (
    BalanceChanged,
    Deposited,
    Event,
    ExecutionType,
    NewOrder,
    Order,
    OrderReport,
    OrderType,
    Printed,
    Recorded,
    Refused,
    SelfTradePrevention,
    Side,
    Status,
    TimeInForce,
)
from adapters.simulated.recorded import RecordedBook
from adapters.simulated.registry import Registry
from adapters.simulated.units import SCALE, notional, share
from adapters.simulated.wallets import Balance, Wallets

FEES = "fees"
MARKET = "market"
DEFAULT_FEE = SCALE // 1000


class Fees(msgspec.Struct, frozen=True):
    """Rates in 1e-8."""

    maker: int = DEFAULT_FEE
    taker: int = DEFAULT_FEE


class Core:
    """One venue: accounts, orders, and a market per instrument (`PriceTimeBook` unless another is given)."""

    def __init__(
        self,
        instruments: Iterable[Instrument],
        *,
        fees: Fees | None = None,
        recorded: Iterable[str] = (),
        self_trade_prevention: SelfTradePrevention = SelfTradePrevention.EXPIRE_MAKER,
    ) -> None:
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        replayed = set(recorded)
        self._recorded = {symbol: RecordedBook() for symbol in self.instruments if symbol in replayed}
        self._books = {symbol: PriceTimeBook() for symbol in self.instruments if symbol not in replayed}
        self._markets: dict[str, Market] = {**self._books, **self._recorded}
        self._fees = fees or Fees()
        self._mode = self_trade_prevention
        self._wallets = Wallets()
        self._registry = Registry()
        self._last_price: dict[str, int] = {}
        self._execution_id = 0
        self._events: list[Event] = []
        self._now = 0
        self._wallets.open(FEES, unlimited=True)
        self._wallets.open(MARKET, unlimited=True)

    # What is asked of it

    def open_account(self, now_ns: int, account: str, balances: Mapping[str, int]) -> list[Event]:
        """A new account with its opening balances in 1e-8."""
        self._now = now_ns
        self._wallets.open(account)
        for asset, amount in balances.items():
            self._move_in(account, asset, amount, opening=True)
        return self._finish("opening")

    def deposit(self, now_ns: int, account: str, asset: str, amount: int) -> list[Event]:
        """Money from outside, or to it when negative; refused when more than the free balance would go."""
        if amount < 0 and not self._wallets.affords(account, asset, -amount):
            return [filters.INSUFFICIENT_BALANCE]
        self._now = now_ns
        self._move_in(account, asset, amount, opening=False)
        return self._finish("deposit")

    def submit(self, now_ns: int, new: NewOrder) -> list[Event]:
        """The new order's reports, those of the orders it met, public trades and balances; or one `Refused`."""
        instrument = self.instruments.get(new.symbol)
        if instrument is None:
            return [filters.INVALID_SYMBOL]
        refused = self._refusal(instrument, new)
        if refused is not None:
            return [refused]
        self._now = now_ns
        order = self._order(new)
        plan = self._plan(order, instrument)
        refused = self._fund(order, plan)
        if refused is not None:
            return [refused]
        self._accept(order)
        self._carry_out(order, plan)
        self._end_or_rest(order, plan)
        return self._finish("order")

    def cancel(
        self,
        now_ns: int,
        account: str,
        symbol: str,
        *,
        order_id: int | None = None,
        client_order_id: str | None = None,
        cancel_id: str | None = None,
    ) -> list[Event]:
        """End an open order; refused when there is none of that id."""
        order = self._registry.find(account, symbol, order_id, client_order_id)
        if order is None or not order.status.open:
            return [filters.UNKNOWN_ORDER]
        self._now = now_ns
        self._cancel(order, cancel_id)
        return self._finish("cancel")

    def cancel_all(self, now_ns: int, account: str, symbol: str, cancel_id: str | None = None) -> list[Event]:
        """End every open order of the account; refused when there is none."""
        orders = self._registry.open(account, symbol)
        if not orders:
            return [filters.UNKNOWN_ORDER]
        self._now = now_ns
        for order in orders:
            self._cancel(order, cancel_id)
        return self._finish("cancel")

    def feed(self, now_ns: int, symbol: str, recorded: Recorded) -> list[Event]:
        """Recorded market data moves the recorded book; resting orders that it reaches are filled as makers."""
        self._now = now_ns
        for fill in self._recorded[symbol].apply(recorded):
            self._trade(fill.order, None, fill.order.price, fill.qty)
        return self._finish("trade")

    # What it knows

    def market(self, symbol: str) -> Market:
        return self._markets[symbol]

    def books(self) -> dict[str, PriceTimeBook]:
        """The markets in which flow and clients trade with each other."""
        return self._books

    def recorded_books(self) -> dict[str, RecordedBook]:
        return self._recorded

    def order(
        self, account: str, symbol: str, *, order_id: int | None = None, client_order_id: str | None = None
    ) -> Order | None:
        return self._registry.find(account, symbol, order_id, client_order_id)

    def open_orders(self, account: str, symbol: str | None = None) -> list[Order]:
        symbols = self.instruments if symbol is None else (symbol,)
        return [order for one in symbols for order in self._registry.open(account, one)]

    def all_orders(self, account: str, symbol: str) -> list[Order]:
        return self._registry.all(account, symbol)

    def executions(self, account: str, symbol: str) -> list[OrderReport]:
        return self._registry.executions(account, symbol)

    def balances(self, account: str) -> dict[str, Balance]:
        return self._wallets.of(account)

    def accounts(self) -> list[str]:
        return self._wallets.accounts()

    def fees(self) -> Fees:
        return self._fees

    def default_mode(self) -> SelfTradePrevention:
        return self._mode

    def reference_price(self, symbol: str) -> int:
        """Last trade, else the best bid or ask, else 0."""
        if symbol in self._last_price:
            return self._last_price[symbol]
        market = self._markets[symbol]
        best = market.best(Side.BUY) or market.best(Side.SELL)
        return 0 if best is None else best[0]

    # Before anything moves

    def _refusal(self, instrument: Instrument, new: NewOrder) -> Refused | None:
        if self._wallets.is_unlimited(new.account):
            return None
        open_orders = self._registry.count_open(new.account, new.symbol)
        refused = filters.refusal(instrument, new, self.reference_price(new.symbol), open_orders)
        if refused is not None:
            return refused
        twin = self._registry.find(new.account, new.symbol, None, new.client_order_id)
        if twin is not None and twin.status.open:
            return filters.DUPLICATE
        if new.type is OrderType.LIMIT_MAKER and self._would_take(new):
            return filters.WOULD_TAKE
        return None

    def _would_take(self, new: NewOrder) -> bool:
        return next(iter(self._markets[new.symbol].walk(new.side, new.price)), None) is not None

    def _order(self, new: NewOrder) -> Order:
        return Order(
            order_id=0,
            account=new.account,
            symbol=new.symbol,
            client_order_id=new.client_order_id,
            side=new.side,
            type=new.type,
            time_in_force=new.time_in_force,
            price=new.price,
            orig_qty=new.qty,
            quote_qty=new.quote_qty,
            self_trade_prevention=new.self_trade_prevention or self._mode,
            created_ns=self._now,
            updated_ns=self._now,
        )

    def _plan(self, order: Order, instrument: Instrument) -> Plan:
        limit = None if order.type is OrderType.MARKET else order.price
        walk = self._markets[order.symbol].walk(order.side, limit)
        if order.quote_qty > 0:
            plan = plan_by_quote(order, walk, instrument.step)
            order.orig_qty = plan.filled + plan.decremented(order)
            return plan
        plan = plan_by_quantity(order, walk)
        if order.time_in_force is TimeInForce.FOK and plan.filled < order.orig_qty:
            return Plan([])
        return plan

    def _fund(self, order: Order, plan: Plan) -> Refused | None:
        """Lock what the order may need; a market buy needs what its plan costs."""
        if order.type is not OrderType.MARKET:
            amount = needed(order.side, order.price, order.orig_qty)
        else:
            amount = plan.cost if order.side is Side.BUY else order.orig_qty
        asset = self._paid_in(order)
        if not self._wallets.affords(order.account, asset, amount):
            return filters.INSUFFICIENT_BALANCE
        self._wallets.lock(order.account, asset, amount)
        order.locked = amount
        return None

    # While things move

    def _accept(self, order: Order) -> None:
        order.order_id = self._registry.next_id()
        self._registry.add(order)
        self._report(order, ExecutionType.NEW)

    def _carry_out(self, taker: Order, plan: Plan) -> None:
        market = self._markets[taker.symbol]
        for step in plan.steps:
            if step.prevented:
                self._prevent(taker, step, market)
                continue
            self._trade(taker, step.contra, step.contra.price, step.qty)

    def _trade(self, order: Order, contra: Contra | None, price: int, qty: int) -> None:
        """One trade of `order` with a contra, or (contra None) of a resting order with the recorded market."""
        market = self._markets[order.symbol]
        maker = None if contra is None else contra.order
        trade_id, quote = market.next_trade_id(), notional(price, qty)
        order_is_maker = contra is None
        sides = [(order, order_is_maker, maker)]
        if maker is not None:
            sides.append((maker, True, order))
        for party, _, _ in sides:
            party.executed += qty
            party.cum_quote += quote
        if contra is not None:
            market.consume(order.side, contra, qty)
        for party, is_maker, other in sides:
            self._settle(party, trade_id, price, qty, quote, is_maker=is_maker, counter=other)
        if maker is None:
            self._settle_market(order, qty, quote)
        self._print(order, order_is_maker, trade_id, price, qty, market.prints)

    def _settle(
        self, order: Order, trade_id: int, price: int, qty: int, quote: int, *, is_maker: bool, counter: Order | None
    ) -> None:
        """Pay, receive less the fee, give back what the better price left over, report."""
        instrument = self.instruments[order.symbol]
        buys = order.side is Side.BUY
        paid, received = (quote, qty) if buys else (qty, quote)
        got_in = instrument.base if buys else instrument.quote
        market_order = self._wallets.is_unlimited(order.account)
        rate = self._fees.maker if is_maker else self._fees.taker
        fee = 0 if market_order else share(received, rate)
        order.locked -= paid
        self._wallets.spend_locked(order.account, self._paid_in(order), paid)
        self._wallets.credit(order.account, got_in, received - fee)
        if fee:
            self._wallets.credit(FEES, got_in, fee)
        order.status = _status_after_trade(order)
        self._release_excess(order)
        self._report(
            order,
            ExecutionType.TRADE,
            last_qty=qty,
            last_px=price,
            last_quote=quote,
            trade_id=trade_id,
            fee=fee,
            fee_asset=got_in,
            is_maker=is_maker,
            counter_order_id=-1 if counter is None else counter.order_id,
            counter_account=MARKET if counter is None else counter.account,
        )
        if not order.status.open:
            self._close(order)

    def _settle_market(self, order: Order, qty: int, quote: int) -> None:
        """The recorded market's side of a trade."""
        instrument = self.instruments[order.symbol]
        sign = -1 if order.side is Side.BUY else 1
        self._wallets.credit(MARKET, instrument.base, sign * qty)
        self._wallets.credit(MARKET, instrument.quote, -sign * quote)

    def _print(self, order: Order, order_is_maker: bool, trade_id: int, price: int, qty: int, public: bool) -> None:
        self._last_price[order.symbol] = price
        if public:
            buyer_is_maker = (order.side is Side.BUY) == order_is_maker
            self._events.append(
                Printed(
                    ts_ns=self._now,
                    symbol=order.symbol,
                    trade_id=trade_id,
                    price=price,
                    qty=qty,
                    buyer_is_maker=buyer_is_maker,
                )
            )

    def _prevent(self, taker: Order, step: Step, market: Market) -> None:
        """Self-trade prevention: the maker expires, or (EXPIRE_TAKER) is left alone, or (DECREMENT) both shrink."""
        maker = step.contra.order
        assert maker is not None
        mode = taker.self_trade_prevention
        if mode is SelfTradePrevention.EXPIRE_TAKER:
            return
        if mode is SelfTradePrevention.DECREMENT:
            taker.prevented += step.qty
        maker.prevented += step.qty
        market.consume(taker.side, step.contra, step.qty)
        for order in (taker, maker) if mode is SelfTradePrevention.DECREMENT else (maker,):
            self._after_prevention(order, step.qty)

    def _after_prevention(self, order: Order, qty: int) -> None:
        if order.leaves == 0:
            order.status = Status.EXPIRED_IN_MATCH
        self._release_excess(order)
        self._report(order, ExecutionType.TRADE_PREVENTION, last_qty=qty)
        if not order.status.open:
            self._close(order)

    def _end_or_rest(self, order: Order, plan: Plan) -> None:
        if not order.status.open:
            return
        if plan.taker_expires:
            prevented = order.leaves
            order.prevented += prevented
            self._after_prevention(order, prevented)
        elif order.type is OrderType.MARKET or order.time_in_force is not TimeInForce.GTC:
            self._end(order, Status.EXPIRED, ExecutionType.EXPIRED)
        else:
            self._markets[order.symbol].rest(order)

    def _cancel(self, order: Order, cancel_id: str | None) -> None:
        self._markets[order.symbol].remove(order)
        self._end(order, Status.CANCELED, ExecutionType.CANCELED, cancel_id)

    def _end(self, order: Order, status: Status, execution: ExecutionType, cancel_id: str | None = None) -> None:
        order.status = status
        self._release_excess(order)
        self._report(order, execution, cancel_id=cancel_id)
        self._close(order)

    def _release_excess(self, order: Order) -> None:
        """Unlock what the order can no longer need."""
        if not order.status.open:
            excess = order.locked
        elif order.type is OrderType.MARKET:
            return
        else:
            excess = order.locked - needed(order.side, order.price, order.leaves)
        order.locked -= excess
        self._wallets.unlock(order.account, self._paid_in(order), excess)

    def _close(self, order: Order) -> None:
        self._registry.close(order, forget=self._wallets.is_unlimited(order.account))

    # After

    def _report(self, order: Order, execution: ExecutionType, **more: object) -> None:
        order.updated_ns = self._now
        if self._wallets.is_unlimited(order.account):
            return
        self._execution_id += 1
        report = OrderReport(
            ts_ns=self._now,
            execution_id=self._execution_id,
            execution=execution,
            order=msgspec.structs.replace(order),
            **more,  # type: ignore[arg-type]
        )
        self._events.append(report)
        if execution is ExecutionType.TRADE:
            self._registry.execute(report)

    def _move_in(self, account: str, asset: str, amount: int, *, opening: bool) -> None:
        self._wallets.credit(account, asset, amount)
        self._events.append(Deposited(ts_ns=self._now, account=account, asset=asset, amount=amount, opening=opening))

    def _finish(self, cause: str) -> list[Event]:
        for account, asset in self._wallets.take_touched():
            if not self._wallets.is_unlimited(account):
                balance = self._wallets.balance(account, asset)
                self._events.append(
                    BalanceChanged(
                        ts_ns=self._now,
                        account=account,
                        asset=asset,
                        free=balance.free,
                        locked=balance.locked,
                        cause=cause,
                    )
                )
        events, self._events = self._events, []
        return events

    def _paid_in(self, order: Order) -> str:
        instrument = self.instruments[order.symbol]
        return instrument.quote if order.side is Side.BUY else instrument.base


def _status_after_trade(order: Order) -> Status:
    """FILLED promises the whole quantity, so an order that was decremented before does not end with it."""
    if order.leaves > 0:
        return Status.PARTIALLY_FILLED
    return Status.FILLED if order.prevented == 0 else Status.EXPIRED_IN_MATCH
