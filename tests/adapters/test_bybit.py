import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import BadFrame, Endpoints, Reading, Session, own_symbol, rest_frame, session_frame
from adapters.bybit.market import MARKET_DATA
from infra.captures import Item, Kind
from pipelines.tape_check import check
from tests.adapters.venues import Sides, assert_equal_books, faulty, fuzz, items_of, play
from topics.market import (
    BookDelta,
    BookSnapshot,
    Funding,
    Gap,
    Instrument,
    Liquidation,
    OpenInterest,
    Quote,
    Ticker,
    Trade,
)
from topics.record import Side

TS = 1_786_310_819_000_000_000
PERP = "bybit:BTC-USDT-PERP"
BOOK = (
    b'{"topic":"orderbook.200.BTCUSDT","ts":1786310816618,"type":"delta","data":{"s":"BTCUSDT","b":[["65140.4","0.875077"]],'
    b'"a":[["65154.6","0.09948"],["65239.1","0"]],"u":62505425,"seq":112488545865},"cts":1786310816585}'
)
TRADES = (
    b'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1786310819681,"data":[{"T":1786310819680,"s":"BTCUSDT","S":"Sell",'
    b'"v":"0.004","p":"65114.20","L":"MinusTick","i":"a9188a0a-82bc-50de-be60-03eedbe3cdd7","BT":false,"RPI":false,'
    b'"seq":753843954913}]}'
)
TICKER = (
    b'{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"symbol":"BTCUSDT","tickDirection":"ZeroPlusTick",'
    b'"lastPrice":"65114.30","markPrice":"65117.44","indexPrice":"65137.76","openInterest":"59891.732",'
    b'"nextFundingTime":"1786320000000","fundingRate":"-0.0001","bid1Price":"65114.20","bid1Size":"5.954",'
    b'"ask1Price":"65114.30","ask1Size":"10.470","preOpenPrice":""},"cs":753843907770,"ts":1786310817883}'
)
CHANGE = (
    b'{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","bid1Price":"65114.20","bid1Size":"6.124"},'
    b'"cs":753843922769,"ts":1786310818484}'
)
LIQUIDATION = (
    b'{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":1739502303204,"data":[{"T":1739502302929,"s":"BTCUSDT",'
    b'"S":"Buy","v":"0.5","p":"65000.1"}]}'
)
PRODUCTS = (
    b'{"retCode":0,"retMsg":"OK","result":{"category":"linear","list":[{"symbol":"BTCUSDT","contractType":"LinearPerpetual",'
    b'"status":"Trading","baseCoin":"BTC","quoteCoin":"USDT","priceFilter":{"minPrice":"0.10","tickSize":"0.10"},'
    b'"lotSizeFilter":{"maxOrderQty":"1190.000","minOrderQty":"0.001","qtyStep":"0.001","minNotionalValue":"5"}}]}}'
)


def reading(**memory: str) -> Reading:
    return Reading("bybit", PERP, TS, 0, dict(memory))


def parse(frame: bytes) -> list[Any]:
    return list(MARKET_DATA.parse(frame, reading()) or ())


def altered(frame: bytes, old: str, new: str) -> bytes:
    assert old.encode() in frame
    return frame.replace(old.encode(), new.encode())


def test_a_delta_is_the_next_one_by_its_update_id_and_has_the_engines_time() -> None:
    assert parse(BOOK) == [
        BookDelta(
            instrument=PERP,
            bids=(("65140.4", "0.875077"),),
            asks=(("65154.6", "0.09948"), ("65239.1", "0")),
            first_sequence=62505425,
            sequence=62505425,
            ts_event=1_786_310_816_585_000_000,
            ts_init=TS,
        )
    ]


@pytest.mark.parametrize("frame", [altered(BOOK, "delta", "snapshot"), altered(BOOK, '"u":62505425', '"u":1')])
def test_a_snapshot_or_a_restarted_service_begins_the_book_anew(frame: bytes) -> None:
    (snapshot,) = parse(frame)
    assert isinstance(snapshot, BookSnapshot)
    assert snapshot.bids == (("65140.4", "0.875077"),)


def test_a_book_of_one_level_is_a_quote() -> None:
    whole = altered(altered(BOOK, "orderbook.200", "orderbook.1"), "delta", "snapshot")
    at = reading()
    (quote,) = MARKET_DATA.parse(altered(whole, ',["65239.1","0"]', ""), at) or ()
    assert isinstance(quote, Quote)
    assert (str(quote.best_bid), str(quote.best_ask), str(quote.ask_size)) == ("65140.4", "65154.6", "0.09948")
    moved = altered(whole, '["65154.6","0.09948"],["65239.1","0"]', '["65150.0","2"],["65154.6","0"]')
    (quote,) = MARKET_DATA.parse(altered(moved, "snapshot", "delta"), at) or ()
    assert isinstance(quote, Quote)
    assert (str(quote.best_ask), str(quote.ask_size)) == ("65150.0", "2")


def test_where_there_is_no_deeper_book_the_best_level_is_the_book_too_from_the_second_time_on() -> None:
    whole = altered(altered(BOOK, "orderbook.200", "orderbook.1"), "delta", "snapshot")
    deep, at = altered(BOOK, "delta", "snapshot"), reading()
    told = [[type(x) for x in MARKET_DATA.parse(frame, at) or ()] for frame in (whole, whole, whole, deep, whole)]
    assert told == [[Quote], [Quote, BookSnapshot], [Quote, BookSnapshot], [BookSnapshot], [Quote]]


def test_of_books_of_several_depths_the_deepest_counts_from_its_snapshot_on() -> None:
    at = reading()
    of_50 = altered(BOOK, "orderbook.200", "orderbook.50")
    for frame, counts in (
        (altered(of_50, "delta", "snapshot"), True),
        (of_50, True),
        (BOOK, False),
        (altered(BOOK, "delta", "snapshot"), True),
        (altered(of_50, "delta", "snapshot"), False),
        (of_50, False),
        (BOOK, True),
    ):
        assert (MARKET_DATA.parse(frame, at) is not None) == counts
    assert MARKET_DATA.parse(session_frame("c", "linear|BTCUSDT"), at)
    assert MARKET_DATA.parse(altered(of_50, "delta", "snapshot"), at)


def test_a_book_with_levels_of_three_parts_is_passed_over() -> None:
    rpi = altered(altered(BOOK, "orderbook.200", "orderbook.rpi"), '"0.875077"]', '"0.875077","1"]')
    assert MARKET_DATA.parse(rpi, reading()) is None


def test_a_trade_has_its_takers_side() -> None:
    assert parse(TRADES) == [
        Trade(
            instrument=PERP,
            trade_id="a9188a0a-82bc-50de-be60-03eedbe3cdd7",
            price=Decimal("65114.20"),
            size=Decimal("0.004"),
            aggressor=Side.SELL,
            ts_event=1_786_310_819_680_000_000,
            ts_init=TS,
        )
    ]


def test_a_ticker_tells_what_it_knows_and_then_what_changed() -> None:
    at = reading()
    quote, ticker, funding, interest = MARKET_DATA.parse(TICKER, at) or ()
    assert isinstance(quote, Quote)
    assert isinstance(ticker, Ticker)
    assert isinstance(funding, Funding)
    assert isinstance(interest, OpenInterest)
    assert (str(quote.best_ask), str(quote.ask_size), str(quote.bid_size)) == ("65114.30", "10.470", "5.954")
    assert (ticker.last, ticker.mark, ticker.index) == (Decimal("65114.3"), Decimal("65117.44"), Decimal("65137.76"))
    assert (funding.rate, funding.next_ts) == (Decimal("-0.0001"), 1_786_320_000_000_000_000)
    assert interest.open_interest == Decimal("59891.732")
    (changed,) = MARKET_DATA.parse(CHANGE, at) or ()
    assert isinstance(changed, Quote)
    assert (str(changed.bid_size), str(changed.ask_size)) == ("6.124", "10.470")


def test_a_change_without_what_was_before_is_no_quote_and_an_emptied_side_neither() -> None:
    assert parse(CHANGE) == []
    at = reading()
    MARKET_DATA.parse(TICKER, at)
    assert not MARKET_DATA.parse(altered(CHANGE, '"65114.20"', '""'), at)


def test_a_liquidated_long_position_is_sold() -> None:
    (liquidation,) = parse(LIQUIDATION)
    assert isinstance(liquidation, Liquidation)
    assert (liquidation.side, str(liquidation.price), str(liquidation.size)) == (Side.SELL, "65000.1", "0.5")


def test_an_answer_defines_the_instrument() -> None:
    definition, _ = parse(rest_frame("instruments-info", "linear|BTCUSDT", PRODUCTS))
    assert definition == Instrument(
        instrument=PERP,
        venue="bybit",
        venue_symbol="BTCUSDT",
        base="BTC",
        quote="USDT",
        tick_size=Decimal("0.10"),
        lot_size=Decimal("0.001"),
        min_qty=Decimal("0.001"),
        max_qty=Decimal("1190.000"),
        min_notional=Decimal(5),
        kind="linear",
        ts_init=TS,
    )


@pytest.mark.parametrize(
    "frame",
    [
        b'{"success":true,"ret_msg":"subscribe","conn_id":"d9avt8shteepr00gfc1g-4zd1x","op":"subscribe"}',
        b'{"success":true,"ret_msg":"pong","op":"ping"}',
        b'{"type":"snapshot","topic":"kline.1.BTCUSDT","data":[],"ts":1786310816562}',
        b'{"topic":"kline.1.BTCUSDT","data":[]}',
    ],
)
def test_what_nobody_asked_for_is_passed_over(frame: bytes) -> None:
    assert MARKET_DATA.parse(frame, reading()) is None


@pytest.mark.parametrize(
    "frame",
    [
        b'{"success":false,"ret_msg":"error:handler not found,topic:orderbook.7.X","op":"subscribe"}',
        BOOK[:-1],
        altered(BOOK, '"s":"BTCUSDT"', '"s":"ETHUSDT"'),
        altered(BOOK, "delta", "other"),
        altered(BOOK, '"u":62505425', '"u":0'),
        altered(TRADES, "0.004", "0"),
        altered(TRADES, "65114.20", "NaN"),
        altered(TRADES, "Sell", ""),
        altered(TICKER, "65114.20", "65114.31"),
        altered(TICKER, "-0.0001", "1e9"),
        altered(TICKER, "1786320000000", "soon"),
        altered(TICKER, "59891.732", "-1"),
        rest_frame("instruments-info", "linear|BTCUSDT", altered(PRODUCTS, '"category":"linear"', '"category":"spot"')),
        rest_frame("instruments-info", "linear|BTCUSDT", altered(PRODUCTS, '"baseCoin":"BTC"', '"baseCoin":"XBT"')),
        rest_frame("instruments-info", "linear|BTCUSDT", b'{"retCode":10001,"retMsg":"params error"}'),
        rest_frame("instruments-info", "spot|BTCUSDT", PRODUCTS),
        b"",
        b"[" * 100_000,
    ],
)
def test_what_breaks_the_venues_rules_is_a_bad_frame(frame: bytes) -> None:
    with pytest.raises(BadFrame):
        MARKET_DATA.parse(frame, reading())


def test_a_session_line_is_a_session() -> None:
    assert parse(session_frame("a", "linear|BTCUSDT")) == [Session("a")]


@pytest.mark.parametrize(
    ("symbol", "instrument"),
    [
        ("spot|BTCUSDT", "bybit:BTC-USDT"),
        ("spot|USDTBRL", "bybit:USDT-BRL"),
        ("linear|1000PEPEUSDT", "bybit:1000PEPE-USDT-PERP"),
        ("linear|BTCPERP", "bybit:BTC-USDC-PERP"),
        ("linear|BTCUSDT-04DEC26", "bybit:BTC-USDT-261204"),
        ("linear|BTC-26SEP25", "bybit:BTC-USDC-250926"),
        ("inverse|BTCUSD", "bybit:BTC-USD-PERP"),
        ("inverse|BTCUSDU25", "bybit:BTC-USD-250926"),
    ],
)
def test_spellings_go_both_ways(symbol: str, instrument: str) -> None:
    assert MARKET_DATA.instrument_of("bybit", symbol) == instrument
    assert MARKET_DATA.venue_symbol(instrument) == symbol


@given(
    base=st.text("ABCDSTU", min_size=2, max_size=6),
    quote=st.sampled_from(["USDT", "USDC", "USD", "BTC", "EUR"]),
    ending=st.sampled_from(["", "-PERP", "-261225", "-270430"]),
)
def test_an_instrument_that_has_a_spelling_is_what_that_spelling_names(base: str, quote: str, ending: str) -> None:
    instrument = f"bybit:{base}-{quote}{ending}"
    try:
        found = MARKET_DATA.instrument_of("bybit", MARKET_DATA.venue_symbol(instrument))
    except ValueError:
        return
    assert found == instrument


@pytest.mark.parametrize(
    "symbol", ["BTCUSDT", "option|BTC-26SEP25-50000-C", "spot|USDT", "linear|BTCUSD", "inverse|BTCUSDT"]
)
def test_a_spelling_without_a_market_or_of_another_is_an_error(symbol: str) -> None:
    with pytest.raises(ValueError, match="not a symbol"):
        MARKET_DATA.instrument_of("bybit", symbol)


def test_the_market_of_a_frame_is_told_by_its_connections_address() -> None:
    for market in ("spot", "linear", "inverse"):
        url = f"wss://stream.bybit.com/v5/public/{market}"
        assert list(MARKET_DATA.symbols_in(BOOK, url)) == [f"{market}|BTCUSDT"]
    assert list(MARKET_DATA.symbols_in(BOOK)) == ["linear|BTCUSDT"]
    assert list(MARKET_DATA.symbols_in(altered(BOOK, "BTCUSDT", "BTCUSD"))) == ["inverse|BTCUSD"]
    assert list(MARKET_DATA.symbols_in(b'{"type":"x", "topic": "kline.1.BTCUSDT-25DEC26"}')) == [
        "linear|BTCUSDT-25DEC26"
    ]
    assert not MARKET_DATA.symbols_in(b'{"success":true}')


def test_each_market_has_its_own_connection() -> None:
    symbols = ["linear|BTCUSDT", "spot|BTCUSDT", "inverse|BTCUSD", *(f"spot|A{n}USDT" for n in range(150))]
    found = MARKET_DATA.connections(Endpoints(), symbols)
    assert [c.url.rpartition("/")[2] for c in found] == ["spot", "spot", "linear", "inverse"]
    assert sorted(s for c in found for s in c.symbols) == sorted(symbols)
    for connection in found:
        messages = [json.loads(m) for m in connection.subscribe]
        assert all(len(m["args"]) <= 10 for m in messages)
        assert {a.rpartition(".")[2] for m in messages for a in m["args"]} == set(map(own_symbol, connection.symbols))
        assert (json.loads(connection.ping), connection.ping_s) == ({"op": "ping"}, 20)
    assert "allLiquidation.BTCUSDT" in json.loads(found[2].subscribe[0])["args"]
    (local,) = MARKET_DATA.connections(Endpoints(ws_url="ws://127.0.0.1:1"), ["spot|BTCUSDT"])
    assert local.url == "ws://127.0.0.1:1/v5/public/spot"
    assert [json.loads(m)["args"] for m in MARKET_DATA.resubscribe("linear|BTCUSDT")] == [["orderbook.200.BTCUSDT"]] * 2


class Naive:
    """Books from Bybit's own frames, in the plainest way, by our spelling of a symbol; trades by their ids."""

    def __init__(self) -> None:
        self.books: dict[str, Sides] = {}
        self.traded: dict[str, list[str]] = {}
        self._markets: dict[str, str] = {}

    def feed(self, item: Item) -> None:
        if item.kind is Kind.OPENED:
            self._markets[item.connection] = item.about.split("/")[-1]
        frame = json.loads(item.data) if item.kind is Kind.FRAME else {}
        kind, _, rest = frame.get("topic", "").partition(".")
        symbol = f"{self._markets.get(item.connection)}|{rest.split('.')[-1]}"
        if kind == "orderbook":
            if frame["type"] == "snapshot":
                self.books[symbol] = ({}, {})
            for side, name in zip(self.books[symbol], "ba", strict=True):
                for price, size in frame["data"][name]:
                    side[Decimal(price)] = Decimal(size)
                    if not Decimal(size):
                        del side[Decimal(price)]
        if kind == "publicTrade":
            self.traded.setdefault(symbol, []).extend(trade["i"] for trade in frame["data"])


@pytest.fixture(scope="module")
def recording(data_dir: Path) -> Path:
    return data_dir / "cryptofeed" / "BYBIT.jsonl.zst"


@pytest.fixture(scope="module")
def items(recording: Path) -> list[Item]:
    return items_of(recording)


def test_recorded_books_equal_an_independent_rebuild_and_every_trade_counts_once(items: list[Item]) -> None:
    naive = Naive()
    played = assert_equal_books("bybit", items, naive)
    assert len(played.symbols) == len(naive.books) == 6
    for instrument, symbol in played.symbols.items():
        ids = [t.trade_id for t in played.of(Trade, instrument) if isinstance(t, Trade)]
        assert ids == naive.traded[symbol]
    assert not played.of(Gap)
    assert {s.unreadable for s in played.states.values()} == {0}


def test_the_check_of_the_recording_finds_six_live_books_and_no_gap(recording: Path) -> None:
    found = check([recording])
    assert {(c.gaps, c.book_state, c.bids, c.asks) for c in found.instruments} == {(0, "live", 200, 200)}
    assert sum(c.trades for c in found.instruments) == 347
    assert {c.venue_symbol for c in found.instruments if c.instrument.startswith("bybit:BTC-")} == {"BTCUSDT"}


@pytest.mark.parametrize("fault", ["lost", "repeated", "swapped"])
def test_a_fault_ends_in_a_gap_or_is_known_as_a_copy_and_a_snapshot_makes_the_book_right_again(
    items: list[Item], fault: str
) -> None:
    changes = [
        n for n, item in enumerate(items) if item.data.startswith(b'{"topic":"orderbook.200.SOLUSDT","type":"delta"')
    ]
    at, other = changes[100], changes[101]
    naive = Naive()
    stream = list(items)
    for n, item in enumerate(items):
        naive.feed(item)
        if n == changes[110]:
            stream.insert(n + 1, item._replace(data=whole(naive, item)))
    played = play("bybit", faulty(stream, fault, at, other))
    (state,) = [s for i, s in played.states.items() if i == "bybit:SOL-USDT-PERP"]
    lost = 0 if fault == "repeated" else 1
    assert (state.book.gaps, state.book.resyncs, len(played.of(Gap))) == (lost, lost, lost)
    assert state.book.copies == (fault == "repeated")
    assert state.book.book is not None
    assert (dict(state.book.book.bids()), dict(state.book.book.asks())) == naive.books["linear|SOLUSDT"]


def whole(naive: Naive, item: Item) -> bytes:
    """The book as the venue would send it anew after this item."""
    frame = json.loads(item.data)
    sides = [[[str(p), str(q)] for p, q in side.items()] for side in naive.books["linear|SOLUSDT"]]
    data = {**frame["data"], "b": sides[0], "a": sides[1]}
    return json.dumps({**frame, "type": "snapshot", "data": data}).encode()


def test_no_broken_frame_is_more_than_a_bad_frame(items: list[Item]) -> None:
    fuzz("bybit", items)


def test_recorded_instruments_have_definitions_and_spellings_both_ways(items: list[Item]) -> None:
    counted = 0
    for item in items:
        if item.kind is not Kind.ANSWER:
            continue
        result = json.loads(item.data)["result"]
        for row in result["list"]:
            symbol = f"{result['category']}|{row['symbol']}"
            instrument = MARKET_DATA.instrument_of("bybit", symbol)
            assert MARKET_DATA.venue_symbol(instrument) == symbol
            assert instrument.startswith(f"bybit:{row['baseCoin']}-{row['quoteCoin']}")
            small = {"retCode": 0, "result": {"category": result["category"], "list": [row]}}
            frame = rest_frame("instruments-info", symbol, json.dumps(small).encode())
            definition, _ = MARKET_DATA.parse(frame, Reading("bybit", instrument, 5, 0, {})) or ()
            assert isinstance(definition, Instrument)
            assert definition.tick_size == Decimal(row["priceFilter"]["tickSize"])
            counted += 1
    assert counted > 1000


def test_a_line_about_no_instrument_is_passed_over_or_says_what_the_venue_says() -> None:
    nobody = Reading("bybit", "bybit:", TS, 0, {})
    assert MARKET_DATA.parse(b'{"success":true,"ret_msg":"pong","op":"ping"}', nobody) is None
    with pytest.raises(BadFrame, match="the venue says: error"):
        MARKET_DATA.parse(b'{"success":false,"ret_msg":"error","op":"subscribe"}', nobody)
