"""Kraken Futures' frames and books: the venue's documented examples, and a recording of ten products."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import BadFrame, Endpoints, Reading, rest_frame
from adapters.kraken_futures.market import MARKET_DATA
from infra.captures import Item, Kind
from pipelines.tape_check import check
from tests.adapters.venues import NaiveBooks, assert_equal_books, fuzz, items_of, play, sides, with_snapshot
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

RECORDING = "cryptofeed/KRAKEN_FUTURES.jsonl.zst"
ETH = Reading("kraken_futures", "kraken_futures:ETH-USD-PERP-INV", 5, 0, {})
DELTA = (
    b'{"feed":"book","product_id":"PI_ETHUSD","side":"sell","seq":26660860,"price":2004.85,"qty":4787.0,'
    b'"timestamp":1626994927744}'
)
TRADE = (
    b'{"feed":"trade","product_id":"PI_ETHUSD","uid":"e2429e31-8b9d-4195-900e-fd42be2dec89","side":"buy","type":"fill",'
    b'"seq":5956,"time":1626994929946,"qty":320.0,"price":119.44}'
)


class Naive(NaiveBooks):
    """A dict a side; ``seq`` by product."""

    def __init__(self) -> None:
        super().__init__()
        self.seq: dict[str, int] = {}

    def feed(self, item: Item) -> None:
        m = json.loads(item.data, parse_float=Decimal) if item.kind is Kind.FRAME else {}
        if "event" in m or m.get("feed") not in ("book", "book_snapshot"):
            return
        changes: dict[str, list[tuple[Decimal, Decimal]]] = {"bids": [], "asks": []}
        if m["feed"] == "book":
            changes["bids" if m["side"] == "buy" else "asks"].append((m["price"], m["qty"]))
        else:
            changes = {side: [(level["price"], level["qty"]) for level in m[side]] for side in changes}
        self.seq[m["product_id"]] = m["seq"]
        self.change(m["product_id"], changes, m["feed"] == "book_snapshot")


def test_a_change_keeps_its_digits_and_its_number() -> None:
    assert MARKET_DATA.parse(DELTA, ETH) == (
        BookDelta(
            instrument="kraken_futures:ETH-USD-PERP-INV",
            bids=(),
            asks=(("2004.85", "4787.0"),),
            first_sequence=26660860,
            sequence=26660860,
            ts_event=1_626_994_927_744_000_000,
            ts_init=5,
        ),
    )


def test_a_snapshot_begins_a_book() -> None:
    frame = b'{"feed":"book_snapshot","product_id":"PI_ETHUSD","timestamp":1626994925378,"seq":91192,"tickSize":null,\
"bids":[{"price":439.3,"qty":20108.0},{"price":4e2,"qty":1}],"asks":[{"price":443.6,"qty":39149.0}]}'
    assert MARKET_DATA.parse(frame, ETH) == (
        BookSnapshot(
            instrument="kraken_futures:ETH-USD-PERP-INV",
            bids=(("439.3", "20108.0"), ("400", "1")),
            asks=(("443.6", "39149.0"),),
            sequence=91192,
            ts_event=1_626_994_925_378_000_000,
            ts_init=5,
        ),
    )


def test_trades_are_read_with_their_liquidations() -> None:
    (trade,) = MARKET_DATA.parse(TRADE, ETH) or ()
    assert trade == Trade(
        instrument="kraken_futures:ETH-USD-PERP-INV",
        trade_id="e2429e31-8b9d-4195-900e-fd42be2dec89",
        price=Decimal("119.44"),
        size=Decimal("320.0"),
        aggressor=Side.BUY,
        ts_event=1_626_994_929_946_000_000,
        ts_init=5,
    )
    trade, liquidation = MARKET_DATA.parse(TRADE.replace(b'"fill"', b'"liquidation"'), ETH) or ()
    assert isinstance(trade, Trade)
    assert isinstance(liquidation, Liquidation)
    assert (liquidation.side, liquidation.size) == (Side.BUY, Decimal("320.0"))


def test_a_ticker_says_prices_quote_funding_and_interest() -> None:
    frame = b'{"time":1680811086487,"product_id":"PI_ETHUSD","funding_rate":7.792297e-12,"relative_funding_rate":\
2.18013888889e-7,"next_funding_rate_time":1680811200000,"feed":"ticker","bid":28060,"ask":28070,"bid_size":2844,"ask_size":\
1902,"index":28062.14,"last":28053.5,"suspended":false,"openInterest":28875946,"markPrice":28064.92082724592}'
    ticker, quote, funding, interest = MARKET_DATA.parse(frame, ETH) or ()
    assert isinstance(ticker, Ticker)
    assert isinstance(quote, Quote)
    assert isinstance(funding, Funding)
    assert isinstance(interest, OpenInterest)
    assert (str(ticker.mark), str(ticker.index), str(ticker.last)) == ("28064.92082724592", "28062.14", "28053.5")
    assert (quote.best_bid, quote.ask_size) == (28060, 1902)
    assert (funding.rate, funding.next_ts) == (Decimal("2.18013888889E-7"), 1_680_811_200_000_000_000)
    assert interest.open_interest == 28875946


@pytest.mark.parametrize(
    "frame",
    [
        b'{"event":"info","version":1}',
        b'{"event":"subscribed","feed":"book","product_ids":["PI_ETHUSD"]}',
        b'{"feed":"heartbeat","time":1626994927744}',
        b'{"feed":"trade_snapshot","product_id":"PI_ETHUSD","trades":[%b]}' % TRADE,
        b'{"feed":"ticker_lite","product_id":"PI_ETHUSD","bid":439.3,"ask":439.6}',
    ],
)
def test_what_nobody_asked_for_is_passed_over(frame: bytes) -> None:
    assert MARKET_DATA.parse(frame, ETH) is None


@pytest.mark.parametrize(
    "frame",
    [
        b'{"event":"error","message":"Invalid product id"}',
        b'{"event":"alert","message":"Bad request"}',
        b'{"event":"subscribed_failed","feed":"book","product_ids":["PI_ETHUSD"]}',
        DELTA.replace(b"PI_ETHUSD", b"PF_ETHUSD"),
        DELTA.replace(b"sell", b"both"),
        DELTA.replace(b"26660860", b"0"),
        TRADE.replace(b"320.0", b"0.0"),
        b"[]",
    ],
)
def test_what_breaks_the_rules_is_a_bad_frame(frame: bytes) -> None:
    with pytest.raises(BadFrame):
        MARKET_DATA.parse(frame, ETH)


def test_a_definition_says_steps_and_kind(data_dir: Path) -> None:
    body = next(i.data for i in items_of(data_dir / RECORDING) if i.kind is Kind.ANSWER)
    definition, _ = MARKET_DATA.parse(rest_frame("instruments", "PI_ETHUSD", body), ETH) or ()
    assert definition == Instrument(
        instrument="kraken_futures:ETH-USD-PERP-INV",
        venue="kraken_futures",
        venue_symbol="PI_ETHUSD",
        base="ETH",
        quote="USD",
        tick_size=Decimal("0.05"),
        lot_size=Decimal(1),
        min_qty=Decimal(1),
        kind="inverse",
        inverse=True,
        ts_init=5,
    )


@pytest.mark.parametrize(
    ("spelling", "instrument"),
    [
        ("PF_XBTUSD", "BTC-USD-PERP"),
        ("PI_XBTUSD", "BTC-USD-PERP-INV"),
        ("FF_XBTUSD_250926", "BTC-USD-250926"),
        ("FI_BCHUSD_210730", "BCH-USD-210730-INV"),
        ("PV_XRPXBT", "XRP-BTC-PERP"),
        ("FV_XRPXBT_210924", "XRP-BTC-210924"),
    ],
)
def test_spellings_are_translated_both_ways(spelling: str, instrument: str) -> None:
    assert MARKET_DATA.instrument_of("kraken_futures", spelling.lower()) == f"kraken_futures:{instrument}"
    assert MARKET_DATA.venue_symbol(f"kraken_futures:{instrument}") == spelling


@given(st.from_regex(r"([PF][FIV])_[A-Z]{2,5}(USD|XBT)(_\d{6})?", fullmatch=True))
def test_translation_and_its_inverse_agree(symbol: str) -> None:
    try:
        instrument = MARKET_DATA.instrument_of("kraken_futures", symbol)
    except ValueError:
        return
    assert MARKET_DATA.instrument_of("kraken_futures", MARKET_DATA.venue_symbol(instrument)) == instrument


@pytest.mark.parametrize("spelling", ["in_xbtusd", "PI_XBTUSD_210924", "FI_XBTUSD", "PV_XBTXBT", "FV_XRPXBT", ""])
def test_what_is_no_product_has_no_id(spelling: str) -> None:
    with pytest.raises(ValueError, match="not a product"):
        MARKET_DATA.instrument_of("kraken_futures", spelling)


def test_one_connection_asks_for_every_feed_of_every_product() -> None:
    (connection,) = MARKET_DATA.connections(Endpoints(sandbox=True), [f"PF_A{n}USD" for n in range(60)])
    asked = [json.loads(message) for message in connection.subscribe]
    assert connection.url == "wss://demo-futures.kraken.com/ws/v1"
    assert sum(len(one["product_ids"]) for one in asked) == 3 * 60
    assert [json.loads(m)["event"] for m in MARKET_DATA.resubscribe("PF_XBTUSD")] == ["unsubscribe", "subscribe"]


def test_the_recording_has_no_gap_and_every_book_equals_an_independent_one(data_dir: Path) -> None:
    items = items_of(data_dir / RECORDING)
    played = assert_equal_books("kraken_futures", items, Naive(), every=200)
    found = check([data_dir / RECORDING])
    assert len(found.instruments) == 10
    assert {(one.gaps, one.book_state, one.unreadable) for one in found.instruments} == {(0, "live", 0)}
    assert sum(one.book_updates for one in found.instruments) == sum(b'"feed":"book",' in i.data[:20] for i in items)
    assert sum(one.trades for one in found.instruments) == sum(i.data.startswith(b'{"feed":"trade",') for i in items)
    assert not played.of(Gap)


@pytest.mark.parametrize("fault", ["lost", "repeated", "swapped"])
def test_a_fault_ends_in_a_gap_and_the_next_snapshot_in_equality(data_dir: Path, fault: str) -> None:
    items = items_of(data_dir / RECORDING)
    changes = [n for n, i in enumerate(items) if i.data.startswith(b'{"feed":"book","product_id":"PI_ETHUSD"')]
    naive = Naive()

    def snapshot(after: Item) -> Item:
        bids, asks = (
            [{"price": float(p), "qty": float(s)} for p, s in side.items()] for side in naive.books["PI_ETHUSD"]
        )
        whole = {"feed": "book_snapshot", "product_id": "PI_ETHUSD", "timestamp": after.ts // 10**6}
        return after._replace(
            data=json.dumps({**whole, "seq": naive.seq["PI_ETHUSD"], "bids": bids, "asks": asks}).encode()
        )

    played = play("kraken_futures", with_snapshot(items, fault, changes[300], changes[301], naive, snapshot))
    end = Naive()
    for item in items:
        end.feed(item)
    state = played.states["kraken_futures:ETH-USD-PERP-INV"]
    assert sides(state) == end.books["PI_ETHUSD"]
    assert (state.book.gaps, state.book.resyncs) == ((0, 0) if fault == "repeated" else (1, 1))


def test_mutated_frames_never_raise_anything_else(data_dir: Path) -> None:
    fuzz("kraken_futures", [i for i in items_of(data_dir / RECORDING) if i.kind is Kind.FRAME][:1000])


def test_frames_about_nobody_we_follow_are_passed_over_and_refusals_are_not() -> None:
    nobody = Reading("kraken_futures", "kraken_futures:", 5, 0, {})
    assert MARKET_DATA.parse(TRADE, nobody) is None
    with pytest.raises(BadFrame, match="the venue says"):
        MARKET_DATA.parse(b'{"event":"error","message":"Invalid product id"}', nobody)


def one_level(seq: int, side: str, price: str, qty: str, ms: int) -> Item:
    told = f'"side":"{side}","seq":{seq},"price":{price},"qty":{qty},"timestamp":{1626994927000 + ms}'
    return Item(seq, Kind.FRAME, "ws", "", f'{{"feed":"book","product_id":"PI_ETHUSD",{told}}}'.encode())


WHOLE = Item(
    1,
    Kind.FRAME,
    "ws",
    "",
    b'{"feed":"book_snapshot","product_id":"PI_ETHUSD","timestamp":1626994925378,"seq":1,"tickSize":null,'
    b'"bids":[{"price":99.0,"qty":1.0}],"asks":[{"price":100.0,"qty":2.0},{"price":101.0,"qty":1.0}]}',
)


@pytest.mark.parametrize(
    ("later", "gaps"),
    [
        ([one_level(3, "sell", "100.0", "0.0", 5)], 0),
        ([one_level(3, "sell", "102.0", "1.0", 5), one_level(4, "sell", "100.0", "0.0", 6)], 0),
        ([one_level(3, "sell", "102.0", "1.0", 6)], 1),
        ([one_level(3, "sell", "100.0", "0.0", 5), one_level(4, "sell", "100.5", "3.0", 9)], 0),
        ([one_level(3, "sell", "100.0", "0.0", 5), *[one_level(n, "sell", "100.5", "3.0", n) for n in (9, 10)]], 1),
    ],
)
def test_a_book_may_be_crossed_until_the_rest_of_that_time_is_told(later: list[Item], gaps: int) -> None:
    """A bid of 100.5 takes the ask of 100 and rests: two frames, the bid first."""
    items = [WHOLE, one_level(2, "buy", "100.5", "3.0", 5), *later]
    numbered = [
        item._replace(data=item.data.replace(b'"seq":%d,' % item.ts, b'"seq":%d,' % n))
        for n, item in enumerate(items, 1)
    ]
    assert play("kraken_futures", numbered).states["kraken_futures:ETH-USD-PERP-INV"].book.gaps == gaps
