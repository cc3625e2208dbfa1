"""Bitstamp's list of pairs, ``GET /api/v2/trading-pairs-info/`` or ``/api/v2/markets/``, to definitions."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from adapters.base import BadFrame, Parsed, Reading
from adapters.bitstamp.symbols import venue_symbol
from adapters.parsing import told
from topics.market import Instrument, InstrumentStatus, TradingStatus

Digits = Annotated[int, Meta(ge=0, le=18)]


class PairData(msgspec.Struct):
    """Of both lists, which name the same things differently; decimals are digits after the point.

    ``{"trading":"Enabled","base_decimals":8,"url_symbol":"btcusd","name":"BTC/USD","instant_and_market_orders":"Enabled",
    "minimum_order":"20.0 USD","counter_decimals":2,"description":"Bitcoin / U.S. dollar"}``

    ``{"name":"BTC/USD","market_symbol":"btcusd","base_currency":"BTC","base_decimals":8,"counter_currency":"USD",
    "counter_decimals":2,"minimum_order_value":"10.0","minimum_order_amount":"0.00010000","trading":"Enabled"}``
    """

    name: str
    trading: str
    base_decimals: Digits
    counter_decimals: Digits
    url_symbol: str = ""
    market_symbol: str = ""
    minimum_order: str = ""
    minimum_order_value: Decimal | None = None
    minimum_order_amount: Decimal | None = None
    maximum_order_amount: Decimal | None = None


_answer = msgspec.json.Decoder(list[PairData])


def definitions(body: bytes, reading: Reading) -> Sequence[Parsed]:
    """The instrument's definition and status; BadFrame when it is not in there."""
    wanted = venue_symbol(reading.instrument)
    for found in _answer.decode(body):
        if wanted in (found.url_symbol, found.market_symbol):
            return _definition(found, wanted, reading)
    raise BadFrame(f"no definition of {wanted} in it")


def _definition(d: PairData, symbol: str, reading: Reading) -> Sequence[Parsed]:
    trading, perpetual = d.trading == "Enabled", symbol.endswith("-perp")
    base, _, quote = d.name.removesuffix("-PERP").partition("/")
    if not base or not quote:
        raise BadFrame(f"not a pair: {d.name!r}")
    least = d.minimum_order.partition(" ")[0]
    definition = Instrument(
        instrument=reading.instrument,
        venue=reading.venue,
        venue_symbol=symbol,
        base=base,
        quote=quote,
        tick_size=Decimal(1).scaleb(-d.counter_decimals),
        lot_size=Decimal(1).scaleb(-d.base_decimals),
        min_qty=told(d.minimum_order_amount),
        max_qty=told(d.maximum_order_amount),
        min_notional=told(d.minimum_order_value if d.minimum_order_value is not None else Decimal(least or 0)),
        kind="linear" if perpetual else "spot",
        tradable=trading,
        ts_init=reading.ts_init,
    )
    status = InstrumentStatus(
        instrument=reading.instrument,
        status=TradingStatus.TRADING if trading else TradingStatus.HALTED,
        ts_event=reading.ts_venue or reading.ts_init,
        ts_init=reading.ts_init,
    )
    return definition, status
