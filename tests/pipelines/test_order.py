"""The order as a fold over the set of its facts: the case table of the design, and its properties."""

from collections.abc import Iterable
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.order import HALTING, AnomalyKind, OrderFacts, Step
from tests.facts import D, OrderMaker
from tests.strategies_of_facts import order_facts, set_and_tape
from topics import wire
from topics.orders import Fact, OrderStatus, OrderUpdated
from topics.record import Liquidity, OrderType, Side

o = OrderMaker()


def folded(facts: Iterable[Fact]) -> tuple[OrderFacts, list[Step]]:
    facts = list(facts)
    order = OrderFacts.about(facts[0])
    return order, [order.add(fact) for fact in facts]


def view_of(*facts: Fact) -> OrderUpdated:
    view = folded(facts)[0].view(facts[-1])
    assert view is not None
    return view


def anomalies_of(*facts: Fact) -> list[str]:
    return [a.what for step in folded(facts)[1] for a in step.anomalies]


def test_an_execution_before_the_acknowledgement_counts_at_once_and_the_acknowledgement_adds_nothing() -> None:
    order, steps = folded([o.requested(), o.sent(), o.filled(qty="2"), o.accepted()])
    view = order.view()
    assert view is not None
    assert [len(s.fills) for s in steps] == [0, 0, 1, 0]
    assert not steps[3].visible
    assert (view.status, view.cum_qty, view.leaves_qty, view.venue_order_id) == ("partially_filled", D(2), D(3), "v1")
    assert anomalies_of(o.requested(), o.filled(), o.accepted()) == []


def test_an_execution_while_a_cancel_is_pending_counts_and_the_flag_stays_until_the_answer() -> None:
    facts = [o.requested(), o.accepted(), o.cancel_requested(), o.filled(qty="2")]
    pending, answered = view_of(*facts), view_of(*facts, o.canceled())
    assert (pending.status, pending.pending_cancel, pending.cum_qty) == (OrderStatus.PARTIALLY_FILLED, True, D(2))
    assert (answered.status, answered.pending_cancel, answered.cum_qty) == (OrderStatus.CANCELED, False, D(2))


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (o.canceled(), OrderStatus.CANCELED),
        (o.rejected(), OrderStatus.REJECTED),
        (o.expired(), OrderStatus.EXPIRED),
    ],
)
def test_an_execution_after_the_end_counts_is_flagged_and_leaves_the_status(end: Fact, status: OrderStatus) -> None:
    facts = [o.requested("5"), o.accepted(), end, o.filled(qty="2")]
    view = view_of(*facts)
    assert (view.status, view.cum_qty, view.leaves_qty) == (status, D(2), D(0))
    assert anomalies_of(*facts) == [AnomalyKind.EXECUTION_AFTER_END]
    assert len(folded(facts)[1][-1].fills) == 1


def test_an_execution_that_the_venue_counted_at_the_end_came_only_later_and_one_beyond_it_is_flagged() -> None:
    end = o.canceled(cum_qty=D(2))
    assert anomalies_of(o.requested("5"), o.accepted(), end, o.filled("t1", "1"), o.filled("t2", "1")) == []
    beyond = [o.requested("5"), o.accepted(), end, o.filled("t1", "2"), o.filled("t2", "1")]
    assert anomalies_of(*beyond) == [AnomalyKind.EXECUTION_AFTER_END]


def test_an_order_that_late_executions_complete_is_filled() -> None:
    facts = [o.requested("5"), o.filled("t1", "3"), o.canceled(), o.filled("t2", "2")]
    assert view_of(*facts).status is OrderStatus.FILLED
    assert anomalies_of(*facts) == [AnomalyKind.EXECUTION_AFTER_END]


def test_the_same_execution_twice_counts_once() -> None:
    order, steps = folded([o.requested(), o.filled(qty="2"), o.filled(qty="2"), o.filled(qty="2.00")])
    assert order.cum_qty == D(2)
    assert [len(s.fills) for s in steps] == [0, 1, 0, 0]
    assert not any(s.anomalies for s in steps)


def test_a_channel_that_does_not_know_the_liquidity_repeats_the_same_execution() -> None:
    assert anomalies_of(o.requested(), o.filled(), o.filled(liquidity=Liquidity.TAKER)) == []


@pytest.mark.parametrize(
    "other", [{"qty": "3"}, {"px": "101"}, {"fee": D(7)}, {"side": Side.SELL}, {"fee_currency": "BNB"}], ids=str
)
def test_one_trade_id_with_another_content_is_quarantined_once_and_halts(other: dict[str, object]) -> None:
    facts = [o.requested(), o.filled(), o.filled(**other), o.filled(**other)]
    order, steps = folded(facts)
    assert (order.cum_qty, len(order.quarantined["v1", "t1"])) == (D(2), 1)
    assert [len(s.fills) for s in steps] == [0, 1, 0, 0]
    assert anomalies_of(*facts) == [AnomalyKind.EXECUTION_CONFLICT]
    assert AnomalyKind.EXECUTION_CONFLICT in HALTING


def test_executions_beyond_the_order_quantity_count_and_are_told_as_overfill() -> None:
    facts = [o.requested("5"), o.filled("t1", "4"), o.filled("t2", "3")]
    view = view_of(*facts)
    assert (view.status, view.cum_qty, view.leaves_qty, view.overfill_qty) == (OrderStatus.FILLED, D(7), D(0), D(2))
    assert anomalies_of(*facts) == [AnomalyKind.OVERFILL]
    assert AnomalyKind.OVERFILL in HALTING


def test_a_bust_reverses_its_execution_to_the_digit() -> None:
    order, steps = folded([o.requested("5"), o.filled("t1", "1"), o.filled("t2", "2.5000"), o.busted("t2")])
    only, _ = folded([o.requested("5"), o.filled("t1", "1")])
    assert [(f.trade_id, f.reversal) for s in steps for f in s.fills] == [("t1", False), ("t2", False), ("t2", True)]
    assert repr((order.cum_qty, order.value, order.fees)) == repr((only.cum_qty, only.value, only.fees))


def test_a_bust_that_comes_first_lets_the_execution_through_only_with_its_reversal() -> None:
    order, steps = folded([o.requested(), o.busted(), o.filled(), o.busted(), o.filled()])
    assert [[f.reversal for f in s.fills] for s in steps] == [[], [], [False, True], [], []]
    assert order.cum_qty == D(0)


def test_a_correction_is_a_bust_and_another_execution() -> None:
    view = view_of(o.requested("5"), o.filled("t1", "2", "100"), o.busted("t1"), o.filled("t2", "2", "99"))
    assert (view.cum_qty, view.avg_px, view.fees) == (D(2), D(99), {"USDT": D("0.1")})


def test_a_lost_answer_to_a_submit_leaves_it_unknown_with_all_of_it_reserved() -> None:
    view = view_of(o.requested("5"), o.sent(), o.unknown("submit"))
    assert (view.status, view.leaves_qty, view.reason) == (OrderStatus.UNKNOWN, D(5), "timeout")


@pytest.mark.parametrize(
    ("evidence", "status"),
    [
        (o.accepted(), OrderStatus.NEW),
        (o.reconciled(found=True, status="new"), OrderStatus.NEW),
        (o.reconciled(found=True, status="canceled"), OrderStatus.CANCELED),
        (o.reconciled(found=False), OrderStatus.REJECTED),
        (o.rejected(), OrderStatus.REJECTED),
        (o.filled(qty="2"), OrderStatus.PARTIALLY_FILLED),
        (o.filled(qty="5"), OrderStatus.FILLED),
        (o.unknown("cancel"), OrderStatus.UNKNOWN),
    ],
)
def test_evidence_and_nothing_else_ends_unknown(evidence: Fact, status: OrderStatus) -> None:
    assert view_of(o.requested("5"), o.unknown("submit"), evidence).status is status
    assert view_of(o.requested("5"), evidence, o.unknown("submit")).status is status


def test_a_lost_answer_to_a_cancel_leaves_the_order_live_and_the_cancel_pending() -> None:
    view = view_of(o.requested("5"), o.accepted(), o.cancel_requested(), o.unknown("cancel"))
    assert (view.status, view.pending_cancel, view.leaves_qty) == (OrderStatus.NEW, True, D(5))


def test_an_order_proved_missing_that_shows_up_is_live_again_and_flagged() -> None:
    facts = [o.requested("5"), o.unknown(), o.reconciled(found=False), o.accepted()]
    assert (view_of(*facts).status, view_of(*facts).leaves_qty) == (OrderStatus.NEW, D(5))
    assert anomalies_of(*facts) == [AnomalyKind.NOT_FOUND_BUT_LIVE]


def test_a_rejected_order_that_the_venue_shows_alive_is_alive() -> None:
    """ "Duplicate order" on submit: an earlier send is live."""
    assert view_of(o.requested(), o.rejected(), o.reconciled(found=True, status="new")).status is OrderStatus.NEW


def test_a_cancel_of_a_filled_order_is_refused_and_the_order_stays_filled() -> None:
    view = view_of(o.requested("2"), o.accepted(), o.cancel_requested(), o.filled(qty="2"), o.cancel_rejected())
    assert (view.status, view.pending_cancel) == (OrderStatus.FILLED, False)


def test_a_refused_cancel_does_not_answer_another() -> None:
    facts = [o.requested(), o.accepted(), o.cancel_requested("c1"), o.cancel_requested("c2"), o.cancel_rejected("c1")]
    assert view_of(*facts).pending_cancel
    assert not view_of(*facts, o.cancel_rejected("c2")).pending_cancel


def test_a_revision_counts_when_the_venue_says_so_and_is_pending_until_then() -> None:
    facts = [o.requested("5"), o.accepted(), o.filled(qty="2"), o.modify_requested(1, "3")]
    pending, done = view_of(*facts), view_of(*facts, o.modified(1, "3"))
    assert (pending.pending_replace, pending.revision, pending.order_qty, pending.leaves_qty) == (True, 0, D(5), D(3))
    assert (done.pending_replace, done.revision, done.order_qty, done.leaves_qty) == (False, 1, D(3), D(1))


def test_until_it_is_answered_the_larger_of_two_quantities_is_reserved() -> None:
    order, _ = folded([o.requested("5"), o.accepted(), o.filled(qty="2"), o.modify_requested(1, "9")])
    assert (order.leaves_qty, order.reserved_qty) == (D(3), D(7))
    order.add(o.modify_rejected(1))
    assert (order.leaves_qty, order.reserved_qty) == (D(3), D(3))


def test_the_highest_revision_in_force_counts_whichever_was_heard_of_first() -> None:
    for facts in ([o.modified(1, "4"), o.modified(2, "3")], [o.modified(2, "3"), o.modified(1, "4")]):
        view = view_of(o.requested("5"), o.accepted(), *facts)
        assert (view.order_qty, view.revision) == (D(3), 2)


def test_an_execution_that_completes_the_smaller_quantity_fills_the_order() -> None:
    view = view_of(o.requested("5"), o.accepted(), o.filled(qty="2"), o.modify_requested(1, "2"), o.modified(1, "2"))
    assert (view.status, view.leaves_qty, view.overfill_qty) == (OrderStatus.FILLED, D(0), D(0))


def test_a_revision_that_another_order_carries_out_leaves_this_ones_terms_and_names_the_other() -> None:
    facts = [o.requested("5"), o.accepted(), o.modify_requested(1, "9", "101", "x~2"), o.canceled(cum_qty=D(0))]
    pending, done = view_of(*facts), view_of(*facts, o.modified(1, "9", "101", "x~2"))
    assert (pending.status, pending.pending_replace) == (OrderStatus.CANCELED, True)
    assert (done.pending_replace, done.replaced_by, done.order_qty, done.price) == (False, "x~2", D(5), D(100))


def test_a_denied_modification_changes_nothing_and_is_told() -> None:
    order, steps = folded([o.requested("5"), o.accepted(), o.modify_denied()])
    assert (steps[-1].visible, order.pending_revision, order.order_qty) == (True, 0, D(5))
    assert view_of(o.requested("5"), o.modify_denied()).reason == "price_collar: 0.2 against 0.1"


def test_a_triggered_stop_order_is_so_until_it_executes() -> None:
    facts = [o.requested("5"), o.accepted(), o.triggered()]
    assert view_of(*facts).status is OrderStatus.TRIGGERED
    assert view_of(*facts, o.filled(qty="2")).status is OrderStatus.PARTIALLY_FILLED


def test_an_external_order_is_an_order_of_its_own_strategy() -> None:
    e = OrderMaker("web-1", strategy="EXTERNAL")
    order, steps = folded([e.external("5"), e.filled(qty="2")])
    view = order.view()
    assert view is not None
    assert (view.strategy, view.status, view.venue_order_id) == ("EXTERNAL", OrderStatus.PARTIALLY_FILLED, "v1")
    assert steps[1].fills[0].strategy == "EXTERNAL"


def test_leftovers_of_an_ioc_order_end_with_what_was_executed() -> None:
    view = view_of(o.requested("5"), o.filled(qty="2"), o.expired("ioc"))
    assert (view.status, view.cum_qty, view.leaves_qty, view.reason) == (OrderStatus.EXPIRED, D(2), D(0), "ioc")


def test_a_denied_order_says_which_check_it_failed_and_was_never_at_the_venue() -> None:
    view = view_of(o.denied())
    assert (view.status, view.reason, view.leaves_qty) == (OrderStatus.DENIED, "price_collar: 0.2 against 0.1", D(0))


def test_a_denied_command_with_the_id_of_an_order_does_not_touch_it() -> None:
    for facts in ([o.requested("7"), o.denied("duplicate_id")], [o.denied("duplicate_id"), o.requested("7")]):
        view = view_of(*facts)
        assert (view.status, view.order_qty) == (OrderStatus.PENDING_NEW, D(7))


def test_fees_are_kept_by_currency() -> None:
    fills = [o.filled("t1"), o.filled("t2", fee=D("0.3")), o.filled("t3", fee=D("0.01"), fee_currency="BNB")]
    assert view_of(o.requested("9"), *fills).fees == {"USDT": D("0.4"), "BNB": D("0.01")}


def test_a_self_trade_gives_one_trade_id_to_two_venue_orders_and_both_count() -> None:
    assert folded([o.requested("9"), o.filled("t1"), o.filled("t1", venue_order_id="v2")])[0].cum_qty == D(4)


@pytest.mark.parametrize(
    "bad", [{"last_qty": D(0)}, {"last_qty": D(-1)}, {"last_px": D("NaN")}, {"fee": D("Infinity")}]
)
def test_an_execution_that_is_no_number_is_quarantined_once(bad: dict[str, object]) -> None:
    facts = [o.requested(), o.filled(**bad), o.filled(**bad)]
    assert folded(facts)[0].cum_qty == D(0)
    assert anomalies_of(*facts) == [AnomalyKind.EXECUTION_UNREADABLE]


def test_an_execution_on_the_other_side_is_applied_and_flagged() -> None:
    facts = [o.requested(), o.filled(side=Side.SELL)]
    assert folded(facts)[0].cum_qty == D(2)
    assert anomalies_of(*facts) == [AnomalyKind.SIDE_MISMATCH]


def test_a_second_venue_order_id_is_flagged_once() -> None:
    facts = [o.requested(), o.accepted("v1"), o.accepted("v2"), o.accepted("v2")]
    assert anomalies_of(*facts) == [AnomalyKind.VENUE_ORDER_ID_CONFLICT]


def test_the_venue_order_id_does_not_depend_on_which_of_two_came_first() -> None:
    ids = [view_of(o.requested(), o.accepted(a), o.accepted(b)).venue_order_id for a, b in (("v1", "v2"), ("v2", "v1"))]
    assert ids == ["v1", "v1"]


def test_an_order_without_terms_has_no_view_yet_but_its_executions_count() -> None:
    order, steps = folded([o.filled(qty="2"), o.canceled()])
    assert order.view() is None
    assert len(steps[0].fills) == 1
    order.add(o.requested("5"))
    view = order.view()
    assert view is not None
    assert (view.status, view.cum_qty) == (OrderStatus.CANCELED, D(2))


def test_sums_keep_every_digit() -> None:
    big, small = ("98765432109876543210.98765432", "12345678901234567890.12345678"), ("0." + "0" * 19 + "1", "0.001")
    order, _ = folded([o.requested("1"), o.filled("t1", *big), o.filled("t2", *small)])
    exact = sum(Fraction(qty) * Fraction(px) for qty, px in (big, small))
    assert (Fraction(order.cum_qty), Fraction(order.value)) == (Fraction(big[0]) + Fraction(small[0]), exact)


def test_a_market_order_has_no_price() -> None:
    command = msgspec.structs.replace(o.submit(price=None), order_type=OrderType.MARKET)
    view = view_of(msgspec.structs.replace(o.requested(), command=command))
    assert (view.price, view.avg_px, view.order_type) == (None, None, OrderType.MARKET)


def essence(view: OrderUpdated | None) -> str:
    """Everything but the last fact and the reason; by repr, so that digits count."""
    assert view is not None
    fees = dict(sorted(view.fees.items()))
    plain = {"fact": "", "reason": "", "last_qty": None, "last_px": None, "ts_event": 0, "ts_init": 0, "fees": fees}
    return repr(msgspec.structs.replace(view, **plain))


@given(set_and_tape(order_facts()))
def test_an_order_does_not_depend_on_the_order_in_which_its_facts_arrive(drawn: tuple[list[Fact], list[Fact]]) -> None:
    facts, tape = drawn
    (order, steps), (other, others) = folded(facts), folded(tape)
    assert essence(order.view()) == essence(other.view())
    identities = [
        sorted((f.venue_order_id, f.trade_id, f.reversal) for s in ss for f in s.fills) for ss in (steps, others)
    ]
    assert identities[0] == identities[1]


@given(order_facts())
def test_a_known_fact_changes_nothing_and_says_nothing(facts: list[Fact]) -> None:
    order, _ = folded(facts)
    before = msgspec.msgpack.encode(order)
    assert [order.add(fact) for fact in facts] == [Step()] * len(facts)
    assert msgspec.msgpack.encode(order) == before


@given(order_facts(), st.integers(1, 3))
def test_an_order_folds_the_same_from_its_encoded_form(facts: list[Fact], every: int) -> None:
    order, steps = folded(facts)
    coded = OrderFacts.about(facts[0])
    for n, fact in enumerate(facts):
        assert coded.add(fact) == steps[n]
        if n % every == 0:
            coded = msgspec.msgpack.decode(msgspec.msgpack.encode(coded), type=OrderFacts)
    assert coded == order


@given(order_facts())
def test_quantities_hold_together(facts: list[Fact]) -> None:
    view = folded(facts)[0].view()
    assert view is not None
    assert view.leaves_qty >= 0
    assert view.leaves_qty == 0 or not view.status.is_terminal
    assert view.overfill_qty == max(view.cum_qty - view.order_qty, D(0))
    assert (view.status is OrderStatus.FILLED) == (view.cum_qty >= view.order_qty)
    assert view.status.is_terminal or view.cum_qty + view.leaves_qty == view.order_qty


@given(order_facts())
def test_facts_views_fills_and_anomalies_go_over_the_wire(facts: list[Fact]) -> None:
    order, steps = folded(facts)
    view = order.view(facts[-1])
    said = [*facts, *([view] if view else []), *(r for s in steps for r in (*s.fills, *s.anomalies))]
    assert wire.decode(wire.encode(said)) == said
