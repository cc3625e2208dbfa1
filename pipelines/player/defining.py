"""Definitions for a recording that brings none: tick and lot are the coarsest that fit the first book."""

from adapters.base import own_symbol
from adapters.wording import Defining, defined
from pipelines.imports.definitions import Steps
from pipelines.player.kept import Kept
from pipelines.player.recording import Recording
from topics.market import BookSnapshot
from topics.record import InstrumentId

LOOKED_AT = 20_000
STRIDE = 50


def made_definition(recording: Recording, instrument: InstrumentId) -> bytes | None:
    """In the venue's words; None where there is no book to make it of, or no words."""
    kept = Kept(recording)
    for place in range(STRIDE, LOOKED_AT, STRIDE):
        state = kept.at(place, instrument)
        if state is not None and state.book.book is not None:
            book, steps = state.book.book, Steps()
            bids, asks = tuple(book.bid_texts()), tuple(book.ask_texts())
            steps.see(BookSnapshot(instrument=instrument, bids=bids, asks=asks, ts_event=0, ts_init=0))
            symbol = own_symbol(recording.symbols[instrument])
            return defined(recording.venue, Defining(symbol, instrument, steps.tick, steps.lot))
    return None
