import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adapters.base import BadFrame, Endpoints, Reading, Session, rest_frame, session_frame
from adapters.coinbase.market import MARKET_DATA
from infra.captures import Item, Kind
from pipelines.tape_check import check
from tests.adapters.venues import Played, Sides, assert_equal_books, faulty, fuzz, items_of, play
from topics.market import (
    BookDelta,
    BookSnapshot,
    Gap,
    Instrument,
    InstrumentStatus,
    Quote,
    Ticker,
    Trade,
    TradingStatus,
)
from topics.record import Side

TS = 1_786_309_548_500_000_000
BTC = Reading("coinbase", "coinbase:BTC-USD", TS, 0, {})
STAMP = '"timestamp":"2026-08-09T21:05:48.483587501Z"'
BOOK = (
    f'{{"channel":"l2_data",{STAMP},"sequence_num":13,"events":[{{"type":"snapshot","product_id":"BTC-USD","updates":['
    '{"side":"bid","event_time":"2026-08-09T21:05:48.170326Z","price_level":"65083.66","new_quantity":"0.20371215"},'
    '{"side":"offer","event_time":"2026-08-09T21:05:48.170326Z","price_level":"65083.67","new_quantity":"0.10"}]}]}'
).encode()
TRADES = (
    f'{{"channel":"market_trades",{STAMP},"sequence_num":0,"events":[{{"type":"update","trades":[{{"product_id":"BTC-USD",'
    '"trade_id":"1068572090","price":"65083.67","size":"0.002186","time":"2026-08-09T21:05:42.514318Z","side":"SELL"},'
    '{"product_id":"ETH-USD","trade_id":"833140778","price":"1919.41","size":"1","time":"2026-08-09T21:05:42Z","side":"BUY"},'
    '{"product_id":"BTC-USD","trade_id":"1068572089","price":"65083.66","size":"1.0","time":"2026-08-09T21:05:41Z",'
    '"side":"BUY"}]}]}'
).encode()
TICKER = (
    f'{{"channel":"ticker",{STAMP},"sequence_num":6,"events":[{{"type":"snapshot","tickers":[{{"type":"ticker",'
    '"product_id":"BTC-USD","price":"65086.18","volume_24_h":"2867.54532609","best_bid":"65083.66","best_ask":"65083.67",'
    '"best_bid_quantity":"0.20371215","best_ask_quantity":"0.24290402"}]}]}'
).encode()


def read(frame: bytes, **memory: str) -> list[Any]:
    return list(MARKET_DATA.parse(frame, Reading("coinbase", BTC.instrument, TS, 0, dict(memory))) or ())


def one(frame: bytes) -> Any:
    (found,) = read(frame)
    return found


def altered(frame: bytes, old: str, new: str) -> bytes:
    assert old.encode() in frame
    return frame.replace(old.encode(), new.encode())


def test_a_book_begins_with_a_snapshot_and_goes_on_with_absolute_sizes() -> None:
    snapshot = BookSnapshot(
        instrument="coinbase:BTC-USD",
        bids=(("65083.66", "0.20371215"),),
        asks=(("65083.67", "0.10"),),
        ts_event=1_786_309_548_483_587_501,
        ts_init=TS,
    )
    assert read(BOOK) == [snapshot]
    delta = one(altered(BOOK, "snapshot", "update"))
    assert isinstance(delta, BookDelta)
    assert (delta.bids, delta.asks, delta.ts_event) == (snapshot.bids, snapshot.asks, snapshot.ts_event)


def test_a_trade_told_as_the_makers_sale_was_bought() -> None:
    second, first = read(TRADES)[::-1]
    assert first == Trade(
        instrument="coinbase:BTC-USD",
        trade_id="1068572089",
        price=Decimal("65083.66"),
        size=Decimal("1.0"),
        aggressor=Side.SELL,
        ts_event=1_786_309_541_000_000_000,
        ts_init=TS,
    )
    assert (second.trade_id, second.aggressor, str(second.size)) == ("1068572090", Side.BUY, "0.002186")


def test_a_trade_that_comes_twice_is_told_once_and_those_before_the_first_snapshot_never() -> None:
    snapshot, reading = altered(TRADES, "update", "snapshot"), Reading("coinbase", BTC.instrument, TS, 0, {})
    assert not MARKET_DATA.parse(snapshot, reading)
    assert not MARKET_DATA.parse(TRADES, reading)
    assert [t.trade_id for t in read(snapshot, trade_id="1068572089")] == ["1068572090"]


def test_a_ticker_tells_the_best_prices_with_their_sizes_and_the_last_one() -> None:
    quote, ticker = read(TICKER)
    assert isinstance(quote, Quote)
    assert isinstance(ticker, Ticker)
    assert (str(quote.best_bid), str(quote.bid_size)) == ("65083.66", "0.20371215")
    assert (str(quote.best_ask), str(quote.ask_size)) == ("65083.67", "0.24290402")
    assert ticker.last == Decimal("65086.18")
    (alone,) = read(altered(TICKER, '"best_ask":"65083.67"', '"best_ask":"0"'))
    assert isinstance(alone, Ticker)


@pytest.mark.parametrize(
    "frame",
    [
        b'{"channel":"heartbeats","timestamp":"2026-08-09T21:05:48.856364007Z","sequence_num":35,"events":[{}]}',
        b'{"channel":"subscriptions","sequence_num":2,"events":[{"subscriptions":{"ticker":["BTC-USD"]}}]}',
        b'{"channel":"candles","events":[]}',
        b'{"type":"other"}',
    ],
)
def test_what_nobody_asked_for_is_passed_over(frame: bytes) -> None:
    assert MARKET_DATA.parse(frame, BTC) is None


@pytest.mark.parametrize(
    "frame",
    [
        b'{"type":"error","message":"failure to subscribe","reason":"level2: no such product"}',
        BOOK[:-1],
        altered(BOOK, "offer", "other"),
        altered(BOOK, "BTC-USD", "ETH-USD"),
        altered(BOOK, "2026-08-09T21:05:48.483587501Z", "9999-08-09T21:05:48Z"),
        altered(TRADES, "0.002186", "0"),
        altered(TRADES, "1068572090", "x"),
        altered(TRADES, "SELL", "?"),
        altered(TRADES, "BTC-USD", "SOL-USD"),
        altered(TICKER, "65083.66", "65083.68"),
        altered(TICKER, "65086.18", "NaN"),
        rest_frame("product", "ETH-USD", b"{}"),
        rest_frame("product", "BTC-USD", b'{"product_id":"BTC-USD"}'),
        b"",
        b"[" * 100_000,
    ],
)
def test_what_breaks_the_venues_rules_is_a_bad_frame(frame: bytes) -> None:
    with pytest.raises(BadFrame):
        MARKET_DATA.parse(frame, BTC)


def test_a_session_line_is_a_session() -> None:
    assert read(session_frame("a", "BTC-USD")) == [Session("a")]


def test_numbers_and_names_are_found_without_parsing() -> None:
    assert MARKET_DATA.sequence_in(BOOK) == 13
    assert MARKET_DATA.sequence_in(b'{"type":"error"}') is None
    assert list(MARKET_DATA.symbols_in(BOOK)) == ["BTC-USD"]
    assert list(MARKET_DATA.symbols_in(TRADES)) == ["BTC-USD", "ETH-USD"]
    assert not MARKET_DATA.symbols_in(b'{"channel":"heartbeats"}')


def test_spellings_go_both_ways() -> None:
    for symbol, instrument in (("BTC-USD", "coinbase:BTC-USD"), ("BTC-PERP-INTX", "coinbase:BTC-USDC-PERP")):
        assert MARKET_DATA.instrument_of("coinbase", symbol) == instrument
        assert MARKET_DATA.venue_symbol(instrument) == symbol
    for symbol in ("BIP-20DEC30-CDE", "BTCUSD", "BTC-PERP", "BTC-USD-INTX"):
        with pytest.raises(ValueError, match="not a symbol"):
            MARKET_DATA.instrument_of("coinbase", symbol)
    for instrument in ("coinbase:BTC-USD-PERP", "coinbase:BTC-PERP", "coinbase:BTC-USD-250926"):
        with pytest.raises(ValueError, match="no such instrument"):
            MARKET_DATA.venue_symbol(instrument)


def test_a_connection_asks_for_heartbeats_and_three_channels() -> None:
    first, second = MARKET_DATA.connections(Endpoints(), [f"A{n}-USD" for n in range(25)])
    assert (len(first.symbols), len(second.symbols)) == (20, 5)
    messages = [json.loads(m) for m in second.subscribe]
    assert [m["channel"] for m in messages] == ["heartbeats", "level2", "market_trades", "ticker"]
    assert all(m["product_ids"] == list(second.symbols) for m in messages[1:])
    assert [json.loads(m)["type"] for m in MARKET_DATA.resubscribe("BTC-USD")] == ["unsubscribe", "subscribe"]


class Naive:
    """Books from Coinbase's own frames, in the plainest way; ``traded`` is what its updates tell of."""

    def __init__(self) -> None:
        self.books: dict[str, Sides] = {}
        self.traded: dict[str, set[str]] = {}

    def feed(self, item: Item) -> None:
        if item.kind is not Kind.FRAME:
            return
        frame = json.loads(item.data)
        for event in frame["events"]:
            if frame["channel"] == "l2_data":
                self._change(event)
            if frame["channel"] == "market_trades" and event["type"] == "update":
                for trade in event["trades"]:
                    self.traded.setdefault(trade["product_id"], set()).add(trade["trade_id"])

    def _change(self, event: Any) -> None:
        if event["type"] == "snapshot":
            self.books[event["product_id"]] = ({}, {})
        for update in event["updates"]:
            side = self.books[event["product_id"]][update["side"] == "offer"]
            side[Decimal(update["price_level"])] = Decimal(update["new_quantity"])
            if not Decimal(update["new_quantity"]):
                del side[Decimal(update["price_level"])]


@pytest.fixture(scope="module")
def recording(data_dir: Path) -> Path:
    return data_dir / "cryptofeed" / "COINBASE.jsonl.zst"


@pytest.fixture(scope="module")
def items(recording: Path) -> list[Item]:
    """With the best thousand levels of a side: quicker, and no less of a book."""
    return [shallow(item) if b'"snapshot","product_id"' in item.data else item for item in items_of(recording)]


def shallow(item: Item) -> Item:
    frame = json.loads(item.data)
    for event in frame["events"]:
        updates = event["updates"]
        sides = [[u for u in updates if u["side"] == side][:1000] for side in ("bid", "offer")]
        event["updates"] = sides[0] + sides[1]
    return item._replace(data=json.dumps(frame, separators=(",", ":")).encode())


def test_recorded_books_equal_an_independent_rebuild_and_every_trade_counts_once(recording: Path) -> None:
    naive = Naive()
    played = assert_equal_books("coinbase", items_of(recording), naive, every=150)
    for instrument, symbol in played.symbols.items():
        ids = [t.trade_id for t in played.of(Trade, instrument) if isinstance(t, Trade)]
        assert sorted(ids) == sorted(naive.traded[symbol])
        streamed = [q for q in played.of(Quote, instrument) if isinstance(q, Quote) and not q.of_book]
        assert len(streamed) == len(played.of(Ticker, instrument))
    assert not played.of(Gap)
    assert len(played.of(BookDelta)) == 773


def test_the_check_of_the_recording_finds_two_live_books_and_no_gap(recording: Path) -> None:
    found = check([recording])
    assert [(c.instrument, c.gaps, c.book_state, c.unreadable) for c in found.instruments] == [
        ("coinbase:BTC-USD", 0, "live", 0),
        ("coinbase:ETH-USD", 0, "live", 0),
    ]
    assert [c.trades for c in found.instruments] == [47, 32]


def test_recorded_trades_were_made_at_the_side_of_the_book_that_they_name(items: list[Item]) -> None:
    """Bought at the best ask or above the best bid, as the newest quote before says; a few came before their quote."""
    quotes: dict[str, Quote] = {}
    right = wrong = 0
    for record in play("coinbase", items).records:
        if isinstance(record, Quote):
            quotes[record.instrument] = record
        elif isinstance(record, Trade) and (quote := quotes.get(record.instrument)) is not None:
            bought = record.price > quote.mid
            right += bought == (record.aggressor is Side.BUY)
            wrong += bought != (record.aggressor is Side.BUY)
    assert right > 4 * wrong


def test_a_frame_that_comes_twice_changes_nothing(items: list[Item]) -> None:
    at = next(n for n, item in enumerate(items) if b'"l2_data"' in item.data and b'"update"' in item.data)
    naive = Naive()
    for item in items:
        naive.feed(item)
    played = play("coinbase", faulty(items, "repeated", at, at))
    assert not played.of(Gap)
    assert_books(played, naive)


@pytest.mark.parametrize("fault", ["lost", "swapped"])
def test_a_fault_ends_in_a_gap_and_the_next_snapshot_makes_the_books_right_again(items: list[Item], fault: str) -> None:
    changes = [n for n, item in enumerate(items) if b'"l2_data"' in item.data and b'"update"' in item.data]
    at, other = changes[100], changes[101]
    beats = [n for n, item in enumerate(items) if b'"heartbeats"' in item.data and n > other]
    naive = Naive()
    stream = []
    for n, item in enumerate(items):
        naive.feed(item)
        stream.append(item._replace(data=whole(naive, item)) if n == beats[0] else item)
    played = play("coinbase", faulty(stream, fault, at, other))
    assert {r.reason for r in played.of(Gap) if isinstance(r, Gap)} == {"connection"}
    assert len(played.of(Gap)) == 2
    assert [(s.book.gaps, s.book.resyncs) for s in played.states.values()] == [(1, 1), (1, 1)]
    assert_books(played, naive)


def whole(naive: Naive, item: Item) -> bytes:
    """Both books as the venue would send them anew, in the place of another frame."""
    events = [
        {
            "type": "snapshot",
            "product_id": symbol,
            "updates": [
                {"side": side, "event_time": "", "price_level": str(price), "new_quantity": str(size)}
                for side, levels in zip(("bid", "offer"), book, strict=True)
                for price, size in levels.items()
            ],
        }
        for symbol, book in naive.books.items()
    ]
    frame = json.loads(item.data)
    return json.dumps({**frame, "channel": "l2_data", "events": events}).encode()


def assert_books(played: Played, naive: Naive) -> None:
    for instrument, state in played.states.items():
        book = state.book.book
        assert book is not None
        assert (dict(book.bids()), dict(book.asks())) == naive.books[played.symbols[instrument]]


def test_no_broken_frame_is_more_than_a_bad_frame(items: list[Item]) -> None:
    fuzz("coinbase", [item for item in items if len(item.data) < 100_000], rounds=1000)


def test_recorded_products_have_definitions_and_spellings_both_ways(items: list[Item]) -> None:
    body = next(item.data for item in items if item.kind is Kind.ANSWER)
    halted = 0
    for product in json.loads(body)["products"]:
        symbol = product["product_id"]
        instrument = MARKET_DATA.instrument_of("coinbase", symbol)
        assert MARKET_DATA.venue_symbol(instrument) == symbol
        frame = rest_frame("product", symbol, json.dumps(product).encode())
        definition, status = MARKET_DATA.parse(frame, Reading("coinbase", instrument, 5, 0, {})) or ()
        assert isinstance(definition, Instrument)
        assert isinstance(status, InstrumentStatus)
        assert (definition.base, definition.venue_symbol) == (product["base_currency_id"], symbol)
        assert definition.tick_size == Decimal(product["price_increment"])
        assert definition.lot_size == Decimal(product["base_increment"])
        halted += status.status is TradingStatus.HALTED
    assert 0 < halted < 100


def test_answers_about_one_product_are_known_by_their_address() -> None:
    address = "https://api.coinbase.com/api/v3/brokerage/market/products"
    assert MARKET_DATA.answer(address, b"{}") is None
    answer = MARKET_DATA.answer(f"{address}/BTC-USD", b"{}")
    assert answer is not None
    assert answer.venue_symbol == "BTC-USD"


def test_a_line_about_no_instrument_is_passed_over_or_says_what_the_venue_says() -> None:
    nobody = Reading("coinbase", "coinbase:", TS, 0, {})
    assert MARKET_DATA.parse(b'{"channel":"heartbeats","sequence_num":35,"events":[]}', nobody) is None
    with pytest.raises(BadFrame, match="the venue says: no such channel"):
        MARKET_DATA.parse(b'{"type":"error","message":"no such channel"}', nobody)
