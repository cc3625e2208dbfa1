"""Kraken's ``AssetPairs`` to a definition. Page: "Get Tradable Asset Pairs", ``GET /0/public/AssetPairs?pair=XBT/USD``."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from adapters.base import BadFrame, Parsed, Reading
from adapters.kraken.digits import defined
from adapters.kraken.symbols import currencies, old_symbol, venue_symbol
from adapters.parsing import positive
from topics.market import Instrument, InstrumentStatus, TradingStatus

Digits = Annotated[int, Meta(ge=0, le=18)]


class AssetPair(msgspec.Struct, gc=False):
    """``{"altname":"XMRUSD","wsname":"XMR/USD",…,"pair_decimals":2,"lot_decimals":8,…,"fees":[[0,0.26],…],
    "fees_maker":[[0,0.16],…],…,"ordermin":"0.05"}``, newer ones also ``"costmin":"0.5","tick_size":"0.01",
    "status":"online"``. Fees are percent.
    """

    pair_decimals: Digits
    lot_decimals: Digits
    wsname: str = ""
    fees: list[tuple[Decimal, Decimal]] = []
    fees_maker: list[tuple[Decimal, Decimal]] = []
    ordermin: Decimal | None = None
    costmin: Decimal | None = None
    tick_size: Decimal | None = None
    status: str = "online"


class AssetPairs(msgspec.Struct, gc=False):
    """``{"error":[],"result":{"XXMRZUSD":{…}}}``"""

    error: list[str] = []
    result: dict[str, AssetPair] = {}


def definition(answer: AssetPairs, reading: Reading) -> Sequence[Parsed]:
    """The pair's definition and status; its digits are remembered for the checksums. BadFrame when it is not in there."""
    if answer.error:
        raise BadFrame(f"the venue says: {', '.join(answer.error)}")
    names = (old_symbol(reading.instrument), venue_symbol(reading.instrument))
    pair = next((pair for pair in answer.result.values() if pair.wsname in names), None)
    if pair is None:
        raise BadFrame(f"no definition of {names[1]} in it")
    defined(pair.pair_decimals, pair.lot_decimals, reading.memory)
    base, quote = currencies(reading.instrument)
    tradable = pair.status == "online"
    return (
        Instrument(
            instrument=reading.instrument,
            venue=reading.venue,
            venue_symbol=names[1],
            base=base,
            quote=quote,
            tick_size=_bound(pair.tick_size) or Decimal(1).scaleb(-pair.pair_decimals),
            lot_size=Decimal(1).scaleb(-pair.lot_decimals),
            min_qty=_bound(pair.ordermin),
            min_notional=_bound(pair.costmin),
            maker_fee=_fee(pair.fees_maker),
            taker_fee=_fee(pair.fees),
            tradable=tradable,
            ts_init=reading.ts_init,
        ),
        InstrumentStatus(
            instrument=reading.instrument,
            status=TradingStatus.TRADING if tradable else TradingStatus.HALTED,
            ts_event=reading.ts_venue or reading.ts_init,
            ts_init=reading.ts_init,
        ),
    )


def _bound(value: Decimal | None) -> Decimal | None:
    return positive(value, "bound") if value else None


def _fee(steps: list[tuple[Decimal, Decimal]]) -> Decimal | None:
    """Of the smallest volume, as a fraction."""
    if not steps:
        return None
    percent = steps[0][1]
    if not -100 < percent < 100:
        raise BadFrame(f"not a fee: {percent}")
    return percent / 100
