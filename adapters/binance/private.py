"""Binance's words on an account's orders, executions and balances: answers of the REST API and events of the user
data stream.

https://developers.binance.com/docs/binance-spot-api-docs/user-data-stream and .../rest-api/account-endpoints. Amounts
are text on the wire and become Decimal; times are milliseconds and become nanoseconds.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from adapters.execution import (
    Balance,
    BalanceMoved,
    Capabilities,
    Execution,
    Listed,
    OrderReport,
    VenueEvent,
    VenueStatus,
)
from topics.record import InstrumentId, Liquidity, OrderType, Side, TimeInForce

STATUS = {
    "NEW": VenueStatus.NEW,
    "PENDING_NEW": VenueStatus.NEW,
    "PENDING_CANCEL": VenueStatus.NEW,
    "PARTIALLY_FILLED": VenueStatus.PARTIALLY_FILLED,
    "FILLED": VenueStatus.FILLED,
    "CANCELED": VenueStatus.CANCELED,
    "EXPIRED": VenueStatus.EXPIRED,
    "EXPIRED_IN_MATCH": VenueStatus.EXPIRED,
    "REJECTED": VenueStatus.REJECTED,
}
ORDER_TYPE = {
    "MARKET": OrderType.MARKET,
    "LIMIT": OrderType.LIMIT,
    "LIMIT_MAKER": OrderType.LIMIT,
    "STOP_LOSS": OrderType.STOP,
    "TAKE_PROFIT": OrderType.STOP,
    "STOP_LOSS_LIMIT": OrderType.STOP_LIMIT,
    "TAKE_PROFIT_LIMIT": OrderType.STOP_LIMIT,
}
TYPE_SENT = {
    OrderType.MARKET: "MARKET",
    OrderType.LIMIT: "LIMIT",
    OrderType.STOP: "STOP_LOSS",
    OrderType.STOP_LIMIT: "STOP_LOSS_LIMIT",
}
"""Post-only is LIMIT_MAKER."""
SELF_TRADE = "self-trade prevention"
SPOT = Capabilities(
    order_types=frozenset(TYPE_SENT),
    times_in_force=frozenset(TimeInForce),
    post_only=True,
    reduce_only=False,
    amends_quantity=True,
)


class Symbols:
    """The venue's symbols and ours. KeyError for one that the venue has not listed."""

    def __init__(self, listed: Mapping[InstrumentId, Listed]) -> None:
        self.relist(listed)

    def relist(self, listed: Mapping[InstrumentId, Listed]) -> None:
        self.listed = dict(listed)
        self._by_symbol = {one.venue_symbol: one for one in listed.values()}

    def __contains__(self, venue_symbol: object) -> bool:
        return venue_symbol in self._by_symbol

    def of(self, venue_symbol: str) -> Listed:
        return self._by_symbol[venue_symbol]


def ns(ms: int) -> int:
    return ms * 1_000_000


def order_report(o: Mapping[str, Any], symbols: Symbols) -> OrderReport:
    """From ``GET order``, ``openOrders``, ``allOrders``:

    {"symbol": "LTCBTC", "orderId": 1, "clientOrderId": "myOrder1", "price": "0.1", "origQty": "1.0", "executedQty": "0.0",
     "status": "NEW", "timeInForce": "GTC", "type": "LIMIT", "side": "BUY", "time": 1499827319559, "updateTime":
     1499827319559}

    and of stop orders "stopPrice" and "isWorking": false until they are triggered.
    """
    return OrderReport(
        venue_client_id=o["clientOrderId"],
        venue_order_id=str(o["orderId"]),
        instrument=symbols.of(o["symbol"]).instrument,
        side=Side(o["side"].lower()),
        order_type=ORDER_TYPE[o["type"]],
        order_qty=Decimal(o["origQty"]),
        price=_price(o["price"]),
        cum_qty=Decimal(o["executedQty"]),
        status=STATUS[o["status"]],
        prevented_qty=Decimal(o.get("preventedQuantity", "0")),
        trigger_price=_price(o.get("stopPrice", "0")),
        triggered=ORDER_TYPE[o["type"]].is_stop and o.get("isWorking") is True,
        reason=SELF_TRADE if o["status"] == "EXPIRED_IN_MATCH" else "",
        ts_event=ns(o.get("updateTime") or o["time"]),
    )


def execution(t: Mapping[str, Any], symbols: Symbols) -> Execution:
    """From ``myTrades``:

    {"symbol": "BNBBTC", "id": 28457, "orderId": 100234, "price": "4.00000100", "qty": "12.00000000", "commission": "10.10000000",
     "commissionAsset": "BNB", "time": 1499865549590, "isBuyer": true, "isMaker": false}
    """
    return Execution(
        venue_client_id="",
        venue_order_id=str(t["orderId"]),
        instrument=symbols.of(t["symbol"]).instrument,
        trade_id=str(t["id"]),
        side=Side.BUY if t["isBuyer"] else Side.SELL,
        last_qty=Decimal(t["qty"]),
        last_px=Decimal(t["price"]),
        fee=Decimal(t["commission"]),
        fee_currency=t["commissionAsset"],
        liquidity=Liquidity.MAKER if t["isMaker"] else Liquidity.TAKER,
        ts_event=ns(t["time"]),
    )


def balances(account: Mapping[str, Any]) -> list[Balance]:
    """From ``account``: {"updateTime": 123456789, "balances": [{"asset": "BTC", "free": "4723846.89", "locked":
    "0.0"}]}.
    """
    ts = ns(account.get("updateTime", 0))
    return [
        Balance(
            currency=b["asset"], free=Decimal(b["free"]), locked=Decimal(b["locked"]), reason="snapshot", ts_event=ts
        )
        for b in account["balances"]
    ]


def stream_events(e: Mapping[str, Any], symbols: Symbols) -> Iterator[VenueEvent]:
    """What one event of the user data stream says; an execution comes before the state of the order after it."""
    match e["e"]:
        case "executionReport":
            if e["x"] == "TRADE":
                yield _trade(e, symbols)
            yield _state(e, symbols)
        case "outboundAccountPosition":
            for b in e["B"]:
                yield Balance(
                    currency=b["a"], free=Decimal(b["f"]), locked=Decimal(b["l"]), reason="trade", ts_event=ns(e["E"])
                )
        case "balanceUpdate":
            yield BalanceMoved(currency=e["a"], amount=Decimal(e["d"]), ts_event=ns(e["T"]))


def _client_id(e: Mapping[str, Any]) -> str:
    """A cancel's report carries the cancel's own id in ``c`` and the order's in ``C``."""
    return str(e["C"] or e["c"])


def _trade(e: Mapping[str, Any], symbols: Symbols) -> Execution:
    return Execution(
        venue_client_id=_client_id(e),
        venue_order_id=str(e["i"]),
        instrument=symbols.of(e["s"]).instrument,
        trade_id=str(e["t"]),
        side=Side(e["S"].lower()),
        last_qty=Decimal(e["l"]),
        last_px=Decimal(e["L"]),
        fee=Decimal(e["n"]),
        fee_currency=e["N"] or symbols.of(e["s"]).quote,
        liquidity=Liquidity.MAKER if e["m"] else Liquidity.TAKER,
        ts_event=ns(e["T"]),
    )


def _state(e: Mapping[str, Any], symbols: Symbols) -> OrderReport:
    """{"e": "executionReport", "E": 1499405658658, "s": "ETHBTC", "c": "mUvoqJxFIILMdfAW5iGSOW", "S": "BUY", "o":
    "LIMIT", "f": "GTC", "q": "1.00000000", "p": "0.10264410", "C": "", "x": "NEW", "X": "NEW", "r": "NONE", "i":
    4293153, "l": "0.00000000", "z": "0.00000000", "L": "0.00000000", "n": "0", "N": null, "T": 1499405658657, "t":
    -1, "m": false}

    "P" is the stop price; "w" (on the book) and "W" (working time) come when a stop order has been triggered. An amendment
    is "x": "REPLACED", with "q" the new quantity.
    """
    reason = e.get("r", "NONE")
    return OrderReport(
        venue_client_id=_client_id(e),
        venue_order_id=str(e["i"]),
        instrument=symbols.of(e["s"]).instrument,
        side=Side(e["S"].lower()),
        order_type=ORDER_TYPE[e["o"]],
        order_qty=Decimal(e["q"]),
        price=_price(e["p"]),
        cum_qty=Decimal(e["z"]),
        status=STATUS[e["X"]],
        prevented_qty=Decimal(e.get("A", "0")),
        trigger_price=_price(e.get("P", "0")),
        triggered=ORDER_TYPE[e["o"]].is_stop and (e.get("w") is True or "W" in e),
        reason=SELF_TRADE if e["X"] == "EXPIRED_IN_MATCH" else "" if reason == "NONE" else reason,
        ts_event=ns(e["T"]),
    )


def _price(text: str) -> Decimal | None:
    """Market orders carry a price of zero."""
    price = Decimal(text)
    return price if price > 0 else None
