"""Binance's ``exchangeInfo`` to definitions: filters become steps and bounds. Page: "General endpoints", "Filters"."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from adapters.base import BadFrame, Parsed, Reading
from adapters.binance.symbols import venue_symbol
from topics.market import Instrument, InstrumentStatus, TradingStatus

Precision = Annotated[int, Meta(ge=0, le=18)]


class Filter(msgspec.Struct):
    """A rule; 0 switches it off.

    ``{"filterType":"PRICE_FILTER","minPrice":"0.00001000","maxPrice":"922327.00000000","tickSize":"0.00001000"}``
    """

    filterType: str
    tickSize: Decimal = Decimal(0)
    stepSize: Decimal = Decimal(0)
    minQty: Decimal = Decimal(0)
    maxQty: Decimal = Decimal(0)
    minNotional: Decimal = Decimal(0)
    maxNotional: Decimal = Decimal(0)


class SymbolInfo(msgspec.Struct):
    """``{"symbol":"ETHBTC","status":"TRADING","baseAsset":"ETH","baseAssetPrecision":8,"quoteAsset":"BTC","quotePrecision":8,…,"filters":[…]}``"""

    symbol: str
    status: str
    baseAsset: str
    quoteAsset: str
    filters: list[Filter]
    baseAssetPrecision: Precision = 8
    quotePrecision: Precision = 8


class ExchangeInfo(msgspec.Struct):
    """The page's "Exchange information", ``GET /api/v3/exchangeInfo?symbol=…``."""

    serverTime: Annotated[int, Meta(ge=0, le=9_000_000_000_000)]
    symbols: list[SymbolInfo]


def definitions(info: ExchangeInfo, reading: Reading) -> Sequence[Parsed]:
    """The instrument's definition and status. BadFrame when it is not in there, or spelled from other currencies."""
    wanted = venue_symbol(reading.instrument)
    for symbol in info.symbols:
        if symbol.symbol == wanted:
            return _definition(symbol, reading, info.serverTime * 1_000_000)
    raise BadFrame(f"no definition of {wanted} in it")


def _definition(s: SymbolInfo, reading: Reading, ts_event: int) -> Sequence[Parsed]:
    if f"{reading.venue}:{s.baseAsset}-{s.quoteAsset}" != reading.instrument:
        raise BadFrame(f"{s.symbol} is {s.baseAsset}-{s.quoteAsset}, not {reading.instrument}")
    rules = {f.filterType: f for f in s.filters}
    price, lot = rules.get("PRICE_FILTER", _NONE), rules.get("LOT_SIZE", _NONE)
    notional = rules.get("NOTIONAL") or rules.get("MIN_NOTIONAL", _NONE)
    trading = s.status == "TRADING"
    definition = Instrument(
        instrument=reading.instrument,
        venue=reading.venue,
        venue_symbol=s.symbol,
        base=s.baseAsset,
        quote=s.quoteAsset,
        tick_size=_positive(price.tickSize) or Decimal(1).scaleb(-s.quotePrecision),
        lot_size=_positive(lot.stepSize) or Decimal(1).scaleb(-s.baseAssetPrecision),
        min_qty=_positive(lot.minQty),
        max_qty=_positive(lot.maxQty),
        min_notional=_positive(notional.minNotional),
        max_notional=_positive(notional.maxNotional),
        tradable=trading,
        ts_init=reading.ts_init,
    )
    status = InstrumentStatus(
        instrument=reading.instrument,
        status=TradingStatus.TRADING if trading else TradingStatus.HALTED,
        ts_event=ts_event,
        ts_init=reading.ts_init,
    )
    return definition, status


def _positive(value: Decimal) -> Decimal | None:
    if not (0 <= value < Decimal("1e18")):
        raise BadFrame(f"not a bound: {value}")
    return value or None


_NONE = Filter("")
