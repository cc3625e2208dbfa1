"""What the exchange sends by itself: user data events and market frames, from the core's own events.

https://developers.binance.com/docs/binance-spot-api-docs/user-data-stream
https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
"""

from __future__ import annotations

from adapters.simulated.book import Levels
from adapters.simulated.model import BalanceChanged, Deposited, ExecutionType, OrderReport, Printed
from adapters.simulated.units import text
from adapters.simulated.wire import ZERO, Json, levels, ms

# User data events


def execution_report(report: OrderReport) -> Json:
    one = report.order
    client_id, original = _names(report)
    event: Json = {
        "e": "executionReport",
        "E": ms(report.ts_ns),
        "s": one.symbol,
        "c": client_id,
        "S": str(one.side),
        "o": str(one.type),
        "f": str(one.time_in_force),
        "q": text(one.orig_qty),
        "p": text(one.price),
        "P": text(one.stop_price),
        "F": ZERO,
        "g": -1,
        "C": original,
        "x": _execution_type(report),
        "X": str(one.status),
        "r": "NONE",
        "i": one.order_id,
        "l": text(report.last_qty if report.trade_id >= 0 else 0),
        "z": text(one.executed),
        "L": text(report.last_px),
        "n": text(report.fee) if report.trade_id >= 0 else "0",
        "N": report.fee_asset,
        "T": ms(report.ts_ns),
        "t": report.trade_id,
        "I": report.execution_id,
        "w": one.status.open and one.working and one.type.priced,
        "m": report.is_maker,
        "M": report.trade_id >= 0,
        "O": ms(one.created_ns),
        "Z": text(one.cum_quote),
        "Y": text(report.last_quote),
        "Q": text(one.quote_qty),
        "V": str(one.self_trade_prevention),
    }
    if one.working:
        event["W"] = ms(one.working_ns)
    if report.execution is ExecutionType.TRADE_PREVENTION:
        event |= {"A": text(one.prevented), "B": text(report.last_qty)}
    return event


def _names(report: OrderReport) -> tuple[str, str]:
    """The event's client id and the original one: a cancel has its own, an amendment may give a new one."""
    if report.cancel_id is not None:
        return report.cancel_id, report.order.client_order_id
    return report.order.client_order_id, report.replaced_id or ""


def _execution_type(report: OrderReport) -> str:
    return str(ExecutionType.NEW if report.execution is ExecutionType.TRIGGERED else report.execution)


def account_position(changes: list[BalanceChanged]) -> Json:
    """Of the balances of one account that one operation changed."""
    last = changes[-1]
    return {
        "e": "outboundAccountPosition",
        "E": ms(last.ts_ns),
        "u": ms(last.ts_ns),
        "B": [{"a": one.asset, "f": text(one.free), "l": text(one.locked)} for one in changes],
    }


def balance_update(deposit: Deposited) -> Json:
    time = ms(deposit.ts_ns)
    return {"e": "balanceUpdate", "E": time, "a": deposit.asset, "d": text(deposit.amount), "T": time}


# Market frames


def trade_frame(printed: Printed) -> Json:
    time = ms(printed.ts_ns)
    return {
        "e": "trade",
        "E": time,
        "s": printed.symbol,
        "t": printed.trade_id,
        "p": text(printed.price),
        "q": text(printed.qty),
        "T": time,
        "m": printed.buyer_is_maker,
        "M": True,
    }


def depth_frame(now_ns: int, symbol: str, first: int, last: int, bids: Levels, asks: Levels) -> Json:
    return {
        "e": "depthUpdate",
        "E": ms(now_ns),
        "s": symbol,
        "U": first,
        "u": last,
        "b": levels(bids),
        "a": levels(asks),
    }


def book_ticker_frame(symbol: str, update_id: int, bid: tuple[int, int], ask: tuple[int, int]) -> Json:
    return {
        "u": update_id,
        "s": symbol,
        "b": text(bid[0]),
        "B": text(bid[1]),
        "a": text(ask[0]),
        "A": text(ask[1]),
    }
