"""What holds whatever is sent: money is conserved, nothing goes negative, priority is kept, the book is uncrossed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from adapters.simulated.core import Core
from adapters.simulated.model import (
    Event,
    ExecutionType,
    NewOrder,
    OrderReport,
    OrderType,
    Refused,
    SelfTradePrevention,
    Side,
    Status,
    TimeInForce,
)
from adapters.simulated.settlement import Fees
from adapters.simulated.units import SCALE
from tests.adapters.simulated.builders import INSTRUMENT, SYMBOL

ACCOUNTS = ("ann", "bob", "eve")
POOR = {"BTC": 30 * SCALE, "USDT": 3000 * SCALE}
FEES = Fees(maker=SCALE // 1000 + 7, taker=SCALE // 500 + 3)


@st.composite
def new_orders(draw: st.DrawFn) -> NewOrder:
    kind = draw(st.sampled_from(OrderType))
    by_quote = kind is OrderType.MARKET and draw(st.booleans())
    in_force = draw(st.sampled_from(TimeInForce)) if kind is OrderType.LIMIT else TimeInForce.GTC
    return NewOrder(
        account=draw(st.sampled_from(ACCOUNTS)),
        symbol=SYMBOL,
        side=draw(st.sampled_from(Side)),
        type=kind,
        client_order_id=f"c{draw(st.integers(0, 40))}",
        time_in_force=in_force,
        qty=0 if by_quote else draw(st.integers(1, 8)) * SCALE,
        price=0 if kind is OrderType.MARKET else draw(st.integers(95, 105)) * SCALE,
        quote_qty=draw(st.integers(100, 900)) * SCALE if by_quote else 0,
        self_trade_prevention=draw(st.sampled_from([None, *SelfTradePrevention])),
    )


cancels = st.tuples(st.sampled_from(ACCOUNTS), st.integers(0, 40))
histories = st.lists(st.one_of(new_orders(), new_orders(), cancels), max_size=50)


def venue() -> Core:
    made = Core([INSTRUMENT], fees=FEES)
    for account in ACCOUNTS:
        made.open_account(0, account, POOR)
    return made


def carry_out(core: Core, now: int, step: NewOrder | tuple[str, int]) -> list[Event]:
    if isinstance(step, NewOrder):
        return core.submit(now, step)
    account, number = step
    return core.cancel(now, account, SYMBOL, client_order_id=f"c{number}")


def totals(core: Core) -> Counter[str]:
    found: Counter[str] = Counter()
    for account in core.accounts():
        for asset, balance in core.balances(account).items():
            found[asset] += balance.free + balance.locked
    return found


@given(histories)
def test_money_only_moves_and_no_balance_goes_negative(history: list[NewOrder | tuple[str, int]]) -> None:
    core = venue()
    before = totals(core)
    for now, step in enumerate(history):
        carry_out(core, now, step)
        assert totals(core) == before
        for account in ACCOUNTS:
            assert all(one.free >= 0 and one.locked >= 0 for one in core.balances(account).values())


@given(histories)
def test_what_is_locked_is_what_open_orders_need(history: list[NewOrder | tuple[str, int]]) -> None:
    core = venue()
    for now, step in enumerate(history):
        carry_out(core, now, step)
    for account in ACCOUNTS:
        needs: Counter[str] = Counter()
        for order in core.open_orders(account):
            needs["USDT" if order.side is Side.BUY else "BTC"] += order.locked
        assert {asset: one.locked for asset, one in core.balances(account).items() if one.locked} == dict(+needs)


@given(histories)
def test_the_book_is_never_crossed(history: list[NewOrder | tuple[str, int]]) -> None:
    core = venue()
    for now, step in enumerate(history):
        carry_out(core, now, step)
        bid, ask = core.market(SYMBOL).best(Side.BUY), core.market(SYMBOL).best(Side.SELL)
        assert bid is None or ask is None or bid[0] < ask[0]


@given(histories)
def test_depth_is_the_sum_of_the_open_orders(history: list[NewOrder | tuple[str, int]]) -> None:
    core = venue()
    for now, step in enumerate(history):
        carry_out(core, now, step)
    expected: dict[Side, Counter[int]] = {side: Counter() for side in Side}
    for account in ACCOUNTS:
        for order in core.open_orders(account):
            expected[order.side][order.price] += order.leaves
    bids, asks = core.market(SYMBOL).depth(100)
    assert bids == sorted(expected[Side.BUY].items(), reverse=True)
    assert asks == sorted(expected[Side.SELL].items())


@given(histories)
def test_fill_or_kill_is_all_or_nothing_and_a_refusal_changes_nothing(
    history: list[NewOrder | tuple[str, int]],
) -> None:
    core = venue()
    for now, step in enumerate(history):
        before = (totals(core), core.market(SYMBOL).depth(100), core.market(SYMBOL).update_id)
        events = carry_out(core, now, step)
        if isinstance(events[0], Refused):
            assert len(events) == 1
            assert before == (totals(core), core.market(SYMBOL).depth(100), core.market(SYMBOL).update_id)
        elif isinstance(step, NewOrder) and step.time_in_force is TimeInForce.FOK:
            order = core.order(step.account, SYMBOL, client_order_id=step.client_order_id)
            assert order is not None
            assert order.executed in (0, order.orig_qty)


@given(histories)
def test_reports_add_up_to_the_order(history: list[NewOrder | tuple[str, int]]) -> None:
    core = venue()
    executed: Counter[int] = Counter()
    quote: Counter[int] = Counter()
    for now, step in enumerate(history):
        for one in carry_out(core, now, step):
            if isinstance(one, OrderReport) and one.execution is ExecutionType.TRADE:
                executed[one.order.order_id] += one.last_qty
                quote[one.order.order_id] += one.last_quote
    for account in ACCOUNTS:
        for order in core.all_orders(account, SYMBOL):
            assert (order.executed, order.cum_quote) == (executed[order.order_id], quote[order.order_id])
            assert order.status.open or order.locked == 0
            assert order.leaves >= 0
            assert (order.status is Status.FILLED) == (0 < order.executed == order.orig_qty)


@dataclass
class Naive:
    """The same exchange for limit orders of the rich, by sorting a list."""

    resting: list[tuple[int, int, Side, int]] = field(default_factory=list)  # price, arrival, side, quantity
    arrivals: int = 0

    def submit(self, side: Side, price: int, qty: int, in_force: TimeInForce) -> list[tuple[int, int, int]]:
        """(arrival of the maker, price, quantity) of each trade."""
        self.arrivals += 1
        sign = 1 if side is Side.BUY else -1
        facing = sorted((one for one in self.resting if one[2] is not side), key=lambda one: (one[0] * sign, one[1]))
        facing = [one for one in facing if one[0] * sign <= price * sign]
        if in_force is TimeInForce.FOK and sum(one[3] for one in facing) < qty:
            return []
        trades = []
        for one in facing:
            part = min(qty, one[3])
            if part:
                trades.append((one[1], one[0], part))
                self.resting.remove(one)
                qty -= part
                if part < one[3]:
                    self.resting.append((one[0], one[1], one[2], one[3] - part))
        if qty and in_force is TimeInForce.GTC:
            self.resting.append((price, self.arrivals, side, qty))
        return trades


wishes = st.lists(
    st.tuples(st.sampled_from(Side), st.integers(95, 105), st.integers(1, 9), st.sampled_from(TimeInForce)),
    max_size=60,
)


@given(wishes)
def test_trades_are_those_of_a_naive_exchange(history: list[tuple[Side, int, int, TimeInForce]]) -> None:
    naive, core = Naive(), Core([INSTRUMENT])
    core.open_account(0, "all", {"BTC": 10**6 * SCALE, "USDT": 10**8 * SCALE})
    for now, (side, price, qty, in_force) in enumerate(history, start=1):
        new = NewOrder(
            account="all",
            symbol=SYMBOL,
            side=side,
            type=OrderType.LIMIT,
            client_order_id=f"c{now}",
            time_in_force=in_force,
            qty=qty * SCALE,
            price=price * SCALE,
            self_trade_prevention=SelfTradePrevention.NONE,
        )
        events = core.submit(now, new)
        makers = [one for one in events if isinstance(one, OrderReport) and one.trade_id >= 0 and one.is_maker]
        trades = [(one.order.order_id, one.last_px // SCALE, one.last_qty // SCALE) for one in makers]
        assert trades == naive.submit(side, price, qty, in_force)
