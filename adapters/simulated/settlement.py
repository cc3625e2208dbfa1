"""What moves when orders are accepted, traded, prevented or ended: orders, money, and the events that say so.

The laws are the core's. Everything here happens at `now_ns` of the operation that `begin` opened and `finish` closes.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from adapters.simulated import filters
from adapters.simulated.book import Contra, Market
from adapters.simulated.contracts import Position
from adapters.simulated.funding import Funding
from adapters.simulated.instruments import Instrument
from adapters.simulated.matching import Plan, Step
from adapters.simulated.model import (
    Amendment,
    BalanceChanged,
    Deposited,
    Event,
    ExecutionType,
    Order,
    OrderReport,
    Printed,
    Refused,
    SelfTradePrevention,
    Side,
    Status,
    TimeInForce,
)
from adapters.simulated.registry import Registry
from adapters.simulated.stops import Stops
from adapters.simulated.units import SCALE, share
from adapters.simulated.wallets import Wallets

FEES = "fees"
MARKET = "market"
DEFAULT_FEE = SCALE // 1000


class Fees(msgspec.Struct, frozen=True):
    """Rates in 1e-8."""

    maker: int = DEFAULT_FEE
    taker: int = DEFAULT_FEE


class Settlement:
    """Orders and money of one venue."""

    def __init__(
        self, instruments: Mapping[str, Instrument], markets: Mapping[str, Market], fees: Fees, wallets: Wallets
    ) -> None:
        self.fees = fees
        self.registry = Registry()
        self.stops = Stops()
        self.last_price: dict[str, int] = {}
        self._instruments = instruments
        self._markets = markets
        self._wallets = wallets
        self._funding = Funding(instruments, wallets, self.registry, max(fees.maker, fees.taker))
        self._execution_id = 0
        self._events: list[Event] = []
        self._now = 0

    def begin_life(self, first_id: int, positions: Mapping[tuple[str, str], Position]) -> None:
        self._execution_id = first_id
        self._funding.positions = dict(positions)

    def position(self, account: str, symbol: str) -> Position:
        return self._funding.position(account, symbol)

    def begin(self, now_ns: int) -> None:
        self._now = now_ns

    def finish(self, cause: str) -> list[Event]:
        """The operation's events, and after them each balance that it changed, as it is now."""
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

    def move_in(self, account: str, asset: str, amount: int, *, opening: bool) -> None:
        self._wallets.credit(account, asset, amount)
        self._events.append(Deposited(ts_ns=self._now, account=account, asset=asset, amount=amount, opening=opening))

    def fund(self, order: Order, plan: Plan) -> Refused | None:
        """Lock what the order may need."""
        return None if self._funding.lock(order, plan) else filters.INSUFFICIENT_BALANCE

    def accept(self, order: Order) -> None:
        order.order_id = self.registry.next_id()
        self.registry.add(order)
        if order.type.waits:
            self.stops.add(order)
        else:
            order.working_ns = self._now
        if self._instruments[order.symbol].is_contract:
            self._funding.relock(order.account, order.symbol)
        self._report(order, ExecutionType.NEW)

    def trigger(self, order: Order, plan: Plan) -> bool:
        """A stop order begins to work; one without a limit expires when its plan costs more than there is."""
        order.working_ns = self._now
        self._report(order, ExecutionType.TRIGGERED)
        if self._funding.lock_again(order, plan):
            return True
        self._end(order, Status.EXPIRED, ExecutionType.EXPIRED)
        return False

    def amend(self, order: Order, amendment: Amendment) -> None:
        """The order shrinks where it stands and may take another client id."""
        by, replaced = order.orig_qty - amendment.qty, order.client_order_id
        order.orig_qty = amendment.qty
        order.amendments += 1
        if order.working:
            self._markets[order.symbol].reduce(order, by)
        self.registry.rename(order, amendment.client_order_id)
        self._funding.release_excess(order)
        self._report(order, ExecutionType.REPLACED, replaced_id=replaced)

    def carry_out(self, taker: Order, plan: Plan) -> None:
        market = self._markets[taker.symbol]
        for step in plan.steps:
            if step.prevented:
                self._prevent(taker, step, market)
                continue
            self.trade(taker, step.contra, step.contra.price, step.qty)

    def trade(self, order: Order, contra: Contra | None, price: int, qty: int) -> None:
        """One trade of `order` with a contra, or (contra None) of a resting order with the recorded market."""
        market = self._markets[order.symbol]
        maker = None if contra is None else contra.order
        trade_id, quote = market.next_trade_id(), self._instruments[order.symbol].value(price, qty)
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
        if maker is None and not self._instruments[order.symbol].is_contract:
            self._settle_market(order, qty, quote)
        self._print(order, order_is_maker, trade_id, price, qty, market.prints)

    def _settle(
        self, order: Order, trade_id: int, price: int, qty: int, quote: int, *, is_maker: bool, counter: Order | None
    ) -> None:
        """Pay, receive less the fee, give back what the better price left over, report."""
        rate = self.fees.maker if is_maker else self.fees.taker
        pay = self._pay_out if self._instruments[order.symbol].is_contract else self._exchange
        got_in, fee, gain = pay(order, qty, quote, rate)
        if fee:
            self._wallets.credit(FEES, got_in, fee)
        order.status = _status_after_trade(order)
        self._funding.release_excess(order)
        self._report(
            order,
            ExecutionType.TRADE,
            last_qty=qty,
            last_px=price,
            last_quote=quote,
            trade_id=trade_id,
            fee=fee,
            fee_asset=got_in,
            gain=gain,
            is_maker=is_maker,
            counter_order_id=-1 if counter is None else counter.order_id,
            counter_account=MARKET if counter is None else counter.account,
        )
        if not order.status.open:
            self._close(order)

    def _exchange(self, order: Order, qty: int, quote: int, rate: int) -> tuple[str, int, None]:
        """Base for quote; in what the fee is, and how much."""
        instrument = self._instruments[order.symbol]
        buys = order.side is Side.BUY
        paid, received = (quote, qty) if buys else (qty, quote)
        got_in = instrument.base if buys else instrument.quote
        fee = 0 if self._wallets.is_unlimited(order.account) else share(received, rate)
        self._funding.spend(order, paid)
        self._wallets.credit(order.account, got_in, received - fee)
        return got_in, fee, None

    def _pay_out(self, order: Order, qty: int, value: int, rate: int) -> tuple[str, int, int]:
        """The gain of what is closed, which the market pays, less the fee; both in the currency of settlement."""
        currency = self._instruments[order.symbol].settle
        if self._wallets.is_unlimited(order.account):
            return currency, 0, 0
        gain, fee = self._funding.settle(order, qty, value), share(value, rate)
        self._wallets.credit(order.account, currency, gain - fee)
        self._wallets.credit(MARKET, currency, -gain)
        return currency, fee, gain

    def _settle_market(self, order: Order, qty: int, quote: int) -> None:
        """The recorded market's side of a trade."""
        instrument = self._instruments[order.symbol]
        sign = -1 if order.side is Side.BUY else 1
        self._wallets.credit(MARKET, instrument.base, sign * qty)
        self._wallets.credit(MARKET, instrument.quote, -sign * quote)

    def note_price(self, symbol: str, price: int) -> None:
        """Somebody traded at this price."""
        self.last_price[symbol] = price
        self.stops.on_trade(symbol, price)

    def _print(self, order: Order, order_is_maker: bool, trade_id: int, price: int, qty: int, public: bool) -> None:
        self.note_price(order.symbol, price)
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
        self._funding.release_excess(order)
        self._report(order, ExecutionType.TRADE_PREVENTION, last_qty=qty)
        if not order.status.open:
            self._close(order)

    def end_or_rest(self, order: Order, plan: Plan) -> None:
        if not order.status.open:
            return
        if plan.taker_expires:
            prevented = order.leaves
            order.prevented += prevented
            self._after_prevention(order, prevented)
        elif not order.type.priced or order.time_in_force is not TimeInForce.GTC:
            self._end(order, Status.EXPIRED, ExecutionType.EXPIRED)
        else:
            self._markets[order.symbol].rest(order)

    def cancel(self, order: Order, cancel_id: str | None) -> None:
        if order.working:
            self._markets[order.symbol].remove(order)
        else:
            self.stops.remove(order)
        self._end(order, Status.CANCELED, ExecutionType.CANCELED, cancel_id)

    def _end(self, order: Order, status: Status, execution: ExecutionType, cancel_id: str | None = None) -> None:
        order.status = status
        self._funding.release_excess(order)
        self._report(order, execution, cancel_id=cancel_id)
        self._close(order)

    def _close(self, order: Order) -> None:
        self.registry.close(order, forget=self._wallets.is_unlimited(order.account))

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
            self.registry.execute(report)


def _status_after_trade(order: Order) -> Status:
    """FILLED promises the whole quantity, so an order that was decremented before does not end with it."""
    if order.leaves > 0:
        return Status.PARTIALLY_FILLED
    return Status.FILLED if order.prevented == 0 else Status.EXPIRED_IN_MATCH
