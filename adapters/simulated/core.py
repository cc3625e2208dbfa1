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

from adapters.simulated import filters
from adapters.simulated.book import Market, PriceTimeBook
from adapters.simulated.instruments import Instrument
from adapters.simulated.matching import Plan, plan_by_quantity, plan_by_quote
from adapters.simulated.model import (
    Event,
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
from adapters.simulated.recorded import RecordedBook
from adapters.simulated.settlement import FEES, MARKET, Fees, Settlement
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
    ) -> None:
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        replayed = set(recorded)
        self._recorded = {symbol: RecordedBook() for symbol in self.instruments if symbol in replayed}
        self._books = {symbol: PriceTimeBook() for symbol in self.instruments if symbol not in replayed}
        self._markets: dict[str, Market] = {**self._books, **self._recorded}
        self._mode = self_trade_prevention
        self._wallets = Wallets()
        self._wallets.open(FEES, unlimited=True)
        self._wallets.open(MARKET, unlimited=True)
        self._settlement = Settlement(self.instruments, self._markets, fees or Fees(), self._wallets)

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
        refused = self._refusal(instrument, new)
        if refused is not None:
            return [refused]
        self._settlement.begin(now_ns)
        order = self._order(now_ns, new)
        plan = self._plan(order, instrument)
        refused = self._settlement.fund(order, plan)
        if refused is not None:
            return [refused]
        self._settlement.accept(order)
        self._settlement.carry_out(order, plan)
        self._settlement.end_or_rest(order, plan)
        return self._settlement.finish("order")

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
        for fill in self._recorded[symbol].apply(recorded):
            self._settlement.trade(fill.order, None, fill.order.price, fill.qty)
        return self._settlement.finish("trade")

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

    def _refusal(self, instrument: Instrument, new: NewOrder) -> Refused | None:
        if self._wallets.is_unlimited(new.account):
            return None
        open_orders = self._settlement.registry.count_open(new.account, new.symbol)
        refused = filters.refusal(instrument, new, self.reference_price(new.symbol), open_orders)
        if refused is not None:
            return refused
        twin = self._settlement.registry.find(new.account, new.symbol, None, new.client_order_id)
        if twin is not None and twin.status.open:
            return filters.DUPLICATE
        if new.type is OrderType.LIMIT_MAKER and self._would_take(new):
            return filters.WOULD_TAKE
        return None

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
            quote_qty=new.quote_qty,
            self_trade_prevention=new.self_trade_prevention or self._mode,
            created_ns=now_ns,
            updated_ns=now_ns,
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
