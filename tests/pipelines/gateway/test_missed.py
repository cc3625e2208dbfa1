"""What was executed while nobody listened: found later, however much was traded since, and each execution once."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from adapters.execution import Execution, NewOrder, OrderRef, OrderReport, Outcome, Unknown
from adapters.paper import PaperExecution
from adapters.simulated import model
from adapters.simulated.units import units
from pipelines.gateway import recover
from pipelines.gateway.lease import reconciled_by
from pipelines.gateway.recover import Recovery
from pipelines.gateway.state import KEEP_CLOSED_NS
from tests.pipelines.gateway.bench import Bench
from tests.pipelines.gateway.worlds import ACCOUNT, BTC, NOW
from topics.orders import OrderStatus
from topics.record import Liquidity, OrderType, Side, TimeInForce
from topics.system import GatewayLease

SECOND = 1_000_000_000


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recover, "FIRST_ASK_S", 0.01)
    monkeypatch.setattr(recover, "CONFIRM_S", 0.01)


async def by_hand(bench: Bench, name: str, price: str = "60010", heard: bool = False) -> None:
    """Somebody trades on the account without the platform."""
    wish = NewOrder(
        venue_client_id=name,
        instrument=BTC,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        order_qty=Decimal("0.2"),
        price=Decimal(price),
        time_in_force=TimeInForce.GTC,
        post_only=False,
        requested_ns=NOW,
    )
    await bench.adapter.submit(wish)
    if heard:
        bench.hear()
    else:
        stream_lost(bench)


def stream_lost(bench: Bench) -> None:
    while not bench.adapter._events.empty():
        bench.adapter._events.get_nowait()


def other_sells(bench: Bench, price: str, qty: str = "0.05") -> None:
    """The other account meets our bids at this price."""
    side, kind = model.Side.SELL, model.OrderType.LIMIT
    bench.core.cancel(bench.clock(), "other", "BTCUSDT", client_order_id=f"other-{model.Side.BUY}")
    wish = model.NewOrder(
        account="other", symbol="BTCUSDT", side=side, type=kind, client_order_id="", qty=units(qty), price=units(price)
    )
    bench.adapter.tell(bench.core.submit(bench.clock(), wish))


async def executed(bench: Bench) -> Decimal:
    found = await bench.adapter.executions(BTC, 0)
    return sum((e.side.sign * e.last_qty for e in found), Decimal(0))


async def test_an_execution_missed_long_before_a_live_one_is_found() -> None:
    bench = Bench()
    await bench.recovery.reconcile()
    await by_hand(bench, "missed")
    bench.now += 600 * SECOND
    await by_hand(bench, "live", heard=True)
    await bench.recovery.reconcile()
    assert bench.state.book.position(BTC) == await executed(bench) == Decimal("0.4")


async def test_an_execution_missed_long_before_one_that_the_same_round_finds_is_found() -> None:
    bench = Bench()
    bench.submit(price="59900")
    await bench.until("OrderAccepted")
    await bench.recovery.reconcile()
    await by_hand(bench, "missed")
    bench.now += 300 * SECOND
    other_sells(bench, "59900")  # our own order executes too, and is asked for before the list of executions
    stream_lost(bench)
    await bench.recovery.reconcile()
    assert bench.state.book.position(BTC) == await executed(bench) == Decimal("0.25")


async def test_a_round_that_fails_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    await bench.recovery.reconcile()
    began = dict(bench.recovery.reconciled)

    async def silence() -> Any:
        raise recover.VenueError("503")

    monkeypatch.setattr(bench.adapter, "balances", silence)
    with pytest.raises(recover.VenueError):
        await bench.recovery.reconcile()
    assert bench.recovery.reconciled == began
    monkeypatch.undo()
    await bench.recovery.reconcile()
    assert bench.recovery.reconciled[BTC] > began[BTC]


async def test_a_round_without_the_lease_counts_for_nothing() -> None:
    bench = Bench()
    bench.lease.held = False
    await bench.recovery.reconcile()
    assert bench.recovery.reconciled == {}


async def test_a_successor_goes_on_where_the_last_round_began() -> None:
    bench = Bench()
    await bench.recovery.reconcile()
    handed_on = dict(bench.recovery.reconciled)
    await by_hand(bench, "missed")
    bench.now += 600 * SECOND
    await by_hand(bench, "live", heard=True)  # the newest execution on the tape is much later than the missed one
    successor = Recovery(bench.engine, NOW - 1, frozenset({BTC}), reconciled=handed_on)
    await successor.reconcile()
    assert bench.state.book.position(BTC) == await executed(bench) == Decimal("0.4")


async def test_executions_of_orders_that_are_not_kept_any_more_do_not_count_twice() -> None:
    bench = Bench()
    bench.submit(price="60010")
    await bench.until("OrderAccepted")
    bench.hear()
    bench.now += KEEP_CLOSED_NS + 120 * SECOND
    bench.state.book._forget(bench.now)
    assert "o1" not in bench.state.book.orders
    await bench.recovery.reconcile()
    assert bench.state.book.position(BTC) == await executed(bench) == Decimal("0.1")


async def test_an_external_order_seen_late_brings_all_its_executions() -> None:
    bench = Bench()
    await bench.recovery.reconcile()
    await by_hand(bench, "resting", price="60009")
    for _ in range(2):
        other_sells(bench, "60009")
        bench.now += 600 * SECOND
    stream_lost(bench)
    bench.recovery.reconciled[BTC] = bench.now
    await bench.recovery.reconcile()
    (held,) = bench.state.book.open_orders()
    assert (held.facts.strategy, held.facts.cum_qty) == ("EXTERNAL", Decimal("0.10"))
    assert bench.state.halt(BTC) is None


class AnswersLost(PaperExecution):
    """Takes orders; its answers never arrive, and it knows them by its own ids only, and in no list of orders."""

    async def submit(self, order: NewOrder) -> Outcome:
        await super().submit(order)
        return Unknown("timeout")

    async def query(self, order: OrderRef) -> OrderReport | None:
        return await super().query(order) if order.venue_order_id else None

    async def open_orders(self) -> Sequence[OrderReport]:
        return []

    async def recent_orders(self, instrument: str, since_ns: int) -> Sequence[OrderReport]:
        return []


async def test_an_execution_of_an_unknown_order_of_ours_is_never_booked_to_a_stranger() -> None:
    bench = Bench(AnswersLost)
    bench.submit(price="60010")
    await bench.until("OrderUnknown")
    stream_lost(bench)
    await bench.recovery.reconcile()
    assert bench.state.book.position(BTC, "quoter") == Decimal("0.1")
    assert bench.state.book.orders["o1"].facts.status is OrderStatus.FILLED
    await bench.recovery.close()


def execution(fee: str, currency: str, qty: str = "0.1") -> Execution:
    return Execution(
        venue_client_id="",
        venue_order_id="77",
        instrument=BTC,
        trade_id="5",
        side=Side.BUY,
        last_qty=Decimal(qty),
        last_px=Decimal(60000),
        fee=Decimal(fee),
        fee_currency=currency,
        liquidity=Liquidity.MAKER,
        ts_event=NOW,
    )


async def test_a_fee_of_nothing_has_no_currency() -> None:
    bench = Bench()
    bench.engine.learn_executions([execution("0", "USDT")])
    written = bench.edge.n
    bench.engine.learn_executions([execution("0.000", "BNB")])
    assert bench.edge.n == written
    assert bench.state.halt(BTC) is None


@pytest.mark.parametrize("content", [("0.1", "BNB"), ("0", "USDT", "NaN")])
async def test_an_execution_in_quarantine_is_known(content: tuple[str, ...]) -> None:
    bench = Bench()
    bench.engine.learn_executions([execution("0", "USDT")])
    bench.engine.learn_executions([execution(*content)])
    assert bench.state.halt(BTC) is not None
    written = bench.edge.n
    bench.engine.learn_executions([execution(*content)])
    assert bench.edge.n == written


def test_what_was_reconciled_is_the_newest_holders_word() -> None:
    def lease(epoch: int, **reconciled: int) -> GatewayLease:
        upto = {f"sim:{i}": ns for i, ns in reconciled.items()}
        return GatewayLease(account=ACCOUNT, epoch=epoch, expires_ns=0, reconciled=upto, ts_init=0)

    leases = {3: lease(3, btc=9), 5: lease(5, btc=7, eth=8), 6: lease(6)}
    assert reconciled_by(leases) == {"sim:btc": 7, "sim:eth": 8}
    assert reconciled_by({6: lease(6)}) == {}
