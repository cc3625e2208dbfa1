"""One stream on two connections at once: the first copy counts, a hole in one is filled from the other."""

import random
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.base import gone_frame, session_frame
from adapters.registry import market_data
from infra.captures import Item, Kind, read
from pipelines.lines import Lines
from pipelines.normalize import MarketState, normalize_stage
from pipelines.overlap import LATELY_NS, LINGER_NS, TRADES_MOST
from pipelines.raw import encode_line
from pipelines.synchronizer import HELD_MOST, HOLD_NS, STILL_NS
from tests.folding import Folding, fold
from tests.pipelines.test_normalize import Reader, digits, kinds
from tests.pipelines.venue_model import INSTRUMENT, START_NS, SYMBOL, VenueModel
from topics.coordinates import At
from topics.market import Gap, Quote, Trade
from topics.record import Record

STAGE = normalize_stage({"sim": "binance"})
MS = 1_000_000
STEP = 100 * MS
FIRST = session_frame("1-1", SYMBOL)
SECOND = session_frame("1-2", SYMBOL, "1-1")
FIRST_GONE = gone_frame("1-1", SYMBOL, "1-2")
SECOND_GONE = gone_frame("1-2", SYMBOL, "1-1")


class Sent(NamedTuple):
    """How many milliseconds later what the venue sent at one step comes on either connection; None: it is lost."""

    first: int | None
    second: int | None


sent = st.builds(
    Sent,
    first=st.one_of(st.none(), st.integers(0, 240), st.just(0)),
    second=st.one_of(st.none(), st.integers(0, 240), st.just(0)),
)


def line(frame: bytes, ts: int) -> bytes:
    return encode_line(ts, INSTRUMENT, frame)


def two_copies(model: VenueModel, arrivals: list[Sent]) -> list[tuple[int, bytes]]:
    """Lines in the order they were received: a connection with its book, a second one beside it, and what each of both
    brought of depth, quotes and trades. A connection keeps its order.
    """
    begin = [FIRST, model.depth(), model.snapshot(), SECOND]
    lines = [(START_NS + i, 0, frame) for i, frame in enumerate(begin)]
    newest = [START_NS, START_NS]
    for n, arrival in enumerate(arrivals, start=1):
        frames = (model.depth(), model.quote(), model.trade())
        for connection, delay in enumerate(arrival):
            if delay is not None:
                newest[connection] = max(newest[connection] + 1, START_NS + n * STEP + delay * MS)
                lines += [(newest[connection], len(lines), frame) for frame in frames]
    return [(ts, frame) for ts, _, frame in sorted(lines)]


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 1000), arrivals=st.lists(sent, min_size=1, max_size=40))
def test_of_two_lossy_copies_a_live_book_is_the_true_one_and_what_came_on_either_is_told_once(
    seed: int, arrivals: list[Sent]
) -> None:
    model = VenueModel(seed)
    folding, reader, seen = Folding(STAGE), Reader(), list[Record]()
    for ts, frame in two_copies(model, arrivals):
        out = folding.feed(line(frame, ts))
        reader.take(out)
        seen += out
        state: MarketState = folding.states[INSTRUMENT]
        assert state.book.book == reader.book
        if reader.book is not None:
            assert digits(reader.book) == model.truth[reader.book.sequence]
    came = [n for n, arrival in enumerate(arrivals, start=1) if arrival != Sent(None, None)]
    assert sorted(int(t.trade_id) for t in seen if isinstance(t, Trade)) == came
    assert state.trades == len(came)
    told = [q.sequence for q in seen if isinstance(q, Quote)]
    assert told == sorted(set(told))


in_time = st.builds(Sent, st.one_of(st.none(), st.integers(0, 120)), st.integers(0, 120))
swapped = in_time.map(lambda s: Sent(s.second, s.first))


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 1000), arrivals=st.lists(st.one_of(in_time, swapped), min_size=1, max_size=40))
def test_where_every_delta_came_on_one_of_two_connections_in_time_there_is_no_gap(
    seed: int, arrivals: list[Sent]
) -> None:
    model = VenueModel(seed)
    folding = Folding(STAGE)
    out = [r for ts, frame in two_copies(model, arrivals) for r in folding.feed(line(frame, ts))]
    assert not kinds(out).keys() & {"Gap", "ResyncRequested", "DeadLetter"}
    state: MarketState = folding.states[INSTRUMENT]
    assert state.book.book is not None
    assert state.book.book.sequence == model.sequence
    assert digits(state.book.book) == model.truth[model.sequence]


@settings(deadline=None)
@given(seed=st.integers(0, 1000), arrivals=st.lists(sent, max_size=20), every=st.integers(1, 5))
def test_two_copies_fold_the_same_however_often_the_state_is_recoded(
    seed: int, arrivals: list[Sent], every: int
) -> None:
    lines = [line(frame, ts) for ts, frame in two_copies(VenueModel(seed), arrivals)]
    assert fold(STAGE, lines, recode_every=every) == fold(STAGE, lines)


def begun(seed: int, *frames: bytes) -> tuple[VenueModel, Folding]:
    """A live book, and then the frames."""
    model, folding = VenueModel(seed), Folding(STAGE)
    for frame in [FIRST, model.depth(), model.snapshot(), model.depth(), *frames]:
        folding.feed(line(frame, START_NS))
    return model, folding


def test_a_delta_that_is_missing_on_both_is_a_gap_as_soon_as_anything_comes_too_late() -> None:
    model, folding = begun(1, SECOND)
    expected = model.sequence + 1
    model.depth()
    ahead = model.depth()
    assert folding.feed(line(ahead, START_NS)) == []
    assert folding.feed(line(ahead, START_NS + 1)) == []  # the other connection's
    assert kinds(folding.feed(line(model.trade(), START_NS + HOLD_NS))) == {"Trade": 1}
    gap, asked, _ = folding.feed(line(model.trade(), START_NS + HOLD_NS + 1))
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.expected) == ("sequence", expected)
    assert type(asked).__name__ == "ResyncRequested"
    healed = folding.feed(line(model.snapshot(), START_NS + HOLD_NS + 2))
    assert kinds(healed)["BookSnapshot"] == 1


def test_what_is_held_is_bounded() -> None:
    model, folding = begun(2, SECOND)
    model.depth()
    out = [r for _ in range(HELD_MOST + 1) for r in folding.feed(line(model.depth(), START_NS))]
    assert kinds(out) == {"Gap": 1, "ResyncRequested": 1}


def test_with_one_connection_nothing_is_held() -> None:
    model, folding = begun(3)
    model.depth()
    assert kinds(folding.feed(line(model.depth(), START_NS))) == {"Gap": 1, "ResyncRequested": 1}


@pytest.mark.parametrize("gone", [FIRST_GONE, SECOND_GONE])
def test_when_one_of_two_goes_the_other_carries_on_and_later_a_hole_is_a_gap_at_once(gone: bytes) -> None:
    model, folding = begun(4, SECOND, gone)
    late = START_NS + LINGER_NS
    assert kinds(folding.feed(line(model.depth(), late))).keys() <= {"BookDelta", "Quote", "Mark"}
    model.depth()
    assert kinds(folding.feed(line(model.depth(), late))) == {"Gap": 1, "ResyncRequested": 1}


def test_a_connection_that_begins_alone_ends_the_book_though_there_were_two() -> None:
    _, folding = begun(5, SECOND)
    (gap,) = folding.feed(line(session_frame("1-3", SYMBOL), START_NS))
    assert isinstance(gap, Gap)
    assert gap.reason == "reconnected"
    state: MarketState = folding.states[INSTRUMENT]
    assert not state.book.overlap.at(START_NS)


def test_a_delta_cut_elsewhere_by_the_other_connection_is_taken_where_it_begins_inside_the_book() -> None:
    """Sizes are absolute: told again they change nothing."""
    model, folding = begun(6, SECOND)
    inside = model.sequence
    joined = model.depth().replace(b'"U":%d' % (inside + 1), b'"U":%d' % inside)
    assert kinds(folding.feed(line(joined, START_NS)))["BookDelta"] == 1
    state: MarketState = folding.states[INSTRUMENT]
    assert state.book.book is not None
    assert digits(state.book.book) == model.truth[model.sequence]


def test_numbers_that_begin_anew_are_no_copies_for_long() -> None:
    old, folding = begun(7, SECOND)
    new = VenueModel(8)
    for _ in range(50):
        folding.feed(line(old.depth(), START_NS))
    new.now = old.now + 10 * STEP
    assert kinds(folding.feed(line(new.depth(), START_NS + STILL_NS))).keys() <= {"Quote", "Mark"}
    assert kinds(folding.feed(line(new.depth(), START_NS + STILL_NS + 1)))["Gap"] == 1


@pytest.mark.parametrize(("sessions", "kept_ns"), [((), LATELY_NS), ((SECOND,), LINGER_NS)])
def test_the_trades_that_are_remembered_are_of_late_and_bounded(sessions: tuple[bytes, ...], kept_ns: int) -> None:
    model, folding = begun(9, *sessions)
    for _ in range(TRADES_MOST + 10):
        folding.feed(line(model.trade(), START_NS))
    told = folding.states[INSTRUMENT].told
    assert len(told.trades) == TRADES_MOST
    model.now += kept_ns
    folding.feed(line(model.trade(), START_NS))
    assert len(told.trades) == TRADES_MOST
    model.now += MS
    folding.feed(line(model.trade(), START_NS))
    assert len(told.trades) == 2


# --- recordings -----------------------------------------------------------------------------------------------------


def lossy_twice(items: Iterable[Item]) -> Iterator[Item]:
    """Each connection once more, up to 100 ms later; each copy lacks one frame of fifty, never both the same one."""
    chance, found = random.Random(1), list[tuple[int, int, Item]]()
    newest, urls = dict[str, int](), dict[str, str]()
    for item in items:
        if item.kind is not Kind.FRAME:
            found.append((item.ts, len(found), item))
            if item.kind is Kind.OPENED:
                urls[item.connection] = item.about
            continue
        other = f"{item.connection} again"
        if other not in newest:
            url, beside = urls.get(item.connection, ""), item.connection.encode()
            found.append((item.ts - 1, len(found), Item(item.ts - 1, Kind.OPENED, other, url, beside)))
        later = newest[other] = max(newest.get(other, 0) + 1, item.ts + chance.randint(1, 100) * MS)
        lost = chance.randrange(50)
        if lost != 0:
            found.append((item.ts, len(found), item))
        if lost != 1:
            found.append((later, len(found), item._replace(ts=later, connection=other)))
    return (item for _, _, item in sorted(found))


def states(venue: str, items: Iterable[Item]) -> dict[str, MarketState]:
    stage, found = normalize_stage({venue: venue}), dict[str, MarketState]()
    for n, at in enumerate(Lines(venue, market_data(venue)).of(items)):
        found[at.key], _ = stage.on_event(found.get(at.key), at, At(0, n, 0))
    return found


@pytest.mark.parametrize("venue", ["kraken_futures", "deribit", "kucoin", "gateio", "bybit"])
def test_a_recording_on_two_lossy_connections_ends_in_the_same_books_and_trades(data_dir: Path, venue: str) -> None:
    items = list(islice(read([data_dir / "cryptofeed" / f"{venue.upper()}.jsonl.zst"]), 4_000))
    once, twice = states(venue, items), states(venue, lossy_twice(items))
    assert once.keys() == twice.keys()
    for instrument, one in once.items():
        two = twice[instrument]
        assert (two.book.book, two.book.gaps, two.trades) == (one.book.book, one.book.gaps, one.trades), instrument
    assert sum(two.book.copies for two in twice.values()) > 30
