"""The orders stage over time: closed orders are forgotten, and yet no execution is lost or counted twice."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import orders
from pipelines.order import AnomalyKind
from pipelines.orders import FORGET_MINUTES, KEEP_CLOSED_DAYS, ROOM, STAGE, Orders
from tests.facts import ACCOUNT, DAY, INSTRUMENT, SECOND, T0, D, OrderMaker
from tests.folding import Folding, fold, run
from tests.strategies_of_facts import doubled, facts_of_orders, rearranged
from topics.orders import Fact, Fill, OrderAnomaly, OrderBusted, OrderFilled, OrderUpdated
from topics.record import Record

KEY = f"{ACCOUNT}|{INSTRUMENT}"
MINUTE = 60 * SECOND
AFTER = FORGET_MINUTES + 1
"""Minutes after which a closed order is forgotten."""
DAY_MINUTES = 24 * 60
LONG_AFTER = KEEP_CLOSED_DAYS * DAY_MINUTES + 60
"""Minutes after which its executions are, too."""

o = OrderMaker()
unexecuted = [o.requested("2"), o.accepted(), o.canceled()]
executed = [o.requested("2"), o.filled("t1", "2")]


def at(minute: float, fact: Any, **fields: Any) -> Any:
    """The fact as delivered then; the venue's time stays that of its builder."""
    return msgspec.structs.replace(fact, **{"ts_event": T0, "ts_init": T0 + int(minute * MINUTE)} | fields)


def clock(minute: float) -> Fact:
    """Another order's fact: time passes."""
    return OrderMaker("clock", "v-clock", ts_init=T0 + int(minute * MINUTE)).requested()


def fed(facts: Iterable[Fact]) -> Folding:
    folding = Folding(STAGE)
    for fact in facts:
        folding.feed(fact)
    return folding


def state_of(folding: Folding) -> Orders:
    state: Orders = folding.states[KEY]
    return state


def rows_of(folding: Folding) -> int:
    return sum(len(rows) for grave in state_of(folding).graves.values() for rows in grave.rows.values())


def fills(outputs: Iterable[Record]) -> list[Fill]:
    return [r for r in outputs if isinstance(r, Fill)]


def anomalies(outputs: Iterable[Record]) -> list[str]:
    return [r.what for r in outputs if isinstance(r, OrderAnomaly)]


def test_a_closed_order_is_kept_in_full_for_some_minutes_after_its_last_news_and_an_open_one_for_good() -> None:
    live = OrderMaker("live", "v-live")
    folding = fed([live.requested(), live.accepted(), *unexecuted])
    folding.feed(at(5, o.cancel_rejected("c1")))
    folding.feed(clock(5 + FORGET_MINUTES))
    assert list(state_of(folding).orders) == ["live", "quoter-1", "clock"]
    folding.feed(clock(5 + AFTER))
    assert list(state_of(folding).orders) == ["live", "clock"]
    folding.feed(clock(400 * DAY_MINUTES))
    assert list(state_of(folding).orders) == ["live", "clock"]


def test_an_order_that_a_bust_opens_again_is_not_forgotten() -> None:
    folding = fed([*executed, at(1, o.busted("t1")), clock(2 * AFTER)])
    _, view = folding.feed(at(2 * AFTER, o.filled("t2", "1")))
    assert isinstance(view, OrderUpdated)
    assert (view.cum_qty, view.leaves_qty) == (D(1), D(1))


def test_of_an_executed_order_its_executions_stay_for_the_days_that_closed_orders_are_kept() -> None:
    folding = fed([*executed, clock(AFTER)])
    assert (list(state_of(folding).orders), state_of(folding).owners, rows_of(folding)) == (["clock"], {}, 1)
    folding.feed(clock(KEEP_CLOSED_DAYS * DAY_MINUTES))
    assert rows_of(folding) == 1
    folding.feed(clock(LONG_AFTER))
    assert state_of(folding).graves == {}


def test_an_execution_of_a_forgotten_order_that_had_none_counts_once_and_is_flagged() -> None:
    folding = fed([*unexecuted, clock(AFTER)])
    late = o.filled("t1", "2")
    first = folding.feed(at(AFTER, late))
    assert [(f.client_order_id, f.strategy, f.last_qty) for f in fills(first)] == [("quoter-1", "quoter", D(2))]
    assert anomalies(first) == [AnomalyKind.EXECUTION_AFTER_END]
    assert [folding.feed(at(minute, late)) for minute in (AFTER, 2 * AFTER, 3 * AFTER)] == [[], [], []]


@pytest.mark.parametrize("days", [0, 1, KEEP_CLOSED_DAYS + 1, 400])
@pytest.mark.parametrize("minute", [0, FORGET_MINUTES, AFTER, 61])
def test_a_repeated_execution_is_never_counted_again_however_late(days: int, minute: int) -> None:
    folding = fed([*executed, clock(days * DAY_MINUTES + minute)])
    outputs = folding.feed(at(days * DAY_MINUTES + minute, o.filled("t1", "2")))
    gone = days * DAY_MINUTES + minute >= LONG_AFTER
    assert (fills(outputs), anomalies(outputs)) == ([], [AnomalyKind.EXECUTION_TOO_OLD] * gone)


def test_a_new_execution_of_a_forgotten_order_counts_once_is_flagged_and_stays_as_long_as_any() -> None:
    folding = fed([*executed, clock(AFTER)])
    evening = DAY_MINUTES * KEEP_CLOSED_DAYS - 1
    late = o.filled("t2", "1")
    outputs = folding.feed(at(evening, late))
    assert ([f.trade_id for f in fills(outputs)], anomalies(outputs)) == (["t2"], [AnomalyKind.EXECUTION_AFTER_END])
    folding.feed(clock(LONG_AFTER))
    assert [folding.feed(at(m, late)) for m in (LONG_AFTER, evening + DAY_MINUTES)] == [[], []]


def test_another_late_fact_of_a_forgotten_order_does_not_hide_that_it_had_closed() -> None:
    folding = fed([*executed, clock(AFTER)])
    assert folding.feed(at(AFTER, o.reconciled(found=True))) == []
    outputs = folding.feed(at(AFTER, o.filled("t2", "1"), ts_event=T0 + AFTER * MINUTE))
    assert (len(fills(outputs)), anomalies(outputs)) == (1, [AnomalyKind.EXECUTION_AFTER_END])


def test_an_execution_that_the_venue_dates_ahead_is_known_until_that_time_is_past_too() -> None:
    ahead = at(0, o.filled("t1", "2"), ts_event=T0 + 2 * DAY)
    folding = fed([o.requested("2"), ahead, clock(LONG_AFTER)])
    assert folding.feed(at(LONG_AFTER, ahead, ts_event=ahead.ts_event)) == []
    new = OrderMaker("next", "v-next")
    assert len(fills(folding.feed(at(LONG_AFTER, new.filled("t1"), ts_event=T0 + DAY)))) == 1


def test_a_new_execution_counts_even_when_nothing_of_its_order_is_kept() -> None:
    folding = fed([*executed, clock(LONG_AFTER)])
    assert len(fills(folding.feed(at(LONG_AFTER, o.filled("t2"), ts_event=T0 + DAY)))) == 1


def test_a_bust_takes_an_execution_of_a_forgotten_order_back_once() -> None:
    folding = fed([*executed, clock(AFTER)])
    (reversal,) = folding.feed(at(90, o.busted("t1")))
    (counted,) = fills(run(STAGE, executed))
    assert isinstance(reversal, Fill)
    times = {"ts_event": counted.ts_event, "ts_init": counted.ts_init}
    assert repr(msgspec.structs.replace(reversal, reversal=False, **times)) == repr(counted)
    assert [folding.feed(at(200, fact)) for fact in (o.busted("t1"), o.filled("t1", "2"))] == [[], []]
    assert rows_of(folding) == 1


def test_a_bust_that_came_before_its_execution_is_remembered_when_the_order_is_forgotten() -> None:
    folding = fed([*unexecuted, o.busted("t1"), clock(AFTER)])
    outputs = folding.feed(at(AFTER, o.filled("t1")))
    assert [f.reversal for f in fills(outputs)] == [False, True]
    assert folding.feed(at(2 * AFTER, o.filled("t1"))) == []


def test_a_bust_of_an_unknown_execution_of_a_forgotten_order_waits_for_it() -> None:
    folding = fed([*executed, clock(AFTER)])
    assert anomalies(folding.feed(at(AFTER, o.busted("t9")))) == [AnomalyKind.BUST_WITHOUT_EXECUTION]
    assert [f.reversal for f in fills(folding.feed(at(2 * AFTER, o.filled("t9"))))] == [False, True]


@pytest.mark.parametrize("other", [{"last_px": D(101)}, {"strategy": "trend"}], ids=str)
def test_another_content_or_owner_of_a_forgotten_execution_is_flagged_and_does_not_count(other: dict[str, Any]) -> None:
    folding = fed([*executed, clock(AFTER)])
    outputs = folding.feed(at(AFTER, o.filled("t1", "2"), client_order_id="other-1", **other))
    assert (fills(outputs), anomalies(outputs)) == ([], [AnomalyKind.EXECUTION_CONFLICT])
    assert folding.feed(at(AFTER, o.filled("t1", "2"))) == []


def test_an_external_order_that_is_shown_late_has_the_executions_counted_before() -> None:
    e = OrderMaker("web-1", "v7", strategy="EXTERNAL")
    folding = fed([e.filled("t1", "2"), clock(AFTER)])
    assert "web-1" not in state_of(folding).orders
    (view,) = folding.feed(at(AFTER, e.external("5")))
    assert isinstance(view, OrderUpdated)
    assert (view.cum_qty, view.leaves_qty, view.fees) == (D(2), D(3), {"USDT": D("0.1")})
    assert (rows_of(folding), folding.feed(at(AFTER, e.filled("t1", "2")))) == (0, [])


def test_an_external_order_that_is_shown_again_after_its_end_is_not_opened() -> None:
    e = OrderMaker("web-1", "v7", strategy="EXTERNAL")
    folding = fed([e.external("2"), e.filled("t1", "2"), clock(AFTER)])
    assert folding.feed(at(AFTER, e.external("2"))) == []
    assert "web-1" not in state_of(folding).orders


# --- size ----------------------------------------------------------------------------------------------------------


def maker(n: int, ts: int) -> OrderMaker:
    """Ids as long as those that our strategies and Binance give."""
    return OrderMaker(f"quoter-{1_732_300_000_000 + n}-0.{1_234_567 + n}.0-{n}", str(41_234_567_890 + n), ts_init=ts)


def test_orders_that_are_never_executed_leave_nothing_behind() -> None:
    folding, every_s = Folding(STAGE), 10
    for n in range(3 * 3600 // every_s):
        m = maker(n, T0 + n * every_s * SECOND)
        for fact in (m.requested(), m.canceled()):
            folding.feed(fact)
    state = state_of(folding)
    assert len(state.orders) == len(state.closed) <= (FORGET_MINUTES + 2) * 60 // every_s
    assert (state.owners, state.graves) == ({}, {})


def test_the_executed_orders_of_a_busy_day_fit_into_a_record() -> None:
    folding = Folding(STAGE)
    for n in range(1000):
        m = maker(n, T0)
        folding.feed(m.requested("0.001"))
        folding.feed(m.filled(str(4_567_890_123 + n), "0.00100000", "64123.45000000", fee=D("0.06412345")))
    folding.feed(clock(AFTER))
    graves = msgspec.msgpack.encode(state_of(folding).graves)
    assert rows_of(folding) == 1000
    assert len(graves) / 1000 * 200_000 < ROOM


def test_the_state_does_not_grow_over_a_year_of_executed_orders() -> None:
    folding = Folding(STAGE)
    for day in range(365):
        m = OrderMaker(f"o{day}", f"v{day}", ts_init=T0 + day * DAY)
        folding.feed(m.requested("2"))
        folding.feed(m.filled("t1", "2"))
    state = state_of(folding)
    assert len(state.orders) + rows_of(folding) + len(state.owners) <= 2 * (KEEP_CLOSED_DAYS + 2)


def test_a_state_that_nears_the_limit_says_so_and_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "ROOM", 2000)
    monkeypatch.setattr(orders, "MEASURE_EVERY", 4)
    folding, outputs = Folding(STAGE), []
    for n in range(100):
        m = maker(n, T0 + n * 5 * MINUTE)
        for fact in (m.requested("2"), m.filled(f"t{n}", "2")):
            outputs += folding.feed(fact)
    assert len(msgspec.msgpack.encode(state_of(folding))) < 3000
    assert set(anomalies(outputs)) == {AnomalyKind.FORGOTTEN_EARLY}
    oldest = maker(0, T0).filled("t0", "2")
    assert anomalies(folding.feed(at(500, oldest))) == [AnomalyKind.EXECUTION_TOO_OLD]


# --- any tape ------------------------------------------------------------------------------------------------------


def spread(facts: list[Fact], start: float, minutes: float) -> list[Fact]:
    """Delivered evenly over some minutes."""
    return [at(start + n * minutes / len(facts), fact, ts_event=0) for n, fact in enumerate(facts)]


def earlier() -> list[Fact]:
    """Orders closed before, every other one unexecuted, so that there is something to forget all along."""
    makers = [OrderMaker(f"e{n}", f"ve{n}", ts_init=T0 + n * MINUTE) for n in range(2 * FORGET_MINUTES)]
    return [f for n, m in enumerate(makers) for f in (m.requested("2"), m.filled("t1", "2") if n % 2 else m.canceled())]


BEGIN = 2 * FORGET_MINUTES
Drawn = tuple[list[Fact], list[Fact], list[Fact]]


def is_of_execution(fact: Fact) -> bool:
    return isinstance(fact, OrderFilled | OrderBusted)


@st.composite
def tapes(draw: st.DrawFn) -> Drawn:
    """Facts; a tape of them; a tape of their executions and busts."""
    facts = draw(facts_of_orders())
    said = [f for f in facts if is_of_execution(f)]
    return facts, draw(rearranged(facts)), draw(rearranged(said)) if said else []


def counted(outputs: Iterable[Record]) -> list[str]:
    """All fills, but for when; by repr, so that digits count."""
    return sorted(repr(msgspec.structs.replace(f, ts_event=0, ts_init=0)) for f in fills(outputs))


def last_told(outputs: Iterable[Record]) -> dict[str, tuple[object, ...]]:
    views = {u.client_order_id: u for u in outputs if isinstance(u, OrderUpdated)}
    return {i: (u.status, u.cum_qty, u.leaves_qty, u.avg_px, sorted(u.fees.items())) for i, u in views.items()}


@given(tapes())
def test_any_tape_within_the_window_gives_the_same_orders_and_fills_while_others_are_forgotten(drawn: Drawn) -> None:
    facts, tape, _ = drawn
    once, again = [run(STAGE, [*earlier(), *spread(x, BEGIN, FORGET_MINUTES - 1)]) for x in (facts, tape)]
    assert (last_told(once), counted(once)) == (last_told(again), counted(again))


@given(tapes())
def test_executions_and_busts_repeated_after_everything_closed_is_forgotten_count_nothing(drawn: Drawn) -> None:
    _, tape, late = drawn
    folding = fed([*earlier(), *spread(tape, BEGIN, FORGET_MINUTES - 1), clock(BEGIN + 2 * AFTER)])
    outputs = [out for fact in spread(late, BEGIN + 2 * AFTER, 90) for out in folding.feed(fact)]
    assert (fills(outputs), anomalies(outputs)) == ([], [])


@given(tapes())
def test_executions_and_busts_that_come_after_everything_closed_is_forgotten_count_the_same(drawn: Drawn) -> None:
    facts, _, late = drawn
    early = [f for f in facts if not is_of_execution(f)]
    outputs = run(STAGE, [*spread(early, 0, 1), clock(2 * AFTER), *spread(late, 2 * AFTER, 90)] if late else early)
    assert counted(outputs) == counted(run(STAGE, facts))


@given(tapes(), st.integers(1, 4))
def test_the_stage_forgets_the_same_live_or_recoded(drawn: Drawn, every: int) -> None:
    _, tape, late = drawn
    events = doubled([*earlier(), *spread(tape, BEGIN, 3 * AFTER), clock(BEGIN + 5 * AFTER), *spread(late, 90, 90)])
    assert fold(STAGE, events, recode_every=every) == fold(STAGE, events)
    live, recoded = (Folding(STAGE, n) for n in (None, every))
    for event in events:
        live.feed(event)
        recoded.feed(event)
    assert msgspec.msgpack.encode(live.states) == msgspec.msgpack.encode(recoded.states)
