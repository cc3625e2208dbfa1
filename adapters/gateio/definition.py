"""Gate.io's ``GET /api/v4/spot/currency_pairs/{currency_pair}`` (and the list of all), and
``GET /api/v4/futures/{settle}/contracts/{contract}``, to definitions.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from adapters.base import BadFrame, Parsed, Reading
from adapters.gateio.symbols import spelled
from adapters.parsing import positive, told
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


class ContractData(msgspec.Struct):
    """Sizes are contracts of ``quanto_multiplier`` units of the base; of inverse ones, all of
    them settled in bitcoin, of a dollar.

    ``{"name":"BTC_USDT","type":"direct","quanto_multiplier":"0.0001","order_price_round":"0.1","mark_price_round":"0.01",
    "order_size_min":1,"order_size_max":1000000,"maker_fee_rate":"-0.00025","taker_fee_rate":"0.00075",
    "in_delisting":false,"funding_rate":"0.002053","funding_next_apply":1610035200}``
    """

    name: str
    type: str
    order_price_round: Decimal
    order_size_min: Decimal
    order_size_max: Decimal | None = None
    quanto_multiplier: Decimal = Decimal(0)
    maker_fee_rate: Decimal | None = None
    taker_fee_rate: Decimal | None = None
    in_delisting: bool = False


_contract: msgspec.json.Decoder[ContractData | list[ContractData]] = msgspec.json.Decoder(
    ContractData | list[ContractData]
)
_answer: msgspec.json.Decoder[PairData | list[PairData]] = msgspec.json.Decoder(PairData | list[PairData])


def definitions(body: bytes, reading: Reading) -> Sequence[Parsed]:
    """The instrument's definition and status; BadFrame when it is not in there."""
    data, wanted = _answer.decode(body), spelled(reading.instrument)
    for found in data if isinstance(data, list) else [data]:
        if found.id == wanted:
            return _definition(found, reading)
    raise BadFrame(f"no definition of {wanted} in it")


def contracts(body: bytes, reading: Reading) -> Sequence[Parsed]:
    """As ``definitions``, of perpetuals and futures."""
    data, wanted = _contract.decode(body), spelled(reading.instrument)
    for found in data if isinstance(data, list) else [data]:
        if found.name == wanted:
            return _of_contract(found, reading)
    raise BadFrame(f"no definition of {wanted} in it")


def _of_contract(d: ContractData, reading: Reading) -> Sequence[Parsed]:
    base, quote, *dated = d.name.split("_")
    inverse = d.type == "inverse"
    definition = Instrument(
        instrument=reading.instrument,
        venue=reading.venue,
        venue_symbol=d.name,
        base=base,
        quote=quote,
        tick_size=positive(d.order_price_round, "tick size"),
        lot_size=positive(d.order_size_min, "lot size"),
        min_qty=d.order_size_min,
        max_qty=told(d.order_size_max),
        multiplier=told(d.quanto_multiplier) or Decimal(1),
        kind="future" if dated else "inverse" if inverse else "linear",
        inverse=inverse,
        settle="BTC" if inverse else quote,
        maker_fee=d.maker_fee_rate,
        taker_fee=d.taker_fee_rate,
        tradable=not d.in_delisting,
        ts_init=reading.ts_init,
    )
    return definition, _status(not d.in_delisting, reading)


def _status(tradable: bool, reading: Reading) -> InstrumentStatus:
    return InstrumentStatus(
        instrument=reading.instrument,
        status=TradingStatus.TRADING if tradable else TradingStatus.HALTED,
        ts_event=reading.ts_venue or reading.ts_init,
        ts_init=reading.ts_init,
    )


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
    return definition, _status(tradable, reading)
