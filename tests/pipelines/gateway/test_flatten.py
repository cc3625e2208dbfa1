"""Flattens carried out on the matching core: what stands in their way, and what is on the tape in the end."""

import asyncio
from decimal import Decimal as D
from typing import Any

import pytest

from pipelines.gateway import flatten
from pipelines.gateway.controller import Controller
from pipelines.gateway.flatten import Flattening
from tests.pipelines.gateway.bench import Bench
from tests.pipelines.gateway.worlds import (
    ACCOUNT,
    BTC,
    SECOND,
    add_controls,
    add_market,
    balance,
    definition,
    kill,
    limit,
    mark,
)
from topics.controls import FIRM, Flatten, LimitName, Scope, ScopeKind
from topics.orders import ControlDone, OrderDenied, OrderRequested, ReconciliationDifference

QUOTER = Scope(ScopeKind.STRATEGY, "quoter")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same number of looks, in a hundredth of the time."""
    for name in ("STEP_S", "DENIED_S", "PATIENCE_S", "DENIED_PATIENCE_S", "BALANCES_S"):
        monkeypatch.setattr(flatten, name, getattr(flatten, name) / 100)


class Flat:
    """A bench that is long, and a flatten of it. The venue is heard and a mark comes at every ``look``."""

    def __init__(self, qty: str = "0.1") -> None:
        self.bench = Bench()
        self.qty = qty
        self.control = Flatten(control_id="f1", scope=QUOTER, who="w", why="y", ts_init=self.bench.now)
        self.fresh = True

    async def bought(self) -> "Flat":
        self.bench.submit("long", price="60010", order_qty=D(self.qty))
        await self.bench.settle()
        self.bench.hear()
        assert self.left() == D(self.qty)
        add_controls(self.bench.state, self.control)
        return self

    def left(self) -> D:
        return self.bench.state.book.position(BTC, "quoter")

    def look(self) -> None:
        self.bench.hear()
        if self.fresh:
            add_market(self.bench.state, mark(ts_init=self.bench.now))

    async def carried_out(self, until: Any = None) -> ControlDone:
        """Until it is done; ``until`` is looked at all the while, and may end what hinders."""
        work = asyncio.ensure_future(Flattening(self.bench.engine, self.control, 77).carry_out())
        while not work.done():
            self.look()
            if until is not None:
                until(self)
            await asyncio.sleep(0.0002)
        await work
        assert not self.bench.failures
        return self.told()[-1]

    def told(self, kind: Any = ControlDone) -> list[Any]:
        self.bench.names()
        return [f for f in self.bench.facts if isinstance(f, kind)]

    def closing(self) -> list[OrderRequested]:
        return [f for f in self.told(OrderRequested) if f.client_order_id.startswith("flatten-")]

    def denied(self) -> list[str]:
        return [f.check for f in self.told(OrderDenied) if f.client_order_id.startswith("flatten-")]


async def test_a_flatten_under_a_kill_closes_the_position_and_its_end_is_on_the_tape() -> None:
    flat = await Flat().bought()
    add_controls(flat.bench.state, kill(QUOTER))
    done = await flat.carried_out()
    assert (flat.left(), done.outcome, done.detail) == (0, "closed", "")
    assert (done.control_id, done.control, done.scope, done.offset) == ("f1", "Flatten", QUOTER, 77)
    assert flat.bench.state.flatten("f1") is None
    assert [f.judged_by.values["carries_out"] for f in flat.closing()] == ["f1"]


async def test_what_the_venue_took_of_the_base_as_its_fee_is_not_sold() -> None:
    flat = await Flat().bought()
    add_market(flat.bench.state, balance("BTC", "0.0999"))

    def follows(flat: Flat) -> None:
        if flat.left() == D("0.0001"):
            add_market(flat.bench.state, balance("BTC", "0"))

    done = await flat.carried_out(follows)
    assert (done.outcome, done.detail) == ("closed", "left: 0.0001 sim:BTC-USDT of quoter: too little to be traded")
    assert [f.command.order_qty for f in flat.closing()] == [D("0.0999")]


async def test_a_position_without_any_inventory_is_said_to_be_left() -> None:
    flat = await Flat().bought()
    add_market(flat.bench.state, balance("BTC", "0.000004"))
    done = await flat.carried_out()
    assert (done.outcome, done.detail) == ("closed", "left: 0.1 sim:BTC-USDT of quoter: too little to be traded")
    assert flat.closing() == []


async def test_a_balance_that_comes_late_is_waited_for() -> None:
    flat = await Flat().bought()
    add_market(flat.bench.state, balance("BTC", "0"))
    looks = [0]

    def arrives(flat: Flat) -> None:
        looks[0] += 1
        if looks[0] == 10:
            add_market(flat.bench.state, balance("BTC", "0.1"))

    assert (await flat.carried_out(arrives)).detail == ""
    assert flat.left() == 0


async def test_marks_that_are_stale_for_long_are_waited_out_and_said_once() -> None:
    flat = await Flat().bought()
    flat.fresh = False
    flat.bench.now += 60 * SECOND
    work = asyncio.ensure_future(flat.carried_out())
    for _ in range(40):  # more looks than it once had patience for
        await asyncio.sleep(flatten.DENIED_S)
    assert not work.done()
    assert flat.denied() == ["max_data_age"]
    flat.fresh = True
    assert (await work).outcome == "closed"
    assert flat.left() == 0


async def test_when_patience_ends_the_tape_says_what_is_left_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flatten, "DENIED_PATIENCE_S", 0.01)
    flat = await Flat().bought()
    flat.fresh = False
    flat.bench.now += 60 * SECOND
    done = await flat.carried_out()
    assert done.outcome == "abandoned"
    assert done.detail.startswith("left: 0.1 sim:BTC-USDT of quoter; max_data_age: 60")
    assert flat.bench.state.flatten("f1") is None


async def test_a_halted_instrument_is_closed_all_the_same() -> None:
    flat = await Flat().bought()
    difference = ReconciliationDifference(
        account=ACCOUNT, instrument=BTC, what="x", tape="0", venue="1", ts_init=flat.bench.now
    )
    flat.bench.state.book.fold(difference)
    assert (await flat.carried_out()).outcome == "closed"
    assert flat.left() == 0


@pytest.mark.parametrize(
    ("spoil", "most"),
    [(limit(LimitName.MAX_ORDER_VALUE, D(2500), QUOTER), D("0.04166")), (definition(max_qty=D("0.03")), D("0.03"))],
)
async def test_what_is_larger_than_one_order_may_be_goes_in_several(spoil: Any, most: D) -> None:
    flat = await Flat().bought()
    (add_market if hasattr(spoil, "venue_symbol") else add_controls)(flat.bench.state, spoil)
    done = await flat.carried_out()
    assert (flat.left(), done.outcome, flat.denied()) == (0, "closed", [])
    assert max(f.command.order_qty for f in flat.closing()) == most


async def test_a_mark_that_cannot_be_reckoned_with_is_waited_out() -> None:
    flat = await Flat().bought()
    flat.fresh = False
    add_market(flat.bench.state, mark(best_bid=D("1e250"), best_ask=D("1e250"), ts_init=flat.bench.now))
    work = asyncio.ensure_future(flat.carried_out())
    await asyncio.sleep(10 * flatten.DENIED_S)
    assert not work.done()
    flat.fresh = True
    assert (await work).outcome == "closed"


@pytest.mark.parametrize("cause", ["flatten:whatever", "flatten:f1"])
async def test_a_kill_cancels_what_only_says_that_it_flattens(cause: str) -> None:
    bench = Bench()
    control = Flatten(control_id="f1", scope=FIRM, who="w", why="y", ts_init=bench.now)
    add_controls(bench.state, control)
    bench.submit("honest", cause="inbox:1")
    bench.submit("liar", cause=cause)
    await bench.settle()
    bench.hear()
    assert "OrderDenied" in bench.names("liar")
    bench.state.book.orders["honest"].carries_out = "f1"  # and what did, once the flatten is at its end
    assert bench.state.is_flattening(bench.state.book.orders["honest"])
    bench.tape.write([flatten.done(bench.state, control, 0, "closed", "", bench.now)])
    add_controls(bench.state, kill(FIRM, "k1"))
    controller = Controller(bench.engine)
    for held in list(bench.state.book.open_orders()):
        controller._enforce(held)
    await bench.settle()
    bench.hear()
    assert list(bench.state.book.open_orders()) == []
