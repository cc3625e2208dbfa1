"""The words of the exchange: orders, what is asked of it (`NewOrder`), and what it answers with (`Event`).

All prices, quantities and amounts are integers in 1e-8 (`units`), all times nanoseconds UTC. Enum values are the
venue's own spelling: https://developers.binance.com/docs/binance-spot-api-docs/enums
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"

    @property
    def other(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    LIMIT = "LIMIT"
    LIMIT_MAKER = "LIMIT_MAKER"
    MARKET = "MARKET"
    STOP_LOSS = "STOP_LOSS"
    STOP_LOSS_LIMIT = "STOP_LOSS_LIMIT"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_LIMIT = "TAKE_PROFIT_LIMIT"

    @property
    def priced(self) -> bool:
        """Has a limit price; the others take what they meet."""
        return self in _PRICED

    @property
    def waits(self) -> bool:
        """Waits for a trade at its stop price before it works."""
        return self in _WAIT


_WAIT = (OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT)
_PRICED = (OrderType.LIMIT, OrderType.LIMIT_MAKER, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT)


class TimeInForce(StrEnum):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class Status(StrEnum):
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"

    @property
    def open(self) -> bool:
        return self in (Status.NEW, Status.PARTIALLY_FILLED)


class ExecutionType(StrEnum):
    """The venue calls TRIGGERED (a stop order begins to work) NEW again."""

    NEW = "NEW"
    TRIGGERED = "TRIGGERED"
    REPLACED = "REPLACED"
    TRADE = "TRADE"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    TRADE_PREVENTION = "TRADE_PREVENTION"


class SelfTradePrevention(StrEnum):
    NONE = "NONE"
    EXPIRE_TAKER = "EXPIRE_TAKER"
    EXPIRE_MAKER = "EXPIRE_MAKER"
    EXPIRE_BOTH = "EXPIRE_BOTH"
    DECREMENT = "DECREMENT"


class NewOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A request; `price` is 0 where the type has none. `quote_qty` instead of `qty` spends (or raises) that much."""

    account: str
    symbol: str
    side: Side
    type: OrderType
    client_order_id: str
    time_in_force: TimeInForce = TimeInForce.GTC
    qty: int = 0
    price: int = 0
    stop_price: int = 0
    quote_qty: int = 0
    self_trade_prevention: SelfTradePrevention | None = None


class Amendment(msgspec.Struct, frozen=True, kw_only=True):
    """A smaller quantity for an open order, which keeps its place; `qty` is the whole order's, executed part included."""

    account: str
    symbol: str
    client_order_id: str
    qty: int
    order_id: int | None = None
    orig_client_order_id: str | None = None


class Order(msgspec.Struct, kw_only=True):
    """An order as the exchange holds it; the core alone mutates it, events carry copies."""

    order_id: int
    account: str
    symbol: str
    client_order_id: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    price: int
    orig_qty: int
    quote_qty: int
    self_trade_prevention: SelfTradePrevention
    created_ns: int
    updated_ns: int
    status: Status = Status.NEW
    executed: int = 0
    cum_quote: int = 0
    prevented: int = 0
    locked: int = 0
    stop_price: int = 0
    working_ns: int = -1
    amendments: int = 0

    @property
    def working(self) -> bool:
        """Has met the book; a stop order that waits has not."""
        return self.working_ns >= 0

    @property
    def leaves(self) -> int:
        return self.orig_qty - self.executed - self.prevented


class Refused(msgspec.Struct, frozen=True):
    """The request changed nothing; code and message are the venue's."""

    code: int
    message: str


class OrderReport(msgspec.Struct, frozen=True, kw_only=True):
    """One step in an order's life; `order` is a copy as of this step. `trade_id` is -1 when nothing was executed.

    `cancel_id` is the cancel request's own id, `replaced_id` the client id before an amendment, `last_qty` of a
    TRADE_PREVENTION the quantity prevented. `last_quote` is the execution's value, of a contract in its settlement
    currency; `gain` what a contract's execution gained, the fee apart.
    """

    ts_ns: int
    execution_id: int
    execution: ExecutionType
    order: Order
    last_qty: int = 0
    last_px: int = 0
    last_quote: int = 0
    trade_id: int = -1
    fee: int = 0
    fee_asset: str | None = None
    gain: int | None = None
    is_maker: bool = False
    cancel_id: str | None = None
    replaced_id: str | None = None
    counter_order_id: int = -1
    counter_account: str = ""


class BalanceChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A balance after one operation; `cause` is the operation."""

    ts_ns: int
    account: str
    asset: str
    free: int
    locked: int
    cause: str


class Deposited(msgspec.Struct, frozen=True, kw_only=True):
    """Money that came (or, negative, went) from outside; `opening` for an account's first balances."""

    ts_ns: int
    account: str
    asset: str
    amount: int
    opening: bool = False


class Printed(msgspec.Struct, frozen=True, kw_only=True):
    """A public trade."""

    ts_ns: int
    symbol: str
    trade_id: int
    price: int
    qty: int
    buyer_is_maker: bool


Event = Refused | OrderReport | BalanceChanged | Deposited | Printed


class BookSnapshot(msgspec.Struct, frozen=True):
    """A whole recorded book as of `update_id`; levels are (price, qty).

    `depth`: the levels of a side that the venue keeps, so that those pushed beyond it are gone; 0: all. `is_whole`: it takes the
    book's place whatever its number, since who made it of the frames has judged that.
    """

    update_id: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]
    depth: int = 0
    is_whole: bool = False


class BookDelta(msgspec.Struct, frozen=True):
    """Levels of the recorded book that changed in updates `first_id` to `last_id`; quantity 0 removes one."""

    first_id: int
    last_id: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class BestQuote(msgspec.Struct, frozen=True):
    """The recorded best bid and ask as of `update_id`."""

    update_id: int
    bid: int
    bid_qty: int
    ask: int
    ask_qty: int


class MarketTrade(msgspec.Struct, frozen=True):
    """A recorded trade; `buyer_is_maker` says that a seller hit the bid."""

    price: int
    qty: int
    buyer_is_maker: bool


Recorded = BookSnapshot | BookDelta | BestQuote | MarketTrade
