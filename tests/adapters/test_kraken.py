"""Kraken's frames and books: the venue's documented examples, a recording of v1 with ten pairs, and an excerpt of v2."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import BadFrame, Checked, Endpoints, Reading, Session, rest_frame, session_frame
from adapters.kraken.checksum import checksum
from adapters.kraken.market import MARKET_DATA
from infra.captures import Item, Kind
from pipelines.tape_check import check
from tests.adapters.venues import NaiveBooks, Sides, assert_equal_books, fuzz, items_of, play, sides, with_snapshot
from topics.book import Book
from topics.market import BookDelta, BookSnapshot, Instrument, InstrumentStatus, Quote, Ticker, Trade
from topics.record import Side

RECORDING = "cryptofeed/KRAKEN.jsonl.zst"
EXCERPT = "ccxt-ws-kraken-v2/kraken_v2_book_excerpt.json"
BTC = Reading("kraken", "kraken:BTC-USD", 5, 0, {})
V2 = (
    b'{"channel":"book","type":"%b","data":[{"symbol":"BTC/USD","bids":[%b],"asks":[{"price":85608.0,"qty":0.04358176}],'
    b'"checksum":3973935795,"timestamp":"2026-10-06T08:04:56.153890Z"}]}'
)


def item(data: bytes) -> Item:
    return Item(1, Kind.FRAME, "ws", "", data)


class Naive(NaiveBooks):
    """v1 and v2: a dict a side; v1's names as v2 spells them."""

    def feed(self, item: Item) -> None:
        if item.kind is not Kind.FRAME:
            return
        m = json.loads(item.data, parse_float=Decimal, parse_int=Decimal)
        if isinstance(m, list) and m[-2].startswith("book"):
            parts = {name: levels for part in m[1:-2] for name, levels in part.items()}
            changes = {"bids": parts.get("bs", parts.get("b", [])), "asks": parts.get("as", parts.get("a", []))}
            self.change(m[-1].replace("XBT", "BTC"), changes, "as" in parts)
        elif isinstance(m, dict) and m.get("channel") == "book":
            (d,) = m["data"]
            changes = {side: [(level["price"], level["qty"]) for level in d[side]] for side in ("bids", "asks")}
            self.change(d["symbol"], changes, m["type"] == "snapshot")
            for side, worst in zip(self.books[d["symbol"]], (min, max), strict=True):
                while len(side) > 10:  # the excerpt's depth
                    del side[worst(side)]


def naive_checksum(book: Sides) -> int:
    """By the page, from v1's digits."""
    asks, bids = sorted(book[1].items())[:10], sorted(book[0].items(), reverse=True)[:10]
    numbers = [n for level in (*asks, *bids) for n in level]
    return crc32("".join(f"{n:f}".replace(".", "").lstrip("0") for n in numbers).encode())


def test_a_change_of_v1_keeps_its_digits_and_says_the_books_checksum() -> None:
    frame = (
        b'[13337,{"a":[["5541.30000","2.50700000","1534614248.456738"],["5542.50000","0.00000000","1534614248.456739"]],\
"c":"4187525586"},"book-10","XBT/USD"]'
    )
    assert MARKET_DATA.parse(frame, BTC) == (
        Checked(
            BookDelta(
                instrument="kraken:BTC-USD",
                bids=(),
                asks=(("5541.30000", "2.50700000"), ("5542.50000", "0.00000000")),
                ts_event=1_534_614_248_456_739_000,
                ts_init=5,
            ),
            4187525586,
        ),
    )


def test_a_change_of_v1_may_stand_in_two_parts_and_be_told_again() -> None:
    frame = b'[0,{"a":[["0.05120","0.00000500","1582905486.493008","r"]]},\
{"b":[["0.04765","0.00000500","1582905486.493009"]],"c":"974947235"},"book-1000","XBT/USD"]'
    (found,) = MARKET_DATA.parse(frame, BTC) or ()
    assert isinstance(found, Checked)
    assert isinstance(found.change, BookDelta)
    assert (found.change.asks, found.change.bids) == ((("0.05120", "0.00000500"),), (("0.04765", "0.00000500"),))
    assert (found.checksum, found.change.ts_event) == (974947235, 1_582_905_486_493_009_000)


def test_a_snapshot_of_v1_is_as_deep_as_its_channel_says() -> None:
    frame = b'[1,{"as":[["5541.3","2.5","1534614248.123678"]],"bs":[["5541.2","1.5","1534614248.765567"]]},"book-100","XBT/USD"]'
    (found,) = MARKET_DATA.parse(frame, BTC) or ()
    assert isinstance(found, BookSnapshot)
    assert (found.depth, found.bids, found.ts_event) == (100, (("5541.2", "1.5"),), 1_534_614_248_765_567_000)


def test_trades_and_quotes_of_v1() -> None:
    frame = (
        b'[1,[["5541.20000","0.15850568","1534614057.321597","s","l",""],["6060.0","0.02","1534614057.324998","b","l",""]],\
"trade","XBT/USD"]'
    )
    first, second = MARKET_DATA.parse(frame, BTC) or ()
    assert first == Trade(
        instrument="kraken:BTC-USD",
        trade_id="1534614057.321597-0",
        price=Decimal("5541.20000"),
        size=Decimal("0.15850568"),
        aggressor=Side.SELL,
        ts_event=1_534_614_057_321_597_000,
        ts_init=5,
    )
    assert isinstance(second, Trade)
    assert second.aggressor is Side.BUY
    frame = b'[1,["5698.40000","5700.00000","1542057299.545897","1.01234567","0.98765432"],"spread","XBT/USD"]'
    (quote,) = MARKET_DATA.parse(frame, BTC) or ()
    assert isinstance(quote, Quote)
    assert (str(quote.best_bid), str(quote.ask_size)) == ("5698.40000", "0.98765432")
    frame = b'[1,{"a":["5525.40000",1,"1.000"],"b":["5525.10000",1,"1.500"],"c":["5525.10000","0.0039"]},"ticker","XBT/USD"]'
    quote, ticker = MARKET_DATA.parse(frame, msgspec.structs.replace(BTC, ts_venue=7)) or ()
    assert isinstance(quote, Quote)
    assert isinstance(ticker, Ticker)
    assert (str(quote.best_ask), str(quote.bid_size), str(ticker.last), quote.ts_event) == (
        "5525.40000",
        "1.500",
        "5525.10000",
        7,
    )


def test_a_snapshot_of_v2_is_as_deep_as_its_subscription_said_and_lost_zeros_come_back() -> None:
    reading = msgspec.structs.replace(BTC, memory={})
    answer = b'{"method":"subscribe","result":{"channel":"book","depth":25,"snapshot":true,"symbol":"BTC/USD"},"success":true}'
    assert MARKET_DATA.parse(answer, reading) is None
    (found,) = MARKET_DATA.parse(V2 % (b"snapshot", b'{"price":85600.25,"qty":5e-05}'), reading) or ()
    assert isinstance(found, Checked)
    assert found.change == BookSnapshot(
        instrument="kraken:BTC-USD",
        bids=(("85600.25", "0.00005000"),),
        asks=(("85608.00", "0.04358176"),),
        depth=25,
        ts_event=1_791_273_896_153_890_000,
        ts_init=5,
    )
    (found,) = MARKET_DATA.parse(V2 % (b"update", b'{"price":85600,"qty":0}'), reading) or ()
    assert isinstance(found, Checked)
    assert found.change.bids == (("85600.00", "0.00000000"),)


def test_zeros_that_no_level_shows_are_found_by_the_snapshots_checksum() -> None:
    """Two decimals of prices and eight of sizes, none of which is in the numbers."""
    right = crc32(b"".join([b"8560800", b"4000000000", b"8560000", b"100000000"]))
    frame = V2.replace(b'"price":85608.0,"qty":0.04358176', b'"price":85608,"qty":40').replace(
        b"3973935795", b"%d" % right
    )
    state = play("kraken", [item(frame % (b"snapshot", b'{"price":85600,"qty":1.0}'))]).states["kraken:BTC-USD"]
    assert (state.book.verified, state.book.failed) == (1, 0)
    assert state.book.book is not None
    assert state.book.book.top_bid == ("85600.00", "1.00000000")


def test_a_number_with_too_many_digits_is_forgotten_with_the_next_snapshot() -> None:
    reading = msgspec.structs.replace(BTC, memory={})
    level = b'{"price":85600.%b,"qty":0.00000001}'
    for kind, digits, expected in (
        (b"snapshot", b"2", "85600.2"),
        (b"update", b"123456789", "85600.123456789"),
        (b"snapshot", b"2", "85600.2"),
    ):
        (found,) = MARKET_DATA.parse(V2 % (kind, level % digits), reading) or ()
        assert isinstance(found, Checked)
        assert found.change.bids == ((expected, "0.00000001"),)
    with pytest.raises(BadFrame):
        MARKET_DATA.parse(V2 % (b"update", b'{"price":1e99999999,"qty":1}'), reading)


def test_trades_and_quotes_of_v2() -> None:
    frame = b'{"channel":"trade","type":"%b","data":[{"symbol":"BTC/USD","side":"sell","price":0.5117,"qty":40.0,\
"ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}]}'
    (trade,) = MARKET_DATA.parse(frame % b"update", BTC) or ()
    assert isinstance(trade, Trade)
    assert (trade.trade_id, str(trade.size), trade.ts_event) == ("4665906", "40.0", 1_695_628_177_708_706_000)
    assert MARKET_DATA.parse(frame % b"snapshot", BTC) is None
    frame = b'{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":108359.8,"bid_qty":0.01362603,\
"ask":108359.9,"ask_qty":17.17988863,"last":108359.8,"volume":2158.3,"vwap":108894.5}]}'
    quote, ticker = MARKET_DATA.parse(frame, BTC) or ()
    assert isinstance(quote, Quote)
    assert isinstance(ticker, Ticker)
    assert (str(quote.bid_size), str(ticker.last)) == ("0.01362603", "108359.8")


@pytest.mark.parametrize(
    "frame",
    [
        b'{"event":"heartbeat"}',
        b'{"channel":"heartbeat"}',
        b'{"channel":"status","type":"update","data":[{"system":"online"}]}',
        b'{"event":"pong"}',
        b'{"method":"pong","req_id":1}',
        b'{"channelID":1664,"channelName":"book-1000","event":"subscriptionStatus","pair":"XBT/USD","status":"subscribed"}',
        b'[13337,["1542057314.748456","1542057360.435743","3586.70000"],"ohlc-5","XBT/USD"]',
    ],
)
def test_what_nobody_asked_for_is_passed_over(frame: bytes) -> None:
    assert MARKET_DATA.parse(frame, BTC) is None


@pytest.mark.parametrize(
    "frame",
    [
        b'{"errorMessage":"Currency pair not supported","event":"subscriptionStatus","pair":"XBT/USD","status":"error"}',
        b'{"error":"Already subscribed","method":"subscribe","success":false,"symbol":"BTC/USD"}',
        b'[1,{"b":[["5541.3","0.0","153461433"]],"c":"4187525586"},"book-10","XBT/USD"]',
        b'[1,{"b":[["5541.3","0.0","1534614335.345903"]],"c":"x"},"book-10","XBT/USD"]',
        b'[1,{"b":[["5541.3","0.0","1534614335.345903"]],"c":"1"},"book-10","ETH/USD"]',
        b'[1,{"as":[],"bs":[]},"book-0","XBT/USD"]',
        b'[1,[["5541.2","0","1534614057.321597","s","l",""]],"trade","XBT/USD"]',
        b'[1,["5700.0","5698.4","1542057299.545897","1.0","0.9"],"spread","XBT/USD"]',
        V2.replace(b"BTC/USD", b"ETH/USD") % (b"update", b""),
        V2 % (b"later", b""),
        V2 % (b"update", b'{"price":"1","qty":null}'),
    ],
)
def test_what_breaks_the_rules_is_a_bad_frame(frame: bytes) -> None:
    with pytest.raises(BadFrame):
        MARKET_DATA.parse(frame, BTC)


def test_sessions_are_read_under_either_spelling() -> None:
    for symbol in ("BTC/USD", "XBT/USD"):
        assert MARKET_DATA.parse(session_frame("a", symbol), BTC) == (Session("a"),)
    with pytest.raises(BadFrame):
        MARKET_DATA.parse(session_frame("a", "ETH/USD"), BTC)


def test_a_definition_says_steps_bounds_and_fees() -> None:
    body = b'{"error":[],"result":{"XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT/USD","base":"XXBT","quote":"ZUSD",\
"pair_decimals":1,"lot_decimals":8,"fees":[[0,0.26],[50000,0.24]],"fees_maker":[[0,0.16]],"ordermin":"0.0001",\
"costmin":"0.5","tick_size":"0.1","status":"online"}}}'
    url = "https://api.kraken.com/0/public/AssetPairs?pair=XBT%2FUSD"
    assert MARKET_DATA.answer(url, body) == ("AssetPairs", "XBT/USD")
    definition, status = MARKET_DATA.parse(rest_frame("AssetPairs", "BTC/USD", body), BTC) or ()
    assert definition == Instrument(
        instrument="kraken:BTC-USD",
        venue="kraken",
        venue_symbol="BTC/USD",
        base="BTC",
        quote="USD",
        tick_size=Decimal("0.1"),
        lot_size=Decimal("0.00000001"),
        min_qty=Decimal("0.0001"),
        min_notional=Decimal("0.5"),
        maker_fee=Decimal("0.0016"),
        taker_fee=Decimal("0.0026"),
        ts_init=5,
    )
    assert isinstance(status, InstrumentStatus)


@given(st.from_regex(r"[A-Z0-9]{2,6}/[A-Z]{3,4}", fullmatch=True))
def test_translation_and_its_inverse_agree(symbol: str) -> None:
    instrument = MARKET_DATA.instrument_of("kraken", symbol)
    assert MARKET_DATA.instrument_of("kraken", MARKET_DATA.venue_symbol(instrument)) == instrument


def test_old_names_are_the_worlds() -> None:
    assert MARKET_DATA.instrument_of("kraken", "XDG/XBT") == "kraken:DOGE-BTC"
    assert MARKET_DATA.venue_symbol("kraken:DOGE-BTC") == "DOGE/BTC"
    for wrong in ("XBTUSD", "sequence", ""):
        with pytest.raises(ValueError, match="pair"):
            MARKET_DATA.instrument_of("kraken", wrong)
    with pytest.raises(ValueError, match="spot"):
        MARKET_DATA.venue_symbol("kraken:BTC-USD-PERP")


def test_every_pair_of_a_frame_is_found() -> None:
    assert MARKET_DATA.symbols_in(b'[1,{"c":"1"},"book-10","XBT/USD"]') == ("XBT/USD",)
    assert MARKET_DATA.symbols_in(
        b'{"channel":"trade","data":[{"symbol":"A/USD"},{"symbol":"B/USD"},{"symbol":"A/USD"}]}'
    ) == (
        "A/USD",
        "B/USD",
    )
    assert MARKET_DATA.symbols_in(b'{"channel":"instrument","data":{"pairs":[{"symbol":"A/USD"}]}}') == ()


def test_one_connection_asks_for_all_pairs_and_a_book_is_asked_for_anew() -> None:
    (connection,) = MARKET_DATA.connections(Endpoints(), ["BTC/USD", "ETH/USD"])
    asked = [json.loads(message)["params"] for message in connection.subscribe]
    assert [one["channel"] for one in asked] == ["book", "trade", "ticker"]
    assert all(one["symbol"] == ["BTC/USD", "ETH/USD"] for one in asked)
    assert [json.loads(m)["method"] for m in MARKET_DATA.resubscribe("BTC/USD")] == ["unsubscribe", "subscribe"]


def test_every_checksum_of_the_recording_is_right_and_every_book_equals_an_independent_one(data_dir: Path) -> None:
    items = items_of(data_dir / RECORDING)
    assert_equal_books("kraken", items, Naive(), every=200)
    found = check([data_dir / RECORDING])
    assert len(found.instruments) == 10
    assert {(one.gaps, one.book_state, one.checksums_failed, one.unreadable) for one in found.instruments} == {
        (0, "live", 0, 0)
    }
    frames = [json.loads(i.data) for i in items if i.kind is Kind.FRAME and i.data.startswith(b"[")]
    assert sum(one.checksums_verified for one in found.instruments) == sum(
        "c" in m[-3] for m in frames if "book" in m[-2]
    )
    assert sum(one.trades for one in found.instruments) == sum(len(m[1]) for m in frames if m[-2] == "trade")
    assert sum(one.quotes for one in found.instruments) == sum(m[-2] == "ticker" for m in frames)


def test_every_checksum_of_the_excerpt_of_v2_is_right(data_dir: Path) -> None:
    excerpt = json.loads((data_dir / EXCERPT).read_text())
    items = [item(json.dumps(message).encode()) for message in excerpt["messages"]]
    played = assert_equal_books("kraken", items, Naive(), every=1)
    books = [state.book for state in played.states.values()]
    assert (sum(b.verified for b in books), sum(b.failed for b in books), sum(b.gaps for b in books)) == (8, 0, 0)


def in_the_top(items: list[Item], pair: str) -> list[int]:
    """Places of changes that the checksum sees, in a row."""
    naive, found, before = Naive(), list[int](), 0
    for n, one in enumerate(items):
        naive.feed(one)
        if one.data.endswith(f'"book-1000","{pair}"]'.encode()):
            now = naive_checksum(naive.books[pair])
            if before and now != before:
                found.append(n)
            before = now
    return found


@pytest.mark.parametrize("fault", ["lost", "repeated", "swapped", "changed"])
def test_a_fault_ends_in_a_gap_and_the_next_snapshot_in_equality(data_dir: Path, fault: str) -> None:
    items = items_of(data_dir / RECORDING)
    places = in_the_top(items, "XMR/USD")
    at, other = places[100], places[101]
    naive = Naive()

    def snapshot(after: Item) -> Item:
        time = f"{after.ts // 10**9}.000000"
        bids, asks = ([[f"{p:f}", f"{s:f}", time] for p, s in side.items()] for side in naive.books["XMR/USD"])
        return after._replace(data=json.dumps([992, {"as": asks, "bs": bids}, "book-1000", "XMR/USD"]).encode())

    faulty = with_snapshot(items, fault, at, other, naive, snapshot)
    if fault == "changed":
        m: Any = json.loads(items[at].data)
        next(iter(m[1].values()))[0][1] = "7.77000000"
        faulty[at] = items[at]._replace(data=json.dumps(m, separators=(",", ":")).encode())
    played, end = play("kraken", faulty), Naive()
    for one in items:
        end.feed(one)
    state = played.states["kraken:XMR-USD"]
    assert sides(state) == end.books["XMR/USD"]
    assert (state.book.gaps, state.book.resyncs) == ((0, 0) if fault == "repeated" else (1, 1))


def test_a_frame_that_cannot_be_read_is_a_gap(data_dir: Path) -> None:
    items = items_of(data_dir / RECORDING)
    at = in_the_top(items, "XMR/USD")[5]
    broken = items[at]._replace(data=b'[992,{"b":[["354.1' + b'"book-1000","XMR/USD"]')
    state = play("kraken", [*items[:at], broken, *items[at + 1 :]]).states["kraken:XMR-USD"]
    assert (state.unreadable, state.book.gaps, state.book.book) == (1, 1, None)


@pytest.mark.parametrize(
    "frame",
    [
        b'[993,[["354.11000000","0","1618678142.557535","s","l",""]],"trade","XMR/USD"]',
        b'{"channel":"ticker","type":"update","data":[{"symbol":"XMR/USD","bid":354.2,"bid_qty":1,"ask":354.2,"ask_qty":1}]}',
        b'{"error":"Already subscribed","method":"subscribe","success":false,"symbol":"XMR/USD"}',
        b'{"event":"subscriptionStatus","status":"error","errorMessage":"Subscription depth not supported","pair":"XMR/USD"}',
    ],
)
def test_a_frame_of_another_kind_than_a_book_leaves_the_book_whatever_it_says(data_dir: Path, frame: bytes) -> None:
    items = items_of(data_dir / RECORDING)
    state = play("kraken", [*items, items[-1]._replace(data=frame)]).states["kraken:XMR-USD"]
    assert (state.unreadable, state.book.gaps) == (1, 0)
    assert state.book.book is not None


def test_mutated_frames_never_raise_anything_else(data_dir: Path) -> None:
    items = [i for i in items_of(data_dir / RECORDING) if i.kind is Kind.FRAME]
    excerpt = json.loads((data_dir / EXCERPT).read_text())["messages"]
    fuzz("kraken", [*items[:600], *(item(json.dumps(m, separators=(",", ":")).encode()) for m in excerpt * 20)])


@given(
    st.lists(st.tuples(st.integers(1, 400), st.integers(1, 10**9)), min_size=1, max_size=30, unique_by=lambda x: x[0])
)
def test_the_checksum_is_the_pages(levels: list[tuple[int, int]]) -> None:
    texts = [(f"{price / 10:.2f}", f"{size / 10**8:.8f}") for price, size in levels]
    half = len(texts) // 2
    snapshot = BookSnapshot(
        instrument="kraken:BTC-USD", bids=tuple(texts[:half]), asks=tuple(texts[half:]), ts_event=1, ts_init=1
    )
    numbers = [[(Decimal(price), Decimal(size)) for price, size in side] for side in (snapshot.bids, snapshot.asks)]
    assert checksum(Book.of(snapshot)) == naive_checksum((dict(numbers[0]), dict(numbers[1])))


def test_frames_about_nobody_we_follow_are_passed_over_and_refusals_are_not() -> None:
    nobody = Reading("kraken", "kraken:", 5, 0, {})
    assert MARKET_DATA.parse(b'{"channel":"trade","type":"update","data":[]}', nobody) is None
    with pytest.raises(BadFrame, match="the venue says"):
        MARKET_DATA.parse(b'{"error":"Currency pair not supported","method":"subscribe","success":false}', nobody)
