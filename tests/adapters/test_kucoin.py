"""KuCoin's frames and books, on the venue's documented examples and a recording of ten pairs."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import BadFrame, Endpoints, Reading, rest_frame
from adapters.kucoin.market import MARKET_DATA
from infra.captures import Item, Kind
from pipelines.normalize import MarketState
from pipelines.tape_check import check
from tests.adapters.venues import NaiveWaiting, assert_equal_books, fuzz, items_of, play, sides, with_snapshot
from tests.recordings import cryptofeed_lines
from topics.market import BookDelta, BookSnapshot, Gap, Instrument, Quote, Ticker, Trade
from topics.record import InstrumentId, Record, Side

RECORDING = "cryptofeed/KUCOIN.jsonl.zst"
READING = Reading("kucoin", "kucoin:BCHSV-USDT", 5, 0)
DEPTH = "https://api.kucoin.com/api/v3/market/orderbook/level2?symbol="


def changed(asks: str, start: int = 7, end: int = 7, symbol: str = "BCHSV-USDT", time: str = "") -> bytes:
    data = f'{{"sequenceStart":{start},"symbol":"{symbol}","changes":{{"asks":{asks},"bids":[]}}{time},"sequenceEnd":{end}}}'
    topic = f'"subject":"trade.l2update","topic":"/market/level2:{symbol}","type":"message"'
    return f'{{"data":{data},{topic}}}'.encode()


class NaiveBooks(NaiveWaiting):
    def feed(self, item: Item) -> None:
        if item.kind is Kind.ANSWER and "orderbook" in item.about:
            data = json.loads(item.data)["data"]
            self.begin(item.about.partition("symbol=")[2], data, int(data["sequence"]))
        elif item.kind is Kind.FRAME and b"l2update" in item.data:
            data = json.loads(item.data)["data"]
            self.go_on(data["symbol"], data["changes"], data["sequenceEnd"])


def test_a_change_carries_its_first_and_last_number() -> None:
    (found,) = MARKET_DATA.parse(changed('[["244.351","150","7"],["244.5","0","8"]]', 7, 8), READING) or ()
    assert isinstance(found, BookDelta)
    assert (found.first_sequence, found.sequence, found.bids) == (7, 8, ())
    assert found.asks == (("244.351", "150"), ("244.5", "0"))
    assert found.ts_event == found.ts_init == 5


def test_changes_of_one_price_are_taken_in_the_order_of_their_numbers() -> None:
    frame = changed('[["244.351","150","8"],["244.351","0","7"]]', 7, 8, time=',"time":1663747970273')
    (found,) = MARKET_DATA.parse(frame, READING) or ()
    assert isinstance(found, BookDelta)
    assert found.asks == (("244.351", "0"), ("244.351", "150"))
    assert found.ts_event == 1663747970273000000


def test_a_price_of_0_changes_nothing_but_the_number() -> None:
    (found,) = MARKET_DATA.parse(changed('[["0","0","7"]]'), READING) or ()
    assert isinstance(found, BookDelta)
    assert (found.bids, found.asks, found.sequence) == ((), (), 7)


def test_an_answer_begins_a_book() -> None:
    body = (
        b'{"code":"200000","data":{"time":1619378326628,"sequence":"1613277183892","bids":[["242.649","5"]],'
        b'"asks":[["242.951","4.51280965"]]}}'
    )
    assert MARKET_DATA.answer(DEPTH + "BCHSV-USDT", body) == ("depth", "BCHSV-USDT")
    (found,) = MARKET_DATA.parse(rest_frame("depth", "BCHSV-USDT", body), READING) or ()
    assert found == BookSnapshot(
        instrument=READING.instrument,
        bids=(("242.649", "5"),),
        asks=(("242.951", "4.51280965"),),
        sequence=1613277183892,
        ts_event=1619378326628000000,
        ts_init=5,
    )


def test_a_match_is_a_trade_of_the_taker() -> None:
    frame = (
        b'{"type":"message","topic":"/market/match:BCHSV-USDT","subject":"trade.l3match","data":{"sequence":'
        b'"1545896669145","type":"match","symbol":"BCHSV-USDT","side":"buy","price":"0.08200000000000000000","size":'
        b'"0.01022222000000000000","tradeId":"5c24c5da03aa673885cd67aa","takerOrderId":"5c24c5d903aa6772d55b371e",'
        b'"makerOrderId":"5c2187d003aa677bd09d5c93","time":"1545913818099033203"}}'
    )
    (found,) = MARKET_DATA.parse(frame, READING) or ()
    assert found == Trade(
        instrument=READING.instrument,
        trade_id="5c24c5da03aa673885cd67aa",
        price=Decimal("0.082"),
        size=Decimal("0.01022222"),
        aggressor=Side.BUY,
        ts_event=1545913818099033203,
        ts_init=5,
    )


def test_a_ticker_is_a_quote_and_the_last_price() -> None:
    frame = (
        b'{"data":{"sequence":"1612844051653","bestAsk":"0.00028717","size":"0.01745248","bestBidSize":"3.70422021",'
        b'"price":"0.00028676","time":1619378326323,"bestAskSize":"14.04274325","bestBid":"0.00028678"},'
        b'"subject":"trade.ticker","topic":"/market/ticker:BCHSV-USDT","type":"message"}'
    )
    quote, ticker = MARKET_DATA.parse(frame, READING) or ()
    assert isinstance(quote, Quote)
    assert (quote.best_bid, quote.bid_size) == (Decimal("0.00028678"), Decimal("3.70422021"))
    assert (quote.best_ask, quote.ask_size) == (Decimal("0.00028717"), Decimal("14.04274325"))
    assert isinstance(ticker, Ticker)
    assert ticker.last == Decimal("0.00028676")


def test_index_and_mark_are_tickers() -> None:
    for name in ("index", "markPrice"):
        frame = (
            f'{{"id":"","type":"message","topic":"/indicator/{name}:BCHSV-USDT","subject":"tick","data":{{"symbol":'
            '"BCHSV-USDT","granularity":5000,"timestamp":1551770400000,"value":0.0001092}}'
        )
        (found,) = MARKET_DATA.parse(frame.encode(), READING) or ()
        assert isinstance(found, Ticker)
        assert (found.index if name == "index" else found.mark) == Decimal("0.0001092")


def test_the_recorded_list_of_symbols_holds_a_definition(data_dir: Path) -> None:
    answers = [x["data"] for x in cryptofeed_lines(data_dir / RECORDING) if x["t"] == "http" and "/symbols" in x["url"]]
    reading = Reading("kucoin", "kucoin:ANKR-BTC", 5, 0)
    definition, _ = MARKET_DATA.parse(rest_frame("definition", "ANKR-BTC", answers[0].encode()), reading) or ()
    assert isinstance(definition, Instrument)
    assert (definition.tick_size, definition.lot_size) == (Decimal("0.0000000001"), Decimal("0.0001"))
    assert (definition.base, definition.quote, definition.kind) == ("ANKR", "BTC", "spot")


@pytest.mark.parametrize(
    "frame",
    [
        changed('[["1","1","7"]]', 8, 7),
        changed('[["1","1","7"]]', symbol="BTC-USDT"),
        changed('[["1","1"]]'),
        b'{"id":"5","type":"error","code":404,"data":"topic /market/level3:X is not found"}',
        b"[]",
    ],
)
def test_what_breaks_the_rules_is_a_bad_frame(frame: bytes) -> None:
    with pytest.raises(BadFrame):
        MARKET_DATA.parse(frame, READING)


@pytest.mark.parametrize(
    "frame",
    [
        b'{"id":"NSkIrWGB1s","type":"welcome"}',
        b'{"id":"1","type":"ack"}',
        b'{"id":"1","type":"pong"}',
        b'{"type":"message","topic":"/market/candles:BCHSV-USDT_1hour","subject":"trade.candles.update","data":{}}',
    ],
)
def test_answers_and_other_kinds_are_passed_over(frame: bytes) -> None:
    assert MARKET_DATA.parse(frame, READING) is None


@given(st.from_regex(r"[A-Z0-9]{1,6}[-_]?[A-Z0-9]{0,6}", fullmatch=True))
def test_translation_and_its_inverse_agree(spelling: str) -> None:
    try:
        instrument = MARKET_DATA.instrument_of("kucoin", spelling)
    except ValueError:
        return
    assert MARKET_DATA.venue_symbol(instrument) == spelling


def test_a_connection_takes_a_hundred_symbols() -> None:
    found = MARKET_DATA.connections(Endpoints(), [f"A{n}-USDT" for n in range(150)])
    assert [len(c.symbols) for c in found] == [100, 50]
    assert json.loads(found[1].subscribe[0])["topic"].startswith("/market/level2:A100-USDT,A101-USDT")


def test_the_recording_has_no_gap_and_every_book_equals_an_independent_one(data_dir: Path) -> None:
    path = data_dir / RECORDING
    played = assert_equal_books("kucoin", items_of(path), NaiveBooks(), every=100)
    found = check([path], "kucoin")
    assert {(one.gaps, one.book_state, one.unreadable) for one in found.instruments} == {(0, "live", 0)}
    assert (len(found.instruments), sum(one.trades for one in found.instruments)) == (9, 18)
    assert sum(one.quotes for one in found.instruments) == 830
    assert not played.of(Gap)


def test_a_quote_is_the_top_of_the_book_of_the_same_number(data_dir: Path) -> None:
    compared = 0

    def see(item: Item, states: dict[InstrumentId, MarketState], new: list[Record]) -> None:
        nonlocal compared
        for quote in new:
            book = states[quote.instrument].book.book if isinstance(quote, Quote) else None
            if book is not None and isinstance(quote, Quote) and book.sequence == quote.sequence:
                compared += 1
                assert book.best_bid == (quote.best_bid, quote.bid_size)
                assert book.best_ask == (quote.best_ask, quote.ask_size)

    play("kucoin", items_of(data_dir / RECORDING), see)
    assert compared > 100


@pytest.mark.parametrize("fault", ["lost", "repeated", "swapped"])
def test_a_fault_ends_in_a_gap_and_the_next_snapshot_in_equality(data_dir: Path, fault: str) -> None:
    items = items_of(data_dir / RECORDING)
    symbol = "SNX-BTC"
    changes = [
        n for n, i in enumerate(items) if i.data.startswith(b'{"data":{"sequenceStart"') and b"SNX-BTC" in i.data
    ]
    naive = NaiveBooks()

    def snapshot(item: Item) -> Item:
        bids, asks = [[[str(p), str(s)] for p, s in side.items()] for side in naive.books[symbol]]
        data = {"time": item.ts // 1_000_000, "sequence": str(naive.at[symbol]), "bids": bids, "asks": asks}
        return Item(item.ts, Kind.ANSWER, "", DEPTH + symbol, json.dumps({"code": "200000", "data": data}).encode())

    played = play("kucoin", with_snapshot(items, fault, changes[300], changes[301], naive, snapshot))
    end = NaiveBooks()
    for item in items:
        end.feed(item)
    book = played.states[f"kucoin:{symbol}"].book
    assert sides(played.states[f"kucoin:{symbol}"]) == end.books[symbol]
    assert (book.gaps, book.resyncs) == ((0, 0) if fault == "repeated" else (1, 1))


def test_mutated_frames_never_raise_anything_else(data_dir: Path) -> None:
    fuzz("kucoin", items_of(data_dir / RECORDING))


def test_a_change_of_no_time_has_the_newest_that_the_venue_told() -> None:
    memory = Reading("kucoin", "kucoin:BCHSV-USDT", 5, 0, {})
    ticker = (
        b'{"data":{"sequence":"1","price":"1","time":1619378326323},"subject":"trade.ticker","topic":'
        b'"/market/ticker:BCHSV-USDT","type":"message"}'
    )
    MARKET_DATA.parse(ticker, memory)
    MARKET_DATA.parse(ticker.replace(b"6323", b"6322"), memory)
    (found,) = MARKET_DATA.parse(changed('[["1","1","7"]]'), memory) or ()
    assert isinstance(found, BookDelta)
    assert found.ts_event == 1619378326323000000
