"""One instrument's market as somebody looks at it: the book, the last trades, and whether the book is to be trusted.

Folded from the instrument's events of ``market.events``, in order. Pure: the time is passed in.
"""

from collections import deque
from enum import StrEnum

from topics.book import BadLevel, Book
from topics.market import BookDelta, BookOrderEvent, BookOrders, BookOrdersLost, BookSnapshot, Gap, Trade
from topics.order_book import BadOrder, OrderBook
from topics.record import InstrumentId, Record

STALE_NS = 10_000_000_000
TRADES_MOST = 200


class Standing(StrEnum):
    """``NONE``: no snapshot was met yet. ``STALE``: a gap, or silence for ``STALE_NS``."""

    NONE = "none"
    LIVE = "live"
    STALE = "stale"


class Ladder:
    """After a gap the book stays as it was, ``broken`` says why (also where a change was lost otherwise), and only a
    snapshot changes it. ``orders`` are the resting ones where the venue tells them, None while they are not known: ``orders_lost``
    says why, where they were.

    ``first_ts`` and ``newest_ts``: receive times (UTC ns) of the first and the newest event, 0 before the first.
    """

    def __init__(self, instrument: InstrumentId) -> None:
        self.instrument = instrument
        self.book: Book | None = None
        self.broken = ""
        self.orders: OrderBook | None = None
        self.orders_lost = ""
        self.trades: deque[Trade] = deque(maxlen=TRADES_MOST)
        self.gaps = 0
        self.first_ts = 0
        self.newest_ts = 0

    def take(self, event: Record) -> None:
        """The next event; what is about another instrument, or says nothing of this picture, is passed over."""
        if getattr(event, "instrument", "") != self.instrument:
            return
        ts: int = getattr(event, "ts_init", 0)
        self.first_ts = self.first_ts or ts
        self.newest_ts = max(self.newest_ts, ts)
        match event:
            case BookDelta():
                self._apply(event)
            case BookSnapshot():
                self._begin(event)
            case Trade():
                self.trades.append(event)
            case Gap():
                self.gaps += 1
                self.broken = f"gap: {event.reason}" + _numbers(event)
            case BookOrders() | BookOrderEvent():
                self._take_orders(event)
            case BookOrdersLost():
                self.orders, self.orders_lost = None, event.reason

    def _take_orders(self, event: BookOrders | BookOrderEvent) -> None:
        try:
            if isinstance(event, BookOrders):
                self.orders, self.orders_lost = OrderBook.of(event), ""
            elif self.orders is not None:
                self.orders.apply(event)
        except BadOrder as error:
            self.orders, self.orders_lost = None, str(error)

    def _begin(self, snapshot: BookSnapshot) -> None:
        try:
            self.book, self.broken = Book.of(snapshot), ""
        except BadLevel as error:
            self.book, self.broken = None, str(error)

    def _apply(self, delta: BookDelta) -> None:
        if self.book is None or self.broken:
            return
        try:
            self.book.apply(delta)
        except BadLevel as error:
            self.broken = str(error)

    def age_ns(self, now_ns: int) -> int:
        """Of the newest event; a clock that went back makes none negative."""
        return max(0, now_ns - self.newest_ts)

    def standing(self, now_ns: int) -> Standing:
        if self.broken:
            return Standing.STALE
        if self.book is None:
            return Standing.NONE
        return Standing.STALE if self.age_ns(now_ns) > STALE_NS else Standing.LIVE


def _numbers(gap: Gap) -> str:
    return f" (expected {gap.expected}, got {gap.got})" if gap.expected or gap.got else ""
