"""A gateway's state in which everything passes, and ways to spoil it."""

from decimal import Decimal
from typing import Any

from pipelines.gateway.decide import decide
from pipelines.gateway.state import State
from topics.controls import FIRM, Kill, LimitName, Scope, SetLimit
from topics.market import Instrument, Mark
from topics.orders import ControlDone, OrderDenied, OrderFilled, OrderRequested, SubmitOrder
from topics.portfolio import BalanceChanged
from topics.record import Liquidity, OrderType, Side

D = Decimal
ACCOUNT, BTC, NOW = "sim.main", "sim:BTC-USDT", 1_700_000_000_000_000_000
SECOND = 1_000_000_000
BID, ASK = D("60000"), D("60010")
LIMITS = {
    LimitName.PRICE_COLLAR: D("0.05"),
    LimitName.MAX_ORDER_VALUE: D("10000"),
    LimitName.MAX_POSITION_VALUE: D("50000"),
    LimitName.MAX_ORDERS_PER_SECOND: D(20),
    LimitName.MAX_DATA_AGE: D(2),
}


def definition(**changes: Any) -> Instrument:
    plain: dict[str, Any] = {
        "instrument": BTC,
        "venue": "sim",
        "venue_symbol": "BTCUSDT",
        "base": "BTC",
        "quote": "USDT",
        "tick_size": D("0.01"),
        "lot_size": D("0.00001"),
        "min_qty": D("0.00001"),
        "max_qty": D(100),
        "min_notional": D(5),
        "max_notional": D(9000000),
        "ts_init": NOW,
    }
    return Instrument(**{**plain, **changes})


def mark(**changes: Any) -> Mark:
    return Mark(**{"instrument": BTC, "best_bid": BID, "best_ask": ASK, "ts_event": NOW, "ts_init": NOW, **changes})


def balance(currency: str, free: str, locked: str = "0") -> BalanceChanged:
    amounts = {"free": D(free), "locked": D(locked)}
    return BalanceChanged(account=ACCOUNT, currency=currency, reason="snapshot", ts_event=NOW, ts_init=NOW, **amounts)


def limit(name: LimitName, value: Decimal, scope: Scope = FIRM) -> SetLimit:
    ident = f"{scope}-{name}-{value}"
    return SetLimit(control_id=ident, scope=scope, who="w", why="y", ts_init=NOW, limit=name, value=value)


def kill(scope: Scope = FIRM, control_id: str = "k") -> Kill:
    return Kill(control_id=control_id, scope=scope, who="w", why="y", ts_init=NOW)


def market_records() -> list[Any]:
    return [definition(), mark(), balance("BTC", "10"), balance("USDT", "1000000")]


def control_records() -> list[Any]:
    return [limit(name, value) for name, value in LIMITS.items()]


def world(**changes: Any) -> State:
    """Ready, with a market, balances and limits."""
    state = State.empty(ACCOUNT)
    for offset, record in enumerate(changes.get("market", market_records())):
        state.market.fold(offset, [record])
    for offset, record in enumerate(changes.get("controls", control_records())):
        state.rules.fold(offset, [record])
    state.ready = bool(changes.get("ready", True))
    return state


def add_controls(state: State, *controls: Any) -> None:
    for one in controls:
        state.rules.fold(state.rules.offset + 1, [one])


def add_market(state: State, *records: Any) -> None:
    for one in records:
        state.market.fold(state.market.offset + 1, [one])


def order(cid: str = "o1", **changes: Any) -> SubmitOrder:
    plain: dict[str, Any] = {
        "client_order_id": cid,
        "strategy": "quoter",
        "account": ACCOUNT,
        "instrument": BTC,
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "order_qty": D("0.1"),
        "price": D("60000"),
        "ts_init": NOW,
    }
    return SubmitOrder(**{**plain, **changes})


def resumed(scope: Scope, offset: int = 90, control_id: str = "r") -> ControlDone:
    """What the gateway writes when it hears of a resume."""
    common = {"account": ACCOUNT, "control_id": control_id, "scope": scope, "offset": offset, "ts_init": NOW}
    return ControlDone(**common, control="Resume", outcome="heard")


def place(state: State, command: SubmitOrder, now_ns: int = NOW) -> OrderRequested | OrderDenied | None:
    """Decide and fold the decision, as the gateway does."""
    fact = decide(state, command, now_ns)
    if fact is not None:
        state.book.fold(fact)
    return fact


def check_of(state: State, command: SubmitOrder, now_ns: int = NOW, carries_out: str = "") -> str:
    """The check that denies; empty when none does."""
    fact = decide(state, command, now_ns, carries_out)
    return fact.check if isinstance(fact, OrderDenied) else ""


def filled(command: SubmitOrder, qty: str, trade_id: str = "1", price: str = "60000") -> OrderFilled:
    return OrderFilled(
        client_order_id=command.client_order_id,
        account=command.account,
        instrument=command.instrument,
        strategy=command.strategy,
        venue_order_id=f"v-{command.client_order_id}",
        trade_id=trade_id,
        side=command.side,
        last_qty=D(qty),
        last_px=D(price),
        fee=D("0.01"),
        fee_currency="USDT",
        liquidity=Liquidity.TAKER,
        base="BTC",
        quote="USDT",
        ts_event=NOW,
        ts_init=NOW,
    )
