"""What the tests of venues share: a recording through normalize's own stage, unharmed or with faults, and mutated frames.

An independent rebuild (``Naive``) is each test's own: it gets the recorded items one by one and keeps dicts of Decimal.
"""

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from adapters.base import BadFrame, Reading
from adapters.registry import market_data
from infra.captures import Item, Kind, read
from pipelines.lines import Lines
from pipelines.normalize import MarketState, normalize_stage
from topics.coordinates import At
from topics.record import InstrumentId, Record

Sides = tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]
TS = 1_700_000_000_000_000_000


class Naive(Protocol):
    """Books by venue symbol, rebuilt in the plainest way from the venue's own frames."""

    books: dict[str, Sides]

    def feed(self, item: Item) -> None: ...


class Played(NamedTuple):
    states: dict[InstrumentId, MarketState]
    symbols: dict[InstrumentId, str]
    records: list[Record]

    def of(self, kind: type[Record], instrument: InstrumentId = "") -> list[Record]:
        return [r for r in self.records if type(r) is kind and instrument in ("", getattr(r, "instrument", ""))]


See = Callable[[Item, dict[InstrumentId, MarketState], list[Record]], None]


def items_of(*paths: Path) -> list[Item]:
    return list(read(paths))


def play(venue: str, items: Iterable[Item], see: See | None = None) -> Played:
    """Through ``Lines`` and the stage, as a recording goes. ``see`` hears of the states after each item."""
    name = venue.rpartition(":")[2]
    stage, lines = normalize_stage({name: venue}), Lines(name, market_data(venue))
    states: dict[InstrumentId, MarketState] = {}
    records: list[Record] = []
    for item in items:
        new: list[Record] = []
        for line in lines.of([item]):
            states[line.key], out = stage.on_event(states.get(line.key), line, At(0, len(records), 0))
            new += out
        records += new
        if see is not None:
            see(item, states, new)
    return Played(states, lines.symbols, records)


def sides(state: MarketState) -> Sides | None:
    """The stage's book as the naive one is kept; None where there is none to be trusted."""
    book = state.book.book
    return None if book is None else (dict(book.bids()), dict(book.asks()))


def assert_equal_books(venue: str, items: Sequence[Item], naive: Naive, every: int = 50) -> Played:
    """Every live book equals the naive one, at the end and after each ``every``-th item."""
    seen = 0

    def see(item: Item, states: dict[InstrumentId, MarketState], new: list[Record]) -> None:
        nonlocal seen
        naive.feed(item)
        seen += 1
        if seen % every == 0 or seen == len(items):
            for instrument, state in states.items():
                if (found := sides(state)) is not None:
                    symbol = market_data(venue).venue_symbol(instrument)
                    assert found == naive.books[symbol], (instrument, seen)

    return play(venue, items, see)


def faulty(items: Sequence[Item], fault: str, at: int, other: int) -> list[Item]:
    """``lost``, ``repeated`` or ``swapped`` (with the one at ``other``)."""
    out = list(items)
    match fault:
        case "lost":
            del out[at]
        case "repeated":
            out.insert(at, out[at])
        case "swapped":
            out[at], out[other] = out[other]._replace(ts=out[at].ts), out[at]._replace(ts=out[other].ts)
    return out


def with_snapshot(
    items: Sequence[Item], fault: str, at: int, other: int, naive: Naive, snapshot: Callable[[Item], Item]
) -> list[Item]:
    """The faulty stream with what the venue would send next: a snapshot as of the item at ``other``, made by ``snapshot``
    from ``naive`` (which is fed up to there) beside that item.
    """
    for item in items[: other + 1]:
        naive.feed(item)
    out, added = faulty(items, fault, at, other), {"lost": -1, "repeated": 1}.get(fault, 0)
    out.insert(other + 1 + added, snapshot(items[other]))
    return out


def frames(items: Iterable[Item]) -> list[Item]:
    return [item for item in items if item.kind is Kind.FRAME]


NUMBERS = tuple(
    rb"""-1 0 1e400 1e-400 1e9999999 1e999999999999 -1e9999999 0e-999999999 999999999999999999999999999999 null "x" [] NaN
    1.5 0.000""".split()
)


def mutated(frame: bytes, chance: random.Random) -> bytes:
    """One way in which a frame may be broken."""
    at, to = sorted((chance.randrange(len(frame) + 1), chance.randrange(len(frame) + 1)))
    match chance.randrange(6):
        case 0:
            return frame[:at]
        case 1:
            return frame[:at] + bytes([chance.randrange(256)]) + frame[at + 1 :]
        case 2:
            return frame[:at] + frame[to:]
        case 3:
            return frame[:to] + frame[at:]
        case 4:
            found = list(re.finditer(rb'"?-?\d[\d.eE+-]*"?', frame))
            if not found:
                return frame
            span, number = chance.choice(found), chance.choice(NUMBERS)
            quoted = b'"%b"' % number.strip(b'"') if span[0].startswith(b'"') and chance.random() < 0.7 else number
            return frame[: span.start()] + quoted + frame[span.end() :]
        case _:
            found = list(re.finditer(rb'"(\w+)":', frame))
            if not found:
                return frame
            span = chance.choice(found)
            return frame[: span.start()] + b'"other":' + frame[span.end() :]


def fuzz(venue: str, items: Sequence[Item], rounds: int = 1500, seed: int = 7) -> None:
    """Nothing but BadFrame out of the parser, and no exception at all out of the stage."""
    chance, adapter = random.Random(seed), market_data(venue)
    symbols = sorted({s for item in frames(items) for s in adapter.symbols_in(item.data)})
    known = [adapter.instrument_of(venue.rpartition(":")[2], symbol) for symbol in symbols]
    broken: list[Item] = []
    for _ in range(rounds):
        item = chance.choice(items)
        if item.kind in (Kind.FRAME, Kind.ANSWER):
            item = item._replace(data=mutated(item.data[:20_000], chance))
            try:
                adapter.parse(item.data, Reading(venue, chance.choice(known), TS, 0, {}))
            except BadFrame:
                pass
        broken.append(item)
    play(venue, broken)


class NaiveBooks:
    """The plainest books: for a ``Naive`` to tell its ``change`` of."""

    def __init__(self) -> None:
        self.books: dict[str, Sides] = {}

    def change(self, symbol: str, changes: Mapping[str, Sequence[Sequence[Any]]], anew: bool) -> None:
        """``changes`` are levels, price and size first, of ``bids`` and ``asks``; a size of 0 removes."""
        if anew or symbol not in self.books:
            self.books[symbol] = ({}, {})
        for side, name in zip(self.books[symbol], ("bids", "asks"), strict=True):
            for level in changes[name]:
                price, size = Decimal(level[0]), Decimal(level[1])
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)


class NaiveWaiting(NaiveBooks):
    """As books begin with an answer: changes before one wait for it, those that end inside it are dropped. ``at``: the number that
    each book has come to.
    """

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[str, int] = {}
        self.waiting: dict[str, list[tuple[Mapping[str, Any], int]]] = {}

    def begin(self, symbol: str, levels: Mapping[str, Any], number: int) -> None:
        self.change(symbol, levels, anew=True)
        self.at[symbol] = number
        for change in self.waiting.pop(symbol, []):
            self.go_on(symbol, *change)

    def go_on(self, symbol: str, changes: Mapping[str, Any], number: int) -> None:
        if symbol not in self.books:
            self.waiting.setdefault(symbol, []).append((changes, number))
        elif number > self.at[symbol]:
            self.at[symbol] = number
            self.change(symbol, changes, anew=False)
