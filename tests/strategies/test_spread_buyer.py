from decimal import Decimal

import pytest
from msgspec.structs import replace

from strategies import Decision, Desk
from strategies.spread_buyer import SpreadBuyer
from tests.strategies.builders import BTC, SECOND, D, instrument, order, position, quote, signal, tick
from topics.controls import TradingState
from topics.market import Quote
from topics.orders import OrderStatus, OrderUpdated
from topics.portfolio import PositionChanged
from topics.record import Side, TimeInForce

NARROW = quote("100.00", "100.01")
BUYER = SpreadBuyer(
    SpreadBuyer.Params(
        order_qty=D("0.5"), max_spread_bps=D(2), min_gain_bps=D(10), max_hold_s=D(2), repeg_bps=D(5), requote_ms=300
    )
)


def desk(
    q: Quote = NARROW,
    *orders: OrderUpdated,
    held: PositionChanged | None = None,
    now: int = 0,
    state: TradingState = TradingState.ACTIVE,
) -> Desk:
    positions = [] if held is None else [held]
    return Desk.of([instrument()], quotes=[q], orders=orders, positions=positions, now=now, state=state)


def decide(d: Desk, state: SpreadBuyer.State | None = None) -> list[Decision]:
    q = d.quote(BTC)
    assert q is not None
    return list(BUYER.on_signal(SpreadBuyer.State() if state is None else state, d, signal("spread", 0.01, q)))


def held_since(ts: int) -> SpreadBuyer.State:
    return SpreadBuyer.State(held_since={BTC: ts})


def test_a_signal_comes_only_when_the_touch_moved() -> None:
    view = SpreadBuyer.View()
    assert [s.value for s in BUYER.on_quote(view, NARROW)] == [pytest.approx(0.01)]
    assert list(BUYER.on_quote(view, quote("100.00", "100.01", bid_size="7"))) == []
    assert len(list(BUYER.on_quote(view, quote("100.00", "100.02")))) == 1


def test_an_unmoved_touch_is_signalled_again_each_second() -> None:
    view = SpreadBuyer.View()
    times = [n * SECOND // 4 for n in range(9)]
    signalled = [ts for ts in times for _ in BUYER.on_quote(view, quote("100.00", "100.01", ts=ts))]
    assert signalled == [0, SECOND, 2 * SECOND]


def test_it_joins_the_best_bid_while_the_spread_is_small() -> None:
    d = desk()
    assert decide(d) == [d.limit(BTC, Side.BUY, D("100.00"), D("0.5"), post_only=True, reason="small spread")]


def test_where_it_takes_it_buys_at_the_ask_and_sells_at_the_bid_at_once() -> None:
    taker, ioc = SpreadBuyer(replace(BUYER.params, take=True)), TimeInForce.IOC
    entry = desk()
    assert list(taker.on_tick(SpreadBuyer.State(), entry, tick(0))) == [
        entry.limit(BTC, Side.BUY, D("100.01"), D("0.5"), time_in_force=ioc, reason="small spread")
    ]
    assert list(taker.on_tick(SpreadBuyer.State(), desk(quote("100.00", "100.03")), tick(0))) == []
    late = desk(held=position("0.5"), now=2 * SECOND)
    assert list(taker.on_tick(held_since(0), late, tick(2 * SECOND))) == [
        late.limit(BTC, Side.SELL, D("100.00"), D("0.5"), time_in_force=ioc, reason="held long")
    ]


def test_it_does_not_buy_into_a_wide_spread() -> None:
    assert decide(desk(quote("100.00", "100.03"))) == []


def test_it_does_not_buy_before_it_knows_the_instrument() -> None:
    assert decide(Desk.of(quotes=[NARROW])) == []


def test_it_cancels_its_bid_when_the_spread_widens() -> None:
    bid = order(price="100.00", qty="0.5")
    d = desk(quote("100.00", "100.03"), bid)
    assert decide(d) == [d.cancel(bid)]


def test_it_follows_the_bid_only_when_it_is_far_away_and_cancels_once() -> None:
    bid = order(price="100.00", qty="0.5")
    assert decide(desk(quote("100.04", "100.05"), bid)) == []
    far = desk(quote("100.06", "100.07"), bid)
    assert decide(far) == [far.cancel(bid)]
    assert decide(desk(quote("100.06", "100.07"), order(price="100.00", qty="0.5", pending_cancel=True))) == []


def test_it_sends_no_second_order_while_one_may_still_trade() -> None:
    assert decide(desk(NARROW, order(price="100.00", qty="0.5", status=OrderStatus.UNKNOWN))) == []


def test_it_keeps_its_pace_between_orders() -> None:
    state = SpreadBuyer.State()
    assert len(decide(desk(now=SECOND), state)) == 1
    assert decide(desk(now=SECOND + 299_000_000), state) == []
    assert len(decide(desk(now=SECOND + 300_000_000), state)) == 1


@pytest.mark.parametrize("status", [OrderStatus.DENIED, OrderStatus.REJECTED])
def test_it_waits_longer_after_a_refusal(status: OrderStatus) -> None:
    state = SpreadBuyer.State()
    assert list(BUYER.on_order(state, desk(), order(status=status, fact="x"))) == []
    assert decide(desk(now=SECOND - 1), state) == []
    assert len(decide(desk(now=SECOND), state)) == 1


def test_a_half_filled_bid_stays_until_there_is_something_to_sell_for() -> None:
    bid = order(price="100.00", qty="0.5", cum="0.2", status=OrderStatus.PARTIALLY_FILLED)
    assert decide(desk(NARROW, bid, held=position("0.2"))) == []
    gained = desk(quote("100.10", "100.11"), bid, held=position("0.2"))
    assert decide(gained) == [gained.cancel(bid)]


def test_it_takes_the_bid_when_it_has_gained() -> None:
    d = desk(quote("100.10", "100.11"), held=position("0.5"))
    assert decide(d) == [d.limit(BTC, Side.SELL, D("100.10"), D("0.5"), time_in_force=TimeInForce.IOC, reason="gained")]


def test_it_waits_with_what_has_not_gained() -> None:
    assert decide(desk(held=position("0.5"), now=1 * SECOND), held_since(0)) == []


def test_it_joins_the_ask_after_holding_for_long_and_follows_it_until_flat() -> None:
    d = desk(held=position("0.5"), now=2 * SECOND)
    assert decide(d, held_since(0)) == [
        d.limit(BTC, Side.SELL, D("100.01"), D("0.5"), post_only=True, reason="held long")
    ]
    ask = order(side=Side.SELL, price="100.01", qty="0.5")
    assert decide(desk(NARROW, ask, held=position("0.5"), now=2 * SECOND), held_since(0)) == []
    away = desk(quote("99.80", "99.81"), ask, held=position("0.5"), now=3 * SECOND)
    assert decide(away, held_since(0)) == [away.cancel(ask)]


def test_it_sells_what_is_left_after_a_partial_fill() -> None:
    d = desk(held=position("0.2", bought="0.5", sold="0.3"), now=3 * SECOND)
    assert [c.order_qty for c in decide(d, held_since(0)) if hasattr(c, "order_qty")] == [D("0.2")]


def test_dust_is_nothing_held() -> None:
    d = desk(held=position("0.00001"))
    assert decide(d) == [d.limit(BTC, Side.BUY, D("100.00"), D("0.5"), post_only=True, reason="small spread")]


def test_it_notices_on_a_tick_that_it_has_held_for_long() -> None:
    state = held_since(0)
    assert len(list(BUYER.on_tick(state, desk(held=position("0.5"), now=2 * SECOND), tick(2 * SECOND)))) == 1


def test_it_forgets_how_long_it_held_once_flat() -> None:
    state = held_since(0)
    decide(desk(), state)
    assert state.held_since == {}


def test_while_reducing_it_only_sells() -> None:
    assert decide(desk(state=TradingState.REDUCING)) == []
    long = desk(held=position("0.5"), now=2 * SECOND, state=TradingState.REDUCING)
    assert [c.side for c in decide(long, held_since(0)) if hasattr(c, "side")] == [Side.SELL]


def test_it_does_not_sell_more_than_it_holds_on_a_lot() -> None:
    d = desk(held=position(Decimal("0.500004")), now=2 * SECOND)
    assert [c.order_qty for c in decide(d, held_since(0)) if hasattr(c, "order_qty")] == [D("0.50000")]


def test_without_a_fresh_quote_it_withdraws_its_bid_and_sends_nothing() -> None:
    bid = order(price="100.00", qty="0.5")
    blind = desk(NARROW, bid, now=5 * SECOND + 1)
    assert decide(blind) == [blind.cancel(bid)]
    assert decide(desk(now=5 * SECOND + 1)) == []
