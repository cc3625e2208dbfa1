"""What strategies say: signals from the market side, records of their reasons, and the halt of one that failed. And what a host
on the fast path saw, in its order.
"""

from decimal import Decimal

import msgspec

from topics.orders import SubmitOrder
from topics.record import InstrumentId, Record, StrategyId
from topics.system import DeadLetter


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


class HostStarted(Record, frozen=True, kw_only=True):
    """The first record of a host's epoch: what an earlier epoch writes behind it is nobody's."""

    strategy: StrategyId
    epoch: int


class MarketSeen(Record, frozen=True, kw_only=True):
    """The host saw the record at this place of ``market.events``, and its market callbacks made of it ``outputs``."""

    strategy: StrategyId
    partition: int
    offset: int
    outputs: tuple[Signal | StrategyHalted | DeadLetter, ...] = ()


class InboxSeen(Record, frozen=True, kw_only=True):
    """The host saw the record at this place of ``strategy.inbox``. ``events`` is its value as on the tape; ``src`` its coordinate,
    empty where it has none. ``dead`` instead of events where it could not be read.
    """

    strategy: StrategyId
    partition: int
    offset: int
    src: str = ""
    events: msgspec.Raw = msgspec.Raw(b"[]")
    dead: DeadLetter | None = None


class OrdersRecovered(Record, frozen=True, kw_only=True):
    """Orders of an earlier epoch that left the host though the inputs they were decided on never reached the tape."""

    strategy: StrategyId
    orders: tuple[SubmitOrder, ...]
