"""Files of pre-parsed data as one stream of records, by receive time."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from infra.captures import CaptureError
from infra.errors import Problem
from pipelines.imports import binance_trades, lean, tardis
from pipelines.imports.definitions import Event, definition, steps_of
from pipelines.imports.naming import Naming
from pipelines.imports.rows import first_row
from topics.market import Instrument

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
        self._files = [(path, format_of(path)) for path in paths]
        adapter = next(filter(None, (_adapter(*file) for file in self._files)), "")
        if not (venue or adapter):
            raise Problem("name the venue with --venue: these files do not tell it")
        self._naming = Naming(venue or adapter, "" if venue == adapter else adapter, instrument, kind)
        self.formats = sorted({kind.name for _, kind in self._files})
        steps = steps_of(chain.from_iterable(kind.read(path, self._naming) for path, kind in self._files))
        self.definitions: list[Instrument] = [
            definition(listed, steps[listed.instrument]) for listed in self._naming.all() if listed.instrument in steps
        ]
        if not self.definitions:
            raise Problem(f"nothing to import in {', '.join(path.name for path in paths)}")
        self.count = sum(each.events for each in steps.values())

    def events(self) -> Iterator[Event]:
        """By receive time; those of one file in its order."""
        readers = [kind.read(path, self._naming) for path, kind in self._files]
        return heapq.merge(*readers, key=attrgetter("ts_init"))


def _adapter(path: Path, kind: Format) -> str:
    return tardis.adapter_of(path) if kind is TARDIS else "binance" if kind is BINANCE else ""
