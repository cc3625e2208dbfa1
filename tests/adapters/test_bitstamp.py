"""Bitstamp's frames and books, on the venue's documented examples and a recording of ten pairs."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import BadFrame, Endpoints, Hole, Reading, rest_frame
from adapters.bitstamp.market import MARKET_DATA
from infra.captures import Item, Kind
from pipelines.tape_check import check
from tests.adapters.venues import (
    NaiveWaiting,
    assert_equal_books,
    faulty,
    fuzz,
    items_of,
    play,
    sides,
    with_snapshot,
)
from tests.recordings import cryptofeed_lines
from topics.market import BookDelta, BookSnapshot, Funding, Gap, Instrument, Trade
from topics.record import Side

RECORDING = "cryptofeed/BITSTAMP.jsonl.zst"
DEPTH = "https://www.bitstamp.net/api/v2/order_book/"


def reading(instrument: str = "bitstamp:ETH-USD") -> Reading:
    return Reading("bitstamp", instrument, 5, 0, {})


def diff(micros: int, rows: str = '"bids":[["3802.90","0.5"]],"asks":[]', symbol: str = "ethusd") -> bytes:
    data = f'{{"timestamp":"{micros // 1_000_000}","microtimestamp":"{micros}",{rows}}}'
    return f'{{"data":{data},"channel":"diff_order_book_{symbol}","event":"data"}}'.encode()


class NaiveBooks(NaiveWaiting):
    def feed(self, item: Item) -> None:
        if item.kind is Kind.ANSWER and "order_book" in item.about:
            data = json.loads(item.data)
            self.begin(item.about.rstrip("/").rpartition("/")[2], data, int(data["microtimestamp"]))
        elif item.kind is Kind.FRAME and b'"event":"data"' in item.data:
            data = json.loads(item.data)["data"]
            symbol = json.loads(item.data)["channel"].removeprefix("diff_order_book_")
            self.go_on(symbol, data, int(data["microtimestamp"]))


def test_a_diff_is_numbered_by_its_time() -> None:
    (found,) = MARKET_DATA.parse(diff(1641343691244908), reading()) or ()
    assert found == BookDelta(
        instrument="bitstamp:ETH-USD",
        bids=(("3802.90", "0.5"),),
        asks=(),
        sequence=1641343691244908,
        ts_event=1641343691244908000,
        ts_init=5,
    )


def test_an_older_diff_is_a_hole_unless_it_is_a_copy() -> None:
    memory = reading()
    kinds = [
        [type(x) for x in MARKET_DATA.parse(diff(1641343691000000 + n), memory) or ()] for n in (1, 3, 5, 3, 5, 2, 6)
    ]
    one = [BookDelta]
    assert kinds == [one, one, one, one, one, [Hole, BookDelta], one]


def test_an_answer_begins_a_book() -> None:
    body = (
        b'{"timestamp": "1641343695", "microtimestamp": "1641343695572693", "bids": [["3802.90", "0.60000000"]], '
        b'"asks": [["3803.00", "1.00000000"]]}'
    )
    assert MARKET_DATA.answer(DEPTH + "ethusd/", body) == ("depth", "ethusd")
    (found,) = MARKET_DATA.parse(rest_frame("depth", "ethusd", body), reading()) or ()
    assert isinstance(found, BookSnapshot)
    assert (found.sequence, found.bids) == (1641343695572693, (("3802.90", "0.60000000"),))


def test_a_trade_keeps_its_digits() -> None:
    frame = (
        b'{"data":{"id":216000484,"timestamp":"1641343709","amount":0.931,"amount_str":"0.93100000","price":3802.93,'
        b'"price_str":"3802.93","type":1,"microtimestamp":"1641343709599000","buy_order_id":1443875774971904,'
        b'"sell_order_id":1443875778322433},"channel":"live_trades_ethusd","event":"trade"}'
    )
    (found,) = MARKET_DATA.parse(frame, reading()) or ()
    assert found == Trade(
        instrument="bitstamp:ETH-USD",
        trade_id="216000484",
        price=Decimal("3802.93"),
        size=Decimal("0.931"),
        aggressor=Side.SELL,
        ts_event=1641343709599000000,
        ts_init=5,
    )


def test_a_rate_of_funding_says_when_it_is_due() -> None:
    frame = (
        b'{"data":{"funding_rate":"0.0024","timestamp":"1644406050","market":"BTC/USD-PERP","next_funding_time":'
        b'"1644408000"},"channel":"funding_rate_btcusd-perp","event":"funding_rate_saved"}'
    )
    (found,) = MARKET_DATA.parse(frame, reading("bitstamp:BTC-USD-PERP")) or ()
    assert isinstance(found, Funding)
    assert (found.rate, found.next_ts) == (Decimal("0.0024"), 1644408000000000000)


def test_the_recorded_list_of_pairs_holds_a_definition(data_dir: Path) -> None:
    lines = cryptofeed_lines(data_dir / RECORDING)
    body = next(x["data"] for x in lines if x["t"] == "http" and "trading-pairs-info" in x["url"]).encode()
    definition, _ = MARKET_DATA.parse(rest_frame("definition", "ethusd", body), reading()) or ()
    assert isinstance(definition, Instrument)
    assert (definition.base, definition.quote, definition.kind) == ("ETH", "USD", "spot")
    assert (definition.tick_size, definition.lot_size) == (Decimal("0.01"), Decimal("0.00000001"))
    assert definition.min_notional == 20


def test_the_newer_list_holds_a_definition_too() -> None:
    body = (
        b'[{"name":"ETH/USD","market_symbol":"ethusd","base_currency":"ETH","base_decimals":8,"counter_currency":"USD",'
        b'"counter_decimals":1,"minimum_order_value":"10.0","maximum_order_value":"3000.0","minimum_order_amount":'
        b'"0.00010000","maximum_order_amount":"1000","trading":"Enabled"}]'
    )
    definition, _ = MARKET_DATA.parse(rest_frame("definition", "ethusd", body), reading()) or ()
    assert isinstance(definition, Instrument)
    assert (definition.min_qty, definition.min_notional) == (Decimal("0.0001"), Decimal(10))


@pytest.mark.parametrize(
    "frame",
    [
        diff(1641343691244908, symbol="btcusd"),
        diff(10**17),
        diff(1641343691244908, '"bids":[["1"]],"asks":[]'),
        b'{"event":"bts:error","channel":"","data":{"code":null,"message":"Bad subscription string."}}',
        b"[]",
    ],
)
def test_what_breaks_the_rules_is_a_bad_frame(frame: bytes) -> None:
    with pytest.raises(BadFrame):
        MARKET_DATA.parse(frame, reading())


@pytest.mark.parametrize(
    "frame",
    [
        b'{"event":"bts:subscription_succeeded","channel":"diff_order_book_ethusd","data":{}}',
        b'{"event":"bts:request_reconnect","channel":"","data":""}',
        b'{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}',
        b'{"data":{"id":1},"channel":"order_book_ethusd","event":"data"}',
        b'{"data":{"id":1,"order_type":0,"microtimestamp":"1","amount_str":"1","price_str":"1"},"channel":"live_orders_ethusd","event":"order_forgotten"}',
    ],
)
def test_answers_and_other_kinds_are_passed_over(frame: bytes) -> None:
    assert MARKET_DATA.parse(frame, reading()) is None


@pytest.mark.parametrize(
    ("spelling", "instrument"),
    [("btcusd", "BTC-USD"), ("usdteur", "USDT-EUR"), ("usdcusdt", "USDC-USDT"), ("btcusd-perp", "BTC-USD-PERP")],
)
def test_spellings_are_translated_both_ways(spelling: str, instrument: str) -> None:
    assert MARKET_DATA.instrument_of("bitstamp", spelling) == f"bitstamp:{instrument}"
    assert MARKET_DATA.venue_symbol(f"bitstamp:{instrument}") == spelling


@given(st.from_regex(r"[a-zA-Z0-9]{1,5}(usd|eur|usdt|btc|)(-perp)?", fullmatch=True))
def test_translation_and_its_inverse_agree(spelling: str) -> None:
    try:
        instrument = MARKET_DATA.instrument_of("bitstamp", spelling)
    except ValueError:
        return
    assert MARKET_DATA.venue_symbol(instrument) == spelling


def test_each_channel_has_a_subscription_of_its_own() -> None:
    (found,) = MARKET_DATA.connections(Endpoints(), ["btcusd", "btcusd-perp"])
    assert len(found.subscribe) == 5
    assert json.loads(found.subscribe[0]) == {"event": "bts:subscribe", "data": {"channel": "diff_order_book_btcusd"}}


def test_the_recording_has_no_gap_and_every_book_equals_an_independent_one(data_dir: Path) -> None:
    path = data_dir / RECORDING
    played = assert_equal_books("bitstamp", items_of(path), NaiveBooks(), every=20)
    found = check([path], "bitstamp")
    assert {(one.gaps, one.book_state, one.unreadable) for one in found.instruments} == {(0, "live", 0)}
    assert (len(found.instruments), sum(one.trades for one in found.instruments)) == (10, 10)
    assert not played.of(Gap)


def changes_of(items: list[Item], symbol: bytes) -> list[int]:
    return [
        n for n, i in enumerate(items) if b'"channel":"diff_order_book_%b"' % symbol in i.data and b"micro" in i.data
    ]


@pytest.mark.parametrize("fault", ["repeated", "swapped"])
def test_a_fault_ends_in_a_gap_and_the_next_snapshot_in_equality(data_dir: Path, fault: str) -> None:
    items = items_of(data_dir / RECORDING)
    changes, naive = changes_of(items, b"ethusd"), NaiveBooks()

    def snapshot(item: Item) -> Item:
        bids, asks = [[[str(p), str(s)] for p, s in side.items()] for side in naive.books["ethusd"]]
        body = json.dumps({"microtimestamp": str(naive.at["ethusd"]), "bids": bids, "asks": asks})
        return Item(item.ts, Kind.ANSWER, "", DEPTH + "ethusd", body.encode())

    played = play("bitstamp", with_snapshot(items, fault, changes[40], changes[41], naive, snapshot))
    end = NaiveBooks()
    for item in items:
        end.feed(item)
    book = played.states["bitstamp:ETH-USD"].book
    assert sides(played.states["bitstamp:ETH-USD"]) == end.books["ethusd"]
    assert (book.gaps, book.resyncs) == ((0, 0) if fault == "repeated" else (1, 1))


def test_nothing_shows_that_a_diff_is_lost(data_dir: Path) -> None:
    """The venue numbers diffs by their time alone: this is what docs/venues.md says of it."""
    items = items_of(data_dir / RECORDING)
    lost = changes_of(items, b"ethusd")[40]
    played = play("bitstamp", faulty(items, "lost", lost, lost))
    assert played.states["bitstamp:ETH-USD"].book.gaps == 0


def test_an_unreadable_diff_is_a_gap(data_dir: Path) -> None:
    items = items_of(data_dir / RECORDING)
    at = changes_of(items, b"ethusd")[40]
    items[at] = items[at]._replace(data=items[at].data.replace(b'"bids":', b'"bid":'))
    played = play("bitstamp", items)
    assert played.states["bitstamp:ETH-USD"].book.gaps == 1


def test_mutated_frames_never_raise_anything_else(data_dir: Path) -> None:
    fuzz("bitstamp", items_of(data_dir / RECORDING))


def test_a_damaged_frame_ends_each_book_that_it_may_be_about(data_dir: Path) -> None:
    items = items_of(data_dir / RECORDING)
    at = changes_of(items, b"ethusd")[40]
    whole = items[at].data
    items[at] = items[at]._replace(data=whole[: len(whole) // 2])  # its channel stands at its end
    found = play("bitstamp", items).states
    assert {state.book.gaps for state in found.values() if state.book.updates} == {1}
    items[at] = items[at]._replace(data=whole.replace(b"diff_", b"diff\x01"))
    found = play("bitstamp", items).states
    assert [name for name, state in found.items() if state.book.gaps] == ["bitstamp:ETH-USD"]


def told(micros: int, bid: str, size: str) -> Item:
    return Item(micros, Kind.FRAME, "ws", "", diff(micros, f'"bids":[["{bid}","{size}"]],"asks":[]'))


def answered(at: int, micros: int, bids: dict[str, str]) -> Item:
    body = json.dumps({"microtimestamp": str(micros), "bids": list(bids.items()), "asks": [["200", "1"]]})
    return Item(at, Kind.ANSWER, "", f"{DEPTH}ethusd/", body.encode())


T = 1641343691000000
BEGUN = [told(T, "99", "1"), answered(T + 1, T, {"100": "1"}), told(T + 2, "101", "2"), told(T + 4, "102", "3")]
FULL = {"100": "1", "101": "2", "102": "3"}


@pytest.mark.parametrize("of", [T + 3, T + 4, T + 5])
@pytest.mark.parametrize("is_lost", [False, True])
def test_a_live_book_is_compared_with_later_answers_and_a_lost_diff_shows(of: int, is_lost: bool) -> None:
    """``of``: the answer is behind the book, of its own moment, or ahead of it."""
    bids = {price: size for price, size in FULL.items() if price != "102" or of >= T + 4}
    items = [*BEGUN, answered(T + 6, of, bids), told(T + 7, "103", "4")]
    if is_lost:
        del items[2]
    played = play("bitstamp", items)
    state = played.states["bitstamp:ETH-USD"]
    assert [r.reason for r in played.of(Gap) if isinstance(r, Gap)] == ["differs from the venue's snapshot"] * is_lost
    assert (state.book.compared, state.book.gaps, state.book.resyncs) == (0 if is_lost else 1, is_lost, is_lost)
    assert sides(state) == (
        {Decimal(p): Decimal(s) for p, s in {**FULL, "103": "4"}.items()},
        {Decimal(200): Decimal(1)},
    )


def test_an_answer_from_before_all_that_is_remembered_is_no_proof() -> None:
    items = [*BEGUN, answered(T + 6, T - 5, {"1": "1"}), answered(T + 8, T + 9, {"100": "x"}), told(T + 10, "103", "4")]
    state = play("bitstamp", items).states["bitstamp:ETH-USD"]
    assert (state.book.compared, state.book.gaps) == (0, 0)
