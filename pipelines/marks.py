"""Marks: the best bid and ask, sampled by receive time for valuation and pre-trade checks. Pure.

A mark is told when the top of the book changed, but at most every 50 ms, and at least every 500 ms while market
frames come: its ``ts_init`` says that the feed was alive then. No frames, no marks: the data's age grows, and checks
stop new risk.
"""

from decimal import Decimal

import msgspec

from topics.market import Mark
from topics.record import InstrumentId, Level

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

    def book_speaks(self, now: int) -> bool:
        """The book's word counts while no quotes come."""
        return now - self.quoted_at > QUOTES_SPEAK_NS

    def top(self, bid: Level | None, ask: Level | None) -> None:
        """The book's word; None: a side is empty, or the book not to be trusted."""
        price = bid[0] if bid is not None else ""
        if price != self.top_bid or not price:
            self.top_bid, self.best_bid = price, Decimal(price) if price else None
        price = ask[0] if ask is not None else ""
        if price != self.top_ask or not price:
            self.top_ask, self.best_ask = price, Decimal(price) if price else None

    def forget(self) -> None:
        self.best_bid = self.best_ask = None
        self.top_bid = self.top_ask = ""
        self.quoted_at = 0


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
