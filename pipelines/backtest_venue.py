"""The venue of a backtest: the exchange's matching core, in which our orders rest beside the recorded market.

Market events come in at the times they were recorded with; orders and cancels arrive, and answers and private events
leave, with the latencies of the model. An order's events follow its answer, in the venue's order.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

from adapters.execution import Accepted, Balance, Execution, OrderReport, Outcome, Refused, VenueEvent, VenueStatus
from adapters.simulated import model as sim
from adapters.simulated.core import Core
from adapters.simulated.instruments import Instrument as Listing
from adapters.simulated.queues import RISK_AVERSE, QueueModel
from adapters.simulated.settlement import Fees
from adapters.simulated.units import SCALE, decimal, units
from infra.errors import Problem
from pipelines.compose import Channel, Latency, Loop
from pipelines.settled import terms
from topics.market import BookDelta, BookSnapshot, Gap, Instrument, Quote, Trade
from topics.orders import SubmitOrder
from topics.record import Account, Currency, InstrumentId, Level, Liquidity, OrderType, Side

SELF_TRADE = "self-trade prevention"
STATUS = {
    sim.Status.NEW: VenueStatus.NEW,
    sim.Status.PARTIALLY_FILLED: VenueStatus.PARTIALLY_FILLED,
    sim.Status.FILLED: VenueStatus.FILLED,
    sim.Status.CANCELED: VenueStatus.CANCELED,
    sim.Status.EXPIRED: VenueStatus.EXPIRED,
    sim.Status.EXPIRED_IN_MATCH: VenueStatus.EXPIRED,
}

ORDER_TYPE = {
    OrderType.MARKET: sim.OrderType.MARKET,
    OrderType.LIMIT: sim.OrderType.LIMIT,
    OrderType.STOP: sim.OrderType.STOP_LOSS,
    OrderType.STOP_LIMIT: sim.OrderType.STOP_LOSS_LIMIT,
}
KIND = {kind: ours for ours, kind in ORDER_TYPE.items()} | {sim.OrderType.LIMIT_MAKER: OrderType.LIMIT}

Hear = Callable[[VenueEvent], None]
Answered = Callable[[Outcome], None]


class BacktestVenue:
    """One venue with its accounts; every instrument has a recorded book.

    The core's symbols are our instruments: a venue may spell several of them alike.
    """

    def __init__(
        self,
        loop: Loop,
        latency: Latency,
        instruments: Sequence[Instrument],
        fees: Fees,
        queue: QueueModel = RISK_AVERSE,
    ) -> None:
        self._loop = loop
        self._latency = latency
        self._instruments = {i.instrument for i in instruments}
        listed = [listing(i) for i in instruments]
        self.core = Core(listed, fees=fees, recorded=self._instruments, queue=queue, keeps_depth=False)
        self._hear: dict[Account, Hear] = {}
        self._ways_back: dict[Account, Channel] = {}

    def open(self, account: Account, balances: Mapping[Currency, Decimal], hear: Hear) -> list[Balance]:
        """The account with its opening balances, as its gateway would ask for them at its start."""
        self._hear[account], self._ways_back[account] = hear, Channel(self._loop)
        amounts = {currency: units(amount) for currency, amount in balances.items()}
        events = self.core.open_account(self._loop.now, account, amounts)
        return [_balance(e, "snapshot") for e in events if isinstance(e, sim.BalanceChanged) and e.account == account]

    # --- the recorded market ---------------------------------------------------------------------------------------

    def feed(self, event: Any) -> None:
        """One normalized market event; of other kinds and instruments nothing is made."""
        made = RECORDED.get(type(event))
        if event.instrument in self._instruments and made is not None:
            events = self.core.feed(self._loop.now, event.instrument, made(event))
            if events:
                self._tell(events)

    # --- commands, arriving now ------------------------------------------------------------------------------------

    def submit(self, order: SubmitOrder, venue_client_id: str, answered: Answered) -> None:
        events = self.core.submit(self._loop.now, self._new(order, venue_client_id))
        match events:
            case [sim.Refused(code=code, message=message)]:
                outcome: Outcome = Refused(str(code), message)
                events = []
            case _:
                outcome = Accepted(_order_id(events, venue_client_id), self._loop.now)
        self._send_back(order.account, answered, outcome)
        self._tell(events)

    def cancel(self, account: Account, instrument: InstrumentId, venue_client_id: str, answered: Answered) -> None:
        """Refused where no such order is open: its end is on its way, or known."""
        events = self.core.cancel(self._loop.now, account, instrument, client_order_id=venue_client_id)
        match events:
            case [sim.Refused(code=code, message=message)]:
                outcome: Outcome = Refused(str(code), message)
                events = []
            case _:
                outcome = Accepted(_order_id(events, venue_client_id), self._loop.now)
        self._tell(events)
        self._send_back(account, answered, outcome)

    def amend(
        self,
        account: Account,
        instrument: InstrumentId,
        venue_client_id: str,
        order_qty: Decimal,
        answered: Answered,
    ) -> None:
        """In its place; refused where no such order is open, or it cannot be made that small."""
        amendment = sim.Amendment(
            account=account,
            symbol=instrument,
            client_order_id=venue_client_id,
            qty=units(order_qty),
            orig_client_order_id=venue_client_id,
        )
        events = self.core.amend(self._loop.now, amendment)
        match events:
            case [sim.Refused(code=code, message=message)]:
                outcome: Outcome = Refused(str(code), message)
                events = []
            case _:
                outcome = Accepted(_order_id(events, venue_client_id), self._loop.now)
        self._tell(events)
        self._send_back(account, answered, outcome)

    def _new(self, order: SubmitOrder, venue_client_id: str) -> sim.NewOrder:
        return sim.NewOrder(
            account=order.account,
            symbol=order.instrument,
            side=sim.Side(order.side.upper()),
            type=_order_type(order),
            client_order_id=venue_client_id,
            time_in_force=sim.TimeInForce(order.time_in_force.upper()),
            qty=units(order.order_qty),
            price=0 if order.price is None else units(order.price),
            stop_price=0 if order.trigger_price is None else units(order.trigger_price),
        )

    # --- what the accounts hear ------------------------------------------------------------------------------------

    def _tell(self, events: Iterable[sim.Event]) -> None:
        """Each account its reports, an execution before the state of the order after it, then its balances."""
        for event in events:
            match event:
                case sim.OrderReport(order=order) if order.account in self._hear:
                    instrument: InstrumentId = order.symbol
                    if event.execution is sim.ExecutionType.TRADE:
                        self._send_back(order.account, self._hear[order.account], _execution(event, instrument))
                    self._send_back(order.account, self._hear[order.account], _report(event, instrument))
                case sim.BalanceChanged(account=account) if account in self._hear:
                    self._send_back(account, self._hear[account], _balance(event, "trade"))
                case _:
                    pass

    def _send_back(self, account: Account, call: Callable[[Any], None], word: Any) -> None:
        self._ways_back[account].send(self._loop.now + self._latency.from_venue(), call, word)


def listing(i: Instrument) -> Listing:
    """A definition as the matching core wants it; bounds that the venue does not set are wide. Problem for steps that are
    finer than what it reckons in.
    """
    try:
        tick, step, how = units(i.tick_size), units(i.lot_size), terms(i)
    except ValueError as error:
        raise Problem(
            f"{i.instrument} cannot be backtested: tick {i.tick_size:f}, lot {i.lot_size:f}: {error}"
        ) from error
    return Listing(
        symbol=i.instrument,
        base=i.base,
        quote=i.quote,
        **how,
        tick=tick,
        step=step,
        min_price=tick,
        max_price=10**6 * SCALE,
        max_qty=units(i.max_qty) if i.max_qty is not None else 10**9 * SCALE,
        min_notional=units(i.min_notional) if i.min_notional is not None else 0,
        max_notional=units(i.max_notional) if i.max_notional is not None else 10**12 * SCALE,
    )


def rates(maker: Decimal, taker: Decimal) -> Fees:
    return Fees(maker=units(maker), taker=units(taker))


def _quote(e: Quote) -> sim.Recorded:
    return sim.BestQuote(e.sequence, units(e.best_bid), _size(e.bid_size), units(e.best_ask), _size(e.ask_size))


def _delta(e: BookDelta) -> sim.Recorded:
    return sim.BookDelta(e.first_sequence, e.sequence, _levels(e.bids), _levels(e.asks))


def _trade(e: Trade) -> sim.Recorded:
    return sim.MarketTrade(units(e.price), _size(e.size), e.aggressor is Side.SELL)


def _snapshot(e: BookSnapshot) -> sim.Recorded:
    return sim.BookSnapshot(e.sequence, _levels(e.bids), _levels(e.asks), depth=e.depth, is_whole=True)


def _gap(e: Gap) -> sim.Recorded:
    """What is there now nobody knows."""
    return sim.BookSnapshot(0, [], [], is_whole=True)


RECORDED: dict[type, Callable[[Any], sim.Recorded]] = {
    Gap: _gap,
    Quote: _quote,
    BookDelta: _delta,
    Trade: _trade,
    BookSnapshot: _snapshot,
}


def _levels(levels: Iterable[Level]) -> list[tuple[int, int]]:
    return [(units(price), _size(size)) for price, size in levels]


@lru_cache(1 << 16)
def _size(size: str | Decimal) -> int:
    """What is finer than the core reckons is not there."""
    return int(Decimal(size) * SCALE)


def _order_type(order: SubmitOrder) -> sim.OrderType:
    return sim.OrderType.LIMIT_MAKER if order.post_only else ORDER_TYPE[order.order_type]


def _order_id(events: Iterable[sim.Event], venue_client_id: str) -> str:
    for event in events:
        if isinstance(event, sim.OrderReport) and event.order.client_order_id == venue_client_id:
            return str(event.order.order_id)
    raise AssertionError("an accepted order is reported")


def _report(event: sim.OrderReport, instrument: InstrumentId) -> OrderReport:
    order = event.order
    return OrderReport(
        venue_client_id=order.client_order_id,
        venue_order_id=str(order.order_id),
        instrument=instrument,
        side=Side(order.side.lower()),
        order_type=KIND[order.type],
        order_qty=decimal(order.orig_qty),
        price=decimal(order.price) if order.price else None,
        cum_qty=decimal(order.executed),
        status=STATUS[order.status],
        prevented_qty=decimal(order.prevented),
        trigger_price=decimal(order.stop_price) if order.stop_price else None,
        triggered=order.type.waits and order.working,
        reason=SELF_TRADE if order.status is sim.Status.EXPIRED_IN_MATCH else "",
        ts_event=event.ts_ns,
    )


def _execution(event: sim.OrderReport, instrument: InstrumentId) -> Execution:
    return Execution(
        venue_client_id=event.order.client_order_id,
        venue_order_id=str(event.order.order_id),
        instrument=instrument,
        trade_id=str(event.trade_id),
        side=Side(event.order.side.lower()),
        last_qty=decimal(event.last_qty),
        last_px=decimal(event.last_px),
        fee=decimal(event.fee),
        fee_currency=event.fee_asset or "",
        liquidity=Liquidity.MAKER if event.is_maker else Liquidity.TAKER,
        ts_event=event.ts_ns,
    )


def _balance(event: sim.BalanceChanged, reason: str) -> Balance:
    return Balance(
        currency=event.asset,
        free=decimal(event.free),
        locked=decimal(event.locked),
        reason=reason,
        ts_event=event.ts_ns,
    )
