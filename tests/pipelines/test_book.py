from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from topics.book import Book
from topics.market import BookDelta, BookSnapshot
from topics.record import Level

PRICES = st.integers(1, 30).map(lambda n: Decimal(n).scaleb(-2))
SIZES = st.integers(0, 5).map(lambda n: Decimal(n).scaleb(-3))
LEVELS = st.lists(st.tuples(PRICES, SIZES), max_size=12).map(tuple)


def snapshot(bids: tuple[Level, ...] = (), asks: tuple[Level, ...] = (), sequence: int = 1) -> BookSnapshot:
    return BookSnapshot(instrument="sim:BTC-USDT", bids=bids, asks=asks, sequence=sequence, ts_event=0, ts_init=0)


def delta(bids: tuple[Level, ...] = (), asks: tuple[Level, ...] = (), sequence: int = 2) -> BookDelta:
    return BookDelta(
        instrument="sim:BTC-USDT",
        bids=bids,
        asks=asks,
        first_sequence=sequence,
        sequence=sequence,
        ts_event=0,
        ts_init=0,
    )


def level(price: str, size: str) -> Level:
    return Decimal(price), Decimal(size)


def test_the_best_levels_are_the_highest_bid_and_the_lowest_ask() -> None:
    book = Book.of(snapshot((level("1.0", "5"), level("1.2", "6")), (level("1.5", "7"), level("1.4", "8"))))
    assert (book.best_bid, book.best_ask) == (level("1.2", "6"), level("1.4", "8"))
    assert not book.crossed


def test_an_empty_side_has_no_best_level() -> None:
    book = Book.of(snapshot())
    assert (book.best_bid, book.best_ask, book.crossed) == (None, None, False)


def test_a_size_of_zero_removes_a_level_and_is_harmless_where_there_is_none() -> None:
    book = Book.of(snapshot((level("1.0", "5"), level("1.1", "6"))))
    book.apply(delta((level("1.1", "0.000"), level("0.9", "0"))))
    assert book.bids() == [level("1.0", "5")]


def test_a_bid_at_or_above_an_ask_is_crossed() -> None:
    book = Book.of(snapshot((level("1.0", "5"),), (level("1.1", "5"),)))
    book.apply(delta(bids=(level("1.10", "1"),)))
    assert book.crossed


def test_a_part_of_the_book_is_its_best_levels() -> None:
    book = Book.of(
        snapshot(tuple(level(f"1.{i}", "1") for i in range(5)), tuple(level(f"2.{i}", "1") for i in range(5)))
    )
    assert [str(p) for p, _ in book.bids(2)] == ["1.4", "1.3"]
    assert [str(p) for p, _ in book.asks(2)] == ["2.0", "2.1"]
    assert book.bids(0) == book.asks(0) == []
    assert len(book.bids(99)) == len(book.asks(99)) == 5


@given(start=st.tuples(LEVELS, LEVELS), changes=st.lists(st.tuples(LEVELS, LEVELS), max_size=8))
def test_it_is_what_a_plain_dictionary_would_be(
    start: tuple[tuple[Level, ...], tuple[Level, ...]], changes: list[tuple[tuple[Level, ...], tuple[Level, ...]]]
) -> None:
    book = Book.of(snapshot(*start))
    naive: tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]] = (dict(start[0]), dict(start[1]))
    for n, change in enumerate(changes, start=2):
        book.apply(delta(*change, sequence=n))
        for side, levels in zip(naive, change, strict=True):
            side.update(dict(levels))
    bids, asks = ({p: s for p, s in side.items() if s} for side in naive)
    assert book.bids() == sorted(bids.items(), reverse=True)
    assert book.asks() == sorted(asks.items())
    assert book.crossed == (bool(bids and asks) and max(bids) >= min(asks))
    assert book.sequence == len(changes) + 1


@given(LEVELS, LEVELS)
def test_it_survives_being_stored_to_the_digit(bids: tuple[Level, ...], asks: tuple[Level, ...]) -> None:
    book = Book.of(snapshot(bids, asks))
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(book), type=Book)
    assert again == book
    assert repr(again) == repr(book)
