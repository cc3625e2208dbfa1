"""Hyperliquid's ``POST /info`` of type ``meta`` (perpetuals) and ``spotMeta`` to definitions. Page: "Info endpoint" and "Tick
and lot size" of hyperliquid.gitbook.io.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from adapters.base import BadFrame, Parsed, Reading
from adapters.hyperliquid.symbols import venue_symbol
from topics.market import Instrument, InstrumentStatus, TradingStatus

Digits = Annotated[int, Meta(ge=0, le=8)]
PERPETUAL_DIGITS, SPOT_DIGITS = 6, 8
LEAST_NOTIONAL = Decimal(10)


class Coin(msgspec.Struct):
    """``{"universe":[{"name":"BTC","szDecimals":5,"maxLeverage":50}]}``"""

    name: str
    szDecimals: Digits
    isDelisted: bool = False


class Pair(msgspec.Struct):
    """``tokens`` are the numbers of base and quote.

    ``{"tokens":[{"name":"USDC","szDecimals":8,"weiDecimals":8,"index":0},{"name":"PURR","szDecimals":0,"index":1}],
    "universe":[{"name":"PURR/USDC","tokens":[1,0],"index":0,"isCanonical":true}]}``
    """

    name: str
    tokens: tuple[int, int]


class Token(msgspec.Struct):
    name: str
    szDecimals: Digits
    index: int


class _Perpetuals(msgspec.Struct):
    universe: list[Coin]


class _Spot(msgspec.Struct):
    universe: list[Pair]
    tokens: list[Token]


_perpetuals = msgspec.json.Decoder(_Perpetuals)
_spot = msgspec.json.Decoder(_Spot)


def definitions(body: bytes, reading: Reading) -> Sequence[Parsed]:
    """The instrument's definition and status; BadFrame when it is not in there.

    Prices have at most five significant digits beside being multiples of ``tick_size``, unless they are whole.
    """
    wanted = venue_symbol(reading.instrument)
    if "/" in wanted:
        return _pair(_spot.decode(body), wanted, reading)
    for coin in _perpetuals.decode(body).universe:
        if coin.name == wanted:
            return _definition(coin.name, "USDC", coin.szDecimals, PERPETUAL_DIGITS, not coin.isDelisted, reading)
    raise BadFrame(f"no definition of {wanted} in it")


def _pair(answer: _Spot, wanted: str, reading: Reading) -> Sequence[Parsed]:
    tokens = {token.index: token for token in answer.tokens}
    for pair in answer.universe:
        base, quote = tokens.get(pair.tokens[0]), tokens.get(pair.tokens[1])
        if pair.name == wanted and base is not None and quote is not None:
            return _definition(base.name, quote.name, base.szDecimals, SPOT_DIGITS, True, reading)
    raise BadFrame(f"no definition of {wanted} in it")


def _definition(base: str, quote: str, digits: int, most: int, tradable: bool, reading: Reading) -> Sequence[Parsed]:
    lot = Decimal(1).scaleb(-digits)
    definition = Instrument(
        instrument=reading.instrument,
        venue=reading.venue,
        venue_symbol=venue_symbol(reading.instrument),
        base=base,
        quote=quote,
        tick_size=Decimal(1).scaleb(-max(most - digits, 0)),
        lot_size=lot,
        min_qty=lot,
        min_notional=LEAST_NOTIONAL,
        kind="linear" if most == PERPETUAL_DIGITS else "spot",
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
