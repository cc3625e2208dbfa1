"""What ccxt.pro tells of a venue, as frames: its ``watch_*`` methods, each result written down. An edge.

Digits are the venue's as far as ccxt keeps them: numbers that it makes of texts remember them, floats are written with the
fewest digits that name them.
"""

import asyncio
import importlib
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final, Self
from urllib.parse import urlsplit

import msgspec

from adapters.base import Endpoints, Rest, VenueBusy, VenueError, VenueRefused, VenueUnreachable, rest_frame

TIMEOUT_MS = 10_000
SILENT_S = 60.0
DEPTH = 100
"""Levels of a side that are written down."""

_METHODS: Final = {"book": "watchOrderBook", "trades": "watchTrades", "ticker": "watchTicker"}
_TICKER: Final = ("bid", "bidVolume", "ask", "askVolume", "last", "markPrice", "indexPrice")
TICK_SIZE: Final = 4
DECIMAL_PLACES: Final = 2


class Digits(float):
    """A number that remembers its digits; ccxt makes its numbers with it."""

    text: str

    def __new__(cls, text: Any) -> Self:
        self = super().__new__(cls, text)
        self.text = str(text)
        return self


def text_of(number: Any) -> str | None:
    if number is None:
        return None
    return number.text if isinstance(number, Digits) else format(Decimal(repr(number)), "f")


def client(ccxt_id: str, endpoints: Endpoints) -> Any:
    """ValueError when ccxt.pro has no such venue, or the venue no sandbox."""
    pro = importlib.import_module("ccxt.pro")
    if ccxt_id not in pro.exchanges:
        raise ValueError(f"ccxt.pro has no venue {ccxt_id!r}")
    made = getattr(pro, ccxt_id)({"newUpdates": True, "timeout": TIMEOUT_MS, "options": dict(endpoints.options)})
    made.number = Digits
    if endpoints.sandbox:
        if not made.urls.get("test"):
            raise ValueError(f"{ccxt_id} has no sandbox")
        made.set_sandbox_mode(True)
    hosts = (endpoints.rest_url.rstrip("/"), endpoints.ws_url.rstrip("/"))
    made.urls["api"] = _elsewhere(made.urls["api"], *hosts)
    return made


def _elsewhere(urls: Any, rest: str, stream: str) -> Any:
    """Every URL with the scheme and host of one's own, where there is one; paths stay."""
    if isinstance(urls, dict):
        return {name: _elsewhere(url, rest, stream) for name, url in urls.items()}
    if not isinstance(urls, str):
        return urls
    host = stream if urls.startswith("ws") else rest
    return f"{host}{urlsplit(urls).path}" if host else urls


class Watching:
    """See ``adapters.base.Sampler``."""

    def __init__(self, ccxt_id: str, endpoints: Endpoints) -> None:
        self._errors = importlib.import_module("ccxt.pro")
        self._exchange = client(ccxt_id, endpoints)
        self.kinds = tuple(kind for kind, method in _METHODS.items() if self._exchange.has.get(method))
        if "book" not in self.kinds:
            raise ValueError(f"ccxt.pro streams no books of {ccxt_id}")

    async def next(self, kind: str, venue_symbol: str) -> bytes:
        """Without a change of a book for so long everything is connected again: ccxt may have given up without a word."""
        try:
            match kind:
                case "book":
                    async with asyncio.timeout(SILENT_S):
                        return _book(venue_symbol, await self._exchange.watch_order_book(venue_symbol))
                case "trades":
                    return _trades(venue_symbol, await self._exchange.watch_trades(venue_symbol))
                case _:
                    return _ticker(venue_symbol, await self._exchange.watch_ticker(venue_symbol))
        except self._errors.BaseError as error:
            raise translated(self._errors, error) from error
        except TimeoutError:
            await self._exchange.close()
            raise VenueUnreachable(f"no change of the book in {SILENT_S:.0f} s") from None

    async def close(self) -> None:
        await self._exchange.close()


class MarketsRest(Rest):
    """See ``adapters.base.Rest``: definitions from ccxt's markets; books are streamed."""

    def __init__(self, ccxt_id: str, endpoints: Endpoints) -> None:
        self._errors = importlib.import_module("ccxt.pro")
        self._exchange = client(ccxt_id, endpoints)

    async def depth(self, venue_symbol: str) -> bytes:
        raise VenueRefused("books are sampled from the stream")

    async def definition(self, venue_symbol: str) -> bytes:
        try:
            await self._exchange.load_markets()
            market = self._exchange.market(venue_symbol)
        except self._errors.BaseError as error:
            raise translated(self._errors, error) from error
        return rest_frame("market", venue_symbol, _market(market, self._exchange.precisionMode))

    async def time_ms(self) -> int:
        try:
            return int(await self._exchange.fetch_time())
        except self._errors.BaseError as error:
            raise translated(self._errors, error) from error

    async def close(self) -> None:
        await self._exchange.close()


def translated(errors: Any, error: Exception) -> VenueError:
    """ccxt's classes, by what to do next."""
    text = " ".join(str(error).split())[:300] or type(error).__name__
    if isinstance(error, errors.DDoSProtection | errors.RateLimitExceeded):
        return VenueBusy(text)
    if isinstance(error, errors.BadRequest | errors.NotSupported):
        return VenueRefused(text)
    return VenueUnreachable(text)


def _frame(kind: str, symbol: str, **told: Any) -> bytes:
    return msgspec.json.encode({"ccxt": kind, "symbol": symbol, **told})


def _book(symbol: str, book: Any) -> bytes:
    bids, asks = (book[side] for side in ("bids", "asks"))
    cut = DEPTH if max(len(bids), len(asks)) > DEPTH else 0
    levels = [[[text_of(level[0]), text_of(level[1])] for level in side[:DEPTH]] for side in (bids, asks)]
    return _frame(
        "book",
        symbol,
        depth=cut,
        bids=levels[0],
        asks=levels[1],
        timestamp=book.get("timestamp"),
        nonce=book.get("nonce"),
    )


def _trades(symbol: str, trades: Iterable[Any]) -> bytes:
    told = [
        {
            "id": None if trade.get("id") is None else str(trade["id"]),
            "price": text_of(trade["price"]),
            "amount": text_of(trade["amount"]),
            "side": trade.get("side"),
            "timestamp": trade.get("timestamp"),
        }
        for trade in trades
    ]
    return _frame("trades", symbol, trades=told)


def _ticker(symbol: str, ticker: Any) -> bytes:
    prices = {name: text_of(ticker.get(name)) for name in _TICKER}
    return _frame("ticker", symbol, **prices, timestamp=ticker.get("timestamp"))


def _market(market: Any, mode: int) -> bytes:
    limits, precision = market["limits"], market["precision"]

    def bound(what: str, which: str) -> str | None:
        return text_of((limits.get(what) or {}).get(which))

    told = {
        "base": market["base"],
        "quote": market["quote"],
        "tick": _step(precision.get("price"), mode),
        "lot": _step(precision.get("amount"), mode),
        "contractSize": text_of(market.get("contractSize")),
        "active": market.get("active"),
        "minAmount": bound("amount", "min"),
        "maxAmount": bound("amount", "max"),
        "minCost": bound("cost", "min"),
        "maxCost": bound("cost", "max"),
        "maker": text_of(market.get("maker")),
        "taker": text_of(market.get("taker")),
    }
    return msgspec.json.encode(told)


def _step(precision: Any, mode: int) -> str | None:
    """A step of prices or sizes; None where the venue counts significant digits, or does not say."""
    if precision is None or mode not in (TICK_SIZE, DECIMAL_PLACES):
        return None
    if mode == TICK_SIZE:
        return text_of(precision)
    return format(Decimal(1).scaleb(-int(precision)), "f")
