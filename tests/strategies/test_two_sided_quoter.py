import pytest

from strategies import Decision, Desk
from strategies.two_sided_quoter import TwoSidedQuoter
from tests.strategies.builders import BTC, MS, D, instrument, order, position, quote, signal, tick
from topics.controls import TradingState
from topics.market import Quote
from topics.orders import OrderStatus, OrderUpdated, SubmitOrder
from topics.portfolio import PositionChanged
from topics.record import Side

TOUCH = quote("99.95", "100.05")
PARAMS = TwoSidedQuoter.Params(
    order_qty=D(1), max_qty=D(2), half_spread_bps=D(10), lean_bps=D(5), requote_bps=D(3), requote_ms=500, retry_ms=1000
)
QUOTER = TwoSidedQuoter(PARAMS)


def desk(
    *orders: OrderUpdated,
    q: Quote = TOUCH,
    held: PositionChanged | None = None,
    now: int = 0,
    state: TradingState = TradingState.ACTIVE,
) -> Desk:
    positions = [] if held is None else [held]
    return Desk.of([instrument()], quotes=[q], orders=orders, positions=positions, now=now, state=state)


def decide(
    d: Desk, state: TwoSidedQuoter.State | None = None, fair: float = 100.0, quoter: TwoSidedQuoter = QUOTER
) -> list[Decision]:
    state = TwoSidedQuoter.State() if state is None else state
    return list(quoter.on_signal(state, d, signal("fair", fair, d.quote(BTC) or TOUCH)))


def prices(decisions: list[Decision]) -> dict[Side, str]:
    return {c.side: str(c.price) for c in decisions if isinstance(c, SubmitOrder)}


def test_it_quotes_both_sides_of_the_microprice_without_taking() -> None:
    d = desk()
    assert decide(d) == [
        d.limit(BTC, Side.BUY, D("99.90"), D(1), post_only=True, reason="quote"),
        d.limit(BTC, Side.SELL, D("100.10"), D(1), post_only=True, reason="quote"),
    ]


def test_without_a_half_spread_it_rests_at_the_touch() -> None:
    at_touch = TwoSidedQuoter(TwoSidedQuoter.Params(order_qty=D(1), max_qty=D(2), half_spread_bps=D(0)))
    assert prices(decide(desk(), quoter=at_touch)) == {Side.BUY: "99.95", Side.SELL: "100.05"}


def test_the_signal_is_the_microprice_when_the_touch_moved() -> None:
    view = TwoSidedQuoter.View()
    heavy_bid = quote("99.00", "101.00", bid_size="3", ask_size="1")
    assert [s.value for s in QUOTER.on_quote(view, heavy_bid)] == [pytest.approx(100.5)]
    assert list(QUOTER.on_quote(view, heavy_bid)) == []


def test_what_it_holds_moves_both_quotes_away_from_more_of_it() -> None:
    assert prices(decide(desk(held=position("1")))) == {Side.BUY: "99.85", Side.SELL: "100.05"}
    assert prices(decide(desk(held=position("-1", bought="0", sold="1")))) == {Side.BUY: "99.95", Side.SELL: "100.15"}


def test_it_stops_quoting_the_side_on_which_it_has_no_room() -> None:
    assert list(prices(decide(desk(held=position("1.5"))))) == [Side.SELL]
    assert list(prices(decide(desk(held=position("-2", bought="0", sold="2"))))) == [Side.BUY]


def test_it_withdraws_a_quote_for_which_there_is_no_more_room() -> None:
    bid = order("b", price="99.80", qty="1")
    d = desk(bid, order("s", Side.SELL, "100.00"), held=position("2"), q=quote("99.98", "100.00"))
    assert decide(d, fair=99.99) == [d.cancel(bid)]


def test_the_rest_of_a_half_filled_quote_has_the_room_it_had() -> None:
    bid = order("b", price="99.83", qty="1", cum="0.4", status=OrderStatus.PARTIALLY_FILLED)
    ask = order("s", Side.SELL, "100.03")
    assert decide(desk(bid, ask, held=position("1.4"))) == []


def test_a_quote_stays_until_the_wanted_price_is_far_enough_away() -> None:
    resting = (order("b", price="99.90"), order("s", Side.SELL, "100.10"))
    assert decide(desk(*resting), fair=100.02) == []
    d = desk(*resting)
    assert decide(d, fair=100.035) == [d.cancel(resting[0]), d.cancel(resting[1])]


def test_a_cancel_is_sent_once_and_its_successor_waits_for_the_confirmation() -> None:
    leaving = order("b", price="99.00", pending_cancel=True)
    assert prices(decide(desk(leaving))) == {Side.SELL: "100.10"}
    ended = order("b", price="99.00", status=OrderStatus.CANCELED, fact="OrderCanceled")
    state = TwoSidedQuoter.State(fair={BTC: 100.0})
    after = list(QUOTER.on_order(state, desk(order("s", Side.SELL, "100.10")), ended))
    assert prices(after) == {Side.BUY: "99.90"}


def test_it_sends_at_most_one_order_a_side_in_requote_ms() -> None:
    state = TwoSidedQuoter.State()
    assert len(decide(desk(), state)) == 2
    assert decide(desk(now=499 * MS), state) == []
    assert len(decide(desk(now=500 * MS), state)) == 2


def test_a_refusal_holds_back_that_side_alone_for_longer() -> None:
    state = TwoSidedQuoter.State(fair={BTC: 100.0})
    denied = order("b", status=OrderStatus.DENIED, fact="OrderDenied")
    assert prices(list(QUOTER.on_order(state, desk(), denied))) == {Side.SELL: "100.10"}
    assert list(prices(list(QUOTER.on_tick(state, desk(now=999 * MS), tick(999 * MS))))) == [Side.SELL]
    assert list(prices(list(QUOTER.on_tick(state, desk(now=1000 * MS), tick(1000 * MS))))) == [Side.BUY]


def test_while_reducing_it_quotes_only_the_side_that_reduces() -> None:
    assert decide(desk(state=TradingState.REDUCING)) == []
    assert list(prices(decide(desk(held=position("1"), state=TradingState.REDUCING)))) == [Side.SELL]


def test_it_does_nothing_before_it_knows_instrument_and_quote() -> None:
    state = TwoSidedQuoter.State(fair={BTC: 100.0})
    assert list(QUOTER.on_tick(state, Desk.of([instrument()]), tick(0))) == []
    assert list(QUOTER.on_tick(state, Desk.of(quotes=[TOUCH]), tick(0))) == []
    assert list(QUOTER.on_tick(TwoSidedQuoter.State(), desk(), tick(0))) == []


def test_without_a_fresh_quote_it_withdraws_both_quotes() -> None:
    resting = (order("b", price="99.90"), order("s", Side.SELL, "100.10"))
    blind = desk(*resting, now=5001 * MS)
    assert decide(blind) == [blind.cancel(resting[0]), blind.cancel(resting[1])]
    assert decide(desk(now=5001 * MS)) == []
