"""Stop orders in the core: what triggers them, what they then do, what they lock; with generated and recorded books."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.simulated.core import Core
from adapters.simulated.model import (
    Amendment,
    BookSnapshot,
    Event,
    ExecutionType,
    MarketTrade,
    NewOrder,
    Order,
    OrderType,
    Refused,
    Side,
    Status,
    TimeInForce,
)
from adapters.simulated.stops import is_reached
from adapters.simulated.units import SCALE
from tests.adapters.simulated.builders import BUY, INSTRUMENT, SELL, SYMBOL, core, fills, held, order, reports, steps
from tests.adapters.simulated.test_core_properties import (
    ACCOUNTS,
    FEES,
    POOR,
    amendments,
    carry_out,
    new_orders,
    totals,
)

STOP, STOP_LIMIT = OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT
PROFIT, PROFIT_LIMIT = OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT


@pytest.fixture
def venue() -> Core:
    """The last trade was at 100; bids from 99 down, asks from 101 up, ten a level."""
    made = core("us", "maker", "taker")
    trade_at(made, 100)
    for away in range(1, 6):
        made.submit(1, order("maker", BUY, 10, 100 - away))
        made.submit(1, order("maker", SELL, 10, 100 + away))
    return made


def trade_at(venue: Core, price: int) -> list[Event]:
    """Somebody else trades one there, between the spread or at its edge."""
    if price == 100:
        venue.submit(1, order("maker", SELL, 1, price))
        return venue.submit(1, order("taker", BUY, 1, price))
    side = BUY if price > 100 else SELL
    return venue.submit(2, order("taker", side, 10 * (abs(price - 100) - 1) + 1))


@pytest.mark.parametrize(
    ("kind", "side", "stop", "quiet", "reaches"),
    [
        (STOP, BUY, 102, 101, 102),
        (STOP, SELL, 98, 99, 98),
        (PROFIT, SELL, 102, 101, 103),
        (PROFIT, BUY, 98, 99, 97),
    ],
)
def test_each_kind_waits_for_its_own_direction(
    venue: Core, kind: OrderType, side: Side, stop: int, quiet: int, reaches: int
) -> None:
    placed = venue.submit(1, order("us", side, 2, kind=kind, stop=stop, client_order_id="stop"))
    assert steps(placed, "us") == ["NEW/NEW"]
    assert steps(trade_at(venue, quiet), "us") == []
    done = steps(trade_at(venue, reaches), "us")
    assert done[0] == "TRIGGERED/NEW"
    assert done[-1] == "TRADE/FILLED"


@pytest.mark.parametrize(("kind", "side", "stop"), [(STOP, BUY, 100), (STOP, SELL, 100), (PROFIT, SELL, 99)])
def test_what_would_trigger_at_once_is_refused(venue: Core, kind: OrderType, side: Side, stop: int) -> None:
    assert venue.submit(1, order("us", side, 1, kind=kind, stop=stop)) == [
        Refused(-2010, "Order would trigger immediately.")
    ]


def test_a_stop_limit_order_rests_at_its_limit_once_triggered(venue: Core) -> None:
    venue.submit(1, order("us", SELL, 2, 104, kind=STOP_LIMIT, stop=98, client_order_id="stop"))
    assert venue.market(SYMBOL).depth(9)[1][3] == (104 * SCALE, 10 * SCALE)
    trade_at(venue, 98)
    assert venue.market(SYMBOL).depth(9)[1][3] == (104 * SCALE, 12 * SCALE)
    found = venue.order("us", SYMBOL, client_order_id="stop")
    assert found is not None
    assert (found.status, found.working_ns) == (Status.NEW, 2)


def test_a_triggered_stop_limit_order_obeys_its_time_in_force(venue: Core) -> None:
    venue.submit(1, order("us", BUY, 50, 102, kind=STOP_LIMIT, stop=102, time_in_force=TimeInForce.FOK))
    assert steps(trade_at(venue, 102), "us") == ["TRIGGERED/NEW", "EXPIRED/EXPIRED"]
    assert held(venue, "us", "USDT")[1] == 0


def test_one_stop_triggers_the_next(venue: Core) -> None:
    venue.submit(1, order("us", SELL, 20, kind=STOP, stop=99))
    venue.submit(1, order("maker", SELL, 1, kind=STOP, stop=97))
    events = trade_at(venue, 99)
    assert fills(events, "us") == [(99, 9), (98, 10), (97, 1)]
    assert steps(events, "maker").count("TRIGGERED/NEW") == 1


def test_the_nearer_stop_is_triggered_first_and_at_one_price_the_older(venue: Core) -> None:
    for name, stop in (("far", 103), ("near", 102), ("nearer in age", 102)):
        venue.submit(1, order("us", BUY, 1, kind=STOP, stop=stop, client_order_id=name.replace(" ", "-")))
    events = venue.submit(2, order("taker", BUY, 25))
    named = [one.order.client_order_id for one in reports(events, "us", ExecutionType.TRIGGERED)]
    assert named == ["near", "nearer-in-age", "far"]


def test_a_waiting_stop_locks_and_its_cancel_unlocks(venue: Core) -> None:
    venue.submit(1, order("us", BUY, 2, kind=STOP, stop=105, client_order_id="market"))
    assert held(venue, "us", "USDT")[1] == 210 * SCALE
    venue.submit(1, order("us", BUY, 2, 106, kind=STOP_LIMIT, stop=105, client_order_id="limit"))
    assert held(venue, "us", "USDT")[1] == 422 * SCALE
    venue.cancel(2, "us", SYMBOL, client_order_id="market")
    venue.cancel_all(2, "us", SYMBOL)
    assert held(venue, "us", "USDT")[1] == 0
    assert steps(trade_at(venue, 105), "us") == []


def test_a_triggered_market_buy_that_cannot_be_paid_expires(venue: Core) -> None:
    venue.open_account(0, "poor", {"USDT": 205 * SCALE})
    venue.submit(1, order("poor", BUY, 2, kind=STOP, stop=102))
    events = venue.submit(2, order("taker", BUY, 35))
    assert steps(events, "poor") == ["TRIGGERED/NEW", "EXPIRED/EXPIRED"]
    assert held(venue, "poor", "USDT") == (205 * SCALE, 0)


def test_waiting_stops_are_limited_in_number(venue: Core) -> None:
    for _ in range(5):
        venue.submit(1, order("us", BUY, 1, kind=STOP, stop=105))
    assert venue.submit(1, order("us", BUY, 1, kind=STOP, stop=105)) == [
        Refused(-1013, "Filter failure: MAX_NUM_ALGO_ORDERS")
    ]
    assert steps(venue.submit(1, order("us", BUY, 1, 95)), "us") == ["NEW/NEW"]


def test_a_recorded_trade_triggers_beside_a_recorded_book() -> None:
    venue = core("us", recorded=True)
    book = BookSnapshot(10, [(99 * SCALE, 5 * SCALE)], [(101 * SCALE, 4 * SCALE)])
    venue.feed(1, SYMBOL, book)
    venue.submit(1, order("us", SELL, 2, kind=STOP, stop=98, client_order_id="stop"))
    assert venue.feed(2, SYMBOL, MarketTrade(99 * SCALE, SCALE, buyer_is_maker=True)) == []
    events = venue.feed(3, SYMBOL, MarketTrade(98 * SCALE, SCALE, buyer_is_maker=True))
    assert steps(events, "us") == ["TRIGGERED/NEW", "TRADE/FILLED"]
    assert fills(events, "us") == [(99, 2)]


market_trades = st.builds(
    MarketTrade,
    price=st.integers(96, 104).map(SCALE.__mul__),
    qty=st.integers(1, 9).map(SCALE.__mul__),
    buyer_is_maker=st.booleans(),
)


@given(st.lists(st.one_of(new_orders(), new_orders(), amendments, market_trades), max_size=40))
def test_money_only_moves_when_recorded_trades_trigger_stops(history: list[NewOrder | Amendment | MarketTrade]) -> None:
    venue = Core([INSTRUMENT], fees=FEES, recorded=[SYMBOL])
    for account in ACCOUNTS:
        venue.open_account(0, account, POOR)
    book = BookSnapshot(10, [(98 * SCALE, 5 * SCALE)], [(102 * SCALE, 4 * SCALE)])
    venue.feed(0, SYMBOL, book)
    before = totals(venue)
    for now, step in enumerate(history, start=1):
        events = venue.feed(now, SYMBOL, step) if isinstance(step, MarketTrade) else carry_out(venue, now, step)
        assert totals(venue) == before
        for one in (one for account in ACCOUNTS for one in venue.open_orders(account)):
            assert one.working or not isinstance(step, MarketTrade) or not reached(one, step.price), events
    for account in ACCOUNTS:
        locked = sum(one.locked for one in venue.open_orders(account))
        assert sum(one.locked for one in venue.balances(account).values()) == locked


def reached(one: Order, price: int) -> bool:
    return is_reached(one.type, one.side, one.stop_price, price)
