"""The simulated exchange's matching core as a venue in this process: the same interface, no socket, no clock of its own.

What the core says is put into the venue's own words and read by the same parser as the real venue's, so that both
paths agree on every field.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from decimal import Decimal

from adapters.base import VenueError
from adapters.binance import private
from adapters.binance.private import Symbols
from adapters.binance.refusals import AMEND_GONE, AMEND_REJECTED, DUPLICATE, NEW_ORDER_REJECTED, NO_SUCH_ORDER
from adapters.execution import (
    Accepted,
    Balance,
    Execution,
    Listed,
    NewOrder,
    NotSent,
    OrderRef,
    OrderReport,
    Outcome,
    Refused,
    StreamUp,
    Unknown,
    VenueEvent,
)
from adapters.simulated import frames, model, wire
from adapters.simulated.core import Core
from adapters.simulated.instruments import Instrument
from adapters.simulated.units import decimal, units
from topics.record import InstrumentId, Payoff, Venue, VenueOrderId


class PaperExecution:
    """One account of a core that somebody else feeds. Whoever feeds it passes what came of that to ``tell``."""

    capabilities = private.SPOT
    recv_window_ms = 5000

    def __init__(self, venue: Venue, core: Core, account: str, clock: Callable[[], int]) -> None:
        self._core, self._account, self._clock = core, account, clock
        self._events: asyncio.Queue[VenueEvent] = asyncio.Queue()
        self._symbols = Symbols({one.instrument: one for i in core.instruments.values() for one in [_listed(venue, i)]})

    @property
    def listed(self) -> Mapping[InstrumentId, Listed]:
        return self._symbols.listed

    async def connect(self) -> None:
        """VenueError when the core has no such account."""
        if self._account not in self._core.accounts():
            raise VenueError(f"no account {self._account!r}")

    async def submit(self, order: NewOrder) -> Outcome:
        if order.instrument not in self.listed:
            return NotSent(f"{order.instrument} is not listed")
        events = self._core.submit(self._clock(), self._new(order))
        if isinstance(events[0], model.Refused):
            return _refusal(events[0])
        self.tell(events)
        found = self._core.order(self._account, self._symbol(order.instrument), client_order_id=order.venue_client_id)
        assert found is not None
        return Accepted(str(found.order_id), found.created_ns)

    def _new(self, order: NewOrder) -> model.NewOrder:
        kind = model.OrderType.LIMIT_MAKER if order.post_only else model.OrderType(private.TYPE_SENT[order.order_type])
        return model.NewOrder(
            account=self._account,
            symbol=self._symbol(order.instrument),
            side=model.Side(order.side.upper()),
            type=kind,
            client_order_id=order.venue_client_id,
            time_in_force=model.TimeInForce(order.time_in_force.upper()),
            qty=units(order.order_qty),
            price=0 if order.price is None else units(order.price),
            stop_price=0 if order.trigger_price is None else units(order.trigger_price),
        )

    async def cancel(self, order: OrderRef, requested_ns: int) -> Outcome:
        found = self._find(order)
        if found is None:
            return Unknown("no such order")
        events = self._core.cancel(
            self._clock(), self._account, found.symbol, order_id=found.order_id, cancel_id="cancel"
        )
        if isinstance(events[0], model.Refused):
            return _refusal(events[0])
        self.tell(events)
        return Accepted(str(found.order_id), self._clock())

    async def amend(self, order: OrderRef, order_qty: Decimal, requested_ns: int) -> Outcome:
        found = self._find(order)
        if found is None:
            return Unknown("no such order")
        amendment = model.Amendment(
            account=self._account,
            symbol=found.symbol,
            client_order_id=found.client_order_id,
            qty=units(order_qty),
            order_id=found.order_id,
        )
        events = self._core.amend(self._clock(), amendment)
        if isinstance(events[0], model.Refused):
            return _refusal(events[0])
        self.tell(events)
        return Accepted(str(found.order_id), self._clock())

    async def test(self, order: NewOrder) -> Outcome:
        if order.instrument not in self.listed:
            return NotSent(f"{order.instrument} is not listed")
        refused = self._core.filtered(self._new(order))
        return Accepted("") if refused is None else _refusal(refused)

    def tell(self, events: Sequence[model.Event]) -> None:
        """What happened to the account becomes its events, in order."""
        for event in events:
            if isinstance(event, model.OrderReport) and event.order.account == self._account:
                self._hear(frames.execution_report(event))
            elif isinstance(event, model.BalanceChanged) and event.account == self._account:
                self._hear(frames.account_position([event]))
            elif isinstance(event, model.Deposited) and event.account == self._account and not event.opening:
                self._hear(frames.balance_update(event))

    def _hear(self, words: Mapping[str, object]) -> None:
        for event in private.stream_events(words, self._symbols):
            self._events.put_nowait(event)

    async def query(self, order: OrderRef) -> OrderReport | None:
        found = self._find(order)
        return None if found is None else self._report(found)

    async def open_orders(self) -> Sequence[OrderReport]:
        return [self._report(o) for o in self._core.open_orders(self._account)]

    async def recent_orders(self, instrument: InstrumentId, since_ns: int) -> Sequence[OrderReport]:
        orders = self._core.all_orders(self._account, self._symbol(instrument))
        return [self._report(o) for o in orders if o.created_ns >= since_ns]

    async def executions(self, instrument: InstrumentId, since_ns: int) -> Sequence[Execution]:
        reports = self._core.executions(self._account, self._symbol(instrument))
        return [private.execution(wire.my_trade(r), self._symbols) for r in reports if r.ts_ns >= since_ns]

    async def order_executions(self, instrument: InstrumentId, venue_order_id: VenueOrderId) -> Sequence[Execution]:
        reports = self._core.executions(self._account, self._symbol(instrument))
        wanted = [r for r in reports if str(r.order.order_id) == venue_order_id]
        return [private.execution(wire.my_trade(r), self._symbols) for r in wanted]

    async def balances(self) -> Sequence[Balance]:
        return private.balances(wire.account(self._core, self._account, self._clock()))

    async def events(self) -> AsyncIterator[VenueEvent]:
        yield StreamUp()
        while True:
            yield await self._events.get()

    async def close(self) -> None:
        """Nothing is held."""

    def _symbol(self, instrument: InstrumentId) -> str:
        return self._symbols.listed[instrument].venue_symbol

    def _find(self, order: OrderRef) -> model.Order | None:
        if order.instrument not in self.listed:
            return None
        order_id = int(order.venue_order_id) if order.venue_order_id else None
        client_id = order.venue_client_id or None
        return self._core.order(
            self._account, self._symbol(order.instrument), order_id=order_id, client_order_id=client_id
        )

    def _report(self, order: model.Order) -> OrderReport:
        return private.order_report(wire.order(order), self._symbols)


def _listed(venue: Venue, i: Instrument) -> Listed:
    pays = (i.settle, decimal(i.multiplier), Payoff(i.payoff)) if i.is_contract else ()
    return Listed(f"{venue}:{i.base}-{i.quote}", i.symbol, i.base, i.quote, *pays)


def _refusal(refused: model.Refused) -> Outcome:
    """As of the real venue: a duplicate or an order that is not there is no proof of anything."""
    if refused.code == AMEND_REJECTED and refused.message == AMEND_GONE:
        return Unknown(f"{refused.code} {refused.message}")
    if refused.code in NO_SUCH_ORDER or (refused.code == NEW_ORDER_REJECTED and refused.message == DUPLICATE):
        return Unknown(f"{refused.code} {refused.message}")
    return Refused(str(refused.code), refused.message)
