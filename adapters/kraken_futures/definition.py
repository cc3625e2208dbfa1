"""Kraken Futures' ``instruments`` to a definition. Page: "Get instruments", ``GET /derivatives/api/v3/instruments``: always all."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from adapters.base import BadFrame, Parsed, Reading
from adapters.kraken_futures.symbols import kind_of, venue_symbol
from adapters.parsing import iso_ns, positive
from topics.market import Instrument, InstrumentStatus, TradingStatus


class Product(msgspec.Struct, gc=False):
    """``{"symbol":"pi_xbtusd","type":"futures_inverse","underlying":"rr_xbtusd","tickSize":0.5,"contractSize":1,
    "tradeable":true,…}``; newer ones also ``"contractValueTradePrecision":4``: the decimals of a quantity, below 0 for
    zeros before the point.
    """

    symbol: str
    tradeable: bool
    tickSize: Decimal | None = None
    contractSize: Decimal = Decimal(1)
    contractValueTradePrecision: Annotated[int, Meta(ge=-18, le=18)] = 0


class Instruments(msgspec.Struct, gc=False):
    """``{"result":"success","instruments":[…],"serverTime":"2021-07-22T23:02:07.160Z"}``"""

    serverTime: str
    instruments: list[Product] = []


def definition(answer: Instruments, reading: Reading) -> Sequence[Parsed]:
    """The product's definition and status. BadFrame when it is not in there."""
    wanted = venue_symbol(reading.instrument)
    product = next((product for product in answer.instruments if product.symbol.upper() == wanted), None)
    if product is None or product.tickSize is None:
        raise BadFrame(f"no definition of {wanted} in it")
    lot = Decimal(1).scaleb(-product.contractValueTradePrecision)
    base, quote = reading.instrument.partition(":")[2].split("-")[:2]
    return (
        Instrument(
            instrument=reading.instrument,
            venue=reading.venue,
            venue_symbol=wanted,
            base=base,
            quote=quote,
            tick_size=positive(product.tickSize, "tick"),
            lot_size=lot,
            min_qty=lot,
            multiplier=positive(product.contractSize, "contract size"),
            kind=kind_of(reading.instrument),
            inverse=reading.instrument.endswith("-INV"),
            tradable=product.tradeable,
            ts_init=reading.ts_init,
        ),
        InstrumentStatus(
            instrument=reading.instrument,
            status=TradingStatus.TRADING if product.tradeable else TradingStatus.HALTED,
            ts_event=iso_ns(answer.serverTime),
            ts_init=reading.ts_init,
        ),
    )
