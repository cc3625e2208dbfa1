from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from strategies import Decision, Desk
from strategies.moving_average_cross import MovingAverageCross
from tests.strategies.builders import BTC, MS, D, bar, instrument, order, position, quote, tick
from topics.controls import TradingState
from topics.orders import OrderStatus, OrderUpdated, SubmitOrder
from topics.portfolio import PositionChanged
from topics.record import Side, TimeInForce
from topics.strategy import StrategyRecord

TOUCH = quote("99.99", "100.01")


def cross(allow_short: bool = True, fast: int = 1, slow: int = 2) -> MovingAverageCross:
    return MovingAverageCross(
        MovingAverageCross.Params(
            fast=fast,
            slow=slow,
            order_qty=D(1),
            max_qty=D(2),
            allow_short=allow_short,
            slippage_bps=D(2),
            order_ms=300,
            retry_ms=500,
        )
    )


def desk(
    *orders: OrderUpdated,
    held: PositionChanged | None = None,
    now: int = 0,
    state: TradingState = TradingState.ACTIVE,
) -> Desk:
    positions = [] if held is None else [held]
    return Desk.of([instrument()], quotes=[TOUCH], orders=orders, positions=positions, now=now, state=state)


def see(strategy: MovingAverageCross, closes: list[str], d: Desk) -> list[Decision]:
    """What it decides at the last of these bars."""
    state, decisions = MovingAverageCross.State(), list[Decision]()
    for close in closes:
        decisions = list(strategy.on_bar(state, d, bar(close)))
    return decisions


def orders(decisions: list[Decision]) -> list[tuple[Side, Decimal, Decimal | None]]:
    return [(c.side, c.order_qty, c.price) for c in decisions if isinstance(c, SubmitOrder)]


def test_it_goes_long_when_the_fast_average_rises_above_the_slow_one() -> None:
    d = desk()
    assert see(cross(), ["100", "101"], d) == [
        cross().record("crossed", instrument=BTC, target=D(2), close=D(101)),
        d.limit(BTC, Side.BUY, D("100.03"), D(1), time_in_force=TimeInForce.IOC, reason="cross"),
    ]


def test_it_waits_for_enough_bars() -> None:
    assert see(cross(slow=3), ["100", "101"], desk()) == []


def test_it_pays_at_most_the_slippage_allowed() -> None:
    assert orders(see(cross(), ["101", "100"], desk())) == [(Side.SELL, D(1), D("99.98"))]


def test_it_goes_short_only_where_that_is_allowed() -> None:
    assert orders(see(cross(allow_short=False), ["101", "100"], desk())) == []
    long = desk(held=position("1.5"))
    assert orders(see(cross(allow_short=False), ["101", "100"], long)) == [(Side.SELL, D(1), D("99.98"))]


def test_equal_averages_change_nothing() -> None:
    assert see(cross(), ["100", "100"], desk()) == []


def test_bars_of_another_kind_do_not_count() -> None:
    state = MovingAverageCross.State()
    list(cross().on_bar(state, desk(), bar("100", spec="time-5s")))
    assert state.closes == {}


def test_it_goes_to_its_target_by_steps_and_stops_there() -> None:
    strategy, state = cross(), MovingAverageCross.State(target={BTC: D(2)})
    ended = order(status=OrderStatus.FILLED, fact="OrderFilled", time_in_force=TimeInForce.IOC)
    after = list(strategy.on_order(state, desk(held=position("1.4")), ended))
    assert orders(after) == [(Side.BUY, D("0.6"), D("100.03"))]
    assert list(strategy.on_order(state, desk(held=position("2"), now=400 * MS), ended)) == []


def test_it_has_one_order_in_flight() -> None:
    assert orders(see(cross(), ["100", "101"], desk(order(status=OrderStatus.PENDING_NEW)))) == []


def test_a_refused_order_is_tried_again_after_a_while() -> None:
    strategy, state = cross(), MovingAverageCross.State(target={BTC: D(2)})
    denied = order(status=OrderStatus.DENIED, fact="OrderDenied")
    assert list(strategy.on_order(state, desk(), denied)) == []
    assert list(strategy.on_tick(state, desk(now=499 * MS), tick(0))) == []
    assert len(list(strategy.on_tick(state, desk(now=500 * MS), tick(0)))) == 1


def test_a_cross_is_written_down_once() -> None:
    decisions = see(cross(), ["100", "101", "102"], desk(held=position("2")))
    assert not any(isinstance(d, StrategyRecord) for d in decisions)


def test_while_reducing_it_only_goes_towards_flat() -> None:
    assert orders(see(cross(), ["100", "101"], desk(state=TradingState.REDUCING))) == []
    assert orders(see(cross(), ["101", "100"], desk(held=position("1"), state=TradingState.REDUCING))) != []


@given(st.lists(st.integers(1, 1000), min_size=3, max_size=12))
def test_the_target_is_that_of_the_averages(closes: list[int]) -> None:
    strategy, state = cross(fast=2, slow=3), MovingAverageCross.State()
    wanted: Decimal | None = None
    for n, close in enumerate(closes, start=1):
        list(strategy.on_bar(state, desk(), bar(str(close))))
        fast, slow = Decimal(sum(closes[max(0, n - 2) : n])) / 2, Decimal(sum(closes[max(0, n - 3) : n])) / 3
        if n >= 3 and abs(fast - slow) > Decimal("1e-9"):
            wanted = D(2) if fast > slow else D(-2)
        assert state.target.get(BTC) == wanted
    assert len(state.closes[BTC]) == 3


def test_without_a_fresh_quote_it_sends_nothing() -> None:
    assert orders(see(cross(), ["100", "101"], desk(now=5001 * MS))) == []
