"""A venue that answers at once, in the gateway's own process: what is measured is the gateway. It keeps every order, and tells when one comes."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from adapters.execution import (
    Accepted,
    Balance,
    Capabilities,
    Execution,
    Listed,
    NewOrder,
    OrderRef,
    OrderReport,
    Outcome,
    StreamUp,
    VenueEvent,
    VenueStatus,
)
from tests.bench.told import teller
from topics.record import InstrumentId, OrderType, TimeInForce

BTC = "sim:BTC-USDT"


class StubVenue:
    capabilities = Capabilities(
        order_types=frozenset(OrderType),
        times_in_force=frozenset(TimeInForce),
        post_only=True,
        reduce_only=False,
        amends_quantity=True,
    )
    recv_window_ms = 60_000

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self.orders: dict[str, NewOrder] = {}
        self._tell = teller()

    async def connect(self) -> None:
        pass

    @property
    def listed(self) -> Mapping[InstrumentId, Listed]:
        return {BTC: Listed(instrument=BTC, venue_symbol="BTCUSDT", base="BTC", quote="USDT")}

    async def submit(self, order: NewOrder) -> Outcome:
        self._tell()
        self.orders[order.venue_client_id] = order
        return Accepted(f"v{len(self.orders)}", order.requested_ns)

    async def cancel(self, order: OrderRef, requested_ns: int) -> Outcome:
        self.orders.pop(order.venue_client_id, None)
        return Accepted(order.venue_order_id, requested_ns)

    async def amend(self, order: OrderRef, order_qty: Decimal, requested_ns: int) -> Outcome:
        return Accepted(order.venue_order_id, requested_ns)

    async def test(self, order: NewOrder) -> Outcome:
        return Accepted("")

    async def query(self, order: OrderRef) -> OrderReport | None:
        known = self.orders.get(order.venue_client_id)
        return None if known is None else _report(known)

    async def open_orders(self) -> Sequence[OrderReport]:
        return [_report(one) for one in self.orders.values()]

    async def recent_orders(self, instrument: InstrumentId, since_ns: int) -> Sequence[OrderReport]:
        return []

    async def executions(self, instrument: InstrumentId, since_ns: int) -> Sequence[Execution]:
        return []

    async def order_executions(self, instrument: InstrumentId, venue_order_id: str) -> Sequence[Execution]:
        return []

    async def balances(self) -> Sequence[Balance]:
        return [
            Balance(currency=currency, free=Decimal(10**12), locked=Decimal(0), reason="snapshot", ts_event=0)
            for currency in ("BTC", "USDT")
        ]

    async def events(self) -> AsyncIterator[VenueEvent]:
        yield StreamUp()
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass


def _report(order: NewOrder) -> OrderReport:
    return OrderReport(
        venue_client_id=order.venue_client_id,
        venue_order_id=f"v-{order.venue_client_id}",
        instrument=order.instrument,
        side=order.side,
        order_type=order.order_type,
        order_qty=order.order_qty,
        price=order.price,
        cum_qty=Decimal(0),
        status=VenueStatus.NEW,
        ts_event=order.requested_ns,
    )
