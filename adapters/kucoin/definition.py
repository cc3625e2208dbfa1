"""KuCoin's ``GET /api/v2/symbols/{symbol}`` (and the list of all, ``/api/v1/symbols``) to definitions."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from adapters.base import BadFrame, Parsed, Reading
from adapters.kucoin.symbols import venue_symbol
from adapters.parsing import positive, told
from topics.market import Instrument, InstrumentStatus, TradingStatus


class SymbolData(msgspec.Struct):
    """``minFunds`` is the least price times size, in newer answers.

    ``{"symbol":"REQ-ETH","name":"REQ-ETH","baseCurrency":"REQ","quoteCurrency":"ETH","feeCurrency":"ETH",
    "market":"ALTS","baseMinSize":"1","quoteMinSize":"0.0001","baseMaxSize":"10000000000","quoteMaxSize":"99999999",
    "baseIncrement":"0.0001","quoteIncrement":"0.0000001","priceIncrement":"0.0000001","priceLimitRate":"0.1",
    "isMarginEnabled":false,"enableTrading":true}``
    """

    symbol: str
    baseCurrency: str
    quoteCurrency: str
    baseMinSize: Decimal
    baseMaxSize: Decimal
    baseIncrement: Decimal
    priceIncrement: Decimal
    enableTrading: bool
    quoteMinSize: Decimal | None = None
    minFunds: Decimal | None = None


class _Answer(msgspec.Struct):
    data: SymbolData | list[SymbolData]


_answer = msgspec.json.Decoder(_Answer)


def definitions(body: bytes, reading: Reading) -> Sequence[Parsed]:
    """The instrument's definition and status; BadFrame when it is not in there."""
    data, wanted = _answer.decode(body).data, venue_symbol(reading.instrument)
    for found in data if isinstance(data, list) else [data]:
        if found.symbol == wanted:
            return _definition(found, reading)
    raise BadFrame(f"no definition of {wanted} in it")


def _definition(d: SymbolData, reading: Reading) -> Sequence[Parsed]:
    definition = Instrument(
        instrument=reading.instrument,
        venue=reading.venue,
        venue_symbol=d.symbol,
        base=d.baseCurrency,
        quote=d.quoteCurrency,
        tick_size=positive(d.priceIncrement, "tick size"),
        lot_size=positive(d.baseIncrement, "lot size"),
        min_qty=told(d.baseMinSize),
        max_qty=told(d.baseMaxSize),
        min_notional=told(d.minFunds) or told(d.quoteMinSize),
        tradable=d.enableTrading,
        ts_init=reading.ts_init,
    )
    status = InstrumentStatus(
        instrument=reading.instrument,
        status=TradingStatus.TRADING if d.enableTrading else TradingStatus.HALTED,
        ts_event=reading.ts_venue or reading.ts_init,
        ts_init=reading.ts_init,
    )
    return definition, status
