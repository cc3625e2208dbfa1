"""What of a recording the demo trades, and how much at a time: by definitions, books and trades as the recording has them."""

from collections.abc import Collection
from decimal import ROUND_CEILING, ROUND_DOWN, Decimal
from typing import NamedTuple

from adapters.simulated.units import SCALE
from infra.errors import Problem
from pipelines.imports.definitions import definition
from pipelines.imports.naming import Naming
from pipelines.normalize import MarketState
from pipelines.paper.listing import listing
from pipelines.player.defining import LOOKED_AT, first_book, steps_in
from pipelines.player.kept import Kept
from pipelines.player.recording import Recording
from topics.market import Instrument
from topics.record import InstrumentId, Payoff

PART = Decimal("0.25")
"""Of what is shown at the best prices: an order's quantity."""
NARROW_BPS = Decimal(100)
"""A market whose spread is wider is traded where there is no other."""
AGAIN = 2
"""Times the least value: what is left of an order that was partly executed can still be sold."""
BPS = Decimal(10_000)


class Market(NamedTuple):
    """As of the first ``LOOKED_AT`` items; ``bid`` and ``ask`` are (price, size)."""

    definition: Instrument
    bid: tuple[Decimal, Decimal]
    ask: tuple[Decimal, Decimal]
    trades: int

    @property
    def instrument(self) -> InstrumentId:
        return self.definition.instrument

    @property
    def like(self) -> tuple[str, str]:
        """What markets have in common that one account can sum up: what they are settled in, and the kind."""
        return self.definition.settled_in, self.definition.kind

    @property
    def spread_bps(self) -> Decimal:
        return (self.ask[0] - self.bid[0]) / (self.ask[0] + self.bid[0]) * 2 * BPS

    @property
    def order_qty(self) -> Decimal:
        """A part of what is shown, within what the definition lets through, in whole steps of the paper exchange."""
        d = self.definition
        step = Decimal(listing(d).step) / SCALE
        least = max(
            step, d.min_qty or step, (d.min_notional or Decimal(0)) * AGAIN / d.notional(Decimal(1), self.bid[0])
        )
        wanted = max(_steps(min(self.bid[1], self.ask[1]) * PART, step, ROUND_DOWN), _steps(least, step, ROUND_CEILING))
        most = [wanted if d.max_qty is None else d.max_qty]
        most += [] if d.max_notional is None else [d.max_notional / AGAIN / d.notional(Decimal(1), self.ask[0])]
        return min(wanted, _steps(min(most), step, ROUND_DOWN))


def chosen(recording: Recording, undefined: Collection[InstrumentId], most: int) -> list[Market]:
    """Up to ``most`` markets of one quote asset and kind, the one of most trades first. Problem where none has a book and a definition to
    trade by.
    """
    kept = Kept(recording)
    states = ((i, kept.at(LOOKED_AT, i)) for i in recording.busiest() if i not in undefined)
    found = [m for i, state in states if state is not None and (m := _market(recording, i, state)) is not None]
    narrow = [m for m in found if m.spread_bps <= NARROW_BPS] or sorted(found, key=lambda m: m.spread_bps)[:1]
    if not narrow:
        raise Problem(f"{recording.paths[0]}: no instrument in it has a book and a definition to trade by")
    ranked = sorted(narrow, key=lambda m: -m.trades)
    return [m for m in ranked if m.like == ranked[0].like][:most]


def _market(recording: Recording, instrument: InstrumentId, state: MarketState) -> Market | None:
    """None for what the paper exchange cannot have."""
    book = state.book.book
    bid, ask = (None, None) if book is None else (book.best_bid, book.best_ask)
    if book is None or bid is None or ask is None or bid >= ask:
        return None
    found = state.definition or _implied(recording, instrument)
    return Market(found, bid, ask, state.trades) if found is not None and _can_be_listed(found) else None


def _can_be_listed(d: Instrument) -> bool:
    try:
        one = listing(d)
    except Problem:
        return False
    return d.tradable and d.has_value and (d.payoff is not Payoff.SPOT or (one.base, one.quote) == (d.base, d.quote))


def _implied(recording: Recording, instrument: InstrumentId) -> Instrument | None:
    """Nobody recorded one: as the player makes it, of the same book."""
    book = first_book(recording, instrument)
    if book is None:
        return None
    return definition(Naming(recording.venue).listed(recording.symbols[instrument]), steps_in(book, instrument))


def _steps(qty: Decimal, step: Decimal, rounding: str) -> Decimal:
    return (qty / step).quantize(Decimal(1), rounding) * step
