"""Definitions that the data themselves imply: tables of trades and quotes come without."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from pipelines.imports.naming import Listed
from topics.market import BookDelta, BookSnapshot, Instrument, Quote, Trade
from topics.record import InstrumentId

Event = Trade | Quote | BookSnapshot | BookDelta
ONE = Decimal(1)


class Steps:
    """The coarsest powers of ten, at most 1, that divide every price and every size seen; ``booked``: there are books."""

    def __init__(self) -> None:
        self.first = 0
        self.events = self.quotes = 0
        self.booked = False
        self._prices: set[Any] = set()
        self._sizes: set[Any] = set()
        self.tick = self.lot = ONE

    def see(self, event: Event) -> None:
        self.first = self.first or event.ts_init
        self.events += 1
        self.quotes += isinstance(event, Quote)
        self.booked = self.booked or isinstance(event, BookSnapshot | BookDelta)
        for price, size in _values(event):
            if price not in self._prices:
                self._prices.add(price)
                self.tick = min(self.tick, _step(price))
            if size not in self._sizes:
                self._sizes.add(size)
                self.lot = min(self.lot, _step(size))
        if len(self._prices) > 100_000 or len(self._sizes) > 100_000:
            self._prices.clear()
            self._sizes.clear()


def steps_of(events: Iterable[Event]) -> dict[InstrumentId, Steps]:
    found: dict[InstrumentId, Steps] = {}
    for event in events:
        found.setdefault(event.instrument, Steps()).see(event)
    return found


def definition(listed: Listed, steps: Steps) -> Instrument:
    return Instrument(
        instrument=listed.instrument,
        venue=listed.venue,
        venue_symbol=listed.venue_symbol,
        base=listed.base,
        quote=listed.quote,
        tick_size=steps.tick,
        lot_size=steps.lot,
        multiplier=listed.multiplier,
        kind=listed.kind,
        inverse=listed.inverse,
        settle=listed.settle,
        ts_init=steps.first,
    )


def _values(event: Event) -> Iterator[tuple[Any, Any]]:
    match event:
        case Trade():
            yield event.price, event.size
        case Quote():
            yield event.best_bid, event.bid_size
            yield event.best_ask, event.ask_size
        case _:
            yield from event.bids
            yield from event.asks


def _step(value: Any) -> Decimal:
    exponent = Decimal(value).normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return ONE.scaleb(min(exponent, 0))
