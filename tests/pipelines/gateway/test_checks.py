"""Each pre-trade check, by the one thing that makes it deny."""

from decimal import Decimal as D
from typing import Any

import pytest

from pipelines.gateway.decide import decide
from pipelines.gateway.state import State
from tests.pipelines.gateway.worlds import (
    ACCOUNT,
    BTC,
    LIMITS,
    NOW,
    SECOND,
    add_controls,
    add_market,
    balance,
    check_of,
    control_records,
    definition,
    filled,
    kill,
    limit,
    mark,
    market_records,
    order,
    place,
    resumed,
    world,
)
from topics.controls import FIRM, Flatten, LimitName, Resume, Scope, ScopeKind, TradingState
from topics.orders import (
    ControlDone,
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderRequested,
    OrderUnknown,
    ReconciliationDifference,
)
from topics.record import OrderType, Side, TimeInForce

STRATEGY = Scope(ScopeKind.STRATEGY, "quoter")
INSTRUMENT = Scope(ScopeKind.INSTRUMENT, BTC)


def test_a_good_order_passes_and_says_what_it_was_judged_by() -> None:
    state = world()
    state.book.epoch, state.book.n = 7, 40
    fact = decide(state, order(), NOW)
    assert isinstance(fact, OrderRequested)
    assert fact.judged_by.offsets == {
        "orders.events.epoch": 7,
        "orders.events.n": 40,
        "portfolio.inbox": 3,
        "controls": len(LIMITS) - 1,
    }
    assert fact.judged_by.values["best_bid"] == "60000"
    assert fact.judged_by.values["reconciled"] == "true"
    assert fact.judged_by.limits["max_order_value firm"] == "10000"


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"order_type": OrderType.STOP}, "price"),
        ({"order_type": OrderType.STOP_LIMIT}, "trigger_price"),
        ({"trigger_price": D("60100")}, "trigger_price"),
        ({"order_qty": D(0)}, "order_qty"),
        ({"order_qty": D(-1)}, "order_qty"),
        ({"order_qty": D("NaN")}, "order_qty"),
        ({"price": None}, "price"),
        ({"price": D(0)}, "price"),
        ({"price": D("Infinity")}, "price"),
        ({"price": D("1e250")}, "price"),
        ({"price": D("1e-300")}, "price"),
        ({"order_qty": D("1E+999999")}, "order_qty"),
        ({"order_qty": D("0." + "1" * 39)}, "order_qty"),
        ({"cause": "flatten:f"}, "cause"),
        ({"order_type": OrderType.MARKET}, "price"),
        ({"order_type": OrderType.MARKET, "price": None, "post_only": True}, "post_only"),
        ({"post_only": True, "time_in_force": TimeInForce.IOC}, "post_only"),
        ({"instrument": "sim:DOGE-USDT"}, "instrument_known"),
        ({"price": D("60000.001")}, "tick_size"),
        ({"order_qty": D("0.100001")}, "lot_size"),
        ({"order_qty": D("0.00005")}, "min_notional"),
        ({"price": D("56000")}, "price_collar"),
        ({"price": D("64000")}, "price_collar"),
        ({"order_qty": D("0.2")}, "max_order_value"),
        ({"reduce_only": True}, "reduce_only"),
        ({"ts_init": NOW - 3 * SECOND}, "command_age"),
        ({"ts_init": NOW + SECOND + 1}, "command_age"),
        ({"ts_init": NOW + SECOND}, ""),
    ],
)
def test_what_is_wrong_with_an_order_names_the_check(changes: dict[str, Any], check: str) -> None:
    assert check_of(world(), order(**changes)) == check


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"tradable": False}, "instrument_tradable"),
        ({"min_qty": D(1)}, "min_qty"),
        ({"max_qty": D("0.05")}, "max_qty"),
        ({"max_notional": D(100)}, "max_notional"),
        ({"lot_size": D("0.03")}, "lot_size"),
    ],
)
def test_the_definition_in_force_is_what_counts(changes: dict[str, Any], check: str) -> None:
    state = world()
    add_market(state, definition(**changes))
    assert check_of(state, order()) == check


def test_a_venue_that_has_halted_the_instrument_denies() -> None:
    state = world()
    add_market(state, mark(tradable=False))
    assert check_of(state, order()) == "instrument_tradable"


@pytest.mark.parametrize("name", LimitName)
def test_a_limit_that_no_scope_supplies_denies(name: LimitName) -> None:
    state = world(controls=[c for c in control_records() if c.limit is not name])
    fact = decide(state, order(), NOW)
    assert isinstance(fact, OrderDenied)
    assert (fact.check, fact.value, fact.limit) == (name, "none", "no scope supplies it")


@pytest.mark.parametrize("scope", ["firm", "venue:sim", f"account:{ACCOUNT}", "strategy:quoter", f"instrument:{BTC}"])
def test_every_scope_may_supply_a_limit_and_the_strictest_counts(scope: str) -> None:
    state = world()
    add_controls(state, limit(LimitName.MAX_ORDER_VALUE, D(100), Scope.parse(scope)))
    fact = decide(state, order(), NOW)
    assert isinstance(fact, OrderDenied)
    assert (fact.check, fact.limit) == ("max_order_value", f"100 ({scope})")


def test_another_strategys_limit_is_not_this_ones() -> None:
    state = world()
    add_controls(state, limit(LimitName.MAX_ORDER_VALUE, D(1), Scope(ScopeKind.STRATEGY, "other")))
    assert check_of(state, order()) == ""


def test_without_a_mark_nothing_passes() -> None:
    records = [r for r in market_records() if r != mark()]
    assert check_of(world(market=records), order()) == "max_data_age"


def test_a_mark_is_judged_by_when_it_was_received() -> None:
    state = world()
    assert check_of(state, order(ts_init=NOW + 2 * SECOND), NOW + 2 * SECOND) == ""
    late = NOW + 2 * SECOND + 1
    assert check_of(state, order(ts_init=late), late) == "max_data_age"


# --- position ------------------------------------------------------------------------------------------------------


def small(cid: str, **changes: Any) -> Any:
    return order(cid, **changes)


def test_exposure_is_reserved_from_the_request_on() -> None:
    state = world()
    passed = [isinstance(place(state, order(f"o{i}")), OrderRequested) for i in range(10)]
    assert passed == [True] * 8 + [False] * 2  # 8 x 6000 within 50000


def test_an_unknown_order_counts_as_if_it_filled() -> None:
    state = world()
    for i in range(8):
        place(state, order(f"o{i}"))
        state.book.fold(OrderUnknown(**ids(f"o{i}"), where="submit", reason="timeout"))
    assert check_of(state, order("one more")) == "max_position_value"


def test_what_ended_counts_no_more_but_what_it_filled_does() -> None:
    state = world()
    for i in range(8):
        place(state, order(f"o{i}"))
    state.book.fold(filled(order("o0"), "0.04"))
    state.book.fold(OrderCanceled(**ids("o0")))
    assert check_of(state, order("a", order_qty=D("0.06"))) == ""
    assert check_of(state, order("b", order_qty=D("0.1"))) == "max_position_value"


def test_a_strategys_limit_is_about_its_own_position_and_the_accounts_about_the_net() -> None:
    state = world()
    place(state, order("other", strategy="other", order_qty=D("0.1")))
    add_controls(state, limit(LimitName.MAX_POSITION_VALUE, D(7000), STRATEGY))
    assert check_of(state, order("mine")) == ""
    add_controls(state, limit(LimitName.MAX_POSITION_VALUE, D(7000), INSTRUMENT))
    assert check_of(state, order("mine")) == "max_position_value"


def test_an_order_that_only_reduces_passes_a_limit_that_the_position_is_above() -> None:
    state = world()
    place(state, order("long"))
    state.book.fold(filled(order("long"), "0.1"))
    add_controls(state, limit(LimitName.MAX_POSITION_VALUE, D(1000)))
    assert check_of(state, order("more", order_qty=D("0.01"))) == "max_position_value"
    assert check_of(state, order("less", side=Side.SELL, price=D("60010"), order_qty=D("0.05"))) == ""
    assert check_of(state, order("over", side=Side.SELL, price=D("60010"), order_qty=D("0.15"))) != ""


def test_reduce_only_counts_what_is_already_on_its_way() -> None:
    state = world()
    place(state, order("long"))
    state.book.fold(filled(order("long"), "0.1"))
    sell = {"side": Side.SELL, "price": D("60010"), "reduce_only": True}
    assert isinstance(place(state, order("a", order_qty=D("0.06"), **sell)), OrderRequested)
    assert check_of(state, order("b", order_qty=D("0.06"), **sell)) == "reduce_only"
    assert check_of(state, order("c", order_qty=D("0.04"), **sell)) == ""


# --- rate ----------------------------------------------------------------------------------------------------------


def test_orders_per_second_are_counted_by_the_time_of_their_decisions() -> None:
    state = world()
    add_controls(state, limit(LimitName.MAX_ORDERS_PER_SECOND, D(2), STRATEGY))
    assert isinstance(place(state, order("a")), OrderRequested)
    assert isinstance(place(state, order("b"), NOW + 1), OrderRequested)
    assert check_of(state, order("c"), NOW + 2) == "max_orders_per_second"
    assert check_of(state, order("c", strategy="other"), NOW + 2) == ""
    assert check_of(state, order("c"), NOW + SECOND) == ""


def test_a_denied_order_never_counts() -> None:
    state = world()
    for i in range(50):
        assert isinstance(place(state, order(f"bad{i}", price=D(1))), OrderDenied)
    assert not state.book.working
    assert check_of(state, order()) == ""


# --- our own orders, and what the account holds -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resting", "coming", "meets"),
    [
        ((Side.SELL, "60010"), (Side.BUY, "60010"), True),
        ((Side.SELL, "60010"), (Side.BUY, "60020"), True),
        ((Side.SELL, "60010"), (Side.BUY, "60009.99"), False),
        ((Side.BUY, "60000"), (Side.SELL, "60000"), True),
        ((Side.BUY, "60000"), (Side.SELL, "60000.01"), False),
        ((Side.BUY, "60000"), (Side.BUY, "60020"), False),
        ((Side.SELL, "60300"), (Side.BUY, None), True),
        ((Side.BUY, "60000"), (Side.BUY, None), False),
    ],
)
def test_an_order_that_would_meet_our_own_is_denied(resting: Any, coming: Any, meets: bool) -> None:
    state = world()
    place(state, order("r", strategy="other", side=resting[0], price=D(resting[1])))
    kind = OrderType.MARKET if coming[1] is None else OrderType.LIMIT
    price = None if coming[1] is None else D(coming[1])
    assert (check_of(state, order("c", side=coming[0], price=price, order_type=kind)) == "self_match") is meets


def test_a_sell_needs_the_base_beside_what_open_sells_may_still_take() -> None:
    state = world()
    add_market(state, balance("BTC", "0.05", locked="0.1"))
    sell = {"side": Side.SELL, "price": D("60010")}
    assert isinstance(place(state, order("a", **sell)), OrderRequested)
    assert check_of(state, order("b", order_qty=D("0.06"), **sell)) == "free_holdings"
    assert check_of(state, order("b", order_qty=D("0.05"), **sell)) == ""


def test_a_buy_needs_the_quote_and_without_balances_nothing_passes() -> None:
    state = world()
    add_market(state, balance("USDT", "5999"))
    assert check_of(state, order()) == "free_holdings"
    assert check_of(world(market=[definition(), mark()]), order()) == "free_holdings"


# --- states --------------------------------------------------------------------------------------------------------


def test_until_it_is_reconciled_nothing_passes() -> None:
    assert check_of(world(ready=False), order()) == "reconciled"


@pytest.mark.parametrize("scope", ["firm", "venue:sim", f"account:{ACCOUNT}", "strategy:quoter", f"instrument:{BTC}"])
def test_a_kill_stops_its_scope_until_that_scope_is_resumed(scope: str) -> None:
    state = world()
    add_controls(state, kill(Scope.parse(scope)), limit(LimitName.MAX_ORDER_VALUE, D(9000), Scope.parse(scope)))
    assert check_of(state, order()) == "trading_state"
    add_controls(state, resume(Scope.parse(scope)))
    assert check_of(state, order()) == ""


def test_reducing_lets_only_orders_that_reduce_the_strategys_own_position() -> None:
    state = world()
    place(state, order("long"))
    state.book.fold(filled(order("long"), "0.1"))
    state.rules.state.scopes["strategy:quoter"] = state.rules.state.scopes["firm"].__class__(
        state=TradingState.REDUCING
    )
    state.rules.known.clear()
    assert check_of(state, order("more")) == "trading_state"
    assert check_of(state, order("less", side=Side.SELL, price=D("60010"), order_qty=D("0.02"))) == ""


def test_a_difference_halts_the_instrument_until_a_later_resume_explains_it() -> None:
    state = world()
    difference = ReconciliationDifference(
        account=ACCOUNT, instrument=BTC, what="cum_qty", tape="1", venue="2", ts_init=NOW
    )
    hour = 3600 * SECOND
    add_controls(state, resume(FIRM, NOW + hour, "early"))  # of an operator whose clock is an hour ahead
    state.book.fold(resumed(FIRM))
    state.book.fold(difference)
    assert check_of(state, order()) == "instrument_halted"
    for scope in (STRATEGY, Scope(ScopeKind.INSTRUMENT, "sim:ETH-USDT"), Scope(ScopeKind.ACCOUNT, "sim.other")):
        state.book.fold(resumed(scope))
    assert check_of(state, order()) == "instrument_halted"
    add_controls(state, resume(INSTRUMENT, NOW - hour, "late"))  # and of one whose clock is behind
    state.book.fold(resumed(INSTRUMENT, 91))
    assert check_of(state, order()) == ""
    assert state.book.resumed_to == 91


def test_what_only_reduces_passes_a_halted_instrument() -> None:
    state = world()
    place(state, order("long"))
    state.book.fold(filled(order("long"), "0.1"))
    state.book.fold(
        ReconciliationDifference(account=ACCOUNT, instrument=BTC, what="x", tape="1", venue="2", ts_init=NOW)
    )
    assert check_of(state, order("less", side=Side.SELL, price=D("60010"))) == ""
    assert check_of(state, order("turn", side=Side.SELL, price=D("60010"), order_qty=D("0.11"))) == "instrument_halted"


def test_an_overfill_halts_the_instrument() -> None:
    state = world()
    place(state, order())
    state.book.fold(OrderAccepted(**ids("o1"), venue_order_id="v-o1"))
    state.book.fold(filled(order(), "0.11"))
    assert check_of(state, order("next")) == "instrument_halted"


def test_what_closes_a_position_for_a_flatten_passes_a_kill_and_nothing_else_does() -> None:
    state = world()
    place(state, order("long"))
    state.book.fold(filled(order("long"), "0.1"))
    add_controls(state, kill(), Flatten(control_id="f", scope=STRATEGY, who="w", why="y", ts_init=NOW))
    close = {"side": Side.SELL, "price": D("60000"), "time_in_force": TimeInForce.IOC}
    assert check_of(state, order("a", **close), carries_out="f") == ""
    assert check_of(state, order("b", **close), carries_out="other") == "trading_state"
    assert check_of(state, order("d", **{**close, "order_qty": D("0.11")}), carries_out="f") == "trading_state"
    assert check_of(state, order("e"), carries_out="f") == "trading_state"
    assert check_of(state, order("g", cause="flatten:f", **close)) == "cause"
    common = {"account": ACCOUNT, "control_id": "f", "scope": STRATEGY, "offset": 9, "ts_init": NOW}
    state.book.fold(ControlDone(**common, control="Flatten", outcome="closed"))
    assert check_of(state, order("h", **close), carries_out="f") == "trading_state"


@pytest.mark.parametrize(
    "spoilt",
    [
        mark(best_bid=D(0), best_ask=D(0)),
        mark(best_bid=D("1e250"), best_ask=D("1e250")),
        definition(tick_size=D("1e-250")),
        definition(lot_size=D(0)),
    ],
)
def test_what_cannot_be_reckoned_is_denied_and_raises_nothing(spoilt: Any) -> None:
    state = world()
    add_market(state, spoilt)
    fact = decide(state, order(), NOW)
    assert isinstance(fact, OrderDenied)
    assert fact.judged_by.values["reconciled"] == "true"
    assert fact.judged_by.offsets["portfolio.inbox"] == 4


def test_a_mark_from_the_future_is_no_fresh_one() -> None:
    state = world()
    add_market(state, mark(ts_init=NOW + 2 * SECOND))
    assert check_of(state, order()) == "max_data_age"


def resume(scope: Scope, ts: int = NOW + 1, control_id: str = "r") -> Resume:
    return Resume(control_id=control_id, scope=scope, who="w", why="y", ts_init=ts)


def ids(cid: str) -> dict[str, Any]:
    return {"client_order_id": cid, "account": ACCOUNT, "instrument": BTC, "strategy": "quoter", "ts_init": NOW}


INVERSE = {
    "quote": "USD",
    "kind": "inverse",
    "inverse": True,
    "multiplier": D(100),
    "lot_size": D(1),
    "max_qty": D(1000),
}


def on_a_contract(**changes: Any) -> State:
    state = world()
    add_market(state, definition(**{**INVERSE, **changes}))
    return state


def test_an_inverse_order_is_worth_its_contracts_whatever_the_price() -> None:
    """100 contracts of 100 USD are 10,000 USD, the limit; nothing of it has to be held."""
    state = on_a_contract()
    add_market(state, balance("BTC", "0"), balance("USD", "0"))
    for side, price in ((Side.BUY, "60000"), (Side.SELL, "60010"), (Side.BUY, "59000")):
        hundred = order(order_qty=D(100), side=side, price=D(price))
        assert check_of(state, hundred) == ""
        denied = decide(state, order(order_qty=D(101), side=side, price=D(price)), NOW)
        assert isinstance(denied, OrderDenied)
        assert (denied.check, denied.value, denied.limit) == ("max_order_value", "10100", "10000 (firm)")


def test_an_inverse_position_is_worth_its_contracts() -> None:
    state = on_a_contract()
    for n in range(5):
        placed = place(state, order(f"o{n}", order_qty=D(100)))
        assert isinstance(placed, OrderRequested)
        state.book.fold(filled(placed.command, "100", trade_id=str(n)))
    denied = decide(state, order("more", order_qty=D(1)), NOW)
    assert isinstance(denied, OrderDenied)
    assert (denied.check, denied.value) == ("max_position_value", "50100")


def test_the_venues_bounds_of_a_contract_count_its_multiplier() -> None:
    state = on_a_contract(kind="linear", inverse=False, quote="USDT", multiplier=D("0.001"), min_notional=D(100))
    assert check_of(state, order(order_qty=D(1))) == "min_notional"
    assert check_of(state, order(order_qty=D(2))) == ""


@pytest.mark.parametrize(
    ("changes", "value", "limit"),
    [
        ({"settle": "ETH"}, "settled in ETH", "BTC (not quanto)"),
        ({"inverse": False, "kind": "linear", "settle": "BTC"}, "settled in BTC", "USD (not quanto)"),
        ({"inverse": False, "kind": "linear", "multiplier": D(0)}, "multiplier 0", "the size of a contract"),
    ],
)
def test_nothing_is_ordered_of_what_cannot_be_valued(changes: dict[str, Any], value: str, limit: str) -> None:
    denied = decide(on_a_contract(**changes), order(order_qty=D(1)), NOW)
    assert isinstance(denied, OrderDenied)
    assert (denied.check, denied.value, denied.limit) == ("contract_value", value, limit)
