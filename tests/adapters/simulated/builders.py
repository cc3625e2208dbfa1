"""Small words for the tests of the exchange's core: whole numbers stand for whole units."""

from __future__ import annotations

from collections.abc import Iterable

from adapters.simulated.core import Core
from adapters.simulated.instruments import Instrument
from adapters.simulated.model import (
    Amendment,
    Event,
    ExecutionType,
    NewOrder,
    OrderReport,
    OrderType,
    Printed,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from adapters.simulated.settlement import Fees
from adapters.simulated.units import SCALE

SYMBOL = "BTCUSDT"
BUY, SELL = Side.BUY, Side.SELL
INSTRUMENT = Instrument(
    symbol=SYMBOL, base="BTC", quote="USDT", tick=SCALE, step=SCALE, min_price=SCALE, min_notional=SCALE
)
RICH = {"BTC": 10_000 * SCALE, "USDT": 10_000_000 * SCALE}


def core(
    *accounts: str, recorded: bool = False, fees: Fees | None = None, balances: dict[str, int] | None = None
) -> Core:
    """A venue with these accounts, rich unless told otherwise, without fees unless told otherwise."""
    made = Core([INSTRUMENT], fees=fees or Fees(maker=0, taker=0), recorded=[SYMBOL] if recorded else [])
    for account in accounts:
        made.open_account(0, account, RICH if balances is None else balances)
    return made


_numbers = iter(range(1, 10**9))


def order(
    account: str,
    side: Side,
    qty: int,
    price: int | None = None,
    *,
    time_in_force: TimeInForce = TimeInForce.GTC,
    post_only: bool = False,
    client_order_id: str | None = None,
    quote_qty: int = 0,
    mode: SelfTradePrevention | None = None,
    kind: OrderType | None = None,
    stop: int = 0,
) -> NewOrder:
    """A limit order, or a market order when there is no price, unless a kind is named."""
    if kind is None:
        kind = OrderType.MARKET if price is None else OrderType.LIMIT_MAKER if post_only else OrderType.LIMIT
    return NewOrder(
        account=account,
        symbol=SYMBOL,
        side=side,
        type=kind,
        client_order_id=client_order_id or f"t{next(_numbers)}",
        time_in_force=time_in_force,
        qty=qty * SCALE,
        price=(price or 0) * SCALE,
        stop_price=stop * SCALE,
        quote_qty=quote_qty * SCALE,
        self_trade_prevention=mode,
    )


def smaller(account: str, client_order_id: str, qty: int, new_id: str | None = None) -> Amendment:
    """That order with this quantity, under its own client id unless another is given."""
    return Amendment(
        account=account,
        symbol=SYMBOL,
        orig_client_order_id=client_order_id,
        client_order_id=new_id or client_order_id,
        qty=qty * SCALE,
    )


def fills(events: Iterable[Event], account: str) -> list[tuple[int, int]]:
    """(price, qty) of the account's executions, in whole units."""
    return [(one.last_px // SCALE, one.last_qty // SCALE) for one in reports(events, account, ExecutionType.TRADE)]


def reports(events: Iterable[Event], account: str, execution: ExecutionType | None = None) -> list[OrderReport]:
    return [
        one
        for one in events
        if isinstance(one, OrderReport)
        and one.order.account == account
        and (execution is None or one.execution is execution)
    ]


def steps(events: Iterable[Event], account: str) -> list[str]:
    """The account's executions types and statuses, as `NEW/NEW`."""
    return [f"{one.execution}/{one.order.status}" for one in reports(events, account)]


def prints(events: Iterable[Event]) -> list[Printed]:
    return [one for one in events if isinstance(one, Printed)]


def held(made: Core, account: str, asset: str) -> tuple[int, int]:
    """(free, locked) in 1e-8."""
    balance = made.balances(account).get(asset)
    return (0, 0) if balance is None else (balance.free, balance.locked)
