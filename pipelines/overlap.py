"""Several connections that deliver the same: while they do, and what of it was told already. Pure; by receive time."""

import msgspec

from adapters.base import Session
from topics.market import Quote, Trade

LINGER_NS = 5_000_000_000
"""One that is behind still delivers copies when the other has gone."""

QUIET_NS = 1_000_000_000
"""After so long without a newer quote one with an earlier number is no copy: the venue has begun anew."""

TRADES_MOST = 2_000


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
    """What was told lately: the ids of trades in their order, the newest quote's number and when it came."""

    trades: dict[str, None] = {}
    quote: int = 0
    quoted_at: int = 0

    def is_copy(self, trade: Trade) -> bool:
        """A trade without an id is never one."""
        if trade.trade_id in self.trades:
            return True
        if trade.trade_id:
            self.trades[trade.trade_id] = None
            if len(self.trades) > TRADES_MOST:
                del self.trades[next(iter(self.trades))]
        return False

    def is_stale(self, quote: Quote, now: int) -> bool:
        """Not newer than what was told: a copy, or late. A quote without a number never is."""
        if 0 < quote.sequence <= self.quote and now - self.quoted_at < QUIET_NS:
            return True
        self.quote, self.quoted_at = quote.sequence, now
        return False

    def forget(self) -> None:
        self.trades.clear()
        self.quote = 0
