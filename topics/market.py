"""Market data as normalized: one ordered stream per instrument on ``market.events``. Digits are the venue's own."""

from decimal import Decimal
from enum import StrEnum

from topics.record import Currency, InstrumentId, Level, Payoff, Record, RestingOrder, Side, TradeId, Venue


class Instrument(Record, frozen=True, kw_only=True):
    """A tradable's definition. ``tick_size`` and ``lot_size`` are steps of price and quantity; None where a venue sets no bound.

    ``multiplier``: what a unit of quantity is: units of the base, of ``inverse`` ones of the quote; 0 where nobody told.
    ``settle``: what its P&L is paid in; empty: the quote, of inverse ones the base.
    ``sampled``: its market data is a sampled view, made by somebody else from the venue's frames.
    """

    instrument: InstrumentId
    venue: Venue
    venue_symbol: str
    base: Currency
    quote: Currency
    tick_size: Decimal
    lot_size: Decimal
    min_qty: Decimal | None = None
    max_qty: Decimal | None = None
    min_notional: Decimal | None = None
    max_notional: Decimal | None = None
    multiplier: Decimal = Decimal(1)
    kind: str = "spot"
    inverse: bool = False
    settle: Currency = ""
    maker_fee: Decimal | None = None
    taker_fee: Decimal | None = None
    tradable: bool = True
    sampled: bool = False
    ts_init: int

    @property
    def payoff(self) -> Payoff:
        if self.kind in EXCHANGED:
            return Payoff.SPOT
        return Payoff.INVERSE if self.inverse else Payoff.LINEAR

    @property
    def settled_in(self) -> Currency:
        return (self.settle if self.payoff is not Payoff.SPOT else "") or self._natural

    @property
    def has_value(self) -> bool:
        """Whether what it is worth follows from its price: not of one that is settled in a third currency (quanto), or of a size
        that nobody told.
        """
        return self.settled_in == self._natural and self.multiplier > 0

    @property
    def _natural(self) -> Currency:
        return self.base if self.inverse else self.quote

    def notional(self, qty: Decimal, px: Decimal) -> Decimal:
        """In quote; of an inverse contract whatever the price."""
        return qty * self.multiplier if self.inverse else qty * px * self.multiplier


EXCHANGED = ("spot", "equity")
"""Kinds of which base is exchanged for quote; the others are contracts."""


class BookSnapshot(Record, frozen=True, kw_only=True):
    """The whole book as of ``sequence``; bids from the highest price, asks from the lowest.

    ``depth``: the levels that the venue keeps of a side, so that those which deltas push beyond it are gone; 0: all.
    ``sampled``: as it was at a moment; what changed since the one before and back is not told.
    """

    instrument: InstrumentId
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    depth: int = 0
    sampled: bool = False
    sequence: int = 0
    ts_event: int
    ts_init: int


class BookDelta(Record, frozen=True, kw_only=True):
    """Levels that changed, absolute sizes, 0 removes; covers the venue's sequence numbers first_sequence..sequence.

    ``first_sequence`` 0: the venue does not say where it begins; ``sequence`` 0: it numbers nothing.
    """

    instrument: InstrumentId
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    first_sequence: int = 0
    sequence: int = 0
    ts_event: int
    ts_init: int


class BookOrders(Record, frozen=True, kw_only=True):
    """Every resting order as of ``sequence``, L3: ``(order id, price, size)``, the best price first, at a price the oldest first."""

    instrument: InstrumentId
    bids: tuple[RestingOrder, ...]
    asks: tuple[RestingOrder, ...]
    sequence: int = 0
    ts_event: int
    ts_init: int


class BookOrderEvent(Record, frozen=True, kw_only=True):
    """What happened to one order. ``size`` is what is left of it. ``previous`` is the sequence of the event before it in the
    venue's stream; 0: not told. One that takes comes too, until what it takes is told of: the book may be crossed for so long.
    """

    instrument: InstrumentId
    order_id: str
    side: Side
    price: Decimal
    size: Decimal
    sequence: int = 0
    previous: int = 0
    ts_event: int
    ts_init: int


class BookOrderAdded(BookOrderEvent, frozen=True, kw_only=True):
    pass


class BookOrderChanged(BookOrderEvent, frozen=True, kw_only=True):
    """Traded in part, or altered: another price or a greater size costs it its place."""


class BookOrderRemoved(BookOrderEvent, frozen=True, kw_only=True):
    """Filled (a size of 0) or canceled."""


class BookOrdersLost(Record, frozen=True, kw_only=True):
    """The resting orders are not to be trusted from here until the next ``BookOrders``; the book of levels is not concerned."""

    instrument: InstrumentId
    reason: str
    ts_init: int


class Trade(Record, frozen=True, kw_only=True):
    instrument: InstrumentId
    trade_id: TradeId
    price: Decimal
    size: Decimal
    aggressor: Side
    ts_event: int
    ts_init: int


class Quote(Record, frozen=True, kw_only=True):
    """The best bid and ask as the venue streams them; ``of_book``: it streams none, or none of late, and this is its book's top."""

    instrument: InstrumentId
    best_bid: Decimal
    bid_size: Decimal
    best_ask: Decimal
    ask_size: Decimal
    sequence: int = 0
    of_book: bool = False
    ts_event: int
    ts_init: int

    @property
    def spread(self) -> Decimal:
        return self.best_ask - self.best_bid

    @property
    def mid(self) -> Decimal:
        return (self.best_bid + self.best_ask) / 2

    @property
    def microprice(self) -> float:
        """The mid weighted towards the side with less size; a signal, so a float."""
        bid, ask = float(self.bid_size), float(self.ask_size)
        total = bid + ask
        if total == 0:
            return float(self.mid)
        return (float(self.best_bid) * ask + float(self.best_ask) * bid) / total


class TradingStatus(StrEnum):
    TRADING = "trading"
    HALTED = "halted"


class InstrumentStatus(Record, frozen=True, kw_only=True):
    instrument: InstrumentId
    status: TradingStatus
    ts_event: int
    ts_init: int


class Ticker(Record, frozen=True, kw_only=True):
    """What a venue tells of a market's prices beside its book: last traded, and of derivatives mark and index. None: not told."""

    instrument: InstrumentId
    last: Decimal | None = None
    mark: Decimal | None = None
    index: Decimal | None = None
    ts_event: int
    ts_init: int


class Funding(Record, frozen=True, kw_only=True):
    """A perpetual's rate of the coming payment, as a fraction; ``next_ts`` is when it is due (UTC ns), 0: not told."""

    instrument: InstrumentId
    rate: Decimal
    next_ts: int = 0
    ts_event: int
    ts_init: int


class OpenInterest(Record, frozen=True, kw_only=True):
    """Contracts (or base units, as the venue counts) that are open."""

    instrument: InstrumentId
    open_interest: Decimal
    ts_event: int
    ts_init: int


class Liquidation(Record, frozen=True, kw_only=True):
    """An order of a position that the venue closes; ``side`` is that order's."""

    instrument: InstrumentId
    side: Side
    price: Decimal
    size: Decimal
    ts_event: int
    ts_init: int


class Gap(Record, frozen=True, kw_only=True):
    """The book is not to be trusted from here until the next ``BookSnapshot``."""

    instrument: InstrumentId
    reason: str
    expected: int = 0
    got: int = 0
    ts_init: int


class Mark(Record, frozen=True, kw_only=True):
    """A sampled best bid and ask, for valuation and for pre-trade checks; ``ts_init`` is the receive time that data age is judged on."""

    instrument: InstrumentId
    best_bid: Decimal
    best_ask: Decimal
    tradable: bool = True
    ts_event: int
    ts_init: int

    @property
    def mid(self) -> Decimal:
        return (self.best_bid + self.best_ask) / 2


class Bar(Record, frozen=True, kw_only=True):
    """``spec`` names the rule. Of ``time-1s`` the trades of [ts_open, ts_close), an interval without trades making no bar; of
    ``tick-100``, ``volume-2.5``, ``notional-1000`` trades in the order of the tape, the first at ts_open, the last at ts_close.

    ``gaps``: those of the book while it was open, so that trades of it may be missing.

    ``revision``: 0 when told in turn. A bar of time is told again, one more, with each trade that comes after it was closed
    (1 the first time where its interval was passed over without a bar); the highest counts. Strategies get 0 alone.
    ``late``: trades since the bar before that came too late for a bar of this rule (or dated far ahead), and are in none.
    """

    instrument: InstrumentId
    spec: str
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    notional: Decimal
    trades: int
    gaps: int = 0
    revision: int = 0
    late: int = 0
    ts_open: int
    ts_close: int
    ts_init: int


class ResyncRequested(Record, frozen=True, kw_only=True):
    """Normalize asks ingest for a fresh snapshot (and definitions when ``what`` says so) of one instrument's book."""

    venue: Venue
    venue_symbol: str
    what: str = "depth"
    reason: str = ""
    ts_init: int


class Tick(Record, frozen=True, kw_only=True):
    """The clock edge's beat number ``n``; every partition of a topic that has ticks gets each of them."""

    n: int
    ts_init: int
