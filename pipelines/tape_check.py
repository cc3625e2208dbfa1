"""``tapedeck tape check``: recordings through the parser, the integrity rules and the books of the normalize stage, without a
broker; tables through what of these there is for them. Several files are one stream in the order given.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from adapters.base import ANSWER, EDGES, own_symbol
from infra.captures import CaptureError, read, venue_of_name
from infra.errors import Hopeless
from pipelines.clock_skew import behind, believed
from pipelines.imports.rows import Tally
from pipelines.imports.source import Tables
from pipelines.lines import Lines
from pipelines.normalize import MarketState, normalize_stage
from pipelines.recorded_venue import recorded_venue
from pipelines.tape_tables import are_tables, fold
from topics.book import plain
from topics.coordinates import At
from topics.market import BookDelta, Trade
from topics.record import InstrumentId, Level, Record, Venue


class Checked(msgspec.Struct, kw_only=True):
    """One instrument's part of a recording, in the order of the output's fields.

    ``frames``: those received about it, snapshots of its book among them. ``book_updates``: changes that a live book took:
    deltas, and snapshots that took its place. ``bids`` and ``asks`` are how many levels the book has at the end.
    ``clock_skew_ns``: how far the recorder's clock was behind the venue's, at least, by all instruments of the venue.
    """

    venue: Venue
    instrument: InstrumentId
    venue_symbol: str
    frames: int = 0
    trades: int = 0
    quotes: int = 0
    book_updates: int = 0
    gaps: int = 0
    resyncs: int = 0
    checksums_verified: int = 0
    checksums_failed: int = 0
    book_state: str = "none"
    bids: int = 0
    asks: int = 0
    best_bid: Level | None = None
    best_ask: Level | None = None
    book_digest: str | None = None
    unreadable: int = 0
    clock_skew_ns: int = 0

    @property
    def sound(self) -> bool:
        """No checksum failed and no gap stayed open."""
        return not self.checksums_failed and not (self.gaps and self.book_state != "live")


class Found(msgspec.Struct):
    """``unknown``: frames that name no instrument; ``passed_over``: of kinds that are not read, or rows that led to nothing;
    ``bad_lines``: lines of the recording that are none; ``problem``: why the reading ended early, or the first of these.
    """

    venue: Venue
    instruments: list[Checked]
    unknown: int
    passed_over: int
    bad_lines: int
    problem: str = ""


BESIDE = ("unreadable", "clock_skew_ns")
See = Callable[[InstrumentId, MarketState, Sequence[Record]], None]
SAY_EVERY = 10_000
DATED = (BookDelta, Trade)


def check(
    paths: Sequence[Path],
    venue: Venue = "",
    seen: Callable[[int], None] | None = None,
    see: See | None = None,
    instrument: str = "",
) -> Found:
    """``venue`` is an adapter's name, or one that recorders write (``BINANCE_FUTURES``); empty: told from the recording.
    ``instrument`` is what a table's symbol is, where that does not tell it: BTC-USDT-PERP.
    ``seen`` hears how many frames so far, ``see`` what every frame led to. Hopeless where no adapter fits.
    """
    if are_tables(paths):
        return _check_tables(Tables(paths, venue_of_name(venue) or venue, instrument), seen, see)
    if instrument:
        raise Hopeless("--instrument is for tables: frames name their instruments")
    venue, adapter = recorded_venue(paths, venue)
    name = venue.rpartition(":")[2]
    stage = normalize_stage({name: venue})
    lines, states, found = Lines(name, adapter), dict[InstrumentId, MarketState](), dict[InstrumentId, Checked]()
    problem, least = "", 0
    bad_lines, unproved = 0, dict[InstrumentId, tuple[int, ...]]()
    try:
        for n, line in enumerate(lines.of(read(paths, past_bad_lines=True))):
            if lines.bad_lines != bad_lines:
                bad_lines, unproved = lines.bad_lines, _marks(states)
            states[line.key], out = stage.on_event(states.get(line.key), line, At(0, n, 0))
            one = found.get(line.key)
            if one is None:
                symbol = own_symbol(lines.symbols[line.key])
                one = found[line.key] = Checked(venue=name, instrument=line.key, venue_symbol=symbol)
            one.frames += not line.frame.startswith(EDGES) and _is_market_data(line.frame)
            for event in out:
                if isinstance(event, DATED) and believed(event.ts_event, event.ts_init):
                    least = min(least, event.ts_init - event.ts_event)
            if see is not None:
                see(line.key, states[line.key], list(out))
            if seen is not None and n % SAY_EVERY == 0:
                seen(n)
    except CaptureError as error:
        problem = str(error)
    if lines.bad_lines != bad_lines:
        unproved = _marks(states)
    marks = _marks(states)
    for key, one in found.items():
        _close(one, states[key], proved=marks[key] != unproved.get(key))
        one.clock_skew_ns = behind(least)
    passed_over = sum(state.passed_over for state in states.values())
    return Found(name, _by_name(found), lines.unknown, passed_over, lines.bad_lines, problem or lines.first_bad)


def _check_tables(tables: Tables, seen: Callable[[int], None] | None, see: See | None) -> Found:
    """What a row is to a table is a frame to a capture."""
    states, tally = dict[InstrumentId, MarketState](), Tally()
    problem, least = "", 0
    try:
        for n, (key, event, out) in enumerate(fold(tables, states, tally)):
            if isinstance(event, DATED) and believed(event.ts_event, event.ts_init):
                least = min(least, event.ts_init - event.ts_event)
            if see is not None:
                see(key, states[key], out)
            if seen is not None and n % SAY_EVERY == 0:
                seen(n)
    except CaptureError as error:
        problem = str(error)
    symbols = tables.symbols()
    found = {
        key: Checked(venue=tables.venue, instrument=key, venue_symbol=symbols[key], frames=rows)
        for key, rows in tally.rows.items()
    }
    for key, one in found.items():
        _close(one, states.get(key) or MarketState())
        one.clock_skew_ns = behind(least)
    return Found(tables.venue, _by_name(found), 0, tally.passed_over, 0, problem)


def _by_name(found: dict[InstrumentId, Checked]) -> list[Checked]:
    return sorted(found.values(), key=lambda one: one.instrument)


def _marks(states: dict[InstrumentId, MarketState]) -> dict[InstrumentId, tuple[int, ...]]:
    """They move with whatever proves a book or begins it anew."""
    books = ((key, state.book) for key, state in states.items())
    return {key: (book.updates, book.resyncs, book.gaps, int(book.book is None)) for key, book in books}


def _is_market_data(frame: bytes) -> bool:
    """Whether it is one of the venue's stream, or a snapshot: no definition."""
    return not frame.startswith(ANSWER) or frame.startswith(b'{"rest":"depth"')


def _close(one: Checked, state: MarketState, proved: bool = True) -> None:
    """``proved``: no bad line, which may have been a change of the book, stands behind its last one."""
    book = state.book
    one.trades, one.quotes, one.unreadable = state.trades, state.quotes, state.unreadable
    one.book_updates, one.gaps, one.resyncs = book.updates, book.gaps, book.resyncs
    one.checksums_verified, one.checksums_failed = book.verified, book.failed
    if book.book is None or not proved:
        one.book_state = "stale" if book.gaps or book.book is not None else "none"
        return
    one.book_state = "live"
    one.bids, one.asks = len(book.book.bid_order), len(book.book.ask_order)
    one.best_bid, one.best_ask = _plain(book.book.top_bid), _plain(book.book.top_ask)
    one.book_digest = book.book.digest()


def _plain(level: Level | None) -> Level | None:
    return None if level is None else (plain(level[0]), plain(level[1]))


def as_json(one: Checked) -> dict[str, Any]:
    """The fields up to the digest; what else is known is told beside."""
    found: dict[str, Any] = msgspec.to_builtins(one)
    for name in BESIDE:
        del found[name]
    return found
