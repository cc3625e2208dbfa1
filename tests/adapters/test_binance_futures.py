import json
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import BadFrame, Endpoints, MarketData, Reading, Session, rest_frame, session_frame
from adapters.binance_coinm.market import MARKET_DATA as COINM
from adapters.binance_usdm.market import MARKET_DATA as USDM
from infra.captures import Item, Kind, read
from tests.adapters.venues import Played, Sides, assert_equal_books, faulty, fuzz, items_of, play
from topics.market import (
    BookDelta,
    BookSnapshot,
    Funding,
    Gap,
    Instrument,
    InstrumentStatus,
    Liquidation,
    OpenInterest,
    Quote,
    Ticker,
    Trade,
)
from topics.record import Side

TS = 1_626_992_741_100_000_000
SUSHI, PERP = "binance_usdm:SUSHI-USDT-PERP", "binance_coinm:BTC-USD-PERP"
DEPTH = (
    b'{"e":"depthUpdate","E":1626992741037,"T":1626992741024,"s":"SUSHIUSDT","U":600859599090,"u":600859600917,'
    b'"pu":600859598061,"b":[["7.5040","813"],["7.6090","0"]],"a":[["7.6150","1563"]]}'
)
BODY = (
    b'{"lastUpdateId":600859605926,"E":1626992741264,"T":1626992741261,"bids":[["7.6110","6"]],"asks":[["7.6120","2"]]}'
)
TRADE = (
    b'{"e":"trade","E":1723161256322,"T":1723161256321,"s":"SUSHIUSDT","t":5266583935,"p":"7.6120","q":"297",'
    b'"X":"MARKET","m":false}'
)
AGGREGATE = (
    b'{"e":"aggTrade","E":1626992744262,"a":87353230,"s":"SUSHIUSDT","p":"7.6120","q":"297","f":126902924,'
    b'"l":126902927,"T":1626992744108,"m":false}'
)
TICKER = (
    b'{"e":"bookTicker","u":600859600576,"s":"SUSHIUSDT","b":"7.6110","B":"2","a":"7.6120","A":"297",'
    b'"T":1626992741012,"E":1626992741017}'
)
MARK = (
    b'{"e":"markPriceUpdate","E":1562305380000,"s":"SUSHIUSDT","p":"7.6150","i":"7.6140","P":"7.61",'
    b'"r":"-0.00038167","T":1562306400000}'
)
FORCED = (
    b'{"e":"forceOrder","E":1568014460893,"o":{"s":"SUSHIUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"14","p":"7.5",'
    b'"ap":"7.55","X":"FILLED","l":"14","z":"14","T":1568014460892}}'
)
OPEN = b'{"openInterest":"10659.509","symbol":"SUSHIUSDT","time":1589437530011}'
INVERSE = (
    b'{"timezone":"UTC","serverTime":1565613908500,"symbols":[{"filters":[{"filterType":"PRICE_FILTER","maxPrice":"100000",'
    b'"minPrice":"0.1","tickSize":"0.1"},{"filterType":"LOT_SIZE","maxQty":"100000","minQty":"1","stepSize":"1"}],'
    b'"contractType":"PERPETUAL","contractStatus":"TRADING","contractSize":100,"symbol":"BTCUSD_PERP","pair":"BTCUSD",'
    b'"baseAsset":"BTC","quoteAsset":"USD","marginAsset":"BTC","pricePrecision":1,"quantityPrecision":0}]}'
)


def parse(frame: bytes) -> list[Any]:
    return list(USDM.parse(frame, Reading("binance_usdm", SUSHI, TS, 0, {})) or ())


def altered(frame: bytes, old: str, new: str) -> bytes:
    assert old.encode() in frame
    return frame.replace(old.encode(), new.encode())


def test_a_delta_begins_where_the_one_before_ended() -> None:
    assert parse(DEPTH) == [
        BookDelta(
            instrument=SUSHI,
            bids=(("7.5040", "813"), ("7.6090", "0")),
            asks=(("7.6150", "1563"),),
            first_sequence=600859598062,
            sequence=600859600917,
            ts_event=1_626_992_741_024_000_000,
            ts_init=TS,
        )
    ]


def test_a_snapshot_has_its_own_time_and_may_name_its_symbol() -> None:
    (book,) = parse(rest_frame("depth", "SUSHIUSDT", BODY))
    assert isinstance(book, BookSnapshot)
    assert (book.sequence, book.ts_event) == (600859605926, 1_626_992_741_261_000_000)
    assert parse(rest_frame("depth", "SUSHIUSDT", altered(BODY, '"bids"', '"symbol":"SUSHIUSDT","bids"'))) == [book]


@pytest.mark.parametrize("last", [600859598060, 600859598061, 600859599000, 600859600916, 600859600917, 600859600918])
def test_a_snapshot_joins_where_the_delta_spans_it(last: int) -> None:
    """At ``pu <= lastUpdateId < u`` the delta is applied, at ``u`` and beyond it is in the snapshot, before ``pu`` is a hole."""
    body = altered(BODY, "600859605926", str(last))
    url = "https://fapi.binance.com/fapi/v1/depth?symbol=SUSHIUSDT"
    items = [
        Item(TS, Kind.FRAME, "a", "", DEPTH),
        Item(TS + 1, Kind.ANSWER, "b", url, body),
    ]
    played = play("binance_usdm", items)
    changes = len(played.of(BookDelta))
    assert (len(played.of(BookSnapshot)), changes) == (
        (0, 0) if last < 600859598061 else (1, 0) if last >= 600859600917 else (1, 1)
    )


def test_single_and_aggregate_trades_are_trades_and_the_kind_that_came_first_counts() -> None:
    (single,) = parse(TRADE)
    (aggregate,) = parse(AGGREGATE)
    assert isinstance(single, Trade)
    assert (single.trade_id, single.aggressor, single.ts_event) == ("5266583935", Side.BUY, 1_723_161_256_321_000_000)
    assert isinstance(aggregate, Trade)
    assert aggregate.trade_id == "87353230"
    reading = Reading("binance_usdm", SUSHI, TS, 0, {})
    assert [len(USDM.parse(frame, reading) or ()) for frame in (TRADE, AGGREGATE, TRADE)] == [1, 0, 1]
    assert not parse(altered(altered(TRADE, "MARKET", "NA"), "297", "0"))


def test_a_quote_has_the_engines_time() -> None:
    (quote,) = parse(b'{"stream":"sushiusdt@bookTicker","data":' + TICKER + b"}")
    assert isinstance(quote, Quote)
    assert (quote.best_bid, quote.ask_size, quote.sequence) == (Decimal("7.6110"), Decimal(297), 600859600576)
    assert quote.ts_event == 1_626_992_741_012_000_000


def test_mark_index_and_funding_come_together() -> None:
    ticker, funding = parse(MARK)
    assert isinstance(ticker, Ticker)
    assert isinstance(funding, Funding)
    assert (ticker.mark, ticker.index, ticker.last) == (Decimal("7.6150"), Decimal("7.6140"), None)
    assert (funding.rate, funding.next_ts) == (Decimal("-0.00038167"), 1_562_306_400_000_000_000)
    (alone,) = parse(altered(altered(MARK, '"-0.00038167"', '""'), "1562306400000", "0"))
    assert isinstance(alone, Ticker)


def test_a_forced_order_is_a_liquidation_and_open_interest_an_answer() -> None:
    (liquidation,) = parse(FORCED)
    assert isinstance(liquidation, Liquidation)
    assert (liquidation.side, str(liquidation.price), str(liquidation.size)) == (Side.SELL, "7.5", "14")
    (interest,) = parse(rest_frame("openInterest", "SUSHIUSDT", OPEN))
    assert isinstance(interest, OpenInterest)
    assert interest.open_interest == Decimal("10659.509")


def test_an_inverse_contract_is_worth_its_size_in_dollars() -> None:
    reading = Reading("binance_coinm", PERP, TS, 0, {})
    definition, status = COINM.parse(rest_frame("exchangeInfo", "BTCUSD_PERP", INVERSE), reading) or ()
    assert definition == Instrument(
        instrument=PERP,
        venue="binance_coinm",
        venue_symbol="BTCUSD_PERP",
        base="BTC",
        quote="USD",
        tick_size=Decimal("0.1"),
        lot_size=Decimal(1),
        min_qty=Decimal(1),
        max_qty=Decimal(100000),
        multiplier=Decimal(100),
        kind="inverse",
        inverse=True,
        settle="BTC",
        ts_init=TS,
    )
    assert isinstance(status, InstrumentStatus)


@pytest.mark.parametrize(
    "frame",
    [
        DEPTH[:-1],
        altered(DEPTH, "SUSHI", "AKRO"),
        altered(DEPTH, '"u":600859600917', '"u":600859599089'),
        altered(DEPTH, '"pu":600859598061', '"pu":600859600917'),
        altered(DEPTH, ',"pu":600859598061', ""),
        altered(TRADE, "297", "0"),
        altered(TICKER, "7.6110", "7.6120"),
        altered(MARK, "-0.00038167", "NaN"),
        altered(MARK, "7.6150", "-1"),
        altered(FORCED, "SELL", "?"),
        rest_frame("depth", "SUSHIUSDT", altered(BODY, '"bids"', '"symbol":"AKROUSDT","bids"')),
        rest_frame("openInterest", "SUSHIUSDT", altered(OPEN, "10659.509", "-1")),
        rest_frame("exchangeInfo", "SUSHIUSDT", INVERSE),
        b'{"error":{"code":2,"msg":"Invalid request"},"id":1}',
        b"",
    ],
)
def test_what_breaks_the_venues_rules_is_a_bad_frame(frame: bytes) -> None:
    with pytest.raises(BadFrame):
        parse(frame)


def test_what_nobody_asked_for_is_passed_over() -> None:
    for frame in (
        b'{"result":null,"id":1}',
        b'{"stream":"sushiusdt@kline_1m","data":{"e":"kline"}}',
        b'{"e":"24hrTicker"}',
    ):
        assert USDM.parse(frame, Reading("binance_usdm", SUSHI, TS, 0, {})) is None
    assert parse(session_frame("a", "SUSHIUSDT")) == [Session("a")]


@pytest.mark.parametrize(
    ("market", "symbol", "instrument"),
    [
        (USDM, "BTCUSDT", "v:BTC-USDT-PERP"),
        (USDM, "1000SHIBUSDC", "v:1000SHIB-USDC-PERP"),
        (USDM, "ETHBTC", "v:ETH-BTC-PERP"),
        (USDM, "BTCUSDT_210924", "v:BTC-USDT-210924"),
        (COINM, "BTCUSD_PERP", "v:BTC-USD-PERP"),
        (COINM, "ETHUSD_240927", "v:ETH-USD-240927"),
    ],
)
def test_spellings_go_both_ways(market: MarketData, symbol: str, instrument: str) -> None:
    assert market.instrument_of("v", symbol) == instrument
    assert market.venue_symbol(instrument) == symbol


@given(
    market=st.sampled_from([USDM, COINM]),
    base=st.text("ABCDSTU1", min_size=1, max_size=6),
    quote=st.sampled_from(["USDT", "USDC", "USD", "BTC", "EUR"]),
    ending=st.sampled_from(["", "-PERP", "-261225"]),
)
def test_an_instrument_that_has_a_spelling_is_what_that_spelling_names(
    market: MarketData, base: str, quote: str, ending: str
) -> None:
    try:
        symbol = market.venue_symbol(f"v:{base}-{quote}{ending}")
    except ValueError:
        return
    assert market.instrument_of("v", symbol) == f"v:{base}-{quote}{ending}"


def test_other_spellings_are_errors() -> None:
    for market, symbol in ((USDM, "BTCUSD_PERP"), (USDM, "USDT"), (COINM, "BTCUSD"), (COINM, "BTCUSDT"), (COINM, "")):
        with pytest.raises(ValueError, match="not a contract"):
            market.instrument_of("v", symbol)
    with pytest.raises(ValueError, match="not a contract"):
        USDM.venue_symbol("binance_usdm:BTC-USDT")


def test_books_come_from_one_address_and_the_rest_from_another_within_the_limit_of_streams() -> None:
    symbols = [f"A{n}USDT" for n in range(150)]
    found = USDM.connections(Endpoints(), symbols)
    books = [c for c in found if "/public/" in c.url]
    others = [c for c in found if "/market/" in c.url]
    assert [len(c.symbols) for c in books] == [100, 50]
    assert [len(c.symbols) for c in others] == [66, 66, 18]
    streams = [s for c in books for m in c.subscribe for s in json.loads(m)["params"]]
    assert {s.partition("@")[2] for s in streams} == {"depth@100ms", "bookTicker"}
    assert {c.most_s for c in found} == {86_400}
    (local,) = COINM.connections(Endpoints(ws_url="ws://127.0.0.1:1"), ["BTCUSD_PERP"])
    assert local.url == "ws://127.0.0.1:1/stream"
    assert "btcusd_perp@markPrice@1s" in json.loads(local.subscribe[0])["params"]


class Naive:
    """Books from Binance's own frames, in the plainest way: an answer begins one, what is older than it is passed over."""

    def __init__(self, symbol: str = "") -> None:
        self.books: dict[str, Sides] = {}
        self.trades: dict[str, list[str]] = {}
        self._symbol = symbol
        self._at: dict[str, int] = {}
        self._waiting: dict[str, list[Any]] = {}

    def feed(self, item: Item) -> None:
        body = json.loads(item.data) if item.data else {}
        if item.kind is Kind.ANSWER and "lastUpdateId" in body:
            symbol = self._symbol or item.about.split("symbol=")[1].split("&")[0]
            if symbol not in self.books:
                self._begin(symbol, body)
        if item.kind is Kind.FRAME:
            data = body["data"]
            match data["e"]:
                case "depthUpdate":
                    self._change(data["s"], data)
                case "trade" | "aggTrade":
                    self.trades.setdefault(data["s"], []).append(str(data.get("t") or data["a"]))

    def _begin(self, symbol: str, body: Any) -> None:
        self.books[symbol] = ({}, {})
        self._put(symbol, body["bids"], body["asks"])
        self._at[symbol] = body["lastUpdateId"]
        for data in self._waiting.pop(symbol, []):
            self._change(symbol, data)

    def _change(self, symbol: str, data: Any) -> None:
        if symbol not in self.books:
            self._waiting.setdefault(symbol, []).append(data)
        elif data["u"] > self._at[symbol]:
            self._put(symbol, data["b"], data["a"])

    def _put(self, symbol: str, bids: Any, asks: Any) -> None:
        for side, levels in zip(self.books[symbol], (bids, asks), strict=True):
            for price, size in levels:
                side[Decimal(price)] = Decimal(size)
                if not Decimal(size):
                    del side[Decimal(price)]


RECORDINGS = {
    "cryptofeed/BINANCE_FUTURES.jsonl.zst": ("binance_usdm", "", 10**9),
    "hftbacktest/usdm/ethusdt_20240808.gz": ("binance_usdm", "ETHUSDT", 12_000),
    "hftbacktest/cm/btcusd_perp_20240808.gz": ("binance_coinm", "BTCUSD_PERP", 12_000),
}


@pytest.mark.parametrize("name", RECORDINGS)
def test_recorded_books_equal_an_independent_rebuild_and_every_trade_counts_once(data_dir: Path, name: str) -> None:
    """Of long recordings the first part; ``tape check`` reads them whole."""
    venue, symbol, most = RECORDINGS[name]
    items = list(islice(read([data_dir / name]), most))
    naive = Naive(symbol)
    played = assert_equal_books(venue, items, naive, every=max(50, len(items) // 20))
    assert not played.of(Gap)
    assert len(naive.books) == len(played.symbols)
    for instrument, spelled in played.symbols.items():
        assert [t.trade_id for t in played.of(Trade, instrument) if isinstance(t, Trade)] == naive.trades[spelled]
    assert {s.unreadable for s in played.states.values()} == {0}


def test_recorded_quotes_equal_the_books_top_wherever_both_are_of_the_same_update(data_dir: Path) -> None:
    items = list(islice(read([data_dir / "hftbacktest" / "cm" / "btcusd_perp_20240808.gz"]), 20_000))
    tops: dict[int, tuple[Any, ...]] = {}
    quotes: list[Quote] = []

    def see(item: Item, states: Any, new: Any) -> None:
        for record in new:
            if isinstance(record, Quote):
                quotes.append(record)
            if isinstance(record, BookDelta):
                book = states[PERP].book.book
                tops[record.sequence] = (*book.best_bid, *book.best_ask)

    play("binance_coinm", items, see)
    both = [q for q in quotes if q.sequence in tops]
    assert len(both) > 300
    for quote in both:
        assert tops[quote.sequence] == (quote.best_bid, quote.bid_size, quote.best_ask, quote.ask_size)


@pytest.fixture(scope="module")
def items(data_dir: Path) -> list[Item]:
    return items_of(data_dir / "cryptofeed" / "BINANCE_FUTURES.jsonl.zst")


@pytest.mark.parametrize("fault", ["lost", "repeated", "swapped"])
def test_a_fault_ends_in_a_gap_or_is_known_as_a_copy_and_a_snapshot_makes_the_book_right_again(
    items: list[Item], fault: str
) -> None:
    changes = [n for n, item in enumerate(items) if b'"sushiusdt@depth' in item.data]
    at, other = changes[100], changes[101]
    naive = Naive()
    stream = list(items)
    for n, item in enumerate(items):
        naive.feed(item)
        if n == changes[110]:
            stream.insert(n + 1, whole(naive, item))
    played = play("binance_usdm", faulty(stream, fault, at, other))
    state = played.states[SUSHI]
    lost = 0 if fault == "repeated" else 1
    assert (state.book.gaps, state.book.resyncs, len(played.of(Gap))) == (lost, lost, lost)
    assert_book(played, naive)


def whole(naive: Naive, item: Item) -> Item:
    """An answer with the book as of this delta."""
    last = json.loads(item.data)["data"]
    sides = [[[str(p), str(q)] for p, q in side.items()] for side in naive.books["SUSHIUSDT"]]
    body = {"lastUpdateId": last["u"], "E": last["E"], "T": last["T"], "bids": sides[0], "asks": sides[1]}
    url = "https://fapi.binance.com/fapi/v1/depth?symbol=SUSHIUSDT"
    return Item(item.ts, Kind.ANSWER, "http", url, json.dumps(body, separators=(",", ":")).encode())


def assert_book(played: Played, naive: Naive) -> None:
    book = played.states[SUSHI].book.book
    assert book is not None
    assert (dict(book.bids()), dict(book.asks())) == naive.books["SUSHIUSDT"]


def test_no_broken_frame_is_more_than_a_bad_frame(items: list[Item]) -> None:
    fuzz("binance_usdm", items)


def test_recorded_contracts_have_definitions_and_spellings_both_ways(items: list[Item]) -> None:
    body = next(item.data for item in items if b"exchangeInfo" in item.about.encode())
    contracts = json.loads(body)["symbols"]
    for contract in contracts:
        symbol = contract["symbol"]
        instrument = USDM.instrument_of("binance_usdm", symbol)
        assert USDM.venue_symbol(instrument) == symbol
        assert instrument.startswith(f"binance_usdm:{contract['baseAsset']}-{contract['quoteAsset']}-")
        small = json.dumps({"serverTime": 1, "symbols": [contract]}).encode()
        frame = rest_frame("exchangeInfo", symbol, small)
        definition, _ = USDM.parse(frame, Reading("binance_usdm", instrument, 5, 0, {})) or ()
        assert isinstance(definition, Instrument)
        assert definition.kind == ("linear" if instrument.endswith("-PERP") else "future")
        assert definition.min_notional == Decimal(5)
    assert len(contracts) > 100


def test_a_line_about_no_instrument_is_passed_over_or_says_what_the_venue_says() -> None:
    nobody = Reading("binance_usdm", "binance_usdm:", TS, 0, {})
    assert USDM.parse(b'{"result":null,"id":1}', nobody) is None
    with pytest.raises(BadFrame, match="the venue says"):
        USDM.parse(b'{"error":{"code":2,"msg":"Invalid request"},"id":1}', nobody)
