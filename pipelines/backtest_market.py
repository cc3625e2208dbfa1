"""Recorded market data on its way into a backtest: to the venue first, to the tape when it was received.

What the venue does with a frame depends on nothing of ours, so a frame is parsed as it happens at the venue; its
records are written when it was received, by the stage that writes them in production.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipelines.backtest_source import Arrival
from pipelines.backtest_venue import BacktestVenue
from pipelines.compose import TOPIC_ID, Edge, Src, Tape, Written, outputs_of
from pipelines.folding import QuickFold
from pipelines.marks import MarkState, sample
from topics import wire
from topics.book import Book
from topics.catalog import MARKET_EVENTS, MARKET_RAW, Topic
from topics.market import BookDelta, BookSnapshot, Gap, Instrument, Quote, Trade
from topics.record import InstrumentId, Record, Venue, venue_of
from topics.routes import Subscriptions, routes
from topics.stage import Stage

MOVES = frozenset({Quote, BookDelta, BookSnapshot, Trade, Gap})
"""What the venue's books are made of."""
MARKS = frozenset({Quote, BookDelta, BookSnapshot, Gap})


class Market:
    """``arrive`` is called when the venue had it: ``arrival.ts`` is when we do."""

    def __init__(
        self,
        tape: Tape,
        normalize: Stage[Any],
        ingest: Mapping[Venue, Edge],
        venues: Mapping[Venue, BacktestVenue],
        subscriptions: Subscriptions,
        recode_every: int | None,
    ) -> None:
        self.fold = QuickFold(normalize, self._normalized, recode_every)
        self._tape = tape
        self._ingest = ingest
        self._venues = venues
        self._subscriptions = subscriptions
        self._marks: dict[InstrumentId, Marks] = {}
        self._feeds: dict[InstrumentId, Callable[[Any], None]] = {}
        self._raw: Written

    def arrive(self, arrival: Arrival) -> None:
        if arrival.topic is MARKET_RAW:
            self._arrive_raw(arrival)
        else:
            self._arrive_events(arrival)

    def _arrive_raw(self, arrival: Arrival) -> None:
        src = arrival.src
        if src is None:
            src = self._ingest[venue_of(arrival.key.decode())].next_coordinate()
        self._raw = self._tape.append(MARKET_RAW, arrival.key, arrival.value, src, when=arrival.ts)
        self.fold.feed(self._raw)

    def _normalized(self, outputs: list[Record], partition: int, offset: int) -> None:
        self._feed(outputs)
        found = outputs_of(self.fold.stage, outputs, partition, offset, TOPIC_ID, self._subscriptions)
        self._tape.after_hop(self._raw, self._write, found)

    def _write(self, outputs: list[tuple[Topic, str, list[Record], Src]]) -> None:
        for output in outputs:
            self._tape.write(*output)

    def _arrive_events(self, arrival: Arrival) -> None:
        events = arrival.events
        if events is None:
            events = wire.decode(arrival.value, MARKET_EVENTS.types)
        self._feed(events)
        written = self._tape.append(
            MARKET_EVENTS, arrival.key, arrival.value, arrival.src, when=arrival.ts, events=events
        )
        beside: list[Record] = []
        for event in events:
            beside += self._beside(event)
        if beside:
            self._tape.loop.at(written.ts, self._publish_beside, beside)

    def _feed(self, events: Sequence[Any]) -> None:
        for event in events:
            if type(event) in MOVES:
                feed = self._feeds.get(event.instrument)
                if feed is None:
                    feed = self._feeds[event.instrument] = self._venues[venue_of(event.instrument)].feed
                feed(event)

    # --- what normalize would have written beside market.events ------------------------------------------------------

    def _beside(self, event: Any) -> Sequence[Record]:
        if type(event) is Instrument:
            return [event]
        if type(event) not in MARKS:
            return ()
        marks = self._marks.get(event.instrument)
        if marks is None:
            marks = self._marks[event.instrument] = Marks(event.instrument)
        return marks.after(event)

    def _publish_beside(self, records: list[Record]) -> None:
        for record in records:
            edge = self._ingest[venue_of(getattr(record, "instrument", ""))]
            for topic, key in routes(record, self._subscriptions):
                if topic is not MARKET_EVENTS:
                    edge.write(topic, key, [record])


class Marks:
    """Marks of one instrument from its normalized events."""

    def __init__(self, instrument: InstrumentId) -> None:
        self._instrument = instrument
        self._state = MarkState()
        self._book: Book | None = None

    def after(self, event: Any) -> Sequence[Record]:
        match event:
            case Quote():
                self._state.quote(event.best_bid, event.best_ask, event.ts_init)
            case BookSnapshot():
                self._book = Book.of(event)
                self._from_book(self._book, event.ts_init)
            case BookDelta() if self._book is not None:
                self._book.apply(event)
                self._from_book(self._book, event.ts_init)
            case Gap():
                self._state.forget()
                self._book = None
                return []
            case _:
                return []
        return sample(self._state, self._instrument, True, event.ts_event, event.ts_init)

    def _from_book(self, book: Book, now: int) -> None:
        self._state.hear(book, True, now)
