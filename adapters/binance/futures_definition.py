"""Binance futures' ``exchangeInfo`` to definitions. The page "Exchange Information" of USD-M and of COIN-M: the answer has all
contracts, whichever was asked for.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from adapters.base import BadFrame, Parsed, Reading
from adapters.parsing import positive
from topics.market import Instrument, InstrumentStatus, TradingStatus


class FuturesFilter(msgspec.Struct):
    """``{"filterType":"PRICE_FILTER","minPrice":"556.72","maxPrice":"1000000","tickSize":"0.01"}``,
    ``{"filterType":"LOT_SIZE","stepSize":"0.001","maxQty":"1000","minQty":"0.001"}``,
    ``{"filterType":"MIN_NOTIONAL","notional":"5"}``; 0 switches one off.
    """

    filterType: str
    tickSize: Decimal = Decimal(0)
    stepSize: Decimal = Decimal(0)
    minQty: Decimal = Decimal(0)
    maxQty: Decimal = Decimal(0)
    notional: Decimal = Decimal(0)


class Contract(msgspec.Struct):
    """``{"symbol":"BTCUSDT","pair":"BTCUSDT","contractType":"PERPETUAL","deliveryDate":4133404800000,…,
    "status":"TRADING",…,"baseAsset":"BTC","quoteAsset":"USDT","marginAsset":"USDT",…,"filters":[…]}``; COIN-M says
    ``"contractStatus":"TRADING","contractSize":100`` (in USD), and its margin is the base.
    """

    symbol: str
    baseAsset: str
    quoteAsset: str
    filters: list[FuturesFilter]
    contractType: str = ""
    marginAsset: str = ""
    status: str = ""
    contractStatus: str = ""
    contractSize: Decimal = Decimal(1)


class FuturesInfo(msgspec.Struct):
    symbols: list[Contract]
    serverTime: Annotated[int, Meta(ge=0, le=9_000_000_000_000)] = 0


def definitions(info: FuturesInfo, wanted: str, reading: Reading) -> Sequence[Parsed]:
    """The contract's definition and status. BadFrame when it is not in there, or of other currencies."""
    for contract in info.symbols:
        if contract.symbol == wanted:
            return _definition(contract, reading, info.serverTime * 1_000_000 or reading.ts_init)
    raise BadFrame(f"no definition of {wanted} in it")


def _definition(c: Contract, reading: Reading, ts_event: int) -> Sequence[Parsed]:
    if not reading.instrument.startswith(f"{reading.venue}:{c.baseAsset}-{c.quoteAsset}-"):
        raise BadFrame(f"{c.symbol} is {c.baseAsset}-{c.quoteAsset}, not {reading.instrument}")
    rules = {rule.filterType: rule for rule in c.filters}
    price, lot = rules.get("PRICE_FILTER", _NONE), rules.get("LOT_SIZE", _NONE)
    trading = (c.status or c.contractStatus) == "TRADING"
    inverse = c.marginAsset == c.baseAsset
    perpetual = "inverse" if inverse else "linear"
    definition = Instrument(
        instrument=reading.instrument,
        venue=reading.venue,
        venue_symbol=c.symbol,
        base=c.baseAsset,
        quote=c.quoteAsset,
        tick_size=positive(price.tickSize, "step of prices"),
        lot_size=positive(lot.stepSize, "step of sizes"),
        min_qty=_bound(lot.minQty),
        max_qty=_bound(lot.maxQty),
        min_notional=_bound(rules.get("MIN_NOTIONAL", _NONE).notional),
        multiplier=positive(c.contractSize, "contract"),
        kind=perpetual if reading.instrument.endswith("-PERP") else "future",
        inverse=inverse,
        settle=c.marginAsset,
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


def _bound(number: Decimal) -> Decimal | None:
    return positive(number, "bound") if number else None


_NONE = FuturesFilter("")
