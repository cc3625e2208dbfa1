from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies import Book, Desk
from strategies.folded import CANCEL_REPEAT_NS, Folded
from tests.strategies.builders import (
    BTC,
    ETH,
    D,
    answer,
    delta,
    instrument,
    order,
    position,
    quote,
    signal,
    snapshot,
)
from topics.controls import InForce, Scope, TradingState
from topics.orders import CancelAll, CancelOrder, OrderStatus, SubmitOrder
from topics.record import OrderType, Side, TimeInForce


def desk_of(folded: Folded) -> Desk:
    return Desk("s1", "sim.main", folded)


def submit(ident: str, side: Side = Side.BUY, qty: str = "1", price: str = "100.00") -> SubmitOrder:
    return SubmitOrder(
        client_order_id=ident,
        strategy="s1",
        account="sim.main",
        instrument=BTC,
        side=side,
        order_type=OrderType.LIMIT,
        order_qty=D(qty),
        price=D(price),
        ts_init=0,
    )


def test_prices_are_rounded_away_from_the_market() -> None:
    desk = Desk.of([instrument(tick="0.05")])
    assert desk.round_price(BTC, D("100.07"), Side.BUY) == D("100.05")
    assert desk.round_price(BTC, D("100.07"), Side.SELL) == D("100.10")
    assert desk.round_price(BTC, D("100.05"), Side.SELL) == D("100.05")


@given(price=st.decimals("0.00000001", "1000000", places=8), tick=st.sampled_from(["0.01", "0.05", "1", "0.00000100"]))
def test_a_rounded_price_is_on_the_tick_and_less_than_a_tick_away(price: Decimal, tick: str) -> None:
    desk = Desk.of([instrument(tick=tick)])
    bid, ask = desk.round_price(BTC, price, Side.BUY), desk.round_price(BTC, price, Side.SELL)
    assert bid % D(tick) == ask % D(tick) == 0
    assert price - D(tick) < bid <= price <= ask < price + D(tick)


def test_quantities_are_rounded_down_to_the_lot() -> None:
    desk = Desk.of([instrument(lot="0.001")])
    assert desk.round_qty(BTC, D("0.0019")) == D("0.001")
    assert desk.round_qty(BTC, D("-0.0019")) == D("0.001")


def test_a_quantity_is_valid_on_the_lot_and_above_the_smallest_notional() -> None:
    desk = Desk.of([instrument(lot="0.001", min_notional="5")])
    assert desk.valid_qty(BTC, D("0.05"), D(100))
    assert not desk.valid_qty(BTC, D("0.0505"), D(100))
    assert not desk.valid_qty(BTC, D("0.049"), D(100))
    assert not desk.valid_qty(BTC, D(0))


def test_commands_are_built_without_ids() -> None:
    desk = Desk.of([instrument()], now=7, strategy="s1")
    command = desk.limit(BTC, Side.SELL, D("101"), D("2"), time_in_force=TimeInForce.IOC, reason="why")
    assert (command.client_order_id, command.strategy, command.account, command.ts_init) == ("", "s1", "sim.main", 7)
    assert desk.market(BTC, Side.BUY, D(1)).price is None
    assert desk.cancel(order("o7")).client_order_id == "o7"
    assert (desk.cancel_all().instrument, desk.cancel_all(BTC).instrument) == ("", BTC)


def test_the_desk_cannot_be_changed() -> None:
    desk = Desk.of([instrument()])
    with pytest.raises(TypeError):
        desk.instruments[ETH] = instrument(ETH)  # type: ignore[index]
    with pytest.raises(AttributeError):
        desk.now = 5  # type: ignore[misc]


def test_a_commanded_order_is_on_the_desk_until_it_is_heard_of_to_have_ended() -> None:
    folded, command = Folded(), submit("a")
    folded.commanded([command])
    assert [(o.client_order_id, o.fact) for o in desk_of(folded).working(BTC, Side.BUY)] == [("a", "SubmitOrder")]
    folded.advance(10**15)  # age alone says nothing
    assert desk_of(folded).working(BTC)
    folded.on_order(answer(command, OrderStatus.UNKNOWN, "OrderUnknown"))
    assert [o.status for o in desk_of(folded).working(BTC)] == [OrderStatus.UNKNOWN]
    folded.on_order(answer(command, OrderStatus.REJECTED, "OrderReconciled"))
    assert desk_of(folded).working(BTC) == []


@pytest.mark.parametrize("all_of_them", [False, True])
def test_a_commanded_cancel_shows_until_it_is_due_to_be_repeated(all_of_them: bool) -> None:
    folded = Folded(now=5)
    folded.on_order(order("a"))
    desk = desk_of(folded)
    command: CancelOrder | CancelAll = desk.cancel_all() if all_of_them else desk.cancel(order("a"))
    folded.commanded([command])
    assert desk.working(BTC)[0].pending_cancel
    folded.on_order(order("a", status=OrderStatus.PARTIALLY_FILLED, cum="0.5", fact="OrderFilled"))
    assert desk.orders["a"].pending_cancel
    folded.advance(5 + CANCEL_REPEAT_NS)
    assert not desk.working(BTC)[0].pending_cancel


def test_nothing_is_kept_of_orders_that_ended() -> None:
    folded = Folded()
    folded.commanded([submit("a")])
    folded.commanded([desk_of(folded).cancel(order("a"))])
    folded.on_order(order("a", status=OrderStatus.CANCELED, fact="OrderCanceled"))
    folded.commanded([desk_of(folded).cancel(order("a"))])
    assert (folded.orders, folded.canceling) == ({}, {})


def test_a_fill_counts_from_the_first_that_tells_of_it() -> None:
    folded, command = Folded(), submit("a")
    folded.commanded([command])
    folded.on_order(answer(command, OrderStatus.FILLED, "OrderFilled", cum=D(1), last=D(1)))
    assert desk_of(folded).quantity(BTC) == 1
    folded.on_position(position("1"))
    assert desk_of(folded).quantity(BTC) == 1
    folded.on_position(position("0.4", bought="1", sold="0.6"))
    assert desk_of(folded).quantity(BTC) == D("0.4")
    folded.on_order(order("b", Side.SELL, status=OrderStatus.FILLED, cum="0.6", last="0.6", fact="OrderFilled"))
    assert desk_of(folded).quantity(BTC) == D("0.4")


def test_an_execution_taken_back_leaves_the_position_alone_to_count() -> None:
    folded, command = Folded(), submit("a")
    folded.commanded([command])
    folded.on_order(answer(command, OrderStatus.FILLED, "OrderFilled", cum=D(1), last=D(1)))
    folded.on_position(position("1"))
    folded.on_position(position("0", None, bought="0"))
    assert desk_of(folded).quantity(BTC) == 0


@given(st.permutations(range(6)))
def test_the_quantity_at_the_end_does_not_depend_on_which_stream_was_faster(order_of: list[int]) -> None:
    """Each stream keeps its own order: the k-th update or position comes when its turn in the permutation does."""
    command = submit("a", qty="3")
    updates = [
        answer(command, OrderStatus.PARTIALLY_FILLED, "OrderFilled", cum=D(n), last=D(1), ts=n) for n in (1, 2)
    ] + [answer(command, OrderStatus.FILLED, "OrderFilled", cum=D(3), last=D(1), ts=3)]
    positions = [position(str(n)) for n in (1, 2, 3)]
    folded, told_by_orders, told_by_positions = Folded(), 0, 0
    folded.commanded([command])
    for turn in order_of:
        if turn < 3:
            folded.on_order(updates.pop(0))
            told_by_orders += 1
        else:
            folded.on_position(positions.pop(0))
            told_by_positions += 1
        assert desk_of(folded).quantity(BTC) == max(told_by_orders, told_by_positions)


def test_the_quote_is_that_of_the_last_signal_that_carried_one() -> None:
    folded = Folded()
    folded.on_signal(signal("fair", 1.0, quote("100", "101", ts=3)))
    folded.on_signal(msgspec.structs.replace(signal("fair", 1.0, quote("5", "6")), best_bid=None))
    assert desk_of(folded).quote(BTC) == quote("100", "101", ts=3)
    assert desk_of(folded).quote(ETH) is None


def in_force(scope: str, state: TradingState) -> InForce:
    return InForce(scope=Scope.parse(scope), state=state, control_id="c", who="me", why="test", ts_init=0)


def test_the_strictest_trading_state_counts() -> None:
    folded = Folded()
    assert desk_of(folded).state is TradingState.ACTIVE
    folded.on_in_force(in_force("firm", TradingState.REDUCING))
    folded.on_in_force(in_force("strategy:s1", TradingState.ACTIVE))
    folded.on_in_force(in_force(f"instrument:{BTC}", TradingState.HALTED))
    desk = desk_of(folded)
    assert (desk.state, desk.state_of(BTC), desk.state_of(ETH)) == (
        TradingState.REDUCING,
        TradingState.HALTED,
        TradingState.REDUCING,
    )


def test_while_reducing_only_what_reduces_may_trade() -> None:
    desk = Desk.of([instrument()], positions=[position("1")], state=TradingState.REDUCING)
    assert desk.may_trade(BTC, Side.SELL)
    assert not desk.may_trade(BTC, Side.BUY)
    assert not Desk.of([instrument()], state=TradingState.REDUCING).may_trade(BTC, Side.SELL)


def test_the_book_is_what_snapshots_and_deltas_say() -> None:
    book = Book.of(snapshot([("100", "1"), ("99", "2")], [("101", "1"), ("102", "2")]))
    book.apply(delta([("100", "0"), ("98", "3")], [("100.5", "4"), ("102", "5"), ("103", "0")]))
    assert book.bids(5) == [(D(99), D(2)), (D(98), D(3))]
    assert book.asks(2) == [(D("100.5"), D(4)), (D(101), D(1))]
    assert (book.best_bid, book.best_ask) == ((D(99), D(2)), (D("100.5"), D(4)))


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 3)), max_size=60))
def test_the_book_equals_the_naive_one(changes: list[tuple[int, int]]) -> None:
    naive: dict[Decimal, Decimal] = {}
    book = Book()
    for price, size in changes:
        level = ((str(price), str(size)),)
        book.apply(delta(list(level), list(level)))
        naive[D(price)] = D(size)
    levels = sorted((price, size) for price, size in naive.items() if size > 0)
    assert book.asks(100) == levels
    assert book.bids(100) == levels[::-1]
