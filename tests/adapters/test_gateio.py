"""Gate.io's frames and books, on the venue's documented examples and a recording of ten pairs."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import BadFrame, Endpoints, Reading, rest_frame
from adapters.gateio.market import MARKET_DATA
from infra.captures import Item, Kind
from pipelines.tape_check import check
from tests.adapters.venues import NaiveWaiting, assert_equal_books, fuzz, items_of, play, sides, with_snapshot
from topics.market import BookDelta, BookSnapshot, Gap, Instrument, Quote, Ticker, Trade
from topics.record import Side

RECORDING = "cryptofeed/GATEIO.jsonl.zst"
READING = Reading("gateio", "gateio:BTC-USDT", 5, 0)
DEPTH = "https://api.gateio.ws/api/v4/spot/order_book?limit=100&with_id=true&currency_pair="


def update(channel: str, result: str) -> bytes:
    return f'{{"time":1606294781,"channel":"{channel}","event":"update","result":{result}}}'.encode()


def changed(first: int, last: int, rest: str = "", symbol: str = "BTC_USDT") -> bytes:
    result = (
        f'{{"t":1606294781123,"e":"depthUpdate","E":1606294781,"s":"{symbol}","U":{first},"u":{last},{rest}'
        '"b":[["19137.74","0.0001"],["19088.37","0"]],"a":[["19137.75","0.6135"]]}'
    )
    return update("spot.order_book_update", result)


class NaiveBooks(NaiveWaiting):
    def feed(self, item: Item) -> None:
        if item.kind is Kind.ANSWER and "order_book" in item.about:
            data, symbol = json.loads(item.data), item.about.partition("currency_pair=")[2].partition("&")[0]
            self.begin(symbol, data, data["id"])
        elif item.kind is Kind.FRAME and b'"depthUpdate"' in item.data:
            data = json.loads(item.data)["result"]
            self.go_on(data["s"], {"bids": data["b"], "asks": data["a"]}, data["u"])


def test_a_change_carries_its_first_and_last_number() -> None:
    (found,) = MARKET_DATA.parse(changed(48776301, 48776306), READING) or ()
    assert found == BookDelta(
        instrument=READING.instrument,
        bids=(("19137.74", "0.0001"), ("19088.37", "0")),
        asks=(("19137.75", "0.6135"),),
        first_sequence=48776301,
        sequence=48776306,
        ts_event=1606294781123000000,
        ts_init=5,
    )


def test_a_full_update_begins_the_book_anew() -> None:
    (found,) = MARKET_DATA.parse(changed(7, 9, '"full":true,'), READING) or ()
    assert isinstance(found, BookSnapshot)
    assert found.sequence == 9


def test_an_answer_begins_a_book() -> None:
    body = (
        b'{"id":123456,"current":1623898993123,"update":1623898993121,"asks":[["1.52","1.151"],["1.53","1.218"]],'
        b'"bids":[["1.17","201.863"],["1.16","725.464"]]}'
    )
    assert MARKET_DATA.answer(DEPTH + "BTC_USDT", body) == ("depth", "BTC_USDT")
    (found,) = MARKET_DATA.parse(rest_frame("depth", "BTC_USDT", body), READING) or ()
    assert isinstance(found, BookSnapshot)
    assert (found.sequence, found.bids[0], found.ts_event) == (123456, ("1.17", "201.863"), 1623898993121000000)


def test_a_trade_keeps_the_parts_of_its_millisecond() -> None:
    result = (
        '{"id":309143071,"create_time":1606292218,"create_time_ms":"1606292218213.4578","side":"sell",'
        '"currency_pair":"BTC_USDT","amount":"16.4700000000","price":"0.4705000000"}'
    )
    (found,) = MARKET_DATA.parse(update("spot.trades", result), READING) or ()
    assert found == Trade(
        instrument=READING.instrument,
        trade_id="309143071",
        price=Decimal("0.4705"),
        size=Decimal("16.47"),
        aggressor=Side.SELL,
        ts_event=1606292218213457800,
        ts_init=5,
    )


def test_a_book_ticker_is_a_quote_unless_a_side_is_empty() -> None:
    result = (
        '{"t":1606293275123,"u":48733182,"s":"BTC_USDT","b":"19177.79","B":"0.0003341504","a":"19179.38","A":"0.09"}'
    )
    (found,) = MARKET_DATA.parse(update("spot.book_ticker", result), READING) or ()
    assert isinstance(found, Quote)
    assert (found.best_bid, found.ask_size, found.sequence) == (Decimal("19177.79"), Decimal("0.09"), 48733182)
    assert MARKET_DATA.parse(update("spot.book_ticker", result.replace('"19177.79"', '""')), READING) is None


def test_a_ticker_says_the_last_price() -> None:
    result = '{"currency_pair":"BTC_USDT","last":"19106.55","lowest_ask":"19108.71","highest_bid":"19106.55"}'
    (found,) = MARKET_DATA.parse(update("spot.tickers", result), READING) or ()
    assert isinstance(found, Ticker)
    assert (found.last, found.ts_event) == (Decimal("19106.55"), 1606294781000000000)


def test_a_definition_turns_digits_into_steps() -> None:
    body = (
        b'{"id":"BTC_USDT","base":"BTC","quote":"USDT","fee":"0.2","min_base_amount":"0.001","min_quote_amount":"1.0",'
        b'"max_base_amount":"10000","max_quote_amount":"10000000","amount_precision":3,"precision":6,'
        b'"trade_status":"tradable","sell_start":1516378650,"buy_start":1516378650}'
    )
    assert MARKET_DATA.answer("", body) == ("definition", "BTC_USDT")
    definition, _ = MARKET_DATA.parse(rest_frame("definition", "BTC_USDT", body), READING) or ()
    assert isinstance(definition, Instrument)
    assert (definition.tick_size, definition.lot_size) == (Decimal("0.000001"), Decimal("0.001"))
    assert (definition.min_qty, definition.min_notional, definition.tradable) == (Decimal("0.001"), Decimal(1), True)


@pytest.mark.parametrize(
    "frame",
    [
        changed(9, 7),
        changed(7, 9, symbol="ETH_USDT"),
        update("spot.trades", '{"id":1}'),
        b'{"time":1,"channel":"spot.trades","event":"subscribe","error":{"code":2,"message":"unknown currency pair"}}',
        b"[]",
    ],
)
def test_what_breaks_the_rules_is_a_bad_frame(frame: bytes) -> None:
    with pytest.raises(BadFrame):
        MARKET_DATA.parse(frame, READING)


@pytest.mark.parametrize(
    "frame",
    [
        b'{"time":1619093532,"channel":"spot.trades","event":"subscribe","result":{"status":"success"}}',
        b'{"time":1545404023,"channel":"spot.pong","event":"","result":null}',
        update("spot.candlesticks", '{"t":"1619093520","v":"0","c":"120.92","n":"1m_DIS_USDT"}'),
    ],
)
def test_answers_and_other_kinds_are_passed_over(frame: bytes) -> None:
    assert MARKET_DATA.parse(frame, READING) is None


@given(st.from_regex(r"[A-Z0-9]{1,6}[-_]?[A-Z0-9]{0,6}", fullmatch=True))
def test_translation_and_its_inverse_agree(spelling: str) -> None:
    try:
        instrument = MARKET_DATA.instrument_of("gateio", spelling)
    except ValueError:
        return
    assert MARKET_DATA.venue_symbol(instrument) == spelling


def test_each_book_has_a_subscription_of_its_own() -> None:
    (found,) = MARKET_DATA.connections(Endpoints(), ["BTC_USDT", "ETH_USDT"])
    messages = [json.loads(message) for message in found.subscribe]
    assert [m["payload"] for m in messages if m["channel"] == "spot.order_book_update"] == [
        ["BTC_USDT", "100ms"],
        ["ETH_USDT", "100ms"],
    ]


def test_the_recording_has_no_gap_and_every_book_equals_an_independent_one(data_dir: Path) -> None:
    path = data_dir / RECORDING
    played = assert_equal_books("gateio", items_of(path), NaiveBooks(), every=10)
    found = check([path], "gateio")
    assert {(one.gaps, one.book_state, one.unreadable) for one in found.instruments} == {(0, "live", 0)}
    assert (len(found.instruments), sum(one.trades for one in found.instruments)) == (10, 9)
    assert not played.of(Gap)


@pytest.mark.parametrize("fault", ["lost", "repeated", "swapped"])
def test_a_fault_ends_in_a_gap_and_the_next_snapshot_in_equality(data_dir: Path, fault: str) -> None:
    items = items_of(data_dir / RECORDING)
    symbol = "OMG_USDT"
    changes = [n for n, i in enumerate(items) if b"depthUpdate" in i.data and b"OMG_USDT" in i.data]
    naive = NaiveBooks()

    def snapshot(item: Item) -> Item:
        bids, asks = [[[str(p), str(s)] for p, s in side.items()] for side in naive.books[symbol]]
        body = json.dumps({"id": naive.at[symbol], "asks": asks, "bids": bids})
        return Item(item.ts, Kind.ANSWER, "", DEPTH + symbol, body.encode())

    played = play("gateio", with_snapshot(items, fault, changes[20], changes[21], naive, snapshot))
    end = NaiveBooks()
    for item in items:
        end.feed(item)
    book = played.states["gateio:OMG-USDT"].book
    assert sides(played.states["gateio:OMG-USDT"]) == end.books[symbol]
    assert (book.gaps, book.resyncs) == ((0, 0) if fault == "repeated" else (1, 1))


def test_mutated_frames_never_raise_anything_else(data_dir: Path) -> None:
    fuzz("gateio", items_of(data_dir / RECORDING))
