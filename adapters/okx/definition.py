"""OKX's ``instruments`` to a definition. Page: "Get instruments", ``GET /api/v5/public/instruments?instType=…&instId=…``."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from adapters.base import BadFrame, Parsed, Reading
from adapters.okx.symbols import kind_of, venue_symbol
from adapters.parsing import positive
from topics.market import Instrument, InstrumentStatus, TradingStatus


class Definition(msgspec.Struct, gc=False):
    """``{"instId":"BTC-USD-SWAP","instType":"SWAP","ctMult":"1","ctType":"inverse","ctVal":"100","ctValCcy":"USD",
    "lotSz":"1","maxLmtSz":"100000000","minSz":"1","settleCcy":"BTC","state":"live","tickSz":"0.1","uly":"BTC-USD",…}``
    """

    instId: str
    state: str
    tickSz: str
    lotSz: str
    ctType: str = ""
    ctVal: str = ""
    ctMult: str = ""
    settleCcy: str = ""
    minSz: str = ""
    maxLmtSz: str = ""


class Instruments(msgspec.Struct, gc=False):
    """``{"code":"0","data":[…],"msg":""}``"""

    code: str
    data: list[Definition] = []
    msg: str = ""


def definition(answer: Instruments, reading: Reading) -> Sequence[Parsed]:
    """The instrument's definition and status. BadFrame when it is not in there."""
    if answer.code != "0":
        raise BadFrame(f"the venue says: {answer.code} {answer.msg}")
    wanted = venue_symbol(reading.instrument)
    found = next((one for one in answer.data if one.instId == wanted), None)
    if found is None:
        raise BadFrame(f"no definition of {wanted} in it")
    kind = kind_of(reading.instrument)
    if kind in ("linear", "inverse") and found.ctType != kind:
        raise BadFrame(f"{wanted} is {found.ctType!r}, not {kind}")
    base, quote = reading.instrument.partition(":")[2].split("-")[:2]
    tradable = found.state == "live"
    return (
        Instrument(
            instrument=reading.instrument,
            venue=reading.venue,
            venue_symbol=wanted,
            base=base,
            quote=quote,
            tick_size=positive(Decimal(found.tickSz), "tick"),
            lot_size=positive(Decimal(found.lotSz), "lot"),
            min_qty=_bound(found.minSz),
            max_qty=_bound(found.maxLmtSz),
            multiplier=(_bound(found.ctVal) or Decimal(1)) * (_bound(found.ctMult) or Decimal(1)),
            kind=kind,
            inverse=found.ctType == "inverse",
            settle=found.settleCcy,
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


def _bound(text: str) -> Decimal | None:
    return positive(Decimal(text), "bound") if text else None
