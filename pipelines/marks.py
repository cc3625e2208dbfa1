"""Marks: the best bid and ask, sampled by receive time for valuation and pre-trade checks. Pure.

A mark is told when the top of the book changed, but at most every 50 ms, and at least every 500 ms while market
frames come: its ``ts_init`` says that the feed was alive then. No frames, no marks: the data's age grows, and checks
stop new risk.

With a mark that is the book's goes a ``Quote`` of the same: who acts on quotes is not blind where a venue streams none.
"""

from decimal import Decimal

import msgspec

from topics.book import Book
from topics.market import Mark, Quote
from topics.record import InstrumentId

LEAST_NS = 50_000_000
MOST_NS = 500_000_000
QUOTES_SPEAK_NS = 1_000_000_000


class MarkState(msgspec.Struct):
    """What is best now (None: not known), and what was told last."""

    best_bid: Decimal | None = None
    best_ask: Decimal | None = None
    top_bid: str = ""
    top_ask: str = ""
    quoted_at: int = 0  # when the venue last streamed its best bid and ask itself: fresher than the book's
    told_bid: Decimal | None = None
    told_ask: Decimal | None = None
    told_tradable: bool = True
    told_at: int = 0

    def quote(self, best_bid: Decimal, best_ask: Decimal, now: int) -> None:
        self.best_bid, self.best_ask, self.quoted_at = best_bid, best_ask, now
        self.top_bid = self.top_ask = ""

    def hear(self, book: Book | None, tradable: bool, now: int) -> bool:
        """The book's word, which counts while no quotes come; None: it is not to be trusted. Whether to ask for a sample."""
        since = now - self.told_at
        if since < LEAST_NS and tradable == self.told_tradable:
            return False
        if not self.quotes_speak(now):
            self.top(book)
        return self.asks(tradable, since)

    def quotes_speak(self, now: int) -> bool:
        """Whether the venue has streamed its best bid and ask of late."""
        return now - self.quoted_at <= QUOTES_SPEAK_NS

    def asks(self, tradable: bool, since: int) -> bool:
        """Quick, and never wrongly no: after so long there may be a mark to tell."""
        if since >= MOST_NS or tradable != self.told_tradable:
            return True
        return since >= LEAST_NS and not (self.best_bid is self.told_bid and self.best_ask is self.told_ask)

    def top(self, book: Book | None) -> None:
        bids, asks = ((), ()) if book is None else (book.bid_levels, book.ask_levels)
        price = bids[-1][0] if bids else ""
        if price != self.top_bid or not price:
            self.top_bid, self.best_bid = price, Decimal(price) if price else None
        price = asks[-1][0] if asks else ""
        if price != self.top_ask or not price:
            self.top_ask, self.best_ask = price, Decimal(price) if price else None

    def forget(self) -> None:
        self.best_bid = self.best_ask = None
        self.top_bid = self.top_ask = ""
        self.quoted_at = 0


def best(book: Book, instrument: InstrumentId, ts_event: int, now: int) -> Quote:
    """The quote that a book with two sides is."""
    (bid, bid_size), (ask, ask_size) = (level or ("0", "0") for level in (book.top_bid, book.top_ask))
    return Quote(
        instrument=instrument,
        best_bid=Decimal(bid),
        bid_size=Decimal(bid_size),
        best_ask=Decimal(ask),
        ask_size=Decimal(ask_size),
        of_book=True,
        ts_event=ts_event,
        ts_init=now,
    )


def sample(state: MarkState, instrument: InstrumentId, tradable: bool, ts_event: int, now: int) -> list[Mark]:
    """A mark if one is due at ``now``."""
    bid, ask = state.best_bid, state.best_ask
    if bid is None or ask is None or bid >= ask:
        return []
    since = now - state.told_at
    changed = bid != state.told_bid or ask != state.told_ask
    if tradable == state.told_tradable and since < (LEAST_NS if changed else MOST_NS):
        return []
    state.told_bid, state.told_ask, state.told_tradable, state.told_at = bid, ask, tradable, now
    return [Mark(instrument=instrument, best_bid=bid, best_ask=ask, tradable=tradable, ts_event=ts_event, ts_init=now)]
