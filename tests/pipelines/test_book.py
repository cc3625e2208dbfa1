import hashlib
from collections.abc import Iterable, Iterator
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from topics import native
from topics.book import BadLevel, Book
from topics.market import BookDelta, BookSnapshot
from topics.record import Level

PRICES = st.integers(1, 30).map(lambda n: str(Decimal(n).scaleb(-2)))
SIZES = st.integers(0, 5).map(lambda n: str(Decimal(n).scaleb(-3)))
LEVELS = st.lists(st.tuples(PRICES, SIZES), max_size=12).map(tuple)
COMPILED = pytest.mark.skipif(bool(native.ABSENT), reason=f"no compiled code: {native.ABSENT}")


@pytest.fixture(autouse=True, scope="module", params=[pytest.param("compiled", marks=COMPILED), "plain"])
def _which(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test runs for both."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "plain":
            patch.setattr(native, "apply", lambda *_: None)
        yield


class PlainBook(Book):
    """The twin alone."""

    def apply(self, delta: BookDelta | BookSnapshot) -> bool:
        return self._apply_plainly(delta)


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
    return price, size


def numbers(price: str, size: str) -> tuple[Decimal, Decimal]:
    return Decimal(price), Decimal(size)


def test_the_best_levels_are_the_highest_bid_and_the_lowest_ask() -> None:
    book = Book.of(snapshot((level("1.0", "5"), level("1.2", "6")), (level("1.5", "7"), level("1.4", "8"))))
    assert (book.best_bid, book.best_ask) == (numbers("1.2", "6"), numbers("1.4", "8"))
    assert (book.top_bid, book.top_ask) == (level("1.2", "6"), level("1.4", "8"))
    assert not book.crossed


def test_an_empty_side_has_no_best_level() -> None:
    book = Book.of(snapshot())
    assert (book.best_bid, book.best_ask, book.crossed) == (None, None, False)


def test_a_size_of_zero_removes_a_level_and_is_harmless_where_there_is_none() -> None:
    book = Book.of(snapshot((level("1.0", "5"), level("1.1", "6"))))
    book.apply(delta((level("1.1", "0.000"), level("0.9", "0"))))
    assert book.bids() == [numbers("1.0", "5")]


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


def test_a_price_is_one_level_however_many_zeros_the_venue_writes() -> None:
    book = Book.of(snapshot((level("1.0", "5"),)))
    book.apply(delta((level("1.00", "6"),)))
    assert book.bid_texts() == [level("1.00", "6")]
    book.apply(delta((level("1", "0"),)))
    assert book.bid_texts() == []


def test_a_bounded_book_forgets_what_falls_off_its_end() -> None:
    book = Book.of(replace(snapshot((level("3", "1"), level("2", "1")), (level("4", "1"), level("5", "1"))), depth=2))
    book.apply(delta((level("2.5", "1"),), (level("3.5", "1"),)))
    assert [p for p, _ in book.bid_texts()] == ["3", "2.5"]
    assert [p for p, _ in book.ask_texts()] == ["3.5", "4"]
    book.apply(delta((level("3", "0"),)))
    assert [p for p, _ in book.bid_texts()] == ["2.5"]


@pytest.mark.parametrize(
    ("price", "size"),
    [("0", "1"), ("-1", "1"), ("nan", "1"), ("inf", "1"), ("", "1"), ("x", "1"), ("1", "-1"), ("1", "nan"), ("1", "x"),
     ("1.000000000000001", "1"), ("1e18", "1"), ("1", "1e18")],
)  # fmt: skip
def test_what_can_be_no_level_is_refused(price: str, size: str) -> None:
    with pytest.raises(ValueError, match=r"level|float"):
        Book.of(snapshot((level(price, size),)))


def test_fifteen_digits_of_a_price_are_exact_and_zeros_do_not_count() -> None:
    near = [f"1234567890.1234{n}" for n in range(10)]
    book = Book.of(snapshot(asks=tuple(level(p + "000", "1") for p in near)))
    assert [p for p, _ in book.asks()] == [Decimal(p) for p in near]


def test_a_digest_is_of_plain_numbers_from_best_to_worst() -> None:
    book = Book.of(snapshot((level("1.10", "5.0"), level("1e-7", "100")), (level("2.00", "0.10"),)))
    lines = b"B 1.1 5\nB 0.0000001 100\nA 2 0.1\n"
    assert book.digest() == hashlib.sha256(lines).hexdigest()


@given(start=st.tuples(LEVELS, LEVELS), changes=st.lists(st.tuples(LEVELS, LEVELS), max_size=8))
def test_it_is_what_a_plain_dictionary_would_be(
    start: tuple[tuple[Level, ...], tuple[Level, ...]], changes: list[tuple[tuple[Level, ...], tuple[Level, ...]]]
) -> None:
    book = Book.of(snapshot(*start))
    naive: tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]] = (_numbers(start[0]), _numbers(start[1]))
    for n, change in enumerate(changes, start=2):
        book.apply(delta(*change, sequence=n))
        for side, levels in zip(naive, change, strict=True):
            side.update(_numbers(levels))
    bids, asks = ({p: s for p, s in side.items() if s} for side in naive)
    assert book.bids() == sorted(bids.items(), reverse=True)
    assert book.asks() == sorted(asks.items())
    assert book.crossed == (bool(bids and asks) and max(bids) >= min(asks))
    assert book.sequence == len(changes) + 1


def _numbers(levels: Iterable[Level]) -> dict[Decimal, Decimal]:
    return dict(numbers(*level) for level in levels)


@given(LEVELS, LEVELS)
def test_it_survives_being_stored_to_the_digit(bids: tuple[Level, ...], asks: tuple[Level, ...]) -> None:
    book = Book.of(snapshot(bids, asks))
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(book), type=Book)
    assert again == book
    assert repr(again) == repr(book)


TEXTS = st.one_of(
    st.decimals(0, 10**20, allow_nan=False, places=9).map(str),
    st.integers(0, 10**9).map(lambda n: f"{n / 100:.2f}"),
    st.from_regex(r"[0-9]{0,18}\.?[0-9]{0,30}", fullmatch=True),
    st.sampled_from(
        ["", ".", "-1", "nan", "inf", "1e5", " 1", "1_0", "\u0661", "0x1", "1.", ".5", "+1", "0", "0.000", "9" * 18]
    ),
)
TWO_SIDES = st.tuples(*[st.lists(st.tuples(st.one_of(PRICES, TEXTS), st.one_of(SIZES, TEXTS)), max_size=9)] * 2)


@given(st.tuples(LEVELS, LEVELS), st.integers(0, 5), st.lists(TWO_SIDES, max_size=6))
def test_compiled_and_plain_are_the_same_to_the_byte_whatever_the_texts(
    start: tuple[tuple[Level, ...], tuple[Level, ...]],
    depth: int,
    changes: list[tuple[list[Level], list[Level]]],
) -> None:
    began = replace(snapshot(*start), depth=depth)
    ours, plain = Book.of(began), PlainBook.of(began)
    for bids, asks in changes:
        assert _outcome(ours, bids, asks) == _outcome(plain, bids, asks)
        assert msgspec.msgpack.encode(ours) == msgspec.msgpack.encode(plain)
        assert ours.digest() == plain.digest()


def _outcome(book: Book, bids: list[Level], asks: list[Level]) -> str:
    try:
        return repr(book.apply(delta(tuple(bids), tuple(asks))))
    except ValueError as error:
        return repr(error)


@given(st.lists(st.tuples(PRICES, SIZES), max_size=90))
def test_many_changes_at_once_come_to_what_one_by_one_do(levels: list[Level]) -> None:
    whole, single = Book.of(snapshot(tuple(levels), tuple(levels))), Book.of(snapshot())
    for one in levels:
        single.apply(delta((one,), (one,), sequence=1))
    assert msgspec.msgpack.encode(whole) == msgspec.msgpack.encode(single)


def test_a_level_that_cannot_be_leaves_the_book_as_it_was() -> None:
    book = Book.of(snapshot((level("1.0", "5"),), (level("2.0", "5"),)))
    before = msgspec.msgpack.encode(book)
    with pytest.raises(BadLevel):
        book.apply(delta((level("1.1", "5"),), (level("2.1", "5"), level("2.2", "-5"))))
    assert msgspec.msgpack.encode(book) == before


@pytest.mark.parametrize(
    "text", ["1_00.5", " 100.5", "100.5\n", "\uff11\uff10\uff10.5", "+100.5", "inf", "nan", "", "0x10"]
)
def test_what_python_takes_for_a_number_and_no_venue_writes_is_no_level(text: str) -> None:
    for one in [level(text, "1"), level("1", text)]:
        with pytest.raises(BadLevel):
            Book.of(snapshot((one,)))


@pytest.mark.parametrize("depth", [-1, 2**31 + 1, 2**70])
def test_a_depth_that_no_book_has_is_refused(depth: int) -> None:
    with pytest.raises(BadLevel):
        Book.of(replace(snapshot((level("1.0", "5"),)), depth=depth))
