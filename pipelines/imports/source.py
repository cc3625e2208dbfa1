"""Files of pre-parsed data as one stream of records, by receive time."""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, count
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from adapters.base import own_symbol
from adapters.registry import adapters
from infra.captures import CaptureError, each_once
from infra.errors import Hopeless
from pipelines.imports import binance_trades, lean, tardis
from pipelines.imports.definitions import Event, definition, steps_of
from pipelines.imports.naming import Naming
from pipelines.imports.rows import Tally, first_row
from topics.market import BookSnapshot, Instrument, Quote, Trade
from topics.record import InstrumentId

US = "us"
"""Where LEAN's stocks are traded, one instrument whatever the exchange."""
Reader = Callable[[Path, Naming, Tally], Iterator[Event]]


class Format(NamedTuple):
    name: str
    read: Reader


BINANCE = Format("trades of Binance", binance_trades.records)
LEAN = Format("ticks of LEAN", lean.records)
TARDIS = Format("tardis.dev", tardis.records)


def format_of(path: Path) -> Format:
    """``CaptureError`` for what is none of them."""
    if lean.looks_like(path):
        return LEAN
    first = first_row(path)
    if tardis.looks_like(first):
        return TARDIS
    if binance_trades.looks_like(first):
        return BINANCE
    raise CaptureError(path, "is no table that can be imported: trades of Binance, ticks of LEAN, tardis.dev")


class Tables:
    """Of one venue. ``venue``: its name; default: as the files tell it. Hopeless where they do not, or are of several."""

    def __init__(self, paths: Sequence[Path], venue: str = "", instrument: str = "", kind: str = "") -> None:
        each_once(paths)
        self.files = [(path, format_of(path)) for path in paths]
        told = "" if venue in adapters() else self._told(agree=not venue)
        self.venue = venue or told
        if not self.venue:
            raise Hopeless(f"{paths[0]}: cannot tell the venue from it: name it with --venue")
        self.naming = Naming(self.venue, told if told in adapters() else "", instrument, kind)

    def readers(self, tally: Tally) -> list[Iterator[Event]]:
        """One a file."""
        return [kind.read(path, self.naming, tally) for path, kind in self.files]

    def read(self, tally: Tally) -> Iterator[Event]:
        """One file after the other."""
        return chain.from_iterable(self.readers(tally))

    def symbols(self) -> dict[InstrumentId, str]:
        """The venue's spelling of those met so far."""
        return {listed.instrument: own_symbol(listed.venue_symbol) for listed in self.naming.all()}

    def _told(self, *, agree: bool) -> str:
        known, by = "", Path()
        for path, kind in self.files:
            told = _venue(path, kind)
            if agree and told and known and told != known:
                raise CaptureError(
                    path, f"is of {told}, and {by} of {known}: several files are one stream, of one venue"
                )
            if told and not known:
                known, by = told, path
        return known


class Imported:
    """``events`` may be asked for once more; ``definitions`` have seen all of them."""

    def __init__(self, paths: Sequence[Path], venue: str = "", instrument: str = "", kind: str = "") -> None:
        self._tables = Tables(paths, venue, instrument, kind)
        steps = steps_of(self._tables.read(Tally()))
        self.definitions: list[Instrument] = [
            definition(listed, steps[listed.instrument])
            for listed in self._tables.naming.all()
            if listed.instrument in steps
        ]
        if not self.definitions:
            raise Hopeless(f"nothing to import in {', '.join(path.name for path in paths)}")
        self.count = sum(each.events + (0 if each.booked else each.quotes) for each in steps.values())
        self._booked = {name: each.booked for name, each in steps.items()}

    def events(self) -> Iterator[Event]:
        """By receive time; those of one file in its order, numbered as they come.

        Where there are quotes and no book, a book of one level goes before each quote: the matching of a backtest
        and whoever else wants a book have what is known of it.
        """
        numbers: defaultdict[InstrumentId, count[int]] = defaultdict(lambda: count(1))
        for event in heapq.merge(*self._tables.readers(Tally()), key=attrgetter("ts_init")):
            if isinstance(event, Trade):
                yield event
                continue
            number = numbers[event.instrument]
            if isinstance(event, Quote) and not self._booked[event.instrument]:
                yield _top(event, next(number))
            yield replace(event, sequence=next(number))


def _top(quote: Quote, number: int) -> BookSnapshot:
    return BookSnapshot(
        instrument=quote.instrument,
        bids=((format(quote.best_bid, "f"), format(quote.bid_size, "f")),),
        asks=((format(quote.best_ask, "f"), format(quote.ask_size, "f")),),
        depth=1,
        sequence=number,
        ts_event=quote.ts_event,
        ts_init=quote.ts_init,
    )


def _venue(path: Path, kind: Format) -> str:
    """Whose symbols they are, "" where the file does not tell."""
    if kind is LEAN:
        return US
    if kind is BINANCE:
        return "binance_coinm" if "USD_" in path.name else "binance"
    return tardis.adapter_of(path) if kind is TARDIS else ""
