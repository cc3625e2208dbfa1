"""The matching core: orders and recorded market data in, events out; no I/O and no clock.

Laws:
- An operation either returns one `Refused` and changes nothing, or is carried out whole.
- Money moves between accounts and is never made: what a buyer pays the seller gets, fees go to `FEES`.
- The buyer pays its fee in base, the seller in quote, each at its account's maker or taker rate. Of contracts the fee, and what
  a trade gains or loses, is paid in the currency of settlement; the other side of a gain is the `MARKET` (see `contracts`).
- Events of one operation are in the order in which things happened; balances come last, one per balance.
- The market's own orders (unlimited accounts) make no reports, only public trades.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from adapters.simulated import filters
from adapters.simulated.book import Market, PriceTimeBook
from adapters.simulated.contracts import Position
from adapters.simulated.instruments import Instrument
from adapters.simulated.matching import Plan, plan_by_quantity, plan_by_quote
from adapters.simulated.model import (
    Amendment,
    Event,
    MarketTrade,
    NewOrder,
    Order,
    OrderReport,
    OrderType,
    Recorded,
    Refused,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from adapters.simulated.queues import RISK_AVERSE, QueueModel
from adapters.simulated.recorded import RecordedBook
from adapters.simulated.resume import Remains, restore_accounts, restore_orders
from adapters.simulated.settlement import FEES, MARKET, Fees, Settlement
from adapters.simulated.stops import is_reached
from adapters.simulated.wallets import Balance, Wallets


class Core:
    """One venue: accounts, orders, and a market per instrument (`PriceTimeBook` unless another is given)."""

    def __init__(
        self,
        instruments: Iterable[Instrument],
        *,
        fees: Fees | None = None,
        recorded: Iterable[str] = (),
        self_trade_prevention: SelfTradePrevention = SelfTradePrevention.EXPIRE_MAKER,
        queue: QueueModel = RISK_AVERSE,
        keeps_depth: bool = True,
    ) -> None:
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        replayed = set(recorded)
        self._recorded = {symbol: RecordedBook(queue, keeps_depth) for symbol in self.instruments if symbol in replayed}
        self._books = {symbol: PriceTimeBook() for symbol in self.instruments if symbol not in replayed}
        self._markets: dict[str, Market] = {**self._books, **self._recorded}
        self._mode = self_trade_prevention
        self._wallets = Wallets()
        self._wallets.open(FEES, unlimited=True)
        self._wallets.open(MARKET, unlimited=True)
        self._settlement = Settlement(self.instruments, self._markets, fees or Fees(), self._wallets)

    def restore(self, remains: Remains) -> None:
        """Begin the next life: accounts, orders and ids as they were. Open orders wait for `reopen`."""
        restore_accounts(self._wallets, remains, FEES, MARKET)
        restore_orders(self._settlement.registry, remains)
        self._settlement.begin_life(remains.first_id, remains.positions)
        for market in self._markets.values():
            market.begin_life(remains.first_id)

    def reopen(self) -> None:
        """Restored open orders go into the books as they stand, oldest first; nothing is matched by that."""
        for order in self._settlement.registry.every_open():
            if order.working:
                self._markets[order.symbol].rest(order)
            else:
                self._settlement.stops.add(order)

    # What is asked of it

    def open_account(self, now_ns: int, account: str, balances: Mapping[str, int]) -> list[Event]:
        """A new account with its opening balances in 1e-8."""
        self._settlement.begin(now_ns)
        self._wallets.open(account)
        for asset, amount in balances.items():
            self._settlement.move_in(account, asset, amount, opening=True)
        return self._settlement.finish("opening")

    def deposit(self, now_ns: int, account: str, asset: str, amount: int) -> list[Event]:
        """Money from outside, or to it when negative; refused when more than the free balance would go."""
        if amount < 0 and not self._wallets.affords(account, asset, -amount):
            return [filters.INSUFFICIENT_BALANCE]
        self._settlement.begin(now_ns)
        self._settlement.move_in(account, asset, amount, opening=False)
        return self._settlement.finish("deposit")

    def submit(self, now_ns: int, new: NewOrder) -> list[Event]:
        """The new order's reports, those of the orders it met, public trades and balances; or one `Refused`."""
        instrument = self.instruments.get(new.symbol)
        if instrument is None:
            return [filters.INVALID_SYMBOL]
        refused = self._refusal(new)
        if refused is not None:
            return [refused]
        self._settlement.begin(now_ns)
        order = self._order(now_ns, new)
        plan = Plan([]) if new.type.waits else self._plan(order, instrument)
        refused = self._settlement.fund(order, plan)
        if refused is not None:
            return [refused]
        self._settlement.accept(order)
        if order.working:
            self._work(order, plan)
            self._trigger_stops()
        return self._settlement.finish("order")

    def amend(self, now_ns: int, amendment: Amendment) -> list[Event]:
        """Shrink an open order in its place; refused when that is not what is asked for."""
        registry, one = self._settlement.registry, amendment
        order = registry.find(one.account, one.symbol, one.order_id, one.orig_client_order_id)
        if order is None or not order.status.open:
            return [filters.AMENDS_UNKNOWN]
        refused = filters.amend_refusal(self.instruments[one.symbol], order, one)
        if refused is not None:
            return [refused]
        twin = registry.find(one.account, one.symbol, None, one.client_order_id)
        if twin is not None and twin is not order and twin.status.open:
            return [filters.AMENDS_TO_DUPLICATE]
        self._settlement.begin(now_ns)
        self._settlement.amend(order, one)
        return self._settlement.finish("amend")

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
        order = self._settlement.registry.find(account, symbol, order_id, client_order_id)
        if order is None or not order.status.open:
            return [filters.UNKNOWN_ORDER]
        self._settlement.begin(now_ns)
        self._settlement.cancel(order, cancel_id)
        return self._settlement.finish("cancel")

    def cancel_all(self, now_ns: int, account: str, symbol: str, cancel_id: str | None = None) -> list[Event]:
        """End every open order of the account; refused when there is none."""
        orders = self._settlement.registry.open(account, symbol)
        if not orders:
            return [filters.UNKNOWN_ORDER]
        self._settlement.begin(now_ns)
        for order in orders:
            self._settlement.cancel(order, cancel_id)
        return self._settlement.finish("cancel")

    def feed(self, now_ns: int, symbol: str, recorded: Recorded) -> list[Event]:
        """Recorded market data moves the recorded book; resting orders that it reaches are filled as makers."""
        self._settlement.begin(now_ns)
        is_quiet = True
        for fill in self._recorded[symbol].apply(recorded):
            is_quiet = False
            self._settlement.trade(fill.order, None, fill.order.price, fill.qty)
        if isinstance(recorded, MarketTrade):
            is_quiet = False
            self._settlement.note_price(symbol, recorded.price)
        if is_quiet:
            return []
        self._trigger_stops()
        return self._settlement.finish("trade")

    def _work(self, order: Order, plan: Plan) -> None:
        self._settlement.carry_out(order, plan)
        self._settlement.end_or_rest(order, plan)

    def _trigger_stops(self) -> None:
        """Those that this operation's trades reached, and those that their trades reach in turn."""
        while (order := self._settlement.stops.next_triggered()) is not None:
            plan = self._plan(order, self.instruments[order.symbol])
            if self._settlement.trigger(order, plan):
                self._work(order, plan)

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
        return self._settlement.registry.find(account, symbol, order_id, client_order_id)

    def open_orders(self, account: str, symbol: str | None = None) -> list[Order]:
        symbols = self.instruments if symbol is None else (symbol,)
        return [order for one in symbols for order in self._settlement.registry.open(account, one)]

    def all_orders(self, account: str, symbol: str) -> list[Order]:
        return self._settlement.registry.all(account, symbol)

    def executions(self, account: str, symbol: str) -> list[OrderReport]:
        return self._settlement.registry.executions(account, symbol)

    def balances(self, account: str) -> dict[str, Balance]:
        return self._wallets.of(account)

    def position(self, account: str, symbol: str) -> Position:
        """In a contract."""
        return self._settlement.position(account, symbol)

    def accounts(self) -> list[str]:
        return self._wallets.accounts()

    def fees(self) -> Fees:
        return self._settlement.fees

    def default_mode(self) -> SelfTradePrevention:
        return self._mode

    def reference_price(self, symbol: str) -> int:
        """Last trade, else the best bid or ask, else 0."""
        if symbol in self._settlement.last_price:
            return self._settlement.last_price[symbol]
        market = self._markets[symbol]
        best = market.best(Side.BUY) or market.best(Side.SELL)
        return 0 if best is None else best[0]

    # Before anything moves

    def filtered(self, new: NewOrder) -> Refused | None:
        """The filter that a new order would fail; balances, duplicates and the book are not looked at."""
        registry, instrument = self._settlement.registry, self.instruments[new.symbol]
        count = registry.count_open(new.account, new.symbol)
        stops = registry.count_stops(new.account, new.symbol) if new.type.waits else 0
        return filters.refusal(instrument, new, self.reference_price(new.symbol), count, stops)

    def _refusal(self, new: NewOrder) -> Refused | None:
        if self._wallets.is_unlimited(new.account):
            return None
        refused = self.filtered(new)
        if refused is not None:
            return refused
        if new.quote_qty > 0 and self.instruments[new.symbol].is_contract:
            return filters.IN_CONTRACTS
        twin = self._settlement.registry.find(new.account, new.symbol, None, new.client_order_id)
        if twin is not None and twin.status.open:
            return filters.DUPLICATE
        if new.type is OrderType.LIMIT_MAKER and self._would_take(new):
            return filters.WOULD_TAKE
        if new.type.waits and self._would_trigger(new):
            return filters.WOULD_TRIGGER
        return None

    def _would_trigger(self, new: NewOrder) -> bool:
        price = self.reference_price(new.symbol)
        return price > 0 and is_reached(new.type, new.side, new.stop_price, price)

    def _would_take(self, new: NewOrder) -> bool:
        return next(iter(self._markets[new.symbol].walk(new.side, new.price)), None) is not None

    def _order(self, now_ns: int, new: NewOrder) -> Order:
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
            stop_price=new.stop_price,
            quote_qty=new.quote_qty,
            self_trade_prevention=new.self_trade_prevention or self._mode,
            created_ns=now_ns,
            updated_ns=now_ns,
        )

    def _plan(self, order: Order, instrument: Instrument) -> Plan:
        limit = order.price if order.type.priced else None
        walk = self._markets[order.symbol].walk(order.side, limit)
        if order.quote_qty > 0:
            plan = plan_by_quote(order, walk, instrument.step)
            order.orig_qty = plan.filled + plan.decremented(order)
            return plan
        plan = plan_by_quantity(order, walk)
        if order.time_in_force is TimeInForce.FOK and plan.filled < order.orig_qty:
            return Plan([])
        return plan
