"""Gate.io's ``GET /api/v4/spot/currency_pairs/{currency_pair}`` (and the list of all) to definitions."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from adapters.base import BadFrame, Parsed, Reading
from adapters.gateio.symbols import venue_symbol
from adapters.parsing import told
from topics.market import Instrument, InstrumentStatus, TradingStatus

Digits = Annotated[int, Meta(ge=0, le=18)]


class PairData(msgspec.Struct):
    """``precision`` and ``amount_precision`` are digits after the point, of prices and sizes.

    ``{"id":"ETH_USDT","base":"ETH","quote":"USDT","fee":"0.2","min_base_amount":"0.001","min_quote_amount":"1.0",
    "max_base_amount":"10000","max_quote_amount":"10000000","amount_precision":3,"precision":6,
    "trade_status":"tradable","sell_start":1516378650,"buy_start":1516378650}``
    """

    id: str
    base: str
    quote: str
    amount_precision: Digits
    precision: Digits
    trade_status: str
    min_base_amount: Decimal | None = None
    max_base_amount: Decimal | None = None
    min_quote_amount: Decimal | None = None
    max_quote_amount: Decimal | None = None


_answer: msgspec.json.Decoder[PairData | list[PairData]] = msgspec.json.Decoder(PairData | list[PairData])


def definitions(body: bytes, reading: Reading) -> Sequence[Parsed]:
    """The instrument's definition and status; BadFrame when it is not in there."""
    data, wanted = _answer.decode(body), venue_symbol(reading.instrument)
    for found in data if isinstance(data, list) else [data]:
        if found.id == wanted:
            return _definition(found, reading)
    raise BadFrame(f"no definition of {wanted} in it")


def _definition(d: PairData, reading: Reading) -> Sequence[Parsed]:
    tradable = d.trade_status == "tradable"
    definition = Instrument(
        instrument=reading.instrument,
        venue=reading.venue,
        venue_symbol=d.id,
        base=d.base,
        quote=d.quote,
        tick_size=Decimal(1).scaleb(-d.precision),
        lot_size=Decimal(1).scaleb(-d.amount_precision),
        min_qty=told(d.min_base_amount),
        max_qty=told(d.max_base_amount),
        min_notional=told(d.min_quote_amount),
        max_notional=told(d.max_quote_amount),
        tradable=tradable,
        ts_init=reading.ts_init,
    )
    status = InstrumentStatus(
        instrument=reading.instrument,
        status=TradingStatus.TRADING if tradable else TradingStatus.HALTED,
        ts_event=reading.ts_venue or reading.ts_init,
        ts_init=reading.ts_init,
    )
    return definition, status
