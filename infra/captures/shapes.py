"""Which venue a frame is from, by its shape: the last resort where a recording does not say it."""

from collections.abc import Mapping
from typing import Any

import orjson


def venue_of_frame(frame: bytes) -> str:
    """A venue's id, "" where the shape is nobody's in particular."""
    message = _decoded(frame)
    if isinstance(message, list):
        return "kraken" if len(message) >= 4 and isinstance(message[-1], str) and isinstance(message[-2], str) else ""
    if not isinstance(message, dict):
        return ""
    return _binance(message) or _others(message)


def binance_symbol(frame: bytes) -> str:
    """The symbol that a frame of Binance names, "" where it is none."""
    message = _decoded(frame)
    if not isinstance(message, dict):
        return ""
    data = message.get("data", message)
    symbol = data.get("s", "") if isinstance(data, dict) else ""
    return symbol if isinstance(symbol, str) else ""


def _decoded(frame: bytes) -> Any:
    try:
        return orjson.loads(frame)
    except orjson.JSONDecodeError:
        return None


def _binance(message: dict[str, Any]) -> str:
    data = message.get("data") if "stream" in message else message
    if not isinstance(data, dict) or not isinstance(data.get("s"), str):
        return ""
    if "ps" in data or "_" in data["s"]:
        return "binance_coinm" if "USD_" in data["s"] else "binance_usdm" if "_" in data["s"] else ""
    match data.get("e"):
        case "depthUpdate":
            return "binance_usdm" if "pu" in data else "binance"
        case "trade" | "aggTrade":
            return "binance" if "M" in data else "binance_usdm"
        case "bookTicker" | "markPriceUpdate" | "forceOrder":
            return "binance_usdm"
        case None:
            return "binance" if {"u", "b", "B", "a", "A"} <= data.keys() else ""
        case _:
            return ""


def _others(message: Mapping[str, Any]) -> str:
    channel, topic = _text(message, "channel"), _text(message, "topic")
    if "sequence_num" in message and "events" in message:
        return "coinbase"
    if "product_id" in message:
        return "kraken_futures" if "feed" in message else "coinbase" if "type" in message else ""
    if channel in ("l2Book", "allMids", "activeAssetCtx") or (channel in ("trades", "bbo") and _names(message, "coin")):
        return "hyperliquid"
    if isinstance(message.get("arg"), dict) and "instId" in message["arg"]:
        return "okx"
    if message.get("jsonrpc") == "2.0" and message.get("method") == "subscription":
        return "deribit"
    if "table" in message and "action" in message:
        return "bitmex"
    if "subject" in message and topic.startswith("/"):
        return "kucoin"
    if topic.startswith(("orderbook.", "publicTrade.", "tickers.", "kline.", "liquidation", "allLiquidation")):
        return "bybit"
    if channel.startswith(("spot.", "futures.")) and "event" in message:
        return "gateio"
    if channel.startswith(("order_book_", "diff_order_book_", "live_trades_", "live_orders_", "detail_order_book_")):
        return "bitstamp"
    if channel in ("book", "trade", "ticker", "level3", "instrument", "status") and "type" in message:
        return "kraken"
    return ""


def _text(message: Mapping[str, Any], name: str) -> str:
    value = message.get(name, "")
    return value if isinstance(value, str) else ""


def _names(message: Mapping[str, Any], field: str) -> bool:
    data = message.get("data")
    first = data[0] if isinstance(data, list) and data else data
    return isinstance(first, dict) and field in first
