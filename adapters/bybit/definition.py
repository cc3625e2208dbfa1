"""Bybit's instruments to definitions. Page: bybit-exchange.github.io/docs/v5/market/instrument"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from adapters.base import MARKET_MARK, BadFrame, Parsed, Reading
from adapters.parsing import positive
from topics.market import Instrument, InstrumentStatus, TradingStatus


class PriceFilter(msgspec.Struct):
    tickSize: Decimal


class LotSizeFilter(msgspec.Struct):
    """Of derivatives: ``{"maxOrderQty":"350000.0","minOrderQty":"0.1","qtyStep":"0.1",…,"minNotionalValue":"5"}``;
    of spot: ``{"basePrecision":"0.000001","quotePrecision":"0.0000001","minOrderQty":"0.000001","maxOrderQty":"230",
    "minOrderAmt":"5","maxOrderAmt":"8000000",…}``
    """

    qtyStep: str = ""
    basePrecision: str = ""
    minOrderQty: str = ""
    maxOrderQty: str = ""
    minNotionalValue: str = ""
    minOrderAmt: str = ""
    maxOrderAmt: str = ""


class Row(msgspec.Struct):
    """``{"symbol":"0GUSDT","contractType":"LinearPerpetual","status":"Trading","baseCoin":"0G","quoteCoin":"USDT",…,
    "priceFilter":{"minPrice":"0.0001","maxPrice":"1999.9998","tickSize":"0.0001"},"lotSizeFilter":{…},…}``
    """

    symbol: str
    status: str
    baseCoin: str
    quoteCoin: str
    priceFilter: PriceFilter
    lotSizeFilter: LotSizeFilter
    contractType: str = ""
    settleCoin: str = ""


class Result(msgspec.Struct):
    category: str = ""
    rows: list[Row] = msgspec.field(name="list", default_factory=list)


class InstrumentsInfo(msgspec.Struct):
    """``GET /v5/market/instruments-info``: ``{"retCode":0,"retMsg":"OK","result":{"category":"linear","list":[…]},…}``"""

    retCode: int
    retMsg: str = ""
    result: Result = msgspec.field(default_factory=Result)


def definition(info: InstrumentsInfo, wanted: str, reading: Reading) -> Sequence[Parsed]:
    """The instrument's definition and status. BadFrame when it is not in there, or is of other currencies."""
    if info.retCode:
        raise BadFrame(f"the venue says: {info.retCode} {info.retMsg}")
    for row in info.result.rows:
        if f"{info.result.category}{MARKET_MARK}{row.symbol}" == wanted:
            return _definition(row, reading)
    raise BadFrame(f"no definition of {wanted} in it")


def _definition(row: Row, reading: Reading) -> Sequence[Parsed]:
    if not f"{reading.instrument}-".startswith(f"{reading.venue}:{row.baseCoin}-{row.quoteCoin}-"):
        raise BadFrame(f"{row.symbol} is {row.baseCoin}-{row.quoteCoin}, not {reading.instrument}")
    lot = row.lotSizeFilter
    trading = row.status == "Trading"
    record = Instrument(
        instrument=reading.instrument,
        venue=reading.venue,
        venue_symbol=row.symbol,
        base=row.baseCoin,
        quote=row.quoteCoin,
        tick_size=positive(row.priceFilter.tickSize, "step of prices"),
        lot_size=positive(Decimal(lot.qtyStep or lot.basePrecision or 0), "step of sizes"),
        min_qty=_bound(lot.minOrderQty),
        max_qty=_bound(lot.maxOrderQty),
        min_notional=_bound(lot.minNotionalValue or lot.minOrderAmt),
        max_notional=_bound(lot.maxOrderAmt),
        kind=_KINDS.get(row.contractType, "spot"),
        inverse=row.contractType.startswith("Inverse"),
        settle=row.settleCoin,
        tradable=trading,
        ts_init=reading.ts_init,
    )
    status = InstrumentStatus(
        instrument=reading.instrument,
        status=TradingStatus.TRADING if trading else TradingStatus.HALTED,
        ts_event=reading.ts_init,
        ts_init=reading.ts_init,
    )
    return record, status


_KINDS = {
    "LinearPerpetual": "linear",
    "InversePerpetual": "inverse",
    "LinearFutures": "future",
    "InverseFutures": "future",
}


def _bound(text: str) -> Decimal | None:
    """An empty text and 0 are no bound."""
    number = Decimal(text or 0)
    return positive(number, "bound") if number else None
