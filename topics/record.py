"""The base of every record, and the vocabulary that all records share."""

from enum import StrEnum

import msgspec

type_tag = "type"

# Plain aliases, not NewTypes: records are built from strings at every edge. The grammar is checked where ids are made.
Venue = str  # a configured instance of an adapter: "binance", "sim"
InstrumentId = str  # "<venue>:BTC-USDT", "<venue>:BTC-USDT-PERP"
Account = str  # "<venue>.<name>"
StrategyId = str
ClientOrderId = str
VenueOrderId = str
TradeId = str
Currency = str
Level = tuple[str, str]
"""(price, size) in the venue's own digits: texts, for most are passed on and few are reckoned with."""

RestingOrder = tuple[str, str, str]
"""(order id, price, size)."""

EXTERNAL = "EXTERNAL"
"""The strategy of orders that the platform did not place."""

MANUAL = "MANUAL"
"""The strategy of orders that an operator placed by hand."""


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        return 1 if self is _BUY else -1

    @property
    def opposite(self) -> "Side":
        return Side.SELL if self is _BUY else Side.BUY


_BUY = Side.BUY  # a global is looked up ten times as fast as a member of an enumeration


class Payoff(StrEnum):
    """What an execution moves. Spot: base against quote. A contract pays its P&L in its settlement currency alone: a linear one
    is ``multiplier`` units of the base, an inverse one ``multiplier`` units of the quote.
    """

    SPOT = "spot"
    LINEAR = "linear"
    INVERSE = "inverse"


class OrderType(StrEnum):
    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"

    @property
    def is_stop(self) -> bool:
        """Waits for its trigger."""
        return self in (OrderType.STOP, OrderType.STOP_LIMIT)

    @property
    def is_priced(self) -> bool:
        """Has a limit price."""
        return self in (OrderType.LIMIT, OrderType.STOP_LIMIT)


class TimeInForce(StrEnum):
    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"


class Liquidity(StrEnum):
    MAKER = "maker"
    TAKER = "taker"


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field=type_tag, tag=True, gc=False):
    """A message on the tape; its tag is its class name. Never mutated; readers pass over fields they do not know.

    Nothing in it refers back to it, so the collector of cycles need not look at it (``gc``).

    ``ts_event`` is the venue's clock, ``ts_init`` ours (receive or decision time); both UTC nanoseconds.
    """


def venue_of(name: str) -> Venue:
    """The venue of an instrument (``sim:BTC-USDT``) or an account (``sim.main``)."""
    return name.partition(":")[0] if ":" in name else name.partition(".")[0]
