"""Hyperliquid's frames and books, on the venue's documented examples and a recording of one perpetual."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import BadFrame, Endpoints, Reading, rest_frame
from adapters.hyperliquid.market import MARKET_DATA
from infra.captures import Item
from pipelines.tape_check import check
from tests.adapters.venues import Sides, assert_equal_books, faulty, fuzz, items_of, play, sides
from topics.market import BookSnapshot, Funding, Gap, Instrument, OpenInterest, Quote, Ticker, Trade
from topics.record import Side

RECORDING = "hftbacktest/hyperliquid/btcusd_20250126.gz"
TRADE = (
    '{"coin":"BTC","hash":"0x00","px":"105056.0","side":"B","sz":"0.02222","tid":917211710228416,'
    '"time":1737918847000,"users":["0x8a43","0x6802"]}'
)


def reading(instrument: str = "hyperliquid:BTC-USDC-PERP") -> Reading:
    return Reading("hyperliquid", instrument, 5, 0, {})


def message(channel: str, data: str) -> bytes:
    return f'{{"channel":"{channel}","data":{data}}}'.encode()


class NaiveBooks:
    """The newest book of each coin, as it came."""

    def __init__(self) -> None:
        self.books: dict[str, Sides] = {}

    def feed(self, item: Item) -> None:
        frame = json.loads(item.data)
        if frame["channel"] == "l2Book":
            bids, asks = [{Decimal(x["px"]): Decimal(x["sz"]) for x in side} for side in frame["data"]["levels"]]
            self.books[frame["data"]["coin"]] = (bids, asks)


def test_a_book_is_whole_and_numbered_by_its_time() -> None:
    frame = message(
        "l2Book",
        '{"coin":"BTC","levels":[[{"n":5,"px":"105055.0","sz":"3.03622"}],[{"n":13,"px":"105056.0","sz":"6.34472"}]],'
        '"time":1737918843542}',
    )
    (found,) = MARKET_DATA.parse(frame, reading()) or ()
    assert found == BookSnapshot(
        instrument="hyperliquid:BTC-USDC-PERP",
        bids=(("105055.0", "3.03622"),),
        asks=(("105056.0", "6.34472"),),
        sequence=1737918843542,
        ts_event=1737918843542000000,
        ts_init=5,
    )


def test_a_trade_is_told_once_however_often_it_comes() -> None:
    memory = reading()
    (found,) = MARKET_DATA.parse(message("trades", f"[{TRADE}]"), memory) or ()
    assert found == Trade(
        instrument="hyperliquid:BTC-USDC-PERP",
        trade_id="917211710228416",
        price=Decimal(105056),
        size=Decimal("0.02222"),
        aggressor=Side.BUY,
        ts_event=1737918847000000000,
        ts_init=5,
    )
    for n in range(100):
        assert len(MARKET_DATA.parse(message("trades", f"[{TRADE.replace('8416', str(1000 + n))}]"), memory) or ()) == 1
    assert not MARKET_DATA.parse(message("trades", f"[{TRADE}]"), memory)


def test_a_best_bid_and_offer_is_a_quote_unless_a_side_is_empty() -> None:
    data = '{"coin":"BTC","time":1708622398623,"bbo":[{"px":"19900","sz":"1","n":1},{"px":"20100","sz":"2","n":1}]}'
    (found,) = MARKET_DATA.parse(message("bbo", data), reading()) or ()
    assert isinstance(found, Quote)
    assert (found.best_bid, found.ask_size, found.ts_event) == (Decimal(19900), Decimal(2), 1708622398623000000)
    empty = data.replace('{"px":"19900","sz":"1","n":1}', "null")
    assert MARKET_DATA.parse(message("bbo", empty), reading()) is None


def test_a_context_tells_prices_funding_and_interest() -> None:
    frame = message(
        "activeAssetCtx",
        '{"coin":"BTC","ctx":{"dayNtlVlm":"1169046.29406","funding":"0.0000125","impactPxs":["14.3047","14.3444"],'
        '"markPx":"14.3161","midPx":"14.314855","openInterest":"688.11","oraclePx":"14.32","premium":"0.00031774",'
        '"prevDayPx":"15.322"}}',
    )
    prices, funding, interest = MARKET_DATA.parse(frame, reading()) or ()
    assert isinstance(prices, Ticker)
    assert (prices.mark, prices.index) == (Decimal("14.3161"), Decimal("14.32"))
    assert isinstance(funding, Funding)
    assert funding.rate == Decimal("0.0000125")
    assert isinstance(interest, OpenInterest)
    assert interest.open_interest == Decimal("688.11")


def test_definitions_of_perpetuals_and_pairs_say_their_steps() -> None:
    meta = (
        b'{"universe":[{"name":"BTC","szDecimals":5,"maxLeverage":50},{"name":"HPOS","szDecimals":0,"maxLeverage":3}]}'
    )
    definition, _ = MARKET_DATA.parse(rest_frame("definition", "BTC", meta), reading()) or ()
    assert isinstance(definition, Instrument)
    assert (definition.kind, definition.tick_size, definition.lot_size) == (
        "linear",
        Decimal("0.1"),
        Decimal("0.00001"),
    )
    spot = (
        b'{"tokens":[{"name":"USDC","szDecimals":8,"weiDecimals":8,"index":0},{"name":"PURR","szDecimals":0,"weiDecimals":5,'
        b'"index":1}],"universe":[{"name":"PURR/USDC","tokens":[1,0],"index":0,"isCanonical":true}]}'
    )
    pair = reading("hyperliquid:PURR-USDC")
    definition, _ = MARKET_DATA.parse(rest_frame("definition", "PURR/USDC", spot), pair) or ()
    assert isinstance(definition, Instrument)
    assert (definition.kind, definition.tick_size, definition.lot_size) == ("spot", Decimal("1e-8"), Decimal(1))


@pytest.mark.parametrize(
    "frame",
    [
        message("l2Book", '{"coin":"ETH","levels":[[],[]],"time":1}'),
        message("l2Book", '{"coin":"BTC","levels":[[]],"time":1}'),
        message("trades", f"[{TRADE.replace('105056.0', '0')}]"),
        message("error", '"Invalid subscription"'),
        b"[]",
    ],
)
def test_what_breaks_the_rules_is_a_bad_frame(frame: bytes) -> None:
    with pytest.raises(BadFrame):
        MARKET_DATA.parse(frame, reading())


@pytest.mark.parametrize(
    "frame",
    [
        message("subscriptionResponse", '{"method":"subscribe","subscription":{"type":"l2Book","coin":"BTC"}}'),
        b'{"channel":"pong"}',
        message("candle", '{"t":1,"s":"BTC"}'),
    ],
)
def test_answers_and_other_kinds_are_passed_over(frame: bytes) -> None:
    assert MARKET_DATA.parse(frame, reading()) is None


@pytest.mark.parametrize(
    ("spelling", "instrument"), [("BTC", "BTC-USDC-PERP"), ("kPEPE", "kPEPE-USDC-PERP"), ("PURR/USDC", "PURR-USDC")]
)
def test_spellings_are_translated_both_ways(spelling: str, instrument: str) -> None:
    assert MARKET_DATA.instrument_of("hyperliquid", spelling) == f"hyperliquid:{instrument}"
    assert MARKET_DATA.venue_symbol(f"hyperliquid:{instrument}") == spelling


@given(st.from_regex(r"[@:]?[a-zA-Z0-9]{1,5}([/-][A-Z]{0,4})?", fullmatch=True))
def test_translation_and_its_inverse_agree(spelling: str) -> None:
    try:
        instrument = MARKET_DATA.instrument_of("hyperliquid", spelling)
    except ValueError:
        return
    assert MARKET_DATA.venue_symbol(instrument) == spelling


def test_each_coin_has_four_subscriptions() -> None:
    found = MARKET_DATA.connections(Endpoints(), [f"C{n}" for n in range(250)])
    assert [len(c.subscribe) for c in found] == [800, 200]
    assert json.loads(found[0].subscribe[0]) == {
        "method": "subscribe",
        "subscription": {"type": "l2Book", "coin": "C0"},
    }
    assert json.loads(MARKET_DATA.resubscribe("C0")[0])["method"] == "unsubscribe"


def test_the_recording_has_no_gap_and_every_book_equals_an_independent_one(data_dir: Path) -> None:
    path = data_dir / RECORDING
    played = assert_equal_books("hyperliquid", items_of(path), NaiveBooks(), every=1)
    (one,) = check([path], "hyperliquid").instruments
    assert (one.gaps, one.book_state, one.unreadable, one.trades) == (0, "live", 0, 64)
    assert (one.bids, one.asks) == (20, 20)
    assert not played.of(Gap)


@pytest.mark.parametrize("fault", ["lost", "repeated", "swapped"])
def test_the_next_book_is_right_whatever_came_before(data_dir: Path, fault: str) -> None:
    items = items_of(data_dir / RECORDING)
    books = [n for n, i in enumerate(items) if b"l2Book" in i.data]
    naive = NaiveBooks()
    for item in items[: books[11] + 1]:
        naive.feed(item)
    played = play("hyperliquid", faulty(items[: books[11] + 1], fault, books[10], books[11]))
    assert sides(played.states["hyperliquid:BTC-USDC-PERP"]) == naive.books["BTC"]


def test_an_unreadable_book_is_a_gap_until_the_next(data_dir: Path) -> None:
    items = items_of(data_dir / RECORDING)
    at = [n for n, i in enumerate(items) if b"l2Book" in i.data][10]
    items[at] = items[at]._replace(data=items[at].data[:-40])
    book = play("hyperliquid", items).states["hyperliquid:BTC-USDC-PERP"].book
    assert (book.gaps, book.resyncs) == (1, 1)


def test_mutated_frames_never_raise_anything_else(data_dir: Path) -> None:
    fuzz("hyperliquid", items_of(data_dir / RECORDING), rounds=700)
