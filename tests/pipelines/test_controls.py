"""Controls: kills that survive limits, the strictest scope, commands counted once, what strategies are told."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.controls import RECENT, STAGE, ControlsState, ScopeControls
from tests.facts import ACCOUNT, INSTRUMENT, STRATEGY, D, flatten, kill, resume, set_limit, set_params
from tests.folding import Folding, fold, run
from topics import wire
from topics.controls import FIRM, AnyControl, Control, InForce, LimitName, RemoveLimit, Scope, ScopeKind, TradingState
from topics.strategy import ParamsChanged, StrategyResumed

QUOTER = Scope(ScopeKind.STRATEGY, STRATEGY)
SCOPES = [
    FIRM,
    Scope(ScopeKind.VENUE, "sim"),
    Scope(ScopeKind.ACCOUNT, ACCOUNT),
    QUOTER,
    Scope(ScopeKind.INSTRUMENT, INSTRUMENT),
]
ELSEWHERE = [
    Scope(ScopeKind.VENUE, "kraken"),
    Scope(ScopeKind.ACCOUNT, "sim.other"),
    Scope(ScopeKind.STRATEGY, "trend"),
    Scope(ScopeKind.INSTRUMENT, "sim:ETH-USDT"),
]
VALUE, COLLAR = LimitName.MAX_ORDER_VALUE, LimitName.PRICE_COLLAR


def state_after(*controls: AnyControl) -> ControlsState:
    state = ControlsState()
    for control in controls:
        state.apply(control)
    return state


def trading(*controls: AnyControl) -> TradingState:
    return state_after(*controls).state_for(ACCOUNT, STRATEGY, INSTRUMENT)


def test_nothing_in_force_is_active_without_limits() -> None:
    assert trading() is TradingState.ACTIVE
    assert ControlsState().limit_for(VALUE, ACCOUNT, STRATEGY, INSTRUMENT) == []


def test_a_limit_that_is_removed_is_gone_until_it_is_set_again() -> None:
    gone = state_after(set_limit("one", VALUE, "5"), remove_limit())
    assert gone.limit_for(VALUE, ACCOUNT, STRATEGY, INSTRUMENT) == []
    assert gone.scopes["firm"].removed == {VALUE: True}
    again = state_after(set_limit("one", VALUE, "5"), remove_limit(), set_limit("again", VALUE, "6"))
    assert again.limit_for(VALUE, ACCOUNT, STRATEGY, INSTRUMENT) == [(FIRM, D(6))]
    assert again.scopes["firm"].removed == {}


def remove_limit() -> RemoveLimit:
    return RemoveLimit(control_id="gone", scope=FIRM, limit=VALUE, who="ada", why="enough", ts_init=1)


@pytest.mark.parametrize("scope", SCOPES, ids=str)
def test_a_kill_halts_everything_in_its_scope_and_a_resume_lifts_it(scope: Scope) -> None:
    assert trading(kill(scope=scope)) is TradingState.HALTED
    assert trading(kill(scope=scope), resume(scope=scope)) is TradingState.ACTIVE


@pytest.mark.parametrize("scope", ELSEWHERE, ids=str)
def test_a_kill_elsewhere_halts_nothing_here(scope: Scope) -> None:
    assert trading(kill(scope=scope)) is TradingState.ACTIVE


@pytest.mark.parametrize("scope", SCOPES, ids=str)
def test_a_later_limit_never_erases_a_kill(scope: Scope) -> None:
    outputs = run(STAGE, [kill(scope=scope), set_limit("l1", VALUE, "100", scope), set_limit("l2", COLLAR, "1", scope)])
    assert all(isinstance(x, InForce) and x.state is TradingState.HALTED for x in outputs)


def test_a_kill_never_erases_a_limit() -> None:
    (*_, last) = run(STAGE, [set_limit("l1", VALUE, "100"), kill()])
    assert isinstance(last, InForce)
    assert (last.state, last.limits) == (TradingState.HALTED, {VALUE: D(100)})


def test_a_resume_below_does_not_lift_the_firms_kill() -> None:
    assert trading(kill(), resume(scope=QUOTER)) is TradingState.HALTED


def test_the_strictest_scope_counts() -> None:
    reducing = ScopeControls(state=TradingState.REDUCING)
    state = ControlsState(scopes={str(QUOTER): reducing})
    assert state.state_for(ACCOUNT, STRATEGY, INSTRUMENT) is TradingState.REDUCING
    state.apply(kill())
    assert state.state_for(ACCOUNT, STRATEGY, INSTRUMENT) is TradingState.HALTED


def test_every_scope_that_supplies_a_limit_is_told_from_the_firm_down() -> None:
    limits = [set_limit(f"l{n}", VALUE, str(n), scope) for n, scope in enumerate(reversed(SCOPES))]
    told = state_after(*limits, set_limit("x", COLLAR, "9")).limit_for(VALUE, ACCOUNT, STRATEGY, INSTRUMENT)
    assert told == [(scope, D(4 - n)) for n, scope in enumerate(SCOPES)]


def test_a_limit_set_again_replaces_the_first() -> None:
    state = state_after(set_limit("l1", VALUE, "100"), set_limit("l2", VALUE, "50"))
    assert state.limit_for(VALUE, ACCOUNT, STRATEGY, INSTRUMENT) == [(FIRM, D(50))]


def test_a_limit_of_zero_is_a_limit() -> None:
    told = state_after(set_limit("l1", VALUE, "0")).limit_for(VALUE, ACCOUNT, STRATEGY, INSTRUMENT)
    assert told == [(FIRM, D(0))]


def test_a_limit_that_is_no_number_changes_nothing() -> None:
    assert run(STAGE, [set_limit("l1", VALUE, "NaN")]) == []


def test_what_is_in_force_names_who_and_why() -> None:
    (told,) = run(STAGE, [kill("k9")])
    assert isinstance(told, InForce)
    assert (told.scope, told.control_id, told.who, told.why) == (FIRM, "k9", "ada", "test")


def test_a_resume_of_a_strategy_is_told_to_it() -> None:
    told = run(STAGE, [resume(scope=QUOTER)])
    assert [type(x) for x in told] == [InForce, StrategyResumed]
    assert isinstance(told[1], StrategyResumed)
    assert (told[1].strategy, told[1].who) == (STRATEGY, "ada")
    assert [type(x) for x in run(STAGE, [resume()])] == [InForce]


def test_parameters_are_told_whole_with_the_digits_as_set() -> None:
    first = set_params("p1", '{"half_spread": "0.10", "lean": 0.30}', QUOTER)
    second = set_params("p2", '{"lean":1e-3}', QUOTER)
    told = [bytes(x.params) for x in run(STAGE, [first, second]) if isinstance(x, ParamsChanged)]
    assert told == [b'{"half_spread":"0.10","lean":0.30}', b'{"half_spread":"0.10","lean":1e-3}']


@pytest.mark.parametrize(("params", "scope"), [("[1]", QUOTER), ("3", QUOTER), ("{}", FIRM), ('{"a":1}', FIRM)])
def test_parameters_that_name_no_strategy_or_are_no_object_change_nothing(params: str, scope: Scope) -> None:
    assert run(STAGE, [set_params("p1", params, scope)]) == []


def test_a_flatten_is_left_to_the_gateway_which_can_tell_a_repeated_one() -> None:
    state, command = ControlsState(), flatten(scope=QUOTER)
    assert not state.has_seen(command)
    assert state.apply(command) == []
    assert state.has_seen(command)


def test_a_kill_that_is_delivered_again_after_the_resume_does_not_kill_again() -> None:
    assert trading(kill("k1"), resume("r1"), kill("k1")) is TradingState.ACTIVE


def test_a_resume_that_is_delivered_again_does_not_lift_a_later_kill() -> None:
    assert trading(kill("k1"), resume("r1"), kill("k2"), resume("r1")) is TradingState.HALTED


def test_what_is_remembered_of_commands_is_bounded_per_kind_of_scope() -> None:
    folding = Folding(STAGE)
    folding.feed(kill("k1"))
    for n in range(RECENT + 10):
        folding.feed(set_limit(f"l{n}", VALUE, "1", QUOTER))
    state = folding.states["controls"]
    assert len(state.recent[ScopeKind.STRATEGY]) == RECENT
    assert state.has_seen(kill("k1"))


MAKERS: list[Callable[[str, Scope], Control]] = [
    lambda i, s: kill(i, s),
    lambda i, s: resume(i, s),
    lambda i, s: flatten(i, s),
    lambda i, s: set_limit(i, VALUE, "5", s),
    lambda i, s: set_limit(i, COLLAR, "0.1", s),
    lambda i, s: set_params(i, '{"a":1.50}', s),
]


@st.composite
def commands(draw: st.DrawFn) -> list[Control]:
    drawn = draw(st.lists(st.tuples(st.sampled_from(MAKERS), st.sampled_from(SCOPES + ELSEWHERE)), max_size=15))
    return [make(f"id{n}", scope) for n, (make, scope) in enumerate(drawn)]


@given(commands())
def test_only_a_resume_lifts_a_kill(drawn: list[Control]) -> None:
    state = ControlsState()
    killed: set[Scope] = set()
    for control in drawn:
        state.apply(control)
        killed |= {control.scope} if type(control).__name__ == "Kill" else set()
        killed -= {control.scope} if type(control).__name__ == "Resume" else set()
        halted = state.state_for(ACCOUNT, STRATEGY, INSTRUMENT) is TradingState.HALTED
        assert halted == bool(killed & set(SCOPES))


@given(commands())
def test_a_command_delivered_again_at_any_later_time_says_nothing(drawn: list[Control]) -> None:
    once, folding = fold(STAGE, drawn), Folding(STAGE)
    for n, control in enumerate(drawn):
        folding.feed(control)
        for earlier in drawn[: n + 1]:
            assert folding.feed(earlier) == []
    assert fold(STAGE, [*drawn, *drawn]) == once


@given(commands(), st.integers(1, 4))
def test_the_stage_folds_the_same_live_or_recoded(drawn: list[Control], every: int) -> None:
    assert fold(STAGE, drawn, recode_every=every) == fold(STAGE, drawn)


@given(commands())
def test_commands_and_what_is_in_force_go_over_the_wire(drawn: list[Control]) -> None:
    said = [*drawn, *run(STAGE, drawn)]
    assert wire.encode(wire.decode(wire.encode(said))) == wire.encode(said)
    state = state_after(*drawn)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=ControlsState) == state
