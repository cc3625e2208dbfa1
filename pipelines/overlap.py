"""Several connections that deliver the same: while they do, and what was told already. Pure; by receive time."""

from decimal import Decimal

import msgspec

from adapters.base import Session
from topics.market import Quote, Trade

LINGER_NS = 5_000_000_000
"""One that is behind still delivers copies when the other has gone."""

QUIET_NS = 1_000_000_000
"""After so long without a newer quote one with an earlier number is no copy: the venue has begun anew."""

TRADES_MOST = 2_000

LATELY_NS = 1_000_000_000
"""Of one connection, by the venue's time: what it sends again, it sends soon. Of several one may be seconds behind."""


class Overlap(msgspec.Struct):
    """``beside``: connections beside the first one; ``until``: copies may come until then, though there is but one again."""

    beside: int = 0
    until: int = 0

    def at(self, now: int) -> bool:
        return self.beside > 0 or now < self.until

    def began(self, session: Session) -> None:
        """One that begins alone begins anew: all others are gone."""
        self.beside = self.beside + 1 if session.beside else 0
        self.until = self.until if session.beside else 0

    def ended(self, now: int) -> None:
        if self.beside:
            self.beside -= 1
            self.until = now + LINGER_NS


class Told(msgspec.Struct):
    """What was told lately: trades by id in their order (time, price, size), the newest quote's number and when it came."""

    trades: dict[str, tuple[int, Decimal, Decimal]] = {}
    quote: int = 0
    quoted_at: int = 0

    def is_copy(self, trade: Trade, kept_ns: int = LATELY_NS) -> bool:
        """Of a known id and the same terms. One without an id never is, nor one whose id stands for another trade by now. What is
        more than ``kept_ns`` before this one is forgotten.
        """
        if not trade.trade_id:
            return False
        terms = (trade.ts_event, trade.price, trade.size)
        if self.trades.get(trade.trade_id) == terms:
            return True
        known = self.trades
        known[trade.trade_id] = terms
        since = trade.ts_event - kept_ns
        while known[oldest := next(iter(known))][0] < since or len(known) > TRADES_MOST:
            del known[oldest]
        return False

    def is_stale(self, quote: Quote, now: int) -> bool:
        """Not newer than what was told: a copy, or late. A quote without a number never is."""
        if 0 < quote.sequence <= self.quote and now - self.quoted_at < QUIET_NS:
            return True
        self.quote, self.quoted_at = quote.sequence, now
        return False

    def forget(self) -> None:
        """Of a venue's numbers, which may begin anew."""
        self.quote = 0
