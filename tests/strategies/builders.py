"""Records as a strategy meets them: one instrument, BTC against USDT, tick 0.01, lot 0.00001."""

from decimal import Decimal

from topics.market import Bar, BookDelta, BookSnapshot, Instrument, Quote, Tick, Trade
from topics.orders import OrderStatus, OrderUpdated, SubmitOrder
from topics.portfolio import PositionChanged
from topics.record import OrderType, Side, TimeInForce
from topics.routes import Subscription
from topics.strategy import Signal

BTC = "sim:BTC-USDT"
ETH = "sim:ETH-USDT"
ACCOUNT = "sim.main"
SECOND = 1_000_000_000
MS = 1_000_000
SUBSCRIPTION = Subscription(account=ACCOUNT, instruments=(BTC,), bars=("time-1s",))


NOTHING = Decimal(0)


def D(text: str | int) -> Decimal:
    return Decimal(text)


def instrument(name: str = BTC, tick: str = "0.01", lot: str = "0.00001", min_notional: str = "5") -> Instrument:
    base, quote = name.partition(":")[2].split("-")
    return Instrument(
        instrument=name,
        venue="sim",
        venue_symbol=base + quote,
        base=base,
        quote=quote,
        tick_size=D(tick),
        lot_size=D(lot),
        min_notional=D(min_notional),
        ts_init=0,
    )


def quote(bid: str, ask: str, *, name: str = BTC, ts: int = 0, bid_size: str = "1", ask_size: str = "1") -> Quote:
    return Quote(
        instrument=name,
        best_bid=D(bid),
        bid_size=D(bid_size),
        best_ask=D(ask),
        ask_size=D(ask_size),
        ts_event=ts,
        ts_init=ts,
    )


def signal(name: str, value: float, q: Quote, strategy: str = "s1") -> Signal:
    """As the signals stage fills it."""
    return Signal(
        name,
        value,
        strategy=strategy,
        instrument=q.instrument,
        best_bid=q.best_bid,
        bid_size=q.bid_size,
        best_ask=q.best_ask,
        ask_size=q.ask_size,
        ts_event=q.ts_event,
        ts_init=q.ts_init,
    )


def trade(price: str, *, ts: int = 0, name: str = BTC) -> Trade:
    return Trade(instrument=name, trade_id="1", price=D(price), size=D(1), aggressor=Side.BUY, ts_event=ts, ts_init=ts)


def snapshot(bids: list[tuple[str, str]], asks: list[tuple[str, str]], ts: int = 0) -> BookSnapshot:
    return BookSnapshot(instrument=BTC, bids=tuple(bids), asks=tuple(asks), sequence=1, ts_event=ts, ts_init=ts)


def delta(bids: list[tuple[str, str]], asks: list[tuple[str, str]], ts: int = 0) -> BookDelta:
    return BookDelta(
        instrument=BTC,
        bids=tuple(bids),
        asks=tuple(asks),
        first_sequence=2,
        sequence=2,
        ts_event=ts,
        ts_init=ts,
    )


def bar(close: str, ts: int = 0, name: str = BTC, spec: str = "time-1s") -> Bar:
    price = D(close)
    return Bar(
        instrument=name,
        spec=spec,
        open=price,
        high=price,
        low=price,
        close=price,
        volume=D(1),
        notional=price,
        trades=1,
        ts_open=ts - SECOND,
        ts_close=ts,
        ts_init=ts,
    )


def tick(ts: int, n: int = 0) -> Tick:
    return Tick(n=n, ts_init=ts)


def order(
    ident: str = "o1",
    side: Side = Side.BUY,
    price: str | None = "100.00",
    qty: str = "1",
    *,
    status: OrderStatus = OrderStatus.NEW,
    cum: str = "0",
    fact: str = "OrderAccepted",
    pending_cancel: bool = False,
    time_in_force: TimeInForce = TimeInForce.GTC,
    name: str = BTC,
    strategy: str = "s1",
    last: str | None = None,
    ts: int = 0,
) -> OrderUpdated:
    return OrderUpdated(
        client_order_id=ident,
        account=ACCOUNT,
        instrument=name,
        strategy=strategy,
        side=side,
        order_type=OrderType.LIMIT,
        order_qty=D(qty),
        price=None if price is None else D(price),
        time_in_force=time_in_force,
        status=status,
        pending_cancel=pending_cancel,
        cum_qty=D(cum),
        leaves_qty=D(0) if status.is_terminal else D(qty) - D(cum),
        last_qty=None if last is None else D(last),
        fact=fact,
        ts_init=ts,
    )


def answer(
    command: SubmitOrder,
    status: OrderStatus,
    fact: str,
    *,
    cum: Decimal = NOTHING,
    last: Decimal | None = None,
    ts: int = 0,
) -> OrderUpdated:
    """What the orders stage says about a commanded order after one more fact."""
    return OrderUpdated(
        client_order_id=command.client_order_id,
        account=command.account,
        instrument=command.instrument,
        strategy=command.strategy,
        side=command.side,
        order_type=command.order_type,
        order_qty=command.order_qty,
        price=command.price,
        time_in_force=command.time_in_force,
        post_only=command.post_only,
        status=status,
        cum_qty=cum,
        leaves_qty=D(0) if status.is_terminal else command.order_qty - cum,
        last_qty=last,
        fact=fact,
        ts_init=ts,
    )


def position(
    quantity: str | Decimal,
    avg_px: str | Decimal | None = "100",
    *,
    bought: str | Decimal | None = None,
    sold: str | Decimal = "0",
    name: str = BTC,
    strategy: str = "s1",
    ts: int = 0,
) -> PositionChanged:
    return PositionChanged(
        account=ACCOUNT,
        strategy=strategy,
        instrument=name,
        base="BTC",
        quote="USDT",
        quantity=Decimal(quantity),
        avg_px=None if avg_px is None else Decimal(avg_px),
        bought_qty=Decimal(quantity) if bought is None else Decimal(bought),
        sold_qty=Decimal(sold),
        last_px=D(100),
        ts_event=ts,
        ts_init=ts,
    )
