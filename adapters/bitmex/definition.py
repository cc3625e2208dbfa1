"""BitMEX's ``GET /api/v1/instrument?symbol=…`` to definitions."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from adapters.base import BadFrame, Parsed, Reading
from adapters.bitmex.symbols import venue_symbol
from adapters.parsing import positive, told
from topics.market import Instrument, InstrumentStatus, TradingStatus

PERPETUAL, SPOT = ("FFWCSX", "FFWCSF"), ("IFXXXP",)
SATOSHI = Decimal("1e-8")


class InstrumentData(msgspec.Struct):
    """Sizes are contracts. ``underlyingToPositionMultiplier``: contracts to a unit of the base.

    ``{"symbol":"XBTUSD","rootSymbol":"XBT","state":"Open","typ":"FFWCSX","underlying":"XBT","quoteCurrency":"USD",
    "maxOrderQty":10000000,"maxPrice":1000000,"lotSize":100,"tickSize":0.5,"multiplier":-100000000,"settlCurrency":"XBt",
    "underlyingToPositionMultiplier":null,"isQuanto":false,"isInverse":true,"makerFee":-0.00025,"takerFee":0.00075}``
    """

    symbol: str
    state: str
    typ: str
    underlying: str
    quoteCurrency: str
    tickSize: Decimal
    lotSize: Decimal
    multiplier: Decimal
    isQuanto: bool = False
    isInverse: bool = False
    maxOrderQty: Decimal | None = None
    underlyingToPositionMultiplier: Decimal | None = None
    settlCurrency: str | None = None
    makerFee: Decimal | None = None
    takerFee: Decimal | None = None


_answer = msgspec.json.Decoder(list[InstrumentData])


def definitions(body: bytes, reading: Reading) -> Sequence[Parsed]:
    """The instrument's definition and status; BadFrame when it is not in there."""
    wanted = venue_symbol(reading.instrument)
    for found in _answer.decode(body):
        if found.symbol == wanted:
            return _definition(found, reading)
    raise BadFrame(f"no definition of {wanted} in it")


def _definition(d: InstrumentData, reading: Reading) -> Sequence[Parsed]:
    definition = Instrument(
        instrument=reading.instrument,
        venue=reading.venue,
        venue_symbol=d.symbol,
        base=_ours(d.underlying),
        quote=_ours(d.quoteCurrency),
        tick_size=positive(d.tickSize, "tick size"),
        lot_size=positive(d.lotSize, "lot size"),
        min_qty=d.lotSize,
        max_qty=told(d.maxOrderQty),
        multiplier=_multiplier(d),
        kind=_kind(d),
        inverse=d.isInverse,
        settle="" if d.typ in SPOT else _ours((d.settlCurrency or "").upper()),
        maker_fee=d.makerFee,
        taker_fee=d.takerFee,
        tradable=d.state == "Open",
        ts_init=reading.ts_init,
    )
    status = InstrumentStatus(
        instrument=reading.instrument,
        status=TradingStatus.TRADING if d.state == "Open" else TradingStatus.HALTED,
        ts_event=reading.ts_venue or reading.ts_init,
        ts_init=reading.ts_init,
    )
    return definition, status


def _kind(d: InstrumentData) -> str:
    if d.typ in SPOT:
        return "spot"
    if d.typ in PERPETUAL:
        return "inverse" if d.isInverse else "linear"
    return "future"


def _multiplier(d: InstrumentData) -> Decimal:
    """What a contract is: of an inverse one, units of the quote; of a quanto, bitcoin a point of the price; else units of the
    base.
    """
    if d.isInverse:
        return Decimal(1)
    if d.isQuanto or not d.underlyingToPositionMultiplier:
        return positive(abs(d.multiplier) * SATOSHI, "multiplier")
    return 1 / positive(d.underlyingToPositionMultiplier, "multiplier")


def _ours(currency: str) -> str:
    return "BTC" if currency == "XBT" else currency
