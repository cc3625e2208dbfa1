"""Coinbase's products to definitions. Page: "Get Public Product", ``GET /api/v3/brokerage/market/products/{product_id}``."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from adapters.base import BadFrame, Parsed, Reading
from adapters.parsing import positive
from topics.market import Instrument, InstrumentStatus, TradingStatus


class Product(msgspec.Struct):
    """``{"product_id":"BTC-USD",…,"base_increment":"0.00000001","quote_increment":"0.01","quote_min_size":"1",
    "quote_max_size":"150000000","base_min_size":"0.00000001","base_max_size":"3400",…,"is_disabled":false,…,
    "status":"online","cancel_only":false,…,"trading_disabled":false,…,"product_type":"SPOT","quote_currency_id":"USD",
    "base_currency_id":"BTC",…,"price_increment":"0.01",…}``
    """

    product_id: str
    base_increment: Decimal
    price_increment: Decimal
    base_currency_id: str = ""
    quote_currency_id: str = ""
    quote_min_size: str = ""
    quote_max_size: str = ""
    base_min_size: str = ""
    base_max_size: str = ""
    is_disabled: bool = False
    trading_disabled: bool = False
    cancel_only: bool = False
    view_only: bool = False
    status: str = ""
    product_type: str = "SPOT"


def definition(d: Product, wanted: str, reading: Reading) -> Sequence[Parsed]:
    """The instrument's definition and status. BadFrame when it is another's, or has no steps."""
    if d.product_id != wanted:
        raise BadFrame(f"names {d.product_id!r}, not {reading.instrument}")
    perpetual = d.product_id.endswith("-INTX")
    base, _, quote = reading.instrument.partition(":")[2].removesuffix("-PERP").partition("-")
    trading = not (d.is_disabled or d.trading_disabled or d.cancel_only or d.view_only)
    record = Instrument(
        instrument=reading.instrument,
        venue=reading.venue,
        venue_symbol=d.product_id,
        base=base,
        quote=quote,
        tick_size=positive(d.price_increment, "step of prices"),
        lot_size=positive(d.base_increment, "step of sizes"),
        min_qty=_bound(d.base_min_size),
        max_qty=_bound(d.base_max_size),
        min_notional=_bound(d.quote_min_size),
        max_notional=_bound(d.quote_max_size),
        kind="linear" if perpetual else "spot",
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


def _bound(text: str) -> Decimal | None:
    """An empty text and 0 are no bound."""
    number = Decimal(text or 0)
    return positive(number, "bound") if number else None
