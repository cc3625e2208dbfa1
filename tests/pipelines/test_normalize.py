import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.base import rest_frame
from adapters.binance.symbols import instrument_of
from pipelines.normalize import MarketState, normalize_stage
from pipelines.raw import encode_line
from tests.folding import Folding, fold, run
from tests.pipelines.venue_model import INSTRUMENT, START_NS, SYMBOL, VenueModel, raw_stream
from tests.recordings import Frame, cryptofeed_binance, hftbacktest
from topics.book import Book
from topics.market import (
    BookDelta,
    BookSnapshot,
    Gap,
    Instrument,
    InstrumentStatus,
    Mark,
    Quote,
    ResyncRequested,
    Trade,
    TradingStatus,
)
from topics.record import Record
from topics.system import DeadLetter

STAGE = normalize_stage({"sim": "binance", "binance": "binance"})


def kinds(records: Iterable[Record]) -> Counter[str]:
    return Counter(type(r).__name__ for r in records)


def line(frame: bytes, ts: int = START_NS, key: str = INSTRUMENT) -> bytes:
    return encode_line(ts, key, frame)


def live(folding: Folding) -> Book | None:
    state: MarketState = folding.states[INSTRUMENT]
    return state.book.book


def digits(book: Book) -> Any:
    return (
        [(f"{p:f}", f"{q:f}") for p, q in book.bids()],
        [(f"{p:f}", f"{q:f}") for p, q in book.asks()],
    )


def recorded(frames: Iterable[Frame]) -> list[bytes]:
    return [encode_line(f.ts, instrument_of("sim", f.symbol), f.data) for f in frames]


class Reader:
    """Keeps a book as a consumer of ``market.events`` does."""

    def __init__(self) -> None:
        self.book: Book | None = None

    def take(self, records: Iterable[Record]) -> None:
        for record in records:
            if isinstance(record, BookSnapshot):
                self.book = Book.of(record)
            elif isinstance(record, Gap):
                self.book = None
            elif isinstance(record, BookDelta):
                assert self.book is not None, "a delta that continues nothing"
                self.book.apply(record)


# --- recordings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symbol", ["btcusdt", "ethusdt"])
def test_on_recorded_days_the_books_top_is_what_the_venue_quotes(data_dir: Path, symbol: str) -> None:
    folding, reader = Folding(STAGE), Reader()
    quotes: list[Quote] = []
    tops: list[tuple[int, Any]] = []
    said = 0
    for day in ("20240808", "20240809"):  # the second file continues the first
        for frame in hftbacktest(data_dir / "hftbacktest" / "spot" / f"{symbol}_{day}.gz"):
            said += b'"e":"trade"' in frame.data
            out = folding.feed(encode_line(frame.ts, instrument_of("sim", frame.symbol), frame.data))
            reader.take(out)
            quotes += [r for r in out if isinstance(r, Quote)]
            said -= sum(isinstance(r, Trade) for r in out)
            assert not any(isinstance(r, Gap | ResyncRequested | DeadLetter) for r in out)
            if reader.book is not None and any(isinstance(r, BookDelta | BookSnapshot) for r in out):
                tops.append((reader.book.sequence, (reader.book.best_bid, reader.book.best_ask)))
    assert said == 0, "trades told are not the trades sent"
    agree, exact = _compare(tops, quotes)
    assert exact.count(True) > 1000
    assert all(exact), "at an update id that the venue quoted at, the book's top must be that quote"
    assert agree.count(False) <= 2, "between quotes the top stands, but for moments that the venue itself did not quote"
    assert len(agree) > 6000


def _compare(tops: list[tuple[int, Any]], quotes: list[Quote]) -> tuple[list[bool], list[bool]]:
    """Per book update: does its top equal the last quote by then; and of those, where the quote is of that very update."""
    ids = [q.sequence for q in quotes]
    agree, exact = [], []
    for sequence, top in tops:
        i = bisect_right(ids, sequence) - 1
        if i < 0:
            continue
        q = quotes[i]
        same = top == ((q.best_bid, q.bid_size), (q.best_ask, q.ask_size))
        agree.append(same)
        if q.sequence == sequence:
            exact.append(same)
    return agree, exact


def test_a_capture_that_only_continues_another_never_has_a_book_and_asks_for_one(data_dir: Path) -> None:
    out = run(STAGE, recorded(hftbacktest(data_dir / "hftbacktest" / "spot" / "btcusdt_20240809.gz"))[:20_000])
    counted = kinds(out)
    assert counted["BookDelta"] == counted["BookSnapshot"] == counted["Gap"] == 0
    asked = [r.ts_init for r in out if isinstance(r, ResyncRequested)]
    assert len(asked) > 5
    assert all(5e9 <= b - a < 6e9 for a, b in pairwise(asked))


@pytest.mark.parametrize("name", ["BINANCE", "BINANCE_US"])
def test_recorded_frames_of_several_symbols_each_have_their_book(data_dir: Path, name: str) -> None:
    frames = cryptofeed_binance(data_dir / "cryptofeed" / f"{name}.jsonl.zst")
    folding = Folding(STAGE)
    out = [r for raw in recorded(frames) for r in folding.feed(raw)]
    counted = kinds(out)
    assert counted["BookSnapshot"] == len({f.symbol for f in frames}) == 4
    assert sum(isinstance(r, Quote) and not r.of_book for r in out) == sum(b"@bookTicker" in f.data for f in frames)
    assert not counted.keys() & {"Gap", "DeadLetter", "ResyncRequested"}
    passed_over = sum(s.passed_over for s in folding.states.values())
    assert passed_over == sum(b"@kline" in f.data for f in frames)
    assert counted["Trade"] == sum(b"@aggTrade" in f.data for f in frames)


@pytest.mark.parametrize("every", [1, 7, 100])
def test_it_folds_the_same_when_its_state_was_encoded_and_decoded_in_between(data_dir: Path, every: int) -> None:
    lines = recorded(hftbacktest(data_dir / "hftbacktest" / "spot" / "ethusdt_20240808.gz"))[: 300 * every]
    del lines[200:203]
    assert fold(STAGE, lines, recode_every=every) == fold(STAGE, lines)


# --- the book -------------------------------------------------------------------------------------------------------


def test_deltas_wait_for_the_snapshot_and_go_on_from_it() -> None:
    model = VenueModel(1)
    before = [model.depth() for _ in range(3)]
    snapshot = model.snapshot()
    after = [model.depth() for _ in range(2)]
    folding = Folding(STAGE)
    assert kinds(r for f in [*before, *after] for r in folding.feed(model.line(f))) == {}
    out = folding.feed(model.line(snapshot))
    assert kinds(out) == {"BookSnapshot": 1, "BookDelta": 2, "Quote": 1, "Mark": 1}
    book = live(folding)
    assert book is not None
    assert digits(book) == model.truth[model.sequence]


def test_a_lost_delta_is_a_gap_and_a_request_and_the_next_snapshot_heals_it() -> None:
    model = VenueModel(2)
    folding = Folding(STAGE)
    for frame in [model.depth(), model.snapshot(), model.depth()]:
        folding.feed(model.line(frame))
    expected = model.sequence + 1
    model.depth()
    lost_at = model.sequence
    out = folding.feed(model.line(model.depth()))
    assert kinds(out) == {"Gap": 1, "ResyncRequested": 1}
    gap, request = out
    assert isinstance(gap, Gap)
    assert isinstance(request, ResyncRequested)
    assert (gap.reason, gap.expected, gap.got) == ("sequence", expected, lost_at + 1)
    assert (request.venue, request.venue_symbol, request.reason) == ("sim", SYMBOL, "sequence")
    assert live(folding) is None
    assert kinds(folding.feed(model.line(model.snapshot()))) == {"BookSnapshot": 1, "Quote": 1, "Mark": 1}
    folding.feed(model.line(model.depth()))
    book = live(folding)
    assert book is not None
    assert digits(book) == model.truth[model.sequence]


def test_a_snapshot_older_than_the_stream_is_asked_for_again() -> None:
    model = VenueModel(3)
    old = model.snapshot()
    model.depth()
    folding = Folding(STAGE)
    folding.feed(model.line(model.depth()))
    (request,) = folding.feed(model.line(old))
    assert isinstance(request, ResyncRequested)
    assert request.reason == "snapshot older than the stream"
    assert live(folding) is None


def test_a_snapshot_that_a_live_book_does_not_need_changes_nothing() -> None:
    model = VenueModel(4)
    folding = Folding(STAGE)
    for frame in [model.depth(), model.snapshot(), model.depth()]:
        folding.feed(model.line(frame))
    assert folding.feed(model.line(model.snapshot())) == []


def test_a_snapshot_that_came_before_the_gap_heals_it() -> None:
    """As where a recording goes on in another one that begins with its snapshot."""
    model = VenueModel(4)
    folding = Folding(STAGE)
    for frame in [model.depth(), model.snapshot(), model.depth()]:
        folding.feed(model.line(frame))
    model.depth()
    assert folding.feed(model.line(model.snapshot())) == []
    out = folding.feed(model.line(model.depth()))
    assert kinds(out) == {"Gap": 1, "BookSnapshot": 1, "BookDelta": 1}
    book = live(folding)
    assert book is not None
    assert digits(book) == model.truth[model.sequence]
    model.depth()
    assert kinds(folding.feed(model.line(model.depth()))) == {"Gap": 1, "ResyncRequested": 1}


def test_a_delta_that_crosses_the_book_is_a_gap() -> None:
    model = VenueModel(5)
    folding = Folding(STAGE)
    folding.feed(model.line(model.snapshot()))
    crossing = json.loads(model.depth())
    crossing["data"]["b"] = [["500.00000000", "1.00000000"]]
    out = folding.feed(model.line(json.dumps(crossing).encode()))
    assert [r.reason for r in out if isinstance(r, Gap | ResyncRequested)] == ["crossed book"] * 2
    assert live(folding) is None


@pytest.mark.parametrize(
    "level", [["99.0", "-1.0"], ["-1", "1"], ["0", "1"], ["NaN", "1"], ["Infinity", "1"], ["x", "1"]]
)
def test_a_level_that_cannot_be_is_a_gap_and_the_next_snapshot_heals_it(level: list[str]) -> None:
    model = VenueModel(6)
    folding = Folding(STAGE)
    folding.feed(model.line(model.snapshot()))
    wrong = json.loads(model.depth())
    wrong["data"]["b"] = [level]
    assert kinds(folding.feed(model.line(json.dumps(wrong).encode()))) == {"Gap": 1, "ResyncRequested": 1}
    assert live(folding) is None
    assert kinds(folding.feed(model.line(model.snapshot())))["BookSnapshot"] == 1


def test_a_new_connection_ends_the_trust_in_the_book_and_in_the_quote() -> None:
    model = VenueModel(7)
    folding = Folding(STAGE)
    assert folding.feed(model.line(model.session())) == []
    for frame in [model.depth(), model.snapshot(), model.quote()]:
        folding.feed(model.line(frame))
    (gap,) = folding.feed(model.line(model.session(2)))
    assert isinstance(gap, Gap)
    assert gap.reason == "reconnected"
    model.now += 10**9
    assert kinds(folding.feed(model.line(model.trade()))) == {"Trade": 1}  # no mark from an old quote


def test_a_venue_that_started_anew_with_smaller_ids_is_followed_again() -> None:
    old, new = VenueModel(8), VenueModel(9)
    for _ in range(50):
        old.depth()
    folding = Folding(STAGE)
    for frame in [old.snapshot(), old.depth(), new.session(2), new.depth(), new.snapshot(), new.depth()]:
        folding.feed(line(frame))
    book = live(folding)
    assert book is not None
    assert digits(book) == new.truth[new.sequence]


def test_a_trade_that_is_sent_again_counts_once_on_a_new_connection_too() -> None:
    model, folding = VenueModel(7), Folding(STAGE)
    trade = model.trade()
    out = [folding.feed(line(frame)) for frame in [model.session(), trade, trade, model.session(2), trade]]
    assert [kinds(records)["Trade"] for records in out] == [0, 1, 0, 0, 0]
    assert folding.states[INSTRUMENT].trades == 1


def test_an_id_that_stands_for_another_trade_by_now_is_no_copy() -> None:
    first, anew = VenueModel(7), VenueModel(7)
    anew.now += 1_000_000
    folding = Folding(STAGE)
    out = [folding.feed(line(frame)) for frame in [first.session(), first.trade(), anew.session(2), anew.trade()]]
    assert [kinds(records)["Trade"] for records in out] == [0, 1, 0, 1]


def test_a_book_whose_frames_cannot_be_read_any_more_is_not_live() -> None:
    model, folding = VenueModel(7), Folding(STAGE)
    for frame in [model.session(), model.snapshot(), model.depth()]:
        folding.feed(line(frame))
    out = folding.feed(line(model.depth().replace(b'"U":', b'"V":')))
    assert kinds(out) == {"DeadLetter": 1, "Gap": 1, "ResyncRequested": 1}
    assert live(folding) is None


def test_a_frame_of_another_kind_that_cannot_be_read_ends_no_book() -> None:
    model, folding = VenueModel(7), Folding(STAGE)
    for frame in [model.session(), model.snapshot(), model.depth()]:
        folding.feed(line(frame))
    assert kinds(folding.feed(line(model.trade().replace(b'"p":', b'"P":')))) == {"DeadLetter": 1}
    assert live(folding) is not None


Damage = tuple[int, str, int]
damages = st.lists(
    st.tuples(st.integers(0, 130), st.sampled_from(["cut", "drop", "twice", "swap"]), st.integers(0, 10_000)),
    max_size=8,
)


def damaged(frames: list[bytes], damages: list[Damage]) -> list[bytes]:
    frames = list(frames)
    for where, how, size in damages:
        i = where % (len(frames) - 1)
        match how:
            case "cut":
                frames[i] = frames[i][: size % max(1, len(frames[i]))]
            case "drop":
                del frames[i]
            case "twice":
                frames.insert(i, frames[i])
            case "swap":
                frames[i], frames[i + 1] = frames[i + 1], frames[i]
    return frames


@settings(deadline=None)
@given(seed=st.integers(0, 1000), damages=damages)
def test_whatever_is_cut_lost_doubled_or_swapped_a_live_book_is_the_true_one(seed: int, damages: list[Damage]) -> None:
    model, frames = raw_stream(seed, 30)
    folding, reader = Folding(STAGE), Reader()
    for i, frame in enumerate(damaged(frames, damages)):
        reader.take(folding.feed(line(frame, START_NS + i * 10_000_000)))
        book = live(folding)
        assert book == reader.book
        if book is not None:
            assert digits(book) == model.truth[book.sequence]


@settings(deadline=None)
@given(seed=st.integers(0, 100), junk=st.lists(st.tuples(st.integers(0, 99), st.integers(0, 300), st.integers(0, 255))))
def test_whatever_the_bytes_nothing_is_raised_and_a_new_connection_heals(
    seed: int, junk: list[tuple[int, int, int]]
) -> None:
    model, frames = raw_stream(seed, 15)
    changed = [bytearray(f) for f in frames]
    for i, at, byte in junk:
        chosen = changed[i % len(changed)]
        chosen[at % len(chosen)] = byte
    folding, reader = Folding(STAGE), Reader()
    for broken in changed:
        reader.take(folding.feed(line(bytes(broken))))
        book = folding.states[INSTRUMENT].book.book if INSTRUMENT in folding.states else None
        assert book == reader.book
        assert book is None or not book.crossed
    for frame in [model.session(2), model.depth(), model.snapshot(), model.depth()]:
        folding.feed(line(frame))
    book = live(folding)
    assert book is not None
    assert digits(book) == model.truth[model.sequence]


@settings(deadline=None)
@given(seed=st.integers(0, 1000), damages=damages, every=st.integers(1, 5))
def test_damaged_streams_fold_the_same_however_often_the_state_is_recoded(
    seed: int, damages: list[Damage], every: int
) -> None:
    _, frames = raw_stream(seed, 20)
    lines = [line(f, START_NS + i * 40_000_000) for i, f in enumerate(damaged(frames, damages))]
    assert fold(STAGE, lines, recode_every=every) == fold(STAGE, lines)


# --- lines ----------------------------------------------------------------------------------------------------------


def test_a_bad_line_is_a_dead_letter_and_its_neighbours_are_read() -> None:
    model = VenueModel(10)
    value = b"\n".join(
        [line(model.trade()), line(b'{"stream":"btcusdt@trade","da'), b"no line at all", line(model.trade())]
    )
    folding = Folding(STAGE)
    folding.feed(line(model.trade()))
    out = folding.feed(value)
    assert kinds(out) == {"Trade": 2, "DeadLetter": 2}
    letters = [r for r in out if isinstance(r, DeadLetter)]
    assert [(letter.stage, letter.topic, letter.partition, letter.offset) for letter in letters] == [
        ("normalize", "market.raw", 0, 1)
    ] * 2
    assert letters[0].payload == b'{"stream":"btcusdt@trade","da'
    assert letters[0].key == INSTRUMENT.encode()
    assert letters[1].payload == b"no line at all"
    assert all(letter.reason for letter in letters)


@pytest.mark.parametrize("raw", [b"x sim:BTC-USDT {}", b"-1 sim:BTC-USDT {}", b"%d a {}" % 2**70, b"1 \xff {}", b"1"])
def test_what_is_no_line_is_a_dead_letter(raw: bytes) -> None:
    assert kinds(run(STAGE, [raw])) == {"DeadLetter": 1}


def test_an_unknown_venue_or_symbol_is_a_dead_letter() -> None:
    model = VenueModel(11)
    letters = run(STAGE, [line(model.trade(), key="nyse:BTC-USDT"), line(model.trade(), key="sim:")])
    assert [type(r) for r in letters] == [DeadLetter, DeadLetter]


def test_an_answer_to_a_subscription_is_passed_over_and_a_refusal_is_told() -> None:
    folding = Folding(STAGE)
    assert folding.feed(line(b'{"result":null,"id":1}', key="sim:")) == []
    (letter,) = folding.feed(line(b'{"error":{"code":2,"msg":"Invalid request"},"id":1}', key="sim:"))
    assert isinstance(letter, DeadLetter)
    assert "Invalid request" in letter.reason


def test_a_line_break_inside_a_frame_does_not_split_it() -> None:
    model = VenueModel(12)
    pretty = json.dumps(json.loads(model.trade()), indent=1).encode()
    assert kinds(run(STAGE, [line(pretty)])) == {"Trade": 1}


@given(st.binary(max_size=200))
def test_any_bytes_at_all_fold(value: bytes) -> None:
    assert set(kinds(run(STAGE, [value]))) <= {"DeadLetter"}


# --- definitions and marks ------------------------------------------------------------------------------------------


def definition(status: str = "TRADING", tick: str = "0.01000000") -> bytes:
    symbol = {
        "symbol": SYMBOL,
        "status": status,
        "baseAsset": "BTC",
        "quoteAsset": "USDT",
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "0.00000000", "stepSize": "0.00001000"},
            {"filterType": "NOTIONAL", "minNotional": "5.00000000", "maxNotional": "9000000.00000000"},
        ],
    }
    return rest_frame("exchangeInfo", SYMBOL, json.dumps({"serverTime": 1700000000000, "symbols": [symbol]}).encode())


def test_a_definition_is_told_when_it_changed_and_only_then() -> None:
    folding = Folding(STAGE)
    first = folding.feed(line(definition()))
    assert kinds(first) == {"Instrument": 1, "InstrumentStatus": 1}
    assert folding.feed(line(definition(), START_NS + 60_000_000_000)) == []
    assert kinds(folding.feed(line(definition(tick="0.10000000")))) == {"Instrument": 1}
    halted = folding.feed(line(definition("HALT", "0.10000000")))
    assert [r.status for r in halted if isinstance(r, InstrumentStatus)] == [TradingStatus.HALTED]
    assert [r.tradable for r in halted if isinstance(r, Instrument)] == [False]


def test_a_bound_of_zero_is_no_bound() -> None:
    (told, _) = run(STAGE, [line(definition())])
    assert isinstance(told, Instrument)
    assert told.max_qty is None
    assert (told.min_qty, told.min_notional) == (Decimal("0.00001"), Decimal(5))


def test_marks_are_sampled_by_receive_time(data_dir: Path) -> None:
    frames = list(hftbacktest(data_dir / "hftbacktest" / "spot" / "btcusdt_20240808.gz"))[:10_000]
    marks = [r for r in run(STAGE, recorded(frames)) if isinstance(r, Mark)]
    gaps = [b.ts_init - a.ts_init for a, b in pairwise(marks)]
    assert len(gaps) > 100
    assert min(gaps) >= 50_000_000
    quiet = max(b.ts - a.ts for a, b in pairwise(frames))
    assert max(gaps) <= 500_000_000 + quiet
    assert all(a.best_bid < a.best_ask for a in marks)


def test_where_the_venue_streams_no_quotes_its_books_top_is_one_beside_each_mark() -> None:
    model, folding = VenueModel(3), Folding(STAGE)
    out = [
        *folding.feed(model.line(model.snapshot())),
        *(r for _ in range(200) for r in folding.feed(model.line(model.depth()))),
    ]
    reader, quotes = Reader(), 0
    for record in out:
        reader.take([record])
        if isinstance(record, Quote):
            assert reader.book is not None
            assert record.of_book
            assert ((record.best_bid, record.bid_size), (record.best_ask, record.ask_size)) == (
                reader.book.best_bid,
                reader.book.best_ask,
            )
            quotes += 1
    assert quotes == kinds(out)["Mark"] > 5
    quoted = folding.feed(model.line(model.quote()))
    assert [r.of_book for r in quoted if isinstance(r, Quote)] == [False]
    soon = [r for _ in range(3) for r in folding.feed(model.line(model.depth()))]
    assert "Quote" not in kinds(soon), "the venue's own speak for a second"


def test_a_mark_says_whether_the_instrument_is_tradable() -> None:
    model = VenueModel(13)
    folding = Folding(STAGE)
    (unknown,) = [r for r in folding.feed(model.line(model.quote())) if isinstance(r, Mark)]
    folding.feed(model.line(definition()))
    (known,) = [r for r in folding.feed(model.line(model.quote())) if isinstance(r, Mark)]
    assert (unknown.tradable, known.tradable) == (False, True)


def test_rest_answers_alone_keep_no_mark_alive() -> None:
    model = VenueModel(14)
    folding = Folding(STAGE)
    for frame in [model.snapshot(), model.quote()]:
        folding.feed(model.line(frame))
    model.now += 10**10
    out = folding.feed(model.line(definition())) + folding.feed(model.line(model.snapshot()))
    assert not [r for r in out if isinstance(r, Mark)]


def test_without_quotes_the_books_top_is_the_mark_and_a_gap_ends_it() -> None:
    model = VenueModel(15)
    folding = Folding(STAGE)
    (mark,) = [r for r in folding.feed(model.line(model.snapshot())) if isinstance(r, Mark)]
    bids, asks = model.truth[model.sequence]
    assert (f"{mark.best_bid:f}", f"{mark.best_ask:f}") == (bids[0][0], asks[0][0])
    model.depth()
    assert kinds(folding.feed(model.line(model.depth()))) == {"Gap": 1, "ResyncRequested": 1}
    model.now += 10**9
    assert kinds(folding.feed(model.line(model.trade()))) == {"Trade": 1}
