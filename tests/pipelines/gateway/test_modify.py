"""Modifications: decided by the risk they add, in their place or by another order, and never two live orders, whatever
happens in between.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from adapters.execution import Accepted, NewOrder, OrderRef, Outcome, Refused, Unknown
from adapters.paper import PaperExecution
from adapters.simulated.model import Side as VenueSide
from adapters.simulated.units import units
from infra.edge import EdgeFailed
from pipelines.gateway import recover, snapshot
from pipelines.gateway.decide import decide, decide_cancel_all, decide_modify, finish_replace
from pipelines.gateway.state import State
from tests.pipelines.gateway.bench import Bench
from tests.pipelines.gateway.worlds import (
    ACCOUNT,
    BTC,
    NOW,
    SECOND,
    add_controls,
    add_market,
    filled,
    kill,
    mark,
    order,
    place,
    world,
)
from topics.orders import (
    CancelAll,
    CancelOrder,
    ModifyDenied,
    ModifyOrder,
    ModifyRejected,
    ModifyRequested,
    OrderCanceled,
    OrderDenied,
    OrderModified,
    OrderRequested,
    OrderStatus,
    OrderUpdated,
)
from topics.record import OrderType, Side


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_ASK_S", "CONFIRM_S"):
        monkeypatch.setattr(recover, name, 0.01)
    monkeypatch.setattr(recover, "SLOWEST_ASK_S", 0.02)


def modify(cid: str = "o1", command_id: str = "m1", ts_init: int = NOW, **terms: Any) -> ModifyOrder:
    prices = {name: D(value) if isinstance(value, str) else value for name, value in terms.items()}
    ids: dict[str, Any] = {"command_id": command_id, "client_order_id": cid, "strategy": "quoter"}
    return ModifyOrder(account=ACCOUNT, instrument=BTC, ts_init=ts_init, **ids, **prices)


# --- decisions -----------------------------------------------------------------------------------------------------


def working(**changes: Any) -> State:
    state = world()
    place(state, order(**changes))
    return state


def denied_by(state: State, command: ModifyOrder, now_ns: int = NOW) -> str:
    fact = decide_modify(state, command, now_ns)
    return fact.check if isinstance(fact, ModifyDenied) else ""


def test_a_smaller_quantity_passes_when_everything_else_is_denied() -> None:
    state = working()
    add_controls(state, kill())
    state.ready = False
    fact = decide_modify(state, modify(order_qty="0.05"), NOW + 60 * SECOND)
    assert isinstance(fact, ModifyRequested)
    assert (fact.revision, fact.order_qty, fact.price, fact.replacement) == (1, D("0.05"), D(60000), "")
    assert denied_by(state, modify(order_qty="0.05", price="59999")) == "trading_state"


def test_where_the_venue_amends_nothing_a_smaller_quantity_is_another_order() -> None:
    state = working()
    state.venue = msgspec.structs.replace(state.venue, amends_quantity=False)
    fact = decide_modify(state, modify(order_qty="0.05"), NOW)
    assert isinstance(fact, ModifyRequested)
    assert fact.replacement == "o1~2"
    assert fact.judged_by.values["venue_amends"] == "false"


@pytest.mark.parametrize(
    ("terms", "check"),
    [
        ({}, "modify"),
        ({"order_qty": "0.1", "price": "60000"}, "modify"),
        ({"order_qty": "0"}, "order_qty"),
        ({"order_qty": D("NaN")}, "order_qty"),
        ({"order_qty": "0.050001"}, "lot_size"),
        ({"order_qty": "0.2"}, "max_order_value"),
        ({"price": "60000.001"}, "tick_size"),
        ({"price": "50000"}, "price_collar"),
        ({"price": D("1e99")}, "price"),
        ({"trigger_price": "61000"}, "trigger_price"),
        ({"price": "59999", "revision": 2}, "revision"),
        ({"price": "59999", "revision": 1}, ""),
        ({"price": "60020"}, ""),
    ],
)
def test_what_is_wrong_with_a_modification_names_the_check(terms: dict[str, Any], check: str) -> None:
    assert denied_by(working(), modify(**terms)) == check


def test_the_order_itself_does_not_count_against_its_modification() -> None:
    """Of 50000 for a position, 48000 are its own: as another order it would be denied."""
    state = world()
    for n in range(8):
        assert isinstance(place(state, order(f"o{n}")), OrderRequested)
    assert denied_by(state, modify("o7", price="59990")) == ""
    assert denied_by(state, modify("o7", order_qty="0.13")) == ""
    state.book.fold(filled(order("o0"), "0.05"))
    fact = decide(state, order("o9"), NOW)
    assert isinstance(fact, OrderDenied)
    assert fact.check == "max_position_value"


def test_only_an_order_that_works_and_waits_for_nothing_is_modified() -> None:
    state = working()
    state.book.fold(decide_modify(state, modify(price="59990"), NOW))  # type: ignore[arg-type]
    assert denied_by(state, modify(command_id="m2", price="59980")) == "pending_replace"
    assert decide_modify(state, modify(price="59990"), NOW) is None
    done = working()
    done.book.fold(filled(order(), "0.1"))
    assert denied_by(done, modify(order_qty="0.05")) == "status"
    assert decide_modify(done, modify("nobody", order_qty="0.05"), NOW) is None
    part = working()
    part.book.fold(filled(order(), "0.06"))
    assert denied_by(part, modify(order_qty="0.05")) == "order_qty"


def test_while_it_is_pending_both_terms_are_reserved() -> None:
    state = working()
    before = state.book.reserved("USDT", state.market.definitions, state.market.marks)
    state.book.fold(decide_modify(state, modify(order_qty="0.15", price="60005"), NOW))  # type: ignore[arg-type]
    assert state.book.pending(BTC, Side.BUY) == D("0.15")
    after = state.book.reserved("USDT", state.market.definitions, state.market.marks)
    assert (before, after) == (D("6000"), D("0.15") * D(60005))
    assert isinstance(place(state, order("s", side=Side.SELL, price=D("60005"))), OrderDenied)


def test_ids_of_replacements_are_the_gateways_own() -> None:
    fact = decide(world(), order("o1~2"), NOW)
    assert isinstance(fact, OrderDenied)
    assert fact.check == "client_order_id"
    fact = decide(working(), order("o1~2", replaces="o1"), NOW)
    assert isinstance(fact, OrderDenied)
    assert fact.check == "replaces"


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"trigger_price": D("60100")}, ""),
        ({"trigger_price": D("60010")}, "trigger_price"),
        ({"trigger_price": D("59000")}, "trigger_price"),
        ({"trigger_price": D("70000")}, ""),
        ({"trigger_price": D("60100.001")}, "tick_size"),
        ({"trigger_price": D("59900"), "side": Side.SELL}, ""),
        ({"trigger_price": D("60000"), "side": Side.SELL}, "trigger_price"),
        ({"trigger_price": D("70000"), "order_type": OrderType.STOP_LIMIT, "price": D("70100")}, ""),
        ({"trigger_price": D("70000"), "order_type": OrderType.STOP_LIMIT, "price": D("60000")}, "price_collar"),
        ({"trigger_price": None}, "trigger_price"),
        ({"trigger_price": D("60100"), "post_only": True}, "post_only"),
    ],
)
def test_a_stop_order_is_judged_where_it_will_be_triggered(changes: dict[str, Any], check: str) -> None:
    stop = {"order_type": OrderType.STOP, "price": None, **changes}
    fact = decide(world(), order(**stop), NOW)
    assert (fact.check if isinstance(fact, OrderDenied) else "") == check


def test_a_venue_without_stop_orders_denies_them_and_says_so() -> None:
    state = world()
    state.venue = msgspec.structs.replace(state.venue, order_types=frozenset({OrderType.MARKET, OrderType.LIMIT}))
    fact = decide(state, order(order_type=OrderType.STOP, price=None, trigger_price=D(61000)), NOW)
    assert isinstance(fact, OrderDenied)
    assert (fact.check, fact.limit) == ("order_type", "this venue takes limit, market")
    assert fact.judged_by.values["venue_takes"] == "limit,market"


def test_a_waiting_stop_order_meets_only_what_rests_behind_its_trigger() -> None:
    state = world()
    place(state, order("bid", price=D("59000")))
    stop = {"side": Side.SELL, "order_type": OrderType.STOP, "price": None}
    assert isinstance(decide(state, order("s", trigger_price=D("59500"), **stop), NOW), OrderDenied)
    limited = {**stop, "order_type": OrderType.STOP_LIMIT, "price": D("59400"), "trigger_price": D("59500")}
    assert isinstance(place(state, order("s", **limited)), OrderRequested)
    assert isinstance(decide(state, order("b", price=D("59450")), NOW), OrderDenied)
    assert isinstance(decide(state, order("b", price=D("59900")), NOW), OrderRequested)


# --- carried out ---------------------------------------------------------------------------------------------------


async def resting(kind: type[PaperExecution] = PaperExecution, **changes: Any) -> Bench:
    bench = Bench(kind)
    bench.submit(**changes)
    await bench.until("OrderAccepted")
    bench.hear()
    return bench


async def through(bench: Bench) -> None:
    """Everything sent, answered and heard."""
    for _ in range(3):
        await bench.settle()
        bench.hear()


def ask(bench: Bench, cid: str = "o1", command_id: str = "m1", **terms: Any) -> Any:
    return bench.engine.modify(modify(cid, command_id, bench.now, **terms)).fact


def view(bench: Bench, cid: str = "o1") -> OrderUpdated:
    found = bench.state.book.orders[cid].facts.view()
    assert found is not None
    return found


def at_venue(bench: Bench) -> list[tuple[D, D]]:
    return [(D(o.price) / 10**8, D(o.leaves) / 10**8) for o in bench.core.open_orders("main")]


async def test_a_smaller_quantity_keeps_the_order_and_its_place() -> None:
    bench = await resting()
    ask(bench, order_qty="0.05")
    await through(bench)
    assert bench.names()[-2:] == ["ModifyRequested", "OrderModified"]
    assert at_venue(bench) == [(D("59900"), D("0.05"))]
    assert (view(bench).order_qty, view(bench).revision, view(bench).pending_replace) == (D("0.05"), 1, False)
    assert bench.state.book.pending(BTC, Side.BUY) == D("0.05")
    bench.engine.metrics.told.say({"ready": True})
    answers = next(m for m in bench.engine.metrics.collect() if m.name == "tapedeck_venue_answer_seconds")
    assert {s.labels["what"]: s.value for s in answers.samples if s.name.endswith("_count")}["modify"] == 1


async def test_another_price_cancels_and_sends_the_rest_under_linked_ids() -> None:
    bench = await resting()
    ask(bench, price="59950")
    await through(bench)
    ask(bench, "o1~2", "m2", order_qty="0.12")
    await through(bench)
    assert at_venue(bench) == [(D("59950"), D("0.12"))]
    assert (view(bench).status, view(bench).replaced_by) == (OrderStatus.CANCELED, "o1~2")
    assert (view(bench, "o1~2").replaced_by, view(bench, "o1~3").replaces) == ("o1~3", "o1~2")


async def test_what_was_executed_meanwhile_is_not_sent_again() -> None:
    bench = await resting()
    sell(bench, "0.04")
    ask(bench, price="59950")
    await through(bench)
    assert view(bench).cum_qty == D("0.04")
    assert at_venue(bench) == [(D("59950"), D("0.06"))]


async def test_of_an_order_that_was_filled_meanwhile_nothing_is_sent() -> None:
    bench = await resting()
    sell(bench, "0.1")
    ask(bench, price="59950")
    await through(bench)
    await bench.until("ModifyRejected")
    assert "o1~2" not in bench.state.book.orders
    assert (view(bench).status, view(bench).pending_replace) == (OrderStatus.FILLED, False)
    assert at_venue(bench) == []


async def test_a_cancel_meanwhile_means_that_nothing_follows() -> None:
    bench = await resting()
    ask(bench, price="59950")
    bench.engine.cancel(
        CancelOrder(
            command_id="c1", client_order_id="o1", strategy="quoter", account=ACCOUNT, instrument=BTC, ts_init=bench.now
        )
    )
    await through(bench)
    await bench.until("ModifyRejected")
    assert at_venue(bench) == []
    assert "o1~2" not in bench.state.book.orders


def test_a_cancel_of_everything_reaches_an_order_whose_replacement_is_still_to_come() -> None:
    state = working()
    for fact in (decide_modify(state, modify(price="59990"), NOW), canceled(cum_qty=D("0.04"))):
        state.book.fold(fact)  # type: ignore[arg-type]
    held = state.book.orders["o1"]
    assert finish_replace(state, held, NOW) == []  # an execution is still to come
    (cancel,) = decide_cancel_all(state, CancelAll(command_id="all", account=ACCOUNT, ts_init=NOW), NOW)
    state.book.fold(cancel)
    state.book.fold(filled(order(), "0.04"))
    assert [type(f).__name__ for f in finish_replace(state, held, NOW)] == ["ModifyRejected"]


def canceled(**fields: Any) -> OrderCanceled:
    ids = {"client_order_id": "o1", "account": ACCOUNT, "instrument": BTC, "strategy": "quoter", "ts_init": NOW}
    return OrderCanceled(**ids, **fields)


async def test_a_replacement_that_a_check_denies_by_then_is_a_fact() -> None:
    bench = await resting()
    ask(bench, price="59950")
    add_market(bench.state, mark(best_bid=D(90000), best_ask=D(90010)))
    await through(bench)
    (rejected,) = (f for f in facts_of(bench) if isinstance(f, ModifyRejected))
    assert (rejected.code, rejected.reason.split(":")[0]) == ("DENIED", "price_collar")
    assert view(bench, "o1~2").status is OrderStatus.DENIED
    assert at_venue(bench) == []


class Refuses(PaperExecution):
    async def amend(self, order: OrderRef, order_qty: D, requested_ns: int) -> Outcome:
        return Refused("-2038", "no more amendments")

    async def cancel(self, order: OrderRef, requested_ns: int) -> Outcome:
        return Refused("-1003", "too many requests")


@pytest.mark.parametrize("terms", [{"order_qty": "0.05"}, {"price": "59950"}])
async def test_what_the_venue_refuses_leaves_the_order_as_it_was(terms: dict[str, str]) -> None:
    bench = await resting(Refuses)
    ask(bench, **terms)
    await through(bench)
    await bench.until("ModifyRejected")
    assert at_venue(bench) == [(D("59900"), D("0.1"))]
    assert (view(bench).status, view(bench).order_qty) == (OrderStatus.NEW, D("0.1"))
    assert not view(bench).pending_replace
    assert bench.state.book.revising == {}


class Loses(PaperExecution):
    """The answer to an amendment is lost; ``arrives`` says whether the amendment was."""

    arrives = True

    async def amend(self, order: OrderRef, order_qty: D, requested_ns: int) -> Outcome:
        if self.arrives:
            await super().amend(order, order_qty, requested_ns)
        return Unknown("timeout")


class LosesAll(Loses):
    arrives = False


@pytest.mark.parametrize(("kind", "qty", "answer"), [(Loses, "0.05", OrderModified), (LosesAll, "0.1", ModifyRejected)])
async def test_a_lost_answer_to_an_amendment_is_found_out(kind: type[Loses], qty: str, answer: type) -> None:
    bench = await resting(kind)
    ask(bench, order_qty="0.05")
    await bench.until("OrderUnknown")
    bench.now += 10 * SECOND
    await bench.until(answer.__name__)
    assert view(bench).order_qty == D(qty)
    await bench.recovery.close()


async def test_a_stop_order_is_triggered_by_the_market_and_told() -> None:
    bench = Bench()
    bench.core.open_account(bench.clock(), "third", {"BTC": units("10"), "USDT": units("1000000")})
    stop = {"order_type": OrderType.STOP_LIMIT, "trigger_price": D("60050"), "order_qty": D("0.1")}
    bench.engine.submit(order(price=D("60150"), **stop))
    await through(bench)
    assert view(bench).status is OrderStatus.NEW
    assert bench.state.book.orders["o1"].waits
    bench.market(VenueSide.SELL, "60100", "0.05", "third")
    bench.market(VenueSide.BUY, "60100", "0.03")
    await through(bench)
    assert "OrderTriggered" in bench.names()
    assert (view(bench).status, view(bench).cum_qty) == (OrderStatus.PARTIALLY_FILLED, D("0.02"))
    ask(bench, price="60090")
    await through(bench)
    assert (view(bench, "o1~2").order_type, view(bench, "o1~2").order_qty) == (OrderType.LIMIT, D("0.08"))


async def test_an_order_that_is_only_tested_leaves_no_trace() -> None:
    bench = Bench()
    fact, outcome = await bench.engine.validate(order(ts_init=bench.now))
    assert isinstance(fact, OrderRequested)
    assert isinstance(outcome, Accepted)
    fact, outcome = await bench.engine.validate(order(order_qty=D(5), ts_init=bench.now))
    assert isinstance(fact, OrderDenied)
    assert outcome is None
    assert (bench.edge.written, bench.state.book.orders, at_venue(bench)) == ([], {}, [])


# --- killed in the middle ------------------------------------------------------------------------------------------


class Hangs(PaperExecution):
    """At its ``left``-th command it is never heard of again: before it does it, or after."""

    left, after = -1, False

    async def submit(self, order: NewOrder) -> Outcome:
        return await self._unless_dead(super().submit(order))

    async def cancel(self, order: OrderRef, requested_ns: int) -> Outcome:
        return await self._unless_dead(super().cancel(order, requested_ns))

    async def amend(self, order: OrderRef, order_qty: D, requested_ns: int) -> Outcome:
        return await self._unless_dead(super().amend(order, order_qty, requested_ns))

    async def _unless_dead(self, command: Coroutine[Any, Any, Outcome]) -> Outcome:
        self.left -= 1
        if self.left == 0 and not self.after:
            command.close()
            await asyncio.Event().wait()
        outcome = await command
        if self.left == 0:
            await asyncio.Event().wait()
        return outcome


KILLS = [
    *({"room": n} for n in range(10)),
    *({"left": n, "after": after} for n in (1, 2) for after in (False, True)),
]


async def killed(
    terms: dict[str, str], executed: str, room: int | None = None, left: int = -1, after: bool = False
) -> Bench:
    """A process that modifies an order, and what it left when it was killed."""
    bench = await resting(Hangs)
    assert isinstance(bench.adapter, Hangs)
    bench.adapter.left, bench.adapter.after = left, after
    bench.edge.room = None if room is None else bench.edge.n + room
    with contextlib.suppress(EdgeFailed):
        ask(bench, **terms)
        for _ in range(20):
            await asyncio.sleep(0)
        if executed:
            bench.market(VenueSide.SELL, "59900", executed)
        for _ in range(20):
            bench.hear()
            await asyncio.sleep(0)
    await bench.recovery.close()
    for task in set(bench.engine._tasks):
        task.cancel()
    await asyncio.sleep(0)
    return bench


@pytest.mark.parametrize("executed", ["", "0.03", "0.1"])
@pytest.mark.parametrize("terms", [{"order_qty": "0.05"}, {"price": "59950"}], ids=["in_place", "replaced"])
@pytest.mark.parametrize("kill", KILLS, ids=str)
async def test_killed_anywhere_there_are_never_two_live_orders_and_none_is_forgotten(
    kill: dict[str, Any], terms: dict[str, str], executed: str
) -> None:
    """What is live at the venue is what is live on the tape, every execution counts, and every modification is answered."""
    left = await killed(terms, executed, **kill)
    bench = Bench(after=left)
    bench.now += 10 * SECOND
    for _ in range(400):
        await bench.recovery.reconcile()
        await through(bench)
        if not bench.state.book.revising and all(h.facts.is_at_venue for h in bench.state.book.open_orders()):
            break
        await asyncio.sleep(0.01)
    await bench.recovery.close()
    book = bench.state.book
    assert book.revising == {}
    live = bench.core.open_orders("main")
    assert len(live) <= 1
    assert {o.client_order_id for o in live} == {h.venue_client_id for h in book.open_orders()}
    assert [D(o.leaves) / 10**8 for o in live] == [h.facts.leaves_qty for h in book.open_orders()]
    done = sum(o.executed for o in bench.core.all_orders("main", "BTCUSDT"))
    assert book.position(BTC) == D(done) / 10**8
    assert all(not h.facts.pending_cancel for h in book.orders.values())


async def test_a_restart_goes_on_with_what_is_due_unless_it_is_too_old() -> None:
    for late, status in ((0, OrderStatus.NEW), (60, OrderStatus.DENIED)):
        left = await killed({"price": "59950"}, "", room=1)
        bench = Bench(after=left)
        bench.now += late * SECOND
        add_market(bench.state, mark(ts_init=bench.now))
        await bench.recovery.reconcile()
        await bench.until("OrderRequested" if late == 0 else "OrderDenied", cid="o1~2")
        await through(bench)
        assert view(bench, "o1~2").status is status
        await bench.recovery.close()


async def test_a_revision_that_waits_is_in_the_books_snapshot() -> None:
    bench = await resting()
    ask(bench, price="59950")
    book = bench.state.book
    back = snapshot.decoded(snapshot.encoded(book))
    assert (back.revising, back.orders["o1"].modify) == (book.revising, book.orders["o1"].modify)
    await through(bench)


def facts_of(bench: Bench) -> list[Any]:
    bench.names()
    return bench.facts


def sell(bench: Bench, qty: str, price: str = "59900") -> None:
    """Another account's order into ours, of which we have not heard yet."""
    bench.market(VenueSide.SELL, price, qty)
