"""What strategies say: signals from the market side, records of their reasons, and the halt of one that failed."""

from decimal import Decimal

import msgspec

from topics.record import InstrumentId, Record, StrategyId


class Signal(Record, frozen=True):
    """A number with a name, and the best bid and ask it arose at (None before the first quote). The stage fills all but name, value and data."""

    name: str
    value: float
    data: dict[str, str] = {}
    strategy: StrategyId = ""
    instrument: InstrumentId = ""
    best_bid: Decimal | None = None
    bid_size: Decimal | None = None
    best_ask: Decimal | None = None
    ask_size: Decimal | None = None
    ts_event: int = 0
    ts_init: int = 0


class StrategyRecord(Record, frozen=True, kw_only=True):
    """What a strategy chose to write down about its own reasons (``record()``); key and value are its own."""

    strategy: StrategyId
    name: str
    data: dict[str, str]
    instrument: InstrumentId = ""
    ts_init: int


class StrategyHalted(Record, frozen=True, kw_only=True):
    """A callback raised: the strategy decides nothing until a named ``resume``. ``where`` is the callback, ``error`` the message."""

    strategy: StrategyId
    where: str
    error: str
    ts_init: int


class StrategyResumed(Record, frozen=True, kw_only=True):
    strategy: StrategyId
    who: str
    why: str
    ts_init: int


class ParamsChanged(Record, frozen=True, kw_only=True):
    """Parameters in force for a strategy from here on, as JSON of its ``Params``."""

    strategy: StrategyId
    params: msgspec.Raw
    who: str
    why: str
    ts_init: int
