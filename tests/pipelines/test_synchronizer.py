"""What compiled code does with the usual delta is what the synchronizer does without it."""

from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import BookRules, Parsed, Reading, Session, Snapshots
from pipelines import synchronizer
from pipelines.synchronizer import BookState, Source
from topics import native
from topics.market import BookDelta, BookSnapshot
from topics.record import Level, Record

INSTRUMENT = "sim:BTC-USDT"
Step = Callable[[BookState, Source, int], list[Record]]
RULES = [
    BookRules(Snapshots.STREAM),
    BookRules(Snapshots.STREAM, settles=True),
    BookRules(Snapshots.REST),
    BookRules(Snapshots.STREAM, checksum=lambda book: len(book.bid_levels)),
]
PRICES = st.integers(90, 110).map(str)
LEVELS = st.lists(st.tuples(PRICES, st.sampled_from(["0", "1", "2.5", "1", "2", "x"])), max_size=4).map(tuple)
NUMBERS = st.one_of(st.integers(0, 8), st.sampled_from([2**62, 2**63 - 1, 2**63, 2**70]))
CHECKSUMS = st.one_of(st.none(), st.integers(0, 3))


def parse(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    return None


def snapshot(bids: tuple[Level, ...], asks: tuple[Level, ...], sequence: int) -> Step:
    told = BookSnapshot(instrument=INSTRUMENT, bids=bids, asks=asks, sequence=sequence, ts_event=sequence, ts_init=0)
    return lambda state, source, now: synchronizer.on_snapshot(state, source, told, now)


def delta(
    bids: tuple[Level, ...], asks: tuple[Level, ...], first: int, more: int, ts_event: int, checksum: int | None
) -> Step:
    told = BookDelta(
        instrument=INSTRUMENT,
        bids=bids,
        asks=asks,
        first_sequence=first,
        sequence=first + more,
        ts_event=ts_event,
        ts_init=0,
    )
    return lambda state, source, now: synchronizer.on_delta(state, source, told, now, checksum)


def session(beside: str) -> Step:
    return lambda state, source, now: synchronizer.on_session(state, source, Session("b", beside), now)


def next_delta(bids: tuple[Level, ...], asks: tuple[Level, ...], more: int, checksum: int | None) -> Step:
    """One that continues the book, where there is any."""

    def step(state: BookState, source: Source, now: int) -> list[Record]:
        first = 1 if state.book is None else state.book.sequence + 1
        return delta(bids, asks, first, more, now, checksum)(state, source, now)

    return step


STEPS = st.lists(
    st.one_of(
        st.builds(snapshot, LEVELS, LEVELS, NUMBERS),
        st.builds(next_delta, LEVELS, LEVELS, st.integers(0, 2), CHECKSUMS),
        st.builds(next_delta, LEVELS, LEVELS, st.integers(0, 2), CHECKSUMS),
        st.builds(delta, LEVELS, LEVELS, NUMBERS, st.integers(0, 2), st.integers(0, 5), CHECKSUMS),
        st.builds(session, st.sampled_from(["", "a"])),
    ),
    max_size=15,
)


@pytest.mark.skipif(bool(native.ABSENT), reason=f"no compiled code: {native.ABSENT}")
@given(st.sampled_from(RULES), LEVELS, STEPS)
def test_compiled_and_plain_say_the_same_and_know_the_same(
    rules: BookRules, bids: tuple[Level, ...], steps: list[Step]
) -> None:
    source = Source("sim", INSTRUMENT, "BTCUSDT", rules, parse)
    compiled, plain = BookState(), BookState()
    for now, step in enumerate([snapshot(bids, (), 1), *steps], start=10):
        said = step(compiled, source, now)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(native, "follow", lambda *_: None)
            assert said == step(plain, source, now)
        assert repr(compiled) == repr(plain)


@pytest.mark.skipif(bool(native.ABSENT), reason=f"no compiled code: {native.ABSENT}")
def test_the_next_delta_of_a_live_book_is_the_usual_case_and_no_other() -> None:
    source, state = Source("sim", INSTRUMENT, "BTCUSDT", RULES[0], parse), BookState()
    told = BookDelta(instrument=INSTRUMENT, bids=(), asks=(), first_sequence=2, sequence=3, ts_event=1, ts_init=0)
    assert native.follow(state, told, 5) is None
    snapshot((("1", "1"),), (("2", "1"),), 1)(state, source, 5)
    assert native.follow(state, told, 6) is False
    assert native.follow(state, told, 7) is None
    assert (state.updates, state.moved_at, state.book and state.book.sequence) == (1, 6, 3)
    crossing = msgspec.structs.replace(told, bids=(("3", "1"),), first_sequence=4, sequence=4)
    assert native.follow(state, crossing, 8) is True
    refused = msgspec.structs.replace(told, bids=(("x", "1"),), first_sequence=5, sequence=5)
    assert native.follow(state, refused, 9) is None
    assert (state.updates, state.moved_at, state.book and state.book.sequence) == (2, 8, 4)
