"""Tables of market data that others have parsed, looked at as recordings are: their records through the synchronizer and the
books of the normalize stage.

Nothing numbers or proves them: what shows that a book is wrong is a level that cannot be, and a crossed book.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from adapters.base import BookRules, Snapshots
from adapters.registry import adapters, market_data
from infra.captures import CaptureError
from infra.captures.files import packing
from infra.captures.formats import format_of as capture_format_of
from pipelines import synchronizer as sync
from pipelines.imports.definitions import Event
from pipelines.imports.rows import Tally
from pipelines.imports.source import Tables, format_of
from pipelines.normalize import MarketState
from topics.market import BookDelta, Quote, Trade
from topics.record import InstrumentId, Record

States = dict[InstrumentId, MarketState]


def are_tables(paths: Sequence[Path]) -> bool:
    """Whether they are no captures. ``CaptureError`` for what is neither, and for some of both."""
    found = [_is_table(path) for path in paths]
    if any(found) and not all(found):
        table, capture = paths[found.index(True)], paths[found.index(False)]
        raise CaptureError(table, f"is a table of records, and {capture} has frames: they are no one stream")
    return any(found)


def _is_table(path: Path) -> bool:
    try:
        capture_format_of(path)
    except CaptureError as no_capture:
        try:
            format_of(path)
        except CaptureError as no_table:
            raise (no_table if not path.is_dir() and packing(path) == "zip" else no_capture) from None
        return True
    return False


def fold(tables: Tables, states: States, tally: Tally) -> Iterator[tuple[InstrumentId, Record, Sequence[Record]]]:
    """Each record with what it led to; ``states`` as of then. ``CaptureError`` at a row that is none."""
    rules = _rules(tables)
    sources: dict[InstrumentId, sync.Source] = {}
    for event in tables.read(tally):
        key = event.instrument
        source = sources.get(key)
        if source is None:
            source = sources[key] = sync.Source(tables.venue, key, "", rules, _no_frames)
            states[key] = MarketState()
        yield key, event, _on_event(states[key], source, event)


def _on_event(state: MarketState, source: sync.Source, event: Event) -> Sequence[Record]:
    match event:
        case Trade():
            if state.told.is_copy(event):
                return ()
            state.trades += 1
            return (event,)
        case Quote():
            state.quotes += 1
            return (event,)
        case BookDelta():
            return sync.on_delta(state.book, source, event, event.ts_init)
        case _:
            return sync.on_snapshot(state.book, source, event, event.ts_init)


def _rules(tables: Tables) -> BookRules:
    """Whether one event of the venue may stand in several rows is as with its frames; nothing else of its own is left."""
    settles = tables.venue in adapters() and market_data(tables.venue).rules.settles
    return BookRules(Snapshots.STREAM, chained=False, settles=settles)


def _no_frames(frame: bytes, reading: object, /) -> None:
    """A table has none."""
