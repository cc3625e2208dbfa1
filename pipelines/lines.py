"""What ingest makes of a venue's recorded items: lines of ``market.raw``, each for one instrument. Pure; for who has a
recording and no connection.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from adapters.base import MarketData, answered, gone_frame, hole_frame, is_damaged, rest_frame, session_frame
from adapters.catalogs import catalog_of
from infra.captures import Item, Kind
from pipelines.raw import Line
from topics.record import InstrumentId, Venue

ASKED_FOR_ONE = ("symbol", "instId", "pair", "instrument_name")
FRAME = Kind.FRAME


class Lines:
    """Of one venue. ``symbols`` are those met so far, by instrument; ``unknown`` counts frames about none, ``bad_lines`` those of
    the recording that are none; ``first_bad`` says what is wrong with the first. ``_heard``: where a connection goes, and which
    symbols it spoke of.

    An answer about every instrument becomes one for each that its recording speaks of. A damaged frame may be about any of its
    connection's: where a lost one would not show, each gets it.

    A connection begins for an instrument when it first speaks of it. An answer that does not say what it is about is of the
    only instrument of its recording, and waits until one is known.
    """

    def __init__(self, venue: Venue, adapter: MarketData) -> None:
        self.symbols: dict[InstrumentId, str] = {}
        self.unknown = 0
        self.bad_lines = 0
        self.first_bad = ""
        self._venue = venue
        self._adapter = adapter
        self._heard: dict[str, tuple[str, dict[str, InstrumentId]]] = defaultdict(lambda: ("", {}))
        self._expected: dict[str, int] = {}
        self._beside: dict[str, str] = {}
        self._of: dict[str, dict[InstrumentId, None]] = {}
        self._ids: dict[str, InstrumentId | None] = {}
        self._unnamed: list[tuple[int, str, bytes]] = []
        self._definitions: dict[InstrumentId, tuple[str, bytes]] = {}

    def of(self, items: Iterable[Item]) -> Iterator[Line]:
        symbols_in, heard = self._adapter.symbols_in, self._heard
        counts = type(self._adapter).sequence_in is not MarketData.sequence_in
        for item in items:
            ts, kind, connection, _, frame = item
            if kind is FRAME:
                if counts and (number := self._adapter.sequence_in(frame)) is not None:
                    expected = self._expected.get(connection, number)
                    if number == expected - 1:
                        continue  # the same once more
                    if number != expected:
                        yield from self._missing(item, number)
                    self._expected[connection] = number + 1
                url, joined = heard[connection]
                symbols = symbols_in(frame, url)
                known = joined.get(symbols[0]) if len(symbols) == 1 else None
                if known is None or self._unnamed:
                    yield from self._frame(item, symbols)
                else:
                    yield Line(ts, known, frame)
            elif kind is Kind.ANSWER:
                yield from self._answer(item)
            elif kind is Kind.OPENED:
                yield from self._opened(item)
            elif kind is Kind.CLOSED:
                yield from self._closed(item)
            elif kind is Kind.BAD_LINE:
                yield from self._bad_line(item)

    def _opened(self, item: Item) -> Iterator[Line]:
        """A connection of this name began anew: for the instruments it was about, what came before may have holes."""
        self._heard[item.connection] = item.about, {}
        self._expected.pop(item.connection, None)
        known = self._of.pop(item.connection, {})
        self._beside[item.connection] = beside = item.data.decode(errors="replace")
        if beside:
            known = self._of[item.connection] = dict(self._of.get(beside, {}))
        for instrument in known:
            symbol = self.symbols[instrument]
            yield Line(item.ts, instrument, session_frame(f"{item.connection}-{item.ts}", symbol, beside))

    def _closed(self, item: Item) -> Iterator[Line]:
        beside = item.data.decode(errors="replace")
        for instrument in self._of.get(item.connection, ()):
            yield Line(item.ts, instrument, gone_frame(item.connection, self.symbols[instrument], beside))

    def _bad_line(self, item: Item) -> Iterator[Line]:
        """It may have been a frame about any of them: where the next one would not show that, it is as after a new connection."""
        self.bad_lines += 1
        self.first_bad = self.first_bad or item.about
        if not self._adapter.rules.chained:
            for instrument, symbol in self.symbols.items():
                yield Line(item.ts, instrument, session_frame(f"bad-line-{self.bad_lines}", symbol))

    def _joined(self, item: Item, instrument: InstrumentId) -> Iterator[Line]:
        """A connection speaks of an instrument for the first time; of one beside another that has to be said."""
        self._of.setdefault(item.connection, {})[instrument] = None
        for connection, beside in self._beside.items():
            told = self._of.setdefault(connection, {})
            if beside and (connection == item.connection or (beside == item.connection and instrument not in told)):
                told[instrument] = None
                session = session_frame(f"{connection}-{item.ts}", self.symbols[instrument], beside)
                yield Line(item.ts, instrument, session)

    def _frame(self, item: Item, symbols: Sequence[str]) -> list[Line]:
        ts, _, connection, _, frame = item
        lines: list[Line] = []
        found = [i for symbol in symbols if (i := self._ids.get(symbol) or self._instrument(symbol)) is not None]
        if not found:
            self.unknown += 1
            if not self._adapter.rules.chained and is_damaged(frame):
                return [Line(ts, instrument, frame) for instrument in self._of.get(connection, ())]
        for instrument in found if len(found) == 1 else dict.fromkeys(found):
            if instrument not in self._of.get(connection, ()):
                lines += self._joined(item, instrument)
                lines += self._now_met(item.ts, instrument)
            if self._unnamed:
                lines += self._now_named(instrument)
            if len(symbols) == 1:
                self._heard[connection][1][symbols[0]] = instrument
            lines.append(Line(ts, instrument, frame))
        return lines

    def _missing(self, item: Item, number: int) -> Iterator[Line]:
        for instrument in self._of.get(item.connection, ()):
            frame = hole_frame(self._expected[item.connection], number, self.symbols[instrument])
            yield Line(item.ts, instrument, frame)

    def _answer(self, item: Item) -> Iterator[Line]:
        answer = answered(item.about) or self._adapter.answer(item.about, item.data)
        if answer is None:
            yield from self._catalogued(item)
            return
        instrument = self._instrument(answer.venue_symbol) if answer.venue_symbol else self._only()
        if instrument is not None:
            yield Line(item.ts, instrument, rest_frame(answer.what, self.symbols[instrument], item.data))
        elif not answer.venue_symbol:
            self._unnamed.append((item.ts, answer.what, item.data))

    def _catalogued(self, item: Item) -> Iterator[Line]:
        """What is not met yet waits until it is."""
        catalog = catalog_of(self._adapter.catalogs, item.about, ASKED_FOR_ONE)
        if catalog is None:
            return
        for symbol, part in catalog.parts(item.about, item.data).items():
            try:
                instrument = self._adapter.instrument_of(self._venue, symbol)
            except ValueError:
                continue
            self._definitions[instrument] = (catalog.what, part)
            if instrument in self.symbols:
                yield from self._now_met(item.ts, instrument)

    def _now_met(self, ts: int, instrument: InstrumentId) -> Iterator[Line]:
        what, part = self._definitions.pop(instrument, ("", b""))
        if what:
            yield Line(ts, instrument, rest_frame(what, self.symbols[instrument], part))

    def _now_named(self, instrument: InstrumentId) -> Iterator[Line]:
        waiting, self._unnamed = self._unnamed, []
        for ts, what, body in waiting:
            yield Line(ts, instrument, rest_frame(what, self.symbols[instrument], body))

    def _only(self) -> InstrumentId | None:
        return next(iter(self.symbols)) if len(self.symbols) == 1 else None

    def _instrument(self, symbol: str) -> InstrumentId | None:
        """None for a spelling that names no instrument we can name."""
        if symbol not in self._ids:
            try:
                instrument = self._adapter.instrument_of(self._venue, symbol)
            except ValueError:
                self._ids[symbol] = None
            else:
                self._ids[symbol] = instrument
                self.symbols[instrument] = symbol
        return self._ids[symbol]
