"""What a frame is about, at a glance and for any venue: for lists and statistics of recordings, where no book is built.

Unlike the adapters' parsers it refuses nothing: what it cannot tell is "" or 0.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

MS, US = 1_000_000, 1_000


class Glance(NamedTuple):
    """The venue's own symbol; the channel as the venue calls it; the venue's time, UTC ns."""

    symbol: str = ""
    channel: str = ""
    ts_event: int = 0


NOTHING = Glance()


def glance(venue: str, frame: bytes) -> Glance:
    try:
        message = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return NOTHING
    look = _LOOKS.get(venue)
    if look is None:
        return NOTHING
    try:
        return look(message)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return NOTHING


def _binance(message: Mapping[str, Any]) -> Glance:
    data = message.get("data", message)
    stream = str(message.get("stream", "")).partition("@")[2].partition("@")[0]
    return Glance(data["s"], stream or data.get("e", ""), int(data.get("E", 0)) * MS)


def _coinbase(message: Mapping[str, Any]) -> Glance:
    if "channel" not in message:
        return Glance(message.get("product_id", ""), message["type"], _iso(message.get("time", "")))
    event = message["events"][0]
    inner = next((each for value in event.values() if isinstance(value, list) for each in value), event)
    symbol = event.get("product_id") or (inner.get("product_id", "") if isinstance(inner, dict) else "")
    return Glance(symbol, message["channel"], _iso(message.get("timestamp", "")))


def _kraken(message: Any) -> Glance:
    if isinstance(message, list):
        return Glance(message[-1], message[-2].partition("-")[0], _newest(message[1:-2]))
    data = message["data"]
    first = data[0] if isinstance(data, list) else data
    return Glance(first.get("symbol", ""), message["channel"], _iso(first.get("timestamp", "")))


def _newest(parts: list[Any]) -> int:
    """Version 1 dates levels and trades, by the third of their texts."""
    found = 0
    for part in parts:
        rows = part.values() if isinstance(part, dict) else (part,)
        for row in (row for rows in rows if isinstance(rows, list) for row in rows):
            if isinstance(row, list) and len(row) > 2:
                found = max(found, _seconds(row[2]))
    return found


def _kraken_futures(message: Mapping[str, Any]) -> Glance:
    return Glance(
        message["product_id"], message["feed"], int(message.get("timestamp") or message.get("time") or 0) * MS
    )


def _bybit(message: Mapping[str, Any]) -> Glance:
    channel, _, symbol = message["topic"].rpartition(".")
    return Glance(symbol, channel.partition(".")[0], int(message.get("ts", 0)) * MS)


def _okx(message: Mapping[str, Any]) -> Glance:
    data = message.get("data") or [{}]
    return Glance(message["arg"]["instId"], message["arg"]["channel"], int(data[0].get("ts", 0)) * MS)


def _deribit(message: Mapping[str, Any]) -> Glance:
    channel, symbol, *_ = message["params"]["channel"].split(".")
    data = message["params"]["data"]
    first = data[0] if isinstance(data, list) else data
    return Glance(symbol, channel, int(first.get("timestamp", 0)) * MS)


def _kucoin(message: Mapping[str, Any]) -> Glance:
    topic, _, symbol = message["topic"].partition(":")
    data = message["data"]
    time = int(data.get("time") or data.get("timestamp") or 0)
    return Glance(symbol.partition("_")[0], topic.rpartition("/")[2], time if time >= 10**18 else time * MS)


def _gateio(message: Mapping[str, Any]) -> Glance:
    result = message.get("result") or {}
    first = result[0] if isinstance(result, list) else result
    candle = str(first.get("n", "")).partition("_")[2] if "s" not in first else ""
    symbol = first.get("s") or first.get("currency_pair") or first.get("contract") or candle
    time = int(float(first.get("t") or first.get("create_time_ms") or 0))
    in_ms = time >= 10**12  # a candle's is when it began, in seconds
    return Glance(symbol, message["channel"].partition(".")[2], time * MS if in_ms else 0)


def _bitstamp(message: Mapping[str, Any]) -> Glance:
    channel, _, symbol = message["channel"].rpartition("_")
    return Glance(symbol, channel, int(message["data"].get("microtimestamp", 0)) * US)


def _bitmex(message: Mapping[str, Any]) -> Glance:
    first = message["data"][0]
    return Glance(first["symbol"], message["table"], _iso(first.get("timestamp", "")))


def _hyperliquid(message: Mapping[str, Any]) -> Glance:
    data = message["data"]
    first = data[-1] if isinstance(data, list) else data
    return Glance(first["coin"], message["channel"], int(first.get("time", 0)) * MS)


_LOOKS: dict[str, Callable[[Any], Glance]] = {
    "binance": _binance,
    "binance_usdm": _binance,
    "binance_coinm": _binance,
    "coinbase": _coinbase,
    "kraken": _kraken,
    "kraken_futures": _kraken_futures,
    "bybit": _bybit,
    "okx": _okx,
    "deribit": _deribit,
    "kucoin": _kucoin,
    "gateio": _gateio,
    "bitstamp": _bitstamp,
    "bitmex": _bitmex,
    "hyperliquid": _hyperliquid,
}


def _iso(text: str) -> int:
    """``2026-08-09T21:05:49.12287931Z``; 0 for nothing."""
    if not text:
        return 0
    whole = datetime.fromisoformat(text[:19]).replace(tzinfo=UTC)
    fraction = text[20:].rstrip("Z")[:9] if text[19:20] == "." else ""
    return int(whole.timestamp()) * 1_000_000_000 + int(f"{fraction:0<9}")


def _seconds(text: str) -> int:
    whole, _, fraction = text.partition(".")
    return int(whole) * 1_000_000_000 + int(f"{fraction[:9]:0<9}")
