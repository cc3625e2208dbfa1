"""A book (or a definition) in a venue's own words, the reverse of its parser: for who plays a recording to somebody who comes later than its
snapshots. By adapter: the answer of REST where books begin with one, else a frame of the stream.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

import msgspec

from adapters.base import own_symbol
from adapters.okx.checksum import checksum as okx_checksum
from topics.book import Book
from topics.record import InstrumentId, Level

_json = msgspec.json.Encoder(decimal_format="number").encode


class Telling(NamedTuple):
    """``symbol``: as the frames spell it. ``ts_event``: UTC ns. ``memory``: the parser's. ``sample``: a recorded frame about the
    instrument, where a venue has had several versions of its words.
    """

    symbol: str
    book: Book
    ts_event: int
    memory: dict[str, str]
    sample: bytes = b""

    @property
    def ms(self) -> int:
        return self.ts_event // 1_000_000

    @property
    def iso(self) -> str:
        whole, ns = divmod(self.ts_event, 1_000_000_000)
        return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{ns:09d}Z"


def told(adapter: str, telling: Telling) -> bytes | None:
    """None for a venue whose every book is whole."""
    say = _WORDS.get(adapter)
    return None if say is None else say(telling)


def _sides(t: Telling) -> dict[str, list[Level]]:
    return {"bids": t.book.bid_texts(), "asks": t.book.ask_texts()}


def _raw(levels: Sequence[Level], *names: str) -> list[dict[str, msgspec.Raw]]:
    """Levels whose numbers are JSON numbers."""
    return [dict(zip(names, (msgspec.Raw(text.encode()) for text in level), strict=True)) for level in levels]


def _binance(t: Telling) -> bytes:
    return _json({"lastUpdateId": t.book.sequence, **_sides(t)})


def _binance_futures(t: Telling) -> bytes:
    times = {"E": t.ms, "T": t.ms}
    return _json({"lastUpdateId": t.book.sequence, **times, "symbol": t.symbol, **_sides(t)})


def _bitmex(t: Telling) -> bytes:
    """Rows are known by the ids they were put in with."""
    ids = {
        (price, key[-1]): key.removesuffix("Buy").removesuffix("Sell")
        for key, price in t.memory.items()
        if key.endswith(("Buy", "Sell"))
    }
    rows = [
        {
            "symbol": t.symbol,
            "id": int(ids[price, side[-1]]),
            "side": side,
            "size": msgspec.Raw(size.encode()),
            "price": msgspec.Raw(price.encode()),
        }
        for side, levels in (("Buy", t.book.bid_texts()), ("Sell", t.book.ask_texts()))
        for price, size in levels
    ]
    return _json({"table": "orderBookL2", "action": "partial", "filter": {"symbol": t.symbol}, "data": rows})


def _bitstamp(t: Telling) -> bytes:
    return _json({"timestamp": str(t.ms // 1000), "microtimestamp": str(t.book.sequence), **_sides(t)})


def _bybit(t: Telling) -> bytes:
    symbol = own_symbol(t.symbol)
    data = {"s": symbol, "b": t.book.bid_texts(), "a": t.book.ask_texts(), "u": t.book.sequence, "seq": 0}
    return _json({"topic": f"orderbook.200.{symbol}", "type": "snapshot", "ts": t.ms, "data": data, "cts": t.ms})


def _coinbase(t: Telling) -> bytes:
    updates = [
        {"side": side, "event_time": t.iso, "price_level": price, "new_quantity": size}
        for side, levels in (("bid", t.book.bid_texts()), ("offer", t.book.ask_texts()))
        for price, size in levels
    ]
    event = {"type": "snapshot", "product_id": t.symbol, "updates": updates}
    return _json({"channel": "l2_data", "client_id": "", "timestamp": t.iso, "sequence_num": 0, "events": [event]})


def _deribit(t: Telling) -> bytes:
    sides = {
        name: [["new", *(msgspec.Raw(text.encode()) for text in level)] for level in levels]
        for name, levels in _sides(t).items()
    }
    about = {"timestamp": t.ms, "instrument_name": t.symbol, "change_id": t.book.sequence}
    params = {"channel": f"book.{t.symbol}.100ms", "data": {"type": "snapshot", **about, **sides}}
    return _json({"jsonrpc": "2.0", "method": "subscription", "params": params})


def _gateio(t: Telling) -> bytes:
    if t.symbol == own_symbol(t.symbol):
        return _json({"id": t.book.sequence, "current": t.ms, "update": t.ms, **_sides(t)})
    rows = {side: [{"p": p, "s": msgspec.Raw(s.encode())} for p, s in levels] for side, levels in _sides(t).items()}
    return _json({"id": t.book.sequence, "current": t.ms / 1000, "update": t.ms / 1000, **rows})


def _kraken(t: Telling) -> bytes:
    if t.sample.startswith(b"["):
        time = f"{t.ts_event // 10**9}.{t.ts_event % 10**9 // 1000:06d}"
        sides = {"as": t.book.ask_texts(), "bs": t.book.bid_texts()}
        whole = {side: [(*level, time) for level in levels] for side, levels in sides.items()}
        return _json([0, whole, f"book-{t.book.depth or 1000}", t.symbol])
    sides_ = {side: _raw(levels, "price", "qty") for side, levels in _sides(t).items()}
    return _json({"channel": "book", "type": "snapshot", "data": [{"symbol": t.symbol, **sides_, "timestamp": t.iso}]})


def _kraken_futures(t: Telling) -> bytes:
    sides = {side: _raw(levels, "price", "qty") for side, levels in _sides(t).items()}
    about = {"product_id": t.symbol, "timestamp": t.ms, "seq": t.book.sequence, "tickSize": None}
    return _json({"feed": "book_snapshot", **about, **sides})


def _kucoin(t: Telling) -> bytes:
    return _json({"code": "200000", "data": {"time": t.ms, "sequence": str(t.book.sequence), **_sides(t)}})


def _okx(t: Telling) -> bytes:
    sides = {side: [(*level, "0", "1") for level in levels] for side, levels in _sides(t).items()}
    signed = okx_checksum(t.book)
    proof = {"checksum": signed - (1 << 32) if signed >> 31 else signed}
    numbers = {"prevSeqId": -1, "seqId": t.book.sequence} if t.book.sequence else {}
    arg = {"channel": "books", "instId": t.symbol}
    return _json({"arg": arg, "action": "snapshot", "data": [{**sides, "ts": str(t.ms), **proof, **numbers}]})


class Defining(NamedTuple):
    """What is known of an instrument that nobody defined. ``symbol``: the venue's own."""

    symbol: str
    instrument: InstrumentId
    tick: Decimal
    lot: Decimal


def defined(adapter: str, defining: Defining) -> bytes | None:
    """The answer of REST that defines it; None for a venue whose recordings bring one."""
    say = _DEFINITIONS.get(adapter)
    return None if say is None else say(defining)


def _binance_symbol(d: Defining, **more: object) -> bytes:
    base, quote = d.instrument.partition(":")[2].split("-")[:2]
    filters = [
        {"filterType": "PRICE_FILTER", "tickSize": f"{d.tick:f}"},
        {"filterType": "LOT_SIZE", "stepSize": f"{d.lot:f}", "minQty": f"{d.lot:f}"},
    ]
    about = {"symbol": d.symbol, "baseAsset": base, "quoteAsset": quote, "status": "TRADING", "filters": filters}
    return _json({"timezone": "UTC", "serverTime": 0, "symbols": [{**about, **more}]})


def _coinm_symbol(d: Defining) -> bytes:
    base = d.instrument.partition(":")[2].partition("-")[0]
    return _binance_symbol(d, marginAsset=base, contractSize=100 if base == "BTC" else 10)


def _hyperliquid_meta(d: Defining) -> bytes:
    return _json({"universe": [{"name": d.symbol, "szDecimals": max(0, -d.lot.adjusted()), "maxLeverage": 1}]})


_DEFINITIONS: dict[str, Callable[[Defining], bytes]] = {
    "binance": _binance_symbol,
    "binance_usdm": lambda d: _binance_symbol(d, marginAsset=d.instrument.split("-")[1]),
    "binance_coinm": _coinm_symbol,
    "hyperliquid": _hyperliquid_meta,
}

_WORDS: dict[str, Callable[[Telling], bytes]] = {
    "binance": _binance,
    "binance_usdm": _binance_futures,
    "binance_coinm": _binance_futures,
    "bitmex": _bitmex,
    "bitstamp": _bitstamp,
    "bybit": _bybit,
    "coinbase": _coinbase,
    "deribit": _deribit,
    "gateio": _gateio,
    "kraken": _kraken,
    "kraken_futures": _kraken_futures,
    "kucoin": _kucoin,
    "okx": _okx,
}
