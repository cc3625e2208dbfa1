"""What the exchange sends by itself: user data events and market frames, from the core's own events.

https://developers.binance.com/docs/binance-spot-api-docs/user-data-stream
https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
"""

from __future__ import annotations

from adapters.simulated.book import Levels
from adapters.simulated.model import BalanceChanged, Deposited, ExecutionType, OrderReport, OrderType, Printed
from adapters.simulated.units import text
from adapters.simulated.wire import ZERO, Json, levels, ms

# User data events


def execution_report(report: OrderReport) -> Json:
    one = report.order
    event: Json = {
        "e": "executionReport",
        "E": ms(report.ts_ns),
        "s": one.symbol,
        "c": one.client_order_id if report.cancel_id is None else report.cancel_id,
        "S": str(one.side),
        "o": str(one.type),
        "f": str(one.time_in_force),
        "q": text(one.orig_qty),
        "p": text(one.price),
        "P": ZERO,
        "F": ZERO,
        "g": -1,
        "C": "" if report.cancel_id is None else one.client_order_id,
        "x": str(report.execution),
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
        "w": one.status.open and one.type is not OrderType.MARKET,
        "m": report.is_maker,
        "M": report.trade_id >= 0,
        "O": ms(one.created_ns),
        "Z": text(one.cum_quote),
        "Y": text(report.last_quote),
        "Q": text(one.quote_qty),
        "W": ms(one.created_ns),
        "V": str(one.self_trade_prevention),
    }
    if report.execution is ExecutionType.TRADE_PREVENTION:
        event |= {"A": text(one.prevented), "B": text(report.last_qty)}
    return event


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
