"""Deribit's ``/public/get_instrument`` (and ``get_instruments``) to definitions."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from adapters.base import BadFrame, Parsed, Reading
from adapters.deribit.symbols import venue_symbol
from adapters.parsing import positive
from topics.market import Instrument, InstrumentStatus, TradingStatus


class InstrumentData(msgspec.Struct):
    """Sizes are amounts, whatever ``contract_size`` is. ``instrument_type``: "linear" or "reversed", in newer answers.

    ``{"tick_size":0.0005,"taker_commission":0.0003,"strike":40000.0,"settlement_period":"month","quote_currency":"BTC",
    "option_type":"put","min_trade_amount":0.1,"maker_commission":0.0003,"kind":"option","is_active":true,
    "instrument_name":"BTC-24SEP21-40000-P","expiration_timestamp":1632470400000,"contract_size":1.0,
    "base_currency":"BTC"}``
    """

    instrument_name: str
    kind: str
    base_currency: str
    quote_currency: str
    tick_size: Decimal
    min_trade_amount: Decimal
    is_active: bool
    settlement_period: str = ""
    settlement_currency: str | None = None
    instrument_type: str = ""
    maker_commission: Decimal | None = None
    taker_commission: Decimal | None = None


class _Answer(msgspec.Struct):
    result: InstrumentData | list[InstrumentData]


_answer = msgspec.json.Decoder(_Answer)


def definitions(body: bytes, reading: Reading) -> Sequence[Parsed]:
    """The instrument's definition and status; BadFrame when it is not in there."""
    result = _answer.decode(body).result
    wanted = venue_symbol(reading.instrument)
    for found in result if isinstance(result, list) else [result]:
        if found.instrument_name == wanted:
            return _definition(found, reading)
    raise BadFrame(f"no definition of {wanted} in it")


def _definition(d: InstrumentData, reading: Reading) -> Sequence[Parsed]:
    definition = Instrument(
        instrument=reading.instrument,
        venue=reading.venue,
        venue_symbol=d.instrument_name,
        base=d.base_currency,
        quote=d.quote_currency,
        tick_size=positive(d.tick_size, "tick size"),
        lot_size=positive(d.min_trade_amount, "lot size"),
        min_qty=d.min_trade_amount,
        kind=_kind(d),
        inverse=_is_inverse(d),
        settle=d.settlement_currency or "",
        maker_fee=d.maker_commission,
        taker_fee=d.taker_commission,
        tradable=d.is_active,
        ts_init=reading.ts_init,
    )
    status = InstrumentStatus(
        instrument=reading.instrument,
        status=TradingStatus.TRADING if d.is_active else TradingStatus.HALTED,
        ts_event=reading.ts_venue or reading.ts_init,
        ts_init=reading.ts_init,
    )
    return definition, status


def _is_inverse(d: InstrumentData) -> bool:
    """Options have their prices in what they are settled in."""
    return d.kind == "future" and (d.instrument_type == "reversed" or "_" not in d.instrument_name)


def _kind(d: InstrumentData) -> str:
    if d.kind == "future" and d.settlement_period == "perpetual":
        return "inverse" if _is_inverse(d) else "linear"
    if d.kind in ("option", "future", "spot"):
        return d.kind
    raise BadFrame(f"not a kind of instrument that is known: {d.kind!r}")
