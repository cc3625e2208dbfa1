"""What holds whatever is sent: money is conserved, nothing goes negative, priority is kept, the book is uncrossed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from adapters.simulated.core import Core
from adapters.simulated.model import (
    Amendment,
    Event,
    ExecutionType,
    NewOrder,
    OrderReport,
    OrderType,
    Printed,
    Refused,
    SelfTradePrevention,
    Side,
    Status,
    TimeInForce,
)
from adapters.simulated.settlement import Fees
from adapters.simulated.stops import is_reached
from adapters.simulated.units import SCALE
from tests.adapters.simulated.builders import INSTRUMENT, SYMBOL

ACCOUNTS = ("ann", "bob", "eve")
POOR = {"BTC": 30 * SCALE, "USDT": 3000 * SCALE}
FEES = Fees(maker=SCALE // 1000 + 7, taker=SCALE // 500 + 3)


Step = NewOrder | Amendment | tuple[str, int]


@st.composite
def new_orders(draw: st.DrawFn) -> NewOrder:
    kind = draw(st.sampled_from(OrderType))
    by_quote = kind is OrderType.MARKET and draw(st.booleans())
    timed = kind.priced and kind is not OrderType.LIMIT_MAKER
    in_force = draw(st.sampled_from(TimeInForce)) if timed else TimeInForce.GTC
    return NewOrder(
        account=draw(st.sampled_from(ACCOUNTS)),
        symbol=SYMBOL,
        side=draw(st.sampled_from(Side)),
        type=kind,
        client_order_id=f"c{draw(st.integers(0, 40))}",
        time_in_force=in_force,
        qty=0 if by_quote else draw(st.integers(1, 8)) * SCALE,
        price=draw(st.integers(95, 105)) * SCALE if kind.priced else 0,
        stop_price=draw(st.integers(96, 104)) * SCALE if kind.waits else 0,
        quote_qty=draw(st.integers(100, 900)) * SCALE if by_quote else 0,
        self_trade_prevention=draw(st.sampled_from([None, *SelfTradePrevention])),
    )


cancels = st.tuples(st.sampled_from(ACCOUNTS), st.integers(0, 40))
amendments = st.builds(
    Amendment,
    account=st.sampled_from(ACCOUNTS),
    symbol=st.just(SYMBOL),
    orig_client_order_id=st.integers(0, 40).map("c{}".format),
    client_order_id=st.integers(0, 40).map("c{}".format),
    qty=st.integers(1, 7).map(SCALE.__mul__),
)
histories = st.lists(st.one_of(new_orders(), new_orders(), amendments, cancels), max_size=50)


def venue() -> Core:
    made = Core([INSTRUMENT], fees=FEES)
    for account in ACCOUNTS:
        made.open_account(0, account, POOR)
    return made


def carry_out(core: Core, now: int, step: Step) -> list[Event]:
    if isinstance(step, NewOrder):
        return core.submit(now, step)
    if isinstance(step, Amendment):
        return core.amend(now, step)
    account, number = step
    return core.cancel(now, account, SYMBOL, client_order_id=f"c{number}")


def totals(core: Core) -> Counter[str]:
    found: Counter[str] = Counter()
    for account in core.accounts():
        for asset, balance in core.balances(account).items():
            found[asset] += balance.free + balance.locked
    return found


@given(histories)
def test_money_only_moves_and_no_balance_goes_negative(history: list[Step]) -> None:
    core = venue()
    before = totals(core)
    for now, step in enumerate(history):
        carry_out(core, now, step)
        assert totals(core) == before
        for account in ACCOUNTS:
            assert all(one.free >= 0 and one.locked >= 0 for one in core.balances(account).values())


@given(histories)
def test_what_is_locked_is_what_open_orders_need(history: list[Step]) -> None:
    core = venue()
    for now, step in enumerate(history):
        carry_out(core, now, step)
    for account in ACCOUNTS:
        needs: Counter[str] = Counter()
        for order in core.open_orders(account):
            needs["USDT" if order.side is Side.BUY else "BTC"] += order.locked
        assert {asset: one.locked for asset, one in core.balances(account).items() if one.locked} == dict(+needs)


@given(histories)
def test_the_book_is_never_crossed(history: list[Step]) -> None:
    core = venue()
    for now, step in enumerate(history):
        carry_out(core, now, step)
        bid, ask = core.market(SYMBOL).best(Side.BUY), core.market(SYMBOL).best(Side.SELL)
        assert bid is None or ask is None or bid[0] < ask[0]


@given(histories)
def test_depth_is_the_sum_of_the_open_orders(history: list[Step]) -> None:
    core = venue()
    for now, step in enumerate(history):
        carry_out(core, now, step)
    expected: dict[Side, Counter[int]] = {side: Counter() for side in Side}
    for account in ACCOUNTS:
        for order in core.open_orders(account):
            if order.working:
                expected[order.side][order.price] += order.leaves
    bids, asks = core.market(SYMBOL).depth(100)
    assert bids == sorted(expected[Side.BUY].items(), reverse=True)
    assert asks == sorted(expected[Side.SELL].items())


@given(histories)
def test_fill_or_kill_is_all_or_nothing_and_a_refusal_changes_nothing(
    history: list[Step],
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
def test_a_stop_order_works_from_the_first_trade_that_reaches_it(history: list[Step]) -> None:
    core, waiting = venue(), dict[int, OrderReport]()
    for now, step in enumerate(history):
        events = carry_out(core, now, step)
        prices = [one.price for one in events if isinstance(one, Printed)]
        for one in reports_of(events):
            if one.execution is ExecutionType.TRIGGERED:
                placed = waiting.pop(one.order.order_id).order
                assert any(is_reached(placed.type, placed.side, placed.stop_price, price) for price in prices)
            elif one.execution is ExecutionType.NEW and one.order.type.waits:
                waiting[one.order.order_id] = one
            elif not one.order.status.open:
                waiting.pop(one.order.order_id, None)
        for placed in (one.order for one in waiting.values()):
            assert not any(is_reached(placed.type, placed.side, placed.stop_price, price) for price in prices)


def reports_of(events: list[Event]) -> list[OrderReport]:
    return [one for one in events if isinstance(one, OrderReport)]


@given(histories)
def test_reports_add_up_to_the_order(history: list[Step]) -> None:
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

    def shrink(self, arrival: int, by: int) -> bool:
        """In its place, when more than that is left of it."""
        for place, (price, arrived, side, qty) in enumerate(self.resting):
            if arrived == arrival and by < qty:
                self.resting[place] = (price, arrived, side, qty - by)
                return True
        return False


Wish = tuple[Side, int, int, TimeInForce]
placings = st.tuples(st.sampled_from(Side), st.integers(98, 102), st.integers(1, 9), st.sampled_from(TimeInForce))
shrinkings = st.tuples(st.integers(0, 7), st.integers(1, 3))
wishes = st.lists(st.one_of(placings, placings, shrinkings), max_size=60)


@given(wishes)
def test_trades_are_those_of_a_naive_exchange_in_which_what_shrinks_keeps_its_place(
    history: list[Wish | tuple[int, int]],
) -> None:
    naive, core = Naive(), Core([INSTRUMENT])
    core.open_account(0, "all", {"BTC": 10**6 * SCALE, "USDT": 10**8 * SCALE})
    for now, wish in enumerate(history, start=1):
        if len(wish) == 2:
            arrival, by = max(1, naive.arrivals - wish[0]), wish[1]
            assert shrink(core, now, arrival, by) == naive.shrink(arrival, by)
            continue
        side, price, qty, in_force = wish
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


def shrink(core: Core, now: int, arrival: int, by: int) -> bool:
    """Orders are numbered as they arrive; whether the venue agreed."""
    order = core.order("all", SYMBOL, order_id=arrival)
    if order is None or not order.status.open:
        return False
    amendment = Amendment(
        account="all",
        symbol=SYMBOL,
        order_id=arrival,
        client_order_id=f"a{now}",
        qty=order.orig_qty - by * SCALE,
    )
    return not isinstance(core.amend(now, amendment)[0], Refused)
