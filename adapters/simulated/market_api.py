"""The venue's public methods, the same for REST and the WebSocket API.

https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from adapters.simulated import filters, wire
from adapters.simulated.model import Printed, Side
from adapters.simulated.order_params import symbol_of
from adapters.simulated.requests import ApiError, Budget, Params
from adapters.simulated.units import SCALE, text
from adapters.simulated.venue import Venue

Json = dict[str, Any]
MAX_DEPTH = 5000


def ping(venue: Venue, params: Params) -> Json:
    return {}


def time(venue: Venue, params: Params) -> Json:
    return {"serverTime": wire.ms(venue.now())}


def exchange_info(venue: Venue, params: Params) -> Json:
    instruments = [venue.core.instruments[symbol] for symbol in _symbols(venue, params)]
    return wire.exchange_info(venue.now(), instruments, budget_rows(venue.budget), venue.core.default_mode())


def budget_rows(budget: Budget) -> list[Json]:
    """The limits in force, as exchangeInfo lists them."""
    rows = [
        ("REQUEST_WEIGHT", "MINUTE", 1, budget.weight_limit),
        ("ORDERS", "SECOND", 10, budget.order_limit),
    ]
    return [
        {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
        for kind, interval, number, limit in rows
        if limit
    ]


def depth(venue: Venue, params: Params) -> Json:
    symbol, limit = symbol_of(venue, params), params.integer("limit")
    found = venue.snapshots.depth(symbol, 100 if limit is None else min(limit, MAX_DEPTH))
    return wire.depth(found.update_id, found.bids, found.asks)


def trades(venue: Venue, params: Params) -> list[Json]:
    return [wire.public_trade(one) for one in _recent(venue, params)]


def agg_trades(venue: Venue, params: Params) -> list[Json]:
    """Each trade is its own aggregate."""
    return [
        {
            "a": one.trade_id,
            "p": text(one.price),
            "q": text(one.qty),
            "f": one.trade_id,
            "l": one.trade_id,
            "T": wire.ms(one.ts_ns),
            "m": one.buyer_is_maker,
            "M": True,
        }
        for one in _recent(venue, params)
    ]


def book_ticker(venue: Venue, params: Params) -> Json | list[Json]:
    return _one_or_all(venue, params, _book_ticker)


def ticker_price(venue: Venue, params: Params) -> Json | list[Json]:
    return _one_or_all(venue, params, lambda venue, symbol: {"symbol": symbol, "price": text(_last(venue, symbol))})


def ticker_24hr(venue: Venue, params: Params) -> Json | list[Json]:
    return _one_or_all(venue, params, _ticker)


# Details


def _symbols(venue: Venue, params: Params) -> list[str]:
    if "symbol" in params:
        return [symbol_of(venue, params)]
    listed = params.text("symbols")
    if listed is None:
        return list(venue.core.instruments)
    try:
        symbols = orjson.loads(listed)
    except orjson.JSONDecodeError as error:
        raise ApiError(-1100, "Illegal characters found in parameter 'symbols'.") from error
    if not isinstance(symbols, list) or any(one not in venue.core.instruments for one in symbols):
        raise ApiError.of(filters.INVALID_SYMBOL)
    return symbols


def _one_or_all(venue: Venue, params: Params, make: Callable[[Venue, str], Json]) -> Json | list[Json]:
    answers = [make(venue, symbol) for symbol in _symbols(venue, params)]
    return answers[0] if "symbol" in params else answers


def _recent(venue: Venue, params: Params) -> list[Printed]:
    limit = params.integer("limit")
    found = list(venue.recent[symbol_of(venue, params)])
    return found[-(500 if limit is None else max(limit, 1)) :]


def _touch(venue: Venue, symbol: str) -> tuple[tuple[int, int], tuple[int, int]]:
    market = venue.core.market(symbol)
    return market.best(Side.BUY) or (0, 0), market.best(Side.SELL) or (0, 0)


def _book_ticker(venue: Venue, symbol: str) -> Json:
    bid, ask = _touch(venue, symbol)
    return {
        "symbol": symbol,
        "bidPrice": text(bid[0]),
        "bidQty": text(bid[1]),
        "askPrice": text(ask[0]),
        "askQty": text(ask[1]),
    }


def _last(venue: Venue, symbol: str) -> int:
    return venue.statistics[symbol].last or venue.core.reference_price(symbol)


def _ticker(venue: Venue, symbol: str) -> Json:
    day = venue.statistics[symbol]
    change = day.last - day.open
    percent = change * 100_000 // day.open if day.open else 0
    average = day.quote_volume * SCALE // day.volume if day.volume else 0
    return {
        **_book_ticker(venue, symbol),
        "priceChange": text(change),
        "priceChangePercent": f"{percent / 1000:.3f}",
        "weightedAvgPrice": text(average),
        "prevClosePrice": text(day.open),
        "lastPrice": text(_last(venue, symbol)),
        "lastQty": text(day.last_qty),
        "openPrice": text(day.open),
        "highPrice": text(day.high),
        "lowPrice": text(day.low),
        "volume": text(day.volume),
        "quoteVolume": text(day.quote_volume),
        "openTime": wire.ms(day.opened_ns),
        "closeTime": wire.ms(venue.now()),
        "firstId": day.first_id,
        "lastId": day.last_id,
        "count": day.count,
    }
