"""Which quotes are worth a signal, for strategies that act on the touch."""

from decimal import Decimal

import msgspec

from topics.market import Quote

REPEAT_NS = 1_000_000_000


class Touch(msgspec.Struct):
    """A View: the prices last signalled, and when. An unmoved touch is repeated each second: a longer silence is blindness."""

    best_bid: Decimal | None = None
    best_ask: Decimal | None = None
    told_at: int = 0

    def is_news(self, quote: Quote) -> bool:
        """Whether to signal this quote; it is taken as signalled then."""
        moved = (quote.best_bid, quote.best_ask) != (self.best_bid, self.best_ask)
        if not moved and quote.ts_init - self.told_at < REPEAT_NS:
            return False
        self.best_bid, self.best_ask, self.told_at = quote.best_bid, quote.best_ask, quote.ts_init
        return True
