"""Definitions for a recording that brings none: tick and lot are the coarsest that fit the first book."""

from adapters.base import own_symbol
from adapters.wording import Defining, defined
from pipelines.imports.definitions import Steps
from pipelines.player.kept import Kept
from pipelines.player.recording import Recording
from topics.book import Book
from topics.market import BookSnapshot
from topics.record import InstrumentId

LOOKED_AT = 20_000
STRIDE = 50


def made_definition(recording: Recording, instrument: InstrumentId) -> bytes | None:
    """In the venue's words; None where there is no book to make it of, or no words."""
    book = first_book(recording, instrument)
    if book is None:
        return None
    steps = steps_in(book, instrument)
    return defined(
        recording.venue, Defining(own_symbol(recording.symbols[instrument]), instrument, steps.tick, steps.lot)
    )


def first_book(recording: Recording, instrument: InstrumentId) -> Book | None:
    """With something on both sides."""
    kept = Kept(recording)
    for place in range(STRIDE, LOOKED_AT, STRIDE):
        state = kept.at(place, instrument)
        if state is not None and state.book.book is not None and state.book.book.top_bid and state.book.book.top_ask:
            return state.book.book
    return None


def steps_in(book: Book, instrument: InstrumentId) -> Steps:
    steps, bids, asks = Steps(), tuple(book.bid_texts()), tuple(book.ask_texts())
    steps.see(BookSnapshot(instrument=instrument, bids=bids, asks=asks, ts_event=0, ts_init=0))
    return steps
