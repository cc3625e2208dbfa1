"""Files of pre-parsed data as one stream of records, by receive time."""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, count
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from adapters.registry import adapters
from infra.captures import CaptureError, each_once
from infra.errors import Problem
from pipelines.imports import binance_trades, lean, tardis
from pipelines.imports.definitions import Event, definition, steps_of
from pipelines.imports.naming import Naming
from pipelines.imports.rows import first_row
from topics.market import BookSnapshot, Instrument, Quote, Trade
from topics.record import InstrumentId

Reader = Callable[[Path, Naming], Iterator[Event]]


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


class Imported:
    """``events`` may be asked for once more; ``definitions`` have seen all of them."""

    def __init__(self, paths: Sequence[Path], venue: str = "", instrument: str = "", kind: str = "") -> None:
        each_once(paths)
        self._files = [(path, format_of(path)) for path in paths]
        adapter = next(filter(None, (_adapter(*file) for file in self._files)), "")
        if not (venue or adapter):
            raise Problem("name the venue with --venue: these files do not tell it")
        self._naming = Naming(venue or adapter, venue if venue in adapters() else adapter, instrument, kind)
        self.formats = sorted({kind.name for _, kind in self._files})
        steps = steps_of(chain.from_iterable(kind.read(path, self._naming) for path, kind in self._files))
        self.definitions: list[Instrument] = [
            definition(listed, steps[listed.instrument]) for listed in self._naming.all() if listed.instrument in steps
        ]
        if not self.definitions:
            raise Problem(f"nothing to import in {', '.join(path.name for path in paths)}")
        self.count = sum(each.events + (0 if each.booked else each.quotes) for each in steps.values())
        self._booked = {name: each.booked for name, each in steps.items()}

    def events(self) -> Iterator[Event]:
        """By receive time; those of one file in its order, numbered as they come.

        Where there are quotes and no book, a book of one level goes before each quote: the matching of a backtest
        and whoever else wants a book have what is known of it.
        """
        numbers: defaultdict[InstrumentId, count[int]] = defaultdict(lambda: count(1))
        readers = [kind.read(path, self._naming) for path, kind in self._files]
        for event in heapq.merge(*readers, key=attrgetter("ts_init")):
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


def _adapter(path: Path, kind: Format) -> str:
    """Whose symbols they are, "" where the file does not tell."""
    if kind is BINANCE:
        return "binance_coinm" if "USD_" in path.name else "binance"
    return tardis.adapter_of(path) if kind is TARDIS else ""
