"""What every execution adapter must do. A venue is put under it by a fixture ``trading``: an adapter, its events, and the touch."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from adapters.execution import (
    Accepted,
    Balance,
    Execution,
    ExecutionAdapter,
    NewOrder,
    NotSent,
    OrderRef,
    OrderReport,
    Refused,
    StreamUp,
    Unknown,
    VenueEvent,
    VenueStatus,
)
from topics.record import OrderType, Side, TimeInForce

BTC = "sim:BTC-USDT"
QTY = Decimal("0.01")


@dataclass
class Trading:
    """``touch`` gives the best bid and ask; ``now_ns`` the venue's time; ``heard`` fills while the stream runs."""

    adapter: ExecutionAdapter
    touch: Callable[[], Awaitable[tuple[Decimal, Decimal]]]
    now_ns: Callable[[], int]
    heard: list[VenueEvent] = field(default_factory=list)

    async def listen(self) -> None:
        async for event in self.adapter.events():
            self.heard.append(event)

    async def until(self, condition: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if found := condition():
                return found
            await asyncio.sleep(0.01)
        raise AssertionError(f"did not happen: {what}")

    def order(self, price: Decimal | None, side: Side = Side.BUY, qty: Decimal = QTY, **changes: Any) -> NewOrder:
        plain = {
            "venue_client_id": uuid.uuid4().hex,
            "instrument": BTC,
            "side": side,
            "order_type": OrderType.MARKET if price is None else OrderType.LIMIT,
            "order_qty": qty,
            "price": price,
            "time_in_force": TimeInForce.GTC,
            "post_only": False,
            "requested_ns": self.now_ns(),
        }
        return NewOrder(**{**plain, **changes})

    def reports(self, order: NewOrder) -> list[OrderReport]:
        return [e for e in self.heard if isinstance(e, OrderReport) and e.venue_client_id == order.venue_client_id]

    def executions(self, order: NewOrder) -> list[Execution]:
        return [e for e in self.heard if isinstance(e, Execution) and e.venue_client_id == order.venue_client_id]

    def has(self, order: NewOrder, status: VenueStatus) -> bool:
        return any(r.status is status for r in self.reports(order))

    async def rest(self) -> tuple[NewOrder, Accepted]:
        """An order on the book, away from the market."""
        bid, _ = await self.touch()
        order = self.order(bid - 300)
        accepted = await self.adapter.submit(order)
        assert isinstance(accepted, Accepted)
        return order, accepted


def ref(order: NewOrder) -> OrderRef:
    return OrderRef(order.instrument, order.venue_client_id)


class ExecutionContract:
    async def test_the_instrument_is_listed(self, trading: Trading) -> None:
        listed = trading.adapter.listed[BTC]
        assert (listed.base, listed.quote) == ("BTC", "USDT")

    async def test_the_stream_begins_by_saying_that_it_is_up(self, trading: Trading) -> None:
        await trading.until(lambda: trading.heard, "an event")
        assert trading.heard[0] == StreamUp()

    async def test_a_resting_order_is_accepted_reported_found_and_open(self, trading: Trading) -> None:
        order, accepted = await trading.rest()
        await trading.until(lambda: trading.has(order, VenueStatus.NEW), "its report")
        found = await trading.adapter.query(ref(order))
        assert found is not None
        assert (found.venue_order_id, found.status, found.cum_qty) == (accepted.venue_order_id, VenueStatus.NEW, 0)
        assert (found.side, found.order_qty, found.price) == (order.side, order.order_qty, order.price)
        assert found.venue_client_id in {o.venue_client_id for o in await trading.adapter.open_orders()}
        by_its_own_id = await trading.adapter.query(OrderRef(BTC, venue_order_id=accepted.venue_order_id))
        assert by_its_own_id is not None
        assert by_its_own_id.venue_client_id == order.venue_client_id

    async def test_a_cancel_is_accepted_and_reported_under_the_orders_own_id(self, trading: Trading) -> None:
        order, accepted = await trading.rest()
        outcome = await trading.adapter.cancel(ref(order), trading.now_ns())
        assert isinstance(outcome, Accepted)
        assert outcome.venue_order_id == accepted.venue_order_id
        await trading.until(lambda: trading.has(order, VenueStatus.CANCELED), "its end")

    async def test_a_cancel_of_an_order_that_ended_is_no_proof(self, trading: Trading) -> None:
        order, _ = await trading.rest()
        await trading.adapter.cancel(ref(order), trading.now_ns())
        assert isinstance(await trading.adapter.cancel(ref(order), trading.now_ns()), Unknown)

    async def test_an_order_nobody_placed_is_not_found_and_its_cancel_proves_nothing(self, trading: Trading) -> None:
        nobody = trading.order(Decimal(1))
        assert await trading.adapter.query(ref(nobody)) is None
        assert isinstance(await trading.adapter.cancel(ref(nobody), trading.now_ns()), Unknown)

    async def test_executions_come_by_the_stream_before_the_order_is_filled_and_are_listed_alike(
        self, trading: Trading
    ) -> None:
        since = trading.now_ns() - 1_000_000_000
        _, ask = await trading.touch()
        order = trading.order(ask + 100, time_in_force=TimeInForce.IOC)
        assert isinstance(await trading.adapter.submit(order), Accepted)
        await trading.until(lambda: trading.has(order, VenueStatus.FILLED), "filled")
        told = trading.executions(order)
        assert sum(e.last_qty for e in told) == order.order_qty
        ends = [i for i, e in enumerate(trading.heard) if isinstance(e, OrderReport) and e.status is VenueStatus.FILLED]
        assert all(trading.heard.index(e) < ends[-1] for e in told)
        listed = {e.trade_id: e for e in await trading.adapter.executions(BTC, since)}
        for e in told:
            other = listed[e.trade_id]
            assert (other.venue_order_id, other.side, other.last_qty, other.last_px) == (
                e.venue_order_id,
                e.side,
                e.last_qty,
                e.last_px,
            )
            assert (other.fee, other.fee_currency, other.liquidity) == (e.fee, e.fee_currency, e.liquidity)
        assert order.venue_client_id in {o.venue_client_id for o in await trading.adapter.recent_orders(BTC, since)}
        own = await trading.adapter.order_executions(BTC, told[0].venue_order_id)
        assert {e.trade_id for e in own} == {e.trade_id for e in told}
        assert {e.venue_order_id for e in own} == {told[0].venue_order_id}

    async def test_a_smaller_quantity_is_amended_in_place_and_reported_under_the_same_ids(
        self, trading: Trading
    ) -> None:
        order, accepted = await trading.rest()
        outcome = await trading.adapter.amend(ref(order), QTY / 2, trading.now_ns())
        assert isinstance(outcome, Accepted)
        assert outcome.venue_order_id == accepted.venue_order_id
        await trading.until(lambda: [r for r in trading.reports(order) if r.order_qty == QTY / 2], "its report")
        found = await trading.adapter.query(ref(order))
        assert found is not None
        assert (found.order_qty, found.status, found.venue_client_id) == (
            QTY / 2,
            VenueStatus.NEW,
            order.venue_client_id,
        )

    async def test_a_larger_quantity_is_refused_and_an_order_that_is_gone_proves_nothing(
        self, trading: Trading
    ) -> None:
        order, _ = await trading.rest()
        assert isinstance(await trading.adapter.amend(ref(order), QTY * 2, trading.now_ns()), Refused)
        await trading.adapter.cancel(ref(order), trading.now_ns())
        assert isinstance(await trading.adapter.amend(ref(order), QTY / 2, trading.now_ns()), Unknown)

    @pytest.mark.parametrize("limit_off", [None, Decimal(20)])
    async def test_a_stop_order_waits_untriggered_and_can_be_cancelled(
        self, trading: Trading, limit_off: Decimal | None
    ) -> None:
        _, ask = await trading.touch()
        limit, kind = (None, OrderType.STOP) if limit_off is None else (ask + 2000 + limit_off, OrderType.STOP_LIMIT)
        order = trading.order(limit, order_type=kind, trigger_price=ask + 2000)
        assert isinstance(await trading.adapter.submit(order), Accepted)
        await trading.until(lambda: trading.has(order, VenueStatus.NEW), "its report")
        found = await trading.adapter.query(ref(order))
        assert found is not None
        assert (found.order_type, found.trigger_price, found.price, found.triggered) == (kind, ask + 2000, limit, False)
        assert not any(r.triggered for r in trading.reports(order))
        assert isinstance(await trading.adapter.cancel(ref(order), trading.now_ns()), Accepted)

    async def test_a_stop_order_that_is_triggered_says_so_and_executes(self, trading: Trading) -> None:
        """The market's own trade at the ask reaches a trigger a cent above the last."""
        _, ask = await trading.touch()
        taker = trading.order(None, side=Side.SELL)
        await trading.adapter.submit(taker)  # the last trade: at the bid
        order = trading.order(ask + 100, order_type=OrderType.STOP_LIMIT, trigger_price=ask)
        assert isinstance(await trading.adapter.submit(order), Accepted)
        for _ in range(20):
            if trading.has(order, VenueStatus.FILLED):
                break
            await trading.adapter.submit(trading.order(None, qty=Decimal("0.001")))
            await asyncio.sleep(0.05)
        await trading.until(lambda: trading.has(order, VenueStatus.FILLED), "filled")
        assert any(r.triggered for r in trading.reports(order))
        assert sum(e.last_qty for e in trading.executions(order)) == QTY

    async def test_an_order_is_tested_and_nothing_comes_of_it(self, trading: Trading) -> None:
        bid, ask = await trading.touch()
        order = trading.order(bid - 300)
        stop = trading.order(ask + 2100, order_type=OrderType.STOP_LIMIT, trigger_price=ask + 2000)
        for good in (order, stop, trading.order(None), trading.order(bid - 300, post_only=True)):
            assert isinstance(await trading.adapter.test(good), Accepted)
        assert isinstance(await trading.adapter.test(trading.order(bid - 300, qty=Decimal("0.000001"))), Refused)
        assert await trading.adapter.query(ref(order)) is None

    async def test_a_market_order_executes(self, trading: Trading) -> None:
        order = trading.order(None, side=Side.SELL)
        assert isinstance(await trading.adapter.submit(order), Accepted)
        await trading.until(lambda: trading.has(order, VenueStatus.FILLED), "filled")

    async def test_an_ioc_order_that_meets_nothing_expires(self, trading: Trading) -> None:
        bid, _ = await trading.touch()
        order = trading.order(bid - 300, time_in_force=TimeInForce.IOC)
        assert isinstance(await trading.adapter.submit(order), Accepted)
        await trading.until(lambda: trading.has(order, VenueStatus.EXPIRED), "expired")

    async def test_post_only_that_would_take_is_refused(self, trading: Trading) -> None:
        _, ask = await trading.touch()
        outcome = await trading.adapter.submit(trading.order(ask + 50, post_only=True))
        assert isinstance(outcome, Refused)
        assert outcome.code == "-2010"

    async def test_more_than_the_account_holds_is_refused(self, trading: Trading) -> None:
        _, ask = await trading.touch()
        outcome = await trading.adapter.submit(trading.order(ask + 300, side=Side.SELL, qty=Decimal(50)))
        assert isinstance(outcome, Refused)

    async def test_a_price_off_its_tick_is_refused(self, trading: Trading) -> None:
        outcome = await trading.adapter.submit(trading.order(None, qty=Decimal("0.000001")))
        assert isinstance(outcome, Refused | NotSent)

    async def test_the_same_client_id_again_is_no_refusal(self, trading: Trading) -> None:
        order, _ = await trading.rest()
        assert isinstance(await trading.adapter.submit(order), Unknown)

    async def test_an_instrument_that_is_not_listed_is_not_sent(self, trading: Trading) -> None:
        order = trading.order(Decimal(1), instrument="sim:DOGE-EUR")
        assert isinstance(await trading.adapter.submit(order), NotSent)

    async def test_balances_are_told_as_they_change(self, trading: Trading) -> None:
        before = {b.currency: b for b in await trading.adapter.balances()}
        order, _ = await trading.rest()
        await trading.until(lambda: [e for e in trading.heard if isinstance(e, Balance)], "a balance")
        after = {b.currency: b for b in await trading.adapter.balances()}
        assert order.price is not None
        assert after["USDT"].locked - before["USDT"].locked == order.order_qty * order.price
        assert (before["USDT"].free + before["USDT"].locked) == (after["USDT"].free + after["USDT"].locked)
