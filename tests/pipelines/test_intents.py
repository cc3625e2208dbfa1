"""The intents stage: ids, the desk, waiting orders, halts and resumes, parameters, and controls in force."""

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pipelines.intents import intents_stage
from strategies import Decision, Desk, Strategy
from tests.folding import Folding, run
from tests.strategies.builders import (
    BTC,
    ETH,
    MS,
    SECOND,
    SUBSCRIPTION,
    D,
    answer,
    bar,
    instrument,
    order,
    position,
    quote,
    signal,
    tick,
)
from topics.controls import InForce, Scope, TradingState
from topics.orders import CancelAll, CancelOrder, OrderStatus, OrderUpdated, SubmitOrder
from topics.record import Record, Side
from topics.stage import EVERY
from topics.strategy import ParamsChanged, Signal, StrategyHalted, StrategyRecord, StrategyResumed


class Scripted(Strategy):
    """Does what the signal's name says; counts every callback in its state."""

    class Params(msgspec.Struct, frozen=True):
        qty: Decimal = Decimal(1)

    class State(msgspec.Struct):
        calls: dict[str, int] = {}

    def on_start(self, state: State, desk: Desk) -> list[Decision]:
        return self.counted(state, "start")

    def on_signal(self, state: State, desk: Desk, signal: Signal) -> Iterator[Decision]:
        self.counted(state, "signal")
        yield from getattr(self, f"do_{signal.name}")(desk)

    def on_bar(self, state: State, desk: Desk, bar: Any) -> list[Decision]:
        return self.counted(state, "bar")

    def on_order(self, state: State, desk: Desk, order: OrderUpdated) -> list[Decision]:
        return self.counted(state, f"order {order.status}")

    def on_position(self, state: State, desk: Desk, position: Any) -> list[Decision]:
        return self.counted(state, "position")

    def on_tick(self, state: State, desk: Desk, tick: Any) -> list[Decision]:
        return self.counted(state, "tick")

    def on_params(self, state: State, desk: Desk, before: Params) -> list[Decision]:
        return [self.record("params", before=before.qty, now=self.params.qty, desk=desk.params.qty)]

    def counted(self, state: State, call: str) -> list[Decision]:
        state.calls[call] = state.calls.get(call, 0) + 1
        return []

    def do_nothing(self, desk: Desk) -> Iterable[Decision]:
        return ()

    def do_buy(self, desk: Desk) -> Iterable[Decision]:
        yield desk.limit(BTC, Side.BUY, D(100), self.params.qty)

    def do_both(self, desk: Desk) -> Iterable[Decision]:
        yield self.record("both", why="test")
        yield from self.do_buy(desk)
        yield desk.market(BTC, Side.SELL, D(2))

    def do_cancel(self, desk: Desk) -> Iterable[Decision]:
        return [desk.cancel(o) for o in desk.working(BTC)]

    def do_fail(self, desk: Desk) -> Iterable[Decision]:
        yield from self.do_buy(desk)
        raise KeyError("gone")

    def do_stray(self, desk: Desk) -> Iterable[Decision]:
        yield desk.limit(ETH, Side.BUY, D(1), D(1))

    def do_nonsense(self, desk: Desk) -> Iterable[Decision]:
        yield order()  # type: ignore[misc]


STAGE = intents_stage("s1", Scripted(), SUBSCRIPTION)
TOUCH = quote("100", "101")


def do(name: str, ms: int = 0) -> Signal:
    return signal(name, 0.0, replace(TOUCH, ts_init=ms * MS))


def halted(where: str = "on_quote", strategy: str = "s1") -> StrategyHalted:
    return StrategyHalted(strategy=strategy, where=where, error="x", ts_init=0)


def resumed() -> StrategyResumed:
    return StrategyResumed(strategy="s1", who="me", why="test", ts_init=0)


def params(raw: bytes) -> ParamsChanged:
    return ParamsChanged(strategy="s1", params=msgspec.Raw(raw), who="me", why="test", ts_init=0)


def in_force(state: TradingState, scope: str = "firm") -> InForce:
    return InForce(scope=Scope.parse(scope), state=state, control_id="c", who="me", why="test", ts_init=0)


def submitted(outputs: Iterable[Record]) -> list[SubmitOrder]:
    return [o for o in outputs if isinstance(o, SubmitOrder)]


def calls(folding: Folding) -> dict[str, int]:
    found: dict[str, int] = folding.states["s1"].state.calls
    return found


# --- ids and stamps ---------------------------------------------------------------------------------------------------


def test_an_order_carries_the_venues_time_of_what_caused_it() -> None:
    caused = replace(do("buy"), ts_event=7 * MS)
    (bought,) = submitted(run(STAGE, [do("nothing"), caused]))
    assert bought.ts_event == 7 * MS


def test_a_command_is_named_after_the_event_it_came_from() -> None:
    record, first, second = run(STAGE, [do("nothing"), do("both", ms=5)])
    assert isinstance(first, SubmitOrder)
    assert isinstance(second, SubmitOrder)
    assert (first.client_order_id, second.client_order_id) == ("s1-5-0.1.0-0", "s1-5-0.1.0-1")
    assert (first.cause, first.ts_init, first.account) == ("strategy.inbox/0/1/0", 5 * MS, "sim.main")
    assert record == StrategyRecord(strategy="s1", name="both", data={"why": "test"}, ts_init=5 * MS)


def test_cancels_have_ids_of_their_own() -> None:
    *_, cancel = run(STAGE, [order("o1"), do("cancel")])
    assert isinstance(cancel, CancelOrder)
    assert (cancel.command_id, cancel.client_order_id) == ("s1-0-0.1.0-0", "o1")


@given(st.lists(st.sampled_from(["buy", "both", "cancel", "nothing"]), max_size=20))
def test_no_id_is_given_twice(names: list[str]) -> None:
    outputs = run(STAGE, [do(name) for name in names])
    ids = [o.client_order_id for o in outputs if isinstance(o, SubmitOrder)]
    ids += [o.command_id for o in outputs if isinstance(o, CancelOrder)]
    assert len(ids) == len(set(ids))


# --- what reaches it --------------------------------------------------------------------------------------------------


def test_only_what_is_its_own_is_folded() -> None:
    assert STAGE.state_key(do("buy")) == "s1"
    assert STAGE.state_key(replace(do("buy"), strategy="s2")) is None
    assert STAGE.state_key(bar("100")) == "s1"  # carries no strategy: the shell goes by the record's own key
    assert STAGE.state_key(tick(1)) == EVERY
    assert (STAGE.name, STAGE.own_key) == ("intents/s1", "s1")


def test_every_kind_of_event_has_its_callback() -> None:
    folding = Folding(STAGE)
    for event in (instrument(), do("nothing"), bar("100"), order(), position("1"), tick(5)):
        folding.feed(event)
    assert calls(folding) == {"start": 1, "signal": 1, "bar": 1, "order new": 1, "position": 1, "tick": 1}


def test_a_strategy_starts_at_the_first_event_that_tells_the_time() -> None:
    folding = Folding(STAGE)
    folding.feed(instrument())
    folding.feed(in_force(TradingState.ACTIVE))
    assert calls(folding) == {}
    folding.feed(tick(3))
    assert calls(folding) == {"start": 1, "tick": 1}


def test_the_inboxs_time_never_runs_back_and_is_not_an_operators() -> None:
    folding = Folding(STAGE)
    for event in (do("nothing", ms=9), tick(MS), replace(in_force(TradingState.ACTIVE), ts_init=10**18)):
        folding.feed(event)
    assert folding.states["s1"].desk.now == 9 * MS


# --- waiting for an answer --------------------------------------------------------------------------------------------


def test_what_was_commanded_is_on_the_desk_at_the_next_event() -> None:
    first, cancel = run(STAGE, [do("buy"), do("cancel")])
    assert isinstance(first, SubmitOrder)
    assert isinstance(cancel, CancelOrder)
    assert cancel.client_order_id == first.client_order_id


def test_an_answered_order_leaves_the_desk_when_it_ends() -> None:
    folding = Folding(STAGE)
    (command,) = submitted(folding.feed(do("buy")))
    folding.feed(answer(command, OrderStatus.DENIED, "OrderDenied"))
    assert folding.feed(do("cancel")) == []


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "error"),
    [("fail", "KeyError: 'gone'"), ("stray", "not subscribed to sim:ETH-USDT"), ("nonsense", "not OrderUpdated")],
)
def test_a_callback_that_raises_halts_the_strategy_and_nothing_of_it_happens(name: str, error: str) -> None:
    record, cancel = run(STAGE, [do(name, ms=1)])
    assert isinstance(record, StrategyHalted)
    assert (record.where, record.strategy, record.ts_init) == ("on_signal", "s1", MS)
    assert error in record.error
    assert isinstance(cancel, CancelAll)
    assert (cancel.strategy, cancel.account, cancel.instrument) == ("s1", "sim.main", "")


def test_a_halted_strategy_is_not_called_but_its_desk_goes_on() -> None:
    folding = Folding(STAGE)
    for event in (do("fail"), position("1"), do("buy"), tick(1)):
        outputs = folding.feed(event)
    assert outputs == []
    assert calls(folding) == {"start": 1, "signal": 1}
    assert folding.states["s1"].desk.positions[BTC].quantity == 1


def test_a_fault_of_the_signals_stage_cancels_and_halts_too() -> None:
    folding = Folding(STAGE)
    assert [type(o) for o in folding.feed(halted())] == [CancelAll]
    assert folding.feed(halted()) == []
    assert folding.feed(do("buy")) == []


def test_its_own_halt_coming_back_after_a_resume_changes_nothing() -> None:
    folding = Folding(STAGE)
    (own, _) = folding.feed(do("fail"))
    folding.feed(resumed())
    assert folding.feed(own) == []
    assert len(submitted(folding.feed(do("buy")))) == 1


def test_a_resumed_strategy_starts_again() -> None:
    folding = Folding(STAGE)
    for event in (do("nothing"), do("fail"), resumed(), do("nothing")):
        folding.feed(event)
    assert calls(folding)["start"] == 2


def test_the_cancel_of_a_halted_strategy_is_repeated_while_an_order_stays() -> None:
    folding = Folding(STAGE)
    (command,) = submitted(folding.feed(do("buy")))
    folding.feed(do("fail"))
    assert folding.feed(tick(SECOND - 1)) == []
    assert [type(o) for o in folding.feed(tick(SECOND))] == [CancelAll]
    assert folding.feed(tick(SECOND + 1)) == []
    folding.feed(answer(command, OrderStatus.CANCELED, "OrderCanceled"))
    assert folding.feed(tick(9 * SECOND)) == []


# --- parameters and controls ------------------------------------------------------------------------------------------


def test_changed_parameters_reach_the_next_callbacks_and_stay() -> None:
    folding = Folding(STAGE, recode_every=1)
    folding.feed(do("nothing"))
    (told,) = folding.feed(params(b'{"qty": "2.50"}'))
    assert isinstance(told, StrategyRecord)
    assert told.data == {"before": "1", "now": "2.50", "desk": "2.50"}
    assert [str(c.order_qty) for c in submitted(folding.feed(do("buy")))] == ["2.50"]


@pytest.mark.parametrize("raw", [b'{"size": 1}', b'{"qty": true}', b"[1]"])
def test_parameters_that_do_not_fit_are_written_down_and_change_nothing(raw: bytes) -> None:
    folding = Folding(STAGE)
    (refused,) = folding.feed(params(raw))
    assert isinstance(refused, StrategyRecord)
    assert (refused.name, refused.data["who"]) == ("params refused", "me")
    assert [c.order_qty for c in submitted(folding.feed(do("buy")))] == [1]


def test_while_a_control_halts_it_orders_are_withheld_and_cancels_are_not() -> None:
    folding = Folding(STAGE)
    (command,) = submitted(folding.feed(do("buy")))
    folding.feed(in_force(TradingState.HALTED))
    assert [type(o) for o in folding.feed(do("cancel"))] == [CancelOrder]
    (first,) = folding.feed(do("buy"))
    assert isinstance(first, StrategyRecord)
    assert first.name == "withheld"
    assert folding.feed(do("buy")) == []
    folding.feed(answer(command, OrderStatus.CANCELED, "OrderCanceled"))
    folding.feed(in_force(TradingState.ACTIVE))
    assert len(submitted(folding.feed(do("buy")))) == 1


def test_a_halt_of_one_instrument_withholds_its_orders() -> None:
    folding = Folding(STAGE)
    folding.feed(in_force(TradingState.HALTED, f"instrument:{BTC}"))
    assert submitted(folding.feed(do("buy"))) == []


def test_reducing_is_left_to_the_gateway() -> None:
    folding = Folding(STAGE)
    folding.feed(in_force(TradingState.REDUCING))
    assert len(submitted(folding.feed(do("buy")))) == 1


# --- replay -----------------------------------------------------------------------------------------------------------

names = st.sampled_from(["buy", "both", "cancel", "nothing", "fail", "stray"])
statuses = st.sampled_from([OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED, OrderStatus.CANCELED])
build: Callable[..., Any] = st.builds
events = st.lists(
    st.one_of(
        build(do, names, st.integers(0, 9)),
        build(lambda s: order("o1", status=s, cum="0.5", last="0.5", fact="OrderFilled"), statuses),
        build(lambda q: position(str(q)), st.integers(0, 3)),
        build(tick, st.integers(0, 5 * SECOND)),
        build(lambda q: params(b'{"qty": "%d"}' % q), st.integers(0, 3)),
        build(in_force, st.sampled_from(TradingState)),
        st.sampled_from([halted(), resumed(), instrument()]),
    ),
    max_size=30,
)


@given(events=events, every=st.integers(1, 5))
def test_state_that_is_stored_and_read_back_decides_the_same(events: list[Record], every: int) -> None:
    assert run(STAGE, events, recode_every=every) == run(STAGE, events)
