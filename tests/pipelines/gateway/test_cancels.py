"""Doubt never stops a cancel: no lease, a silent or broken broker, an order that is not found yet, a failure."""

import asyncio

import pytest

from adapters.execution import NewOrder, OrderRef, OrderReport, Outcome, QueryFailed, Unknown
from adapters.paper import PaperExecution
from infra.edge import EdgeFailed
from pipelines.gateway import recover
from pipelines.gateway.controller import Controller
from pipelines.gateway.engine import NotLeased
from pipelines.gateway.stopping import cancel_everything
from tests.pipelines.gateway.bench import Bench
from tests.pipelines.gateway.worlds import ACCOUNT, BTC, add_controls, kill
from topics.orders import CancelAll, CancelOrder, OrderStatus, OrderUnknown


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recover, "FIRST_ASK_S", 0.01)
    monkeypatch.setattr(recover, "SLOWEST_ASK_S", 0.02)
    monkeypatch.setattr(recover, "CONFIRM_S", 0.01)


def cancel(bench: Bench, command_id: str = "c1", cid: str = "o1") -> CancelOrder:
    return CancelOrder(
        command_id=command_id,
        client_order_id=cid,
        strategy="quoter",
        account=ACCOUNT,
        instrument=BTC,
        ts_init=bench.now,
    )


async def resting(kind: type[PaperExecution] = PaperExecution) -> Bench:
    bench = Bench(kind)
    bench.submit()
    await bench.until("OrderAccepted")
    bench.hear()
    return bench


def open_at_venue(bench: Bench) -> int:
    return len(bench.core.open_orders("main"))


async def test_a_cancel_needs_no_lease() -> None:
    bench = await resting()
    bench.lease.held = False
    bench.engine.cancel(cancel(bench))
    await bench.settle()
    assert open_at_venue(bench) == 0
    with pytest.raises(NotLeased):
        bench.submit("o2")


async def test_a_cancel_of_everything_and_a_kill_need_no_lease() -> None:
    for is_kill in (False, True):
        bench = await resting()
        bench.lease.held = False
        if is_kill:
            bench.engine.insist(bench.state.book.orders["o1"], "kill:k", "a kill")
        else:
            bench.engine.cancel_all(CancelAll(command_id="a", account=ACCOUNT, ts_init=bench.now))
        await bench.settle()
        assert open_at_venue(bench) == 0


async def test_a_cancel_does_not_wait_for_the_broker_and_an_order_does() -> None:
    bench = await resting()
    bench.edge.silent = True
    bench.submit("o2")
    durable = bench.engine.cancel(cancel(bench))
    for _ in range(200):
        await asyncio.sleep(0)
    assert open_at_venue(bench) == 0
    assert durable is not None
    assert not durable.done()
    assert bench.engine.is_sending(bench.state.book.orders["o2"])


async def test_an_order_asked_for_again_is_answered_only_when_the_first_decision_is_durable() -> None:
    bench = Bench()
    bench.edge.silent = True
    first, again = bench.submit("o2"), bench.submit("o2")
    assert not again.is_new
    assert first.durable is not None
    assert again.durable is not None
    assert not again.durable.done(), "a crash would still undo it"
    bench.tape.flush()
    bench.edge.speak()
    await asyncio.gather(first.durable, again.durable)
    assert bench.submit("o2").durable is None


async def test_a_cancel_goes_out_when_the_tape_takes_nothing_and_the_process_fails() -> None:
    bench = await resting()
    bench.edge.broken = True
    bench.engine.insist(bench.state.book.orders["o1"], "kill:k", "a kill")
    await bench.engine.drain(5)
    assert open_at_venue(bench) == 0
    assert [type(e) for e in bench.failures][:1] == [EdgeFailed]


async def test_with_a_newer_gateway_in_place_nothing_is_sent() -> None:
    bench = await resting()
    bench.lease.fenced = True
    with pytest.raises(NotLeased):
        bench.engine.cancel(cancel(bench))
    bench.engine.insist(bench.state.book.orders["o1"], "kill:k", "a kill")
    await bench.settle()
    assert open_at_venue(bench) == 1


async def test_at_the_end_everything_of_ours_is_cancelled_whatever_is_broken() -> None:
    for harm in ("none", "silent", "broken"):
        bench = await resting()
        bench.lease.held, bench.edge.silent, bench.edge.broken = False, harm == "silent", harm == "broken"
        await cancel_everything(bench.engine, "stop:1", "the gateway ends", asyncio.get_running_loop().time() + 0.3)
        assert open_at_venue(bench) == 0, harm
        await bench.recovery.close()


async def test_an_order_whose_write_ahead_comes_into_the_end_is_not_sent() -> None:
    bench = Bench()
    bench.submit()
    bench.engine.stopping = True
    await bench.until("OrderRejected")
    assert not bench.core.all_orders("main", "BTCUSDT")


async def test_a_kill_of_yesterday_is_carried_out_before_the_gateway_is_ready_or_holds_the_lease() -> None:
    bench, stop = await resting(), asyncio.Event()
    add_controls(bench.state, kill())
    bench.lease.held = bench.state.ready = False
    enforcing = asyncio.create_task(Controller(bench.engine).enforce(stop))
    await bench.until("CancelRequested")
    await bench.settle()
    stop.set()
    await enforcing
    assert open_at_venue(bench) == 0


class Slow(PaperExecution):
    """Its answer to a new order is lost, and the order arrives late: after its cancel has met nothing."""

    late: NewOrder | None = None

    async def submit(self, order: NewOrder) -> Outcome:
        self.late = order
        return Unknown("timeout")

    async def land(self) -> None:
        assert self.late is not None
        await super().submit(self.late)


async def test_a_cancel_that_overtook_its_order_is_sent_again_when_the_order_is_found() -> None:
    bench = Bench(Slow)
    bench.submit()
    await bench.until("OrderUnknown")
    bench.engine.cancel(cancel(bench))
    await bench.settle()
    assert isinstance(bench.adapter, Slow)
    await bench.adapter.land()
    await bench.until("OrderCanceled")
    assert open_at_venue(bench) == 0
    assert bench.state.book.orders["o1"].facts.status is OrderStatus.CANCELED


async def test_a_cancel_of_what_is_gone_is_answered_by_what_became_of_it() -> None:
    bench = Bench()
    bench.submit(price="60010")  # filled at once; the tape does not know yet
    await bench.until("OrderAccepted")
    bench.engine.cancel(cancel(bench))
    await bench.until("CancelRejected")
    assert "OrderUnknown" not in bench.names()
    assert bench.state.book.orders["o1"].facts.status is OrderStatus.FILLED


class Silent(PaperExecution):
    async def cancel(self, order: OrderRef, requested_ns: int) -> Outcome:
        return Unknown("timeout")

    async def query(self, order: OrderRef) -> OrderReport | None:
        raise QueryFailed("503")


async def test_a_cancel_of_which_nothing_can_be_learnt_is_unknown() -> None:
    bench = await resting(Silent)
    bench.engine.cancel(cancel(bench))
    await bench.until("OrderUnknown")
    assert [f.where for f in bench.facts if isinstance(f, OrderUnknown)][:1] == ["cancel"]
    await bench.recovery.close()
