"""Finding out what became of orders, with a venue that falls silent, forgets, or contradicts itself."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import pytest

from adapters.execution import Execution, NewOrder, OrderRef, OrderReport, Outcome, QueryFailed, Unknown
from adapters.paper import PaperExecution
from pipelines.gateway import recover
from tests.pipelines.gateway.bench import Bench
from tests.pipelines.gateway.worlds import ACCOUNT, BTC, NOW
from topics.orders import CancelOrder, OrderReconciled, OrderStatus, ReconciliationDifference
from topics.record import OrderType, Side, TimeInForce

SECOND = 1_000_000_000


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recover, "FIRST_ASK_S", 0.01)
    monkeypatch.setattr(recover, "SLOWEST_ASK_S", 0.02)
    monkeypatch.setattr(recover, "CONFIRM_S", 0.01)


class AnswersLost(PaperExecution):
    """Takes orders, and its answers never arrive."""

    async def submit(self, order: NewOrder) -> Outcome:
        await super().submit(order)
        return Unknown("timeout")


class OrdersLost(PaperExecution):
    """Orders never arrive; ``asked`` counts the questions about them."""

    asked = 0
    recv_window_ms = 5000

    async def submit(self, order: NewOrder) -> Outcome:
        return Unknown("connection reset")

    async def query(self, order: OrderRef) -> OrderReport | None:
        type(self).asked += 1
        return await super().query(order)


class Silent(OrdersLost):
    async def query(self, order: OrderRef) -> OrderReport | None:
        type(self).asked += 1
        raise QueryFailed("503")


class Liar(PaperExecution):
    """Its lists of executions lack one that its orders have."""

    async def executions(self, instrument: str, since_ns: int) -> Sequence[Execution]:
        return []

    async def order_executions(self, instrument: str, venue_order_id: str) -> Sequence[Execution]:
        return []


async def several_questions(kind: type[OrdersLost]) -> None:
    for _ in range(1000):
        if kind.asked > 5:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody asks")


def cancel(command_id: str = "c1", cid: str = "o1") -> CancelOrder:
    return CancelOrder(
        command_id=command_id, client_order_id=cid, strategy="quoter", account=ACCOUNT, instrument=BTC, ts_init=NOW
    )


async def test_an_order_whose_answer_was_lost_is_found_and_not_sent_again() -> None:
    bench = Bench(AnswersLost)
    bench.submit()
    names = await bench.until("OrderReconciled")
    assert names == ["OrderRequested", "OrderSent", "OrderUnknown", "OrderReconciled"]
    assert bench.state.book.orders["o1"].facts.status is OrderStatus.NEW
    assert len(bench.core.all_orders("main", "BTCUSDT")) == 1


async def test_an_order_whose_answer_was_lost_and_that_filled_meanwhile_brings_its_executions() -> None:
    bench = Bench(AnswersLost)
    bench.submit(price="60010")
    await bench.until("OrderReconciled", "OrderFilled")
    bench.hear()
    assert bench.names().count("OrderFilled") == 1
    assert bench.state.book.position(BTC) == Decimal("0.1")
    assert bench.state.book.orders["o1"].facts.status is OrderStatus.FILLED


async def test_not_found_counts_only_twice_and_only_after_the_receive_window() -> None:
    OrdersLost.asked = 0
    bench = Bench(OrdersLost)
    bench.submit()
    await bench.until("OrderUnknown")
    await several_questions(OrdersLost)
    assert "OrderReconciled" not in bench.names()
    assert bench.state.book.pending(BTC, Side.BUY) == Decimal("0.1")
    asked = OrdersLost.asked
    bench.now += 5 * SECOND + recover.MARGIN_NS
    await bench.until("OrderReconciled")
    assert OrdersLost.asked >= asked + 2
    (fact,) = (f for f in bench.facts if isinstance(f, OrderReconciled))
    assert not fact.found
    assert not bench.state.book.working


async def test_a_venue_that_says_nothing_proves_nothing() -> None:
    Silent.asked = 0
    bench = Bench(Silent)
    bench.submit()
    await bench.until("OrderUnknown")
    bench.now += 60 * SECOND
    await several_questions(Silent)
    assert "OrderReconciled" not in bench.names()
    assert bench.state.book.orders["o1"].facts.status is OrderStatus.UNKNOWN
    await bench.recovery.close()


async def test_one_execution_told_by_stream_and_list_counts_once() -> None:
    bench = Bench()
    bench.submit(price="60010")
    await bench.until("OrderAccepted")
    await bench.recovery.reconcile()
    bench.hear()
    await bench.recovery.reconcile()
    assert bench.names().count("OrderFilled") == 1
    assert bench.state.book.position(BTC) == Decimal("0.1")


async def test_a_cancel_of_an_order_that_filled_is_answered_and_the_order_is_filled() -> None:
    bench = Bench()
    bench.submit(price="60010")
    await bench.until("OrderAccepted")  # it is filled at the venue; the tape does not know yet
    bench.engine.cancel(cancel())
    await bench.until("CancelRejected", "OrderFilled")
    facts = bench.state.book.orders["o1"].facts
    assert (facts.status, facts.pending_cancel) == (OrderStatus.FILLED, False)


async def test_a_cancel_whose_confirmation_is_missed_is_found() -> None:
    bench = Bench()
    bench.submit()
    await bench.until("OrderAccepted")
    bench.engine.cancel(cancel())
    await bench.until("OrderCanceled")
    assert not bench.state.book.working


async def test_what_cannot_be_explained_is_a_difference_said_once_and_halts_the_instrument() -> None:
    bench = Bench(Liar)
    bench.submit(price="60010")
    await bench.until("OrderAccepted")
    await bench.recovery.reconcile()
    await bench.recovery.reconcile()
    bench.names()
    differences = [f for f in bench.facts if isinstance(f, ReconciliationDifference)]
    assert [(d.instrument, d.tape, d.venue) for d in differences] == [(BTC, "0", "0.1")]
    assert bench.state.halt(BTC) is not None
    bench.submit("o2")
    assert bench.names("o2")[-1] == "OrderDenied"


async def test_an_external_order_and_its_executions_are_recorded_under_one_id() -> None:
    bench = Bench()
    stranger = NewOrder(
        venue_client_id="by-hand",
        instrument=BTC,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        order_qty=Decimal("0.2"),
        price=Decimal("60010"),
        time_in_force=TimeInForce.GTC,
        post_only=False,
        requested_ns=NOW,
    )
    await bench.adapter.submit(stranger)
    await bench.recovery.reconcile()
    bench.hear()
    bench.names()
    assert {f.strategy for f in bench.facts} == {"EXTERNAL"}
    assert len({f.client_order_id for f in bench.facts}) == 1
    assert [type(f).__name__ for f in bench.facts].count("OrderFilled") == 1
    assert bench.state.book.position(BTC) == Decimal("0.2")
    assert bench.state.book.position(BTC, "quoter") == 0


async def test_reconciling_again_says_nothing_new() -> None:
    bench = Bench()
    bench.submit()
    bench.submit("o2", price="60010")
    await bench.until("OrderAccepted")
    await bench.until("OrderAccepted", cid="o2")
    await bench.recovery.reconcile()
    written = bench.edge.n
    await bench.recovery.reconcile()
    bench.hear()
    assert bench.edge.n == written
