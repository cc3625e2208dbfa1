"""OKX's frames and books: the venue's documented examples, and a recording of a spot pair, a perpetual and a future."""

import json
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import BadFrame, Checked, Endpoints, Reading, rest_frame
from adapters.okx.market import MARKET_DATA
from infra.captures import Item, Kind
from pipelines.tape_check import check
from tests.adapters.venues import NaiveBooks, Sides, assert_equal_books, fuzz, items_of, play, sides, with_snapshot
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

RECORDING = "cryptofeed/OKX.jsonl.zst"
TS = "1597026383085"
NS = 1_597_026_383_085_000_000


def reading(instrument: str = "BTC-USDT") -> Reading:
    return Reading("okx", f"okx:{instrument}", 5, 0, {})


def frame(channel: str, data: Any, name: str = "BTC-USDT", **rest: str) -> bytes:
    told = {"arg": {"channel": channel, "instId": name}, **rest, "data": data}
    return json.dumps(told, separators=(",", ":")).encode()


def book(action: str, bids: list[list[str]], asks: list[list[str]], **numbers: int) -> bytes:
    return frame("books", [{"asks": asks, "bids": bids, "ts": TS, **numbers}], action=action)


def item(data: bytes) -> Item:
    return Item(1, Kind.FRAME, "ws", "", data)


class Naive(NaiveBooks):
    """A dict a side."""

    def feed(self, item: Item) -> None:
        m = json.loads(item.data) if item.kind is Kind.FRAME else {}
        if m.get("arg", {}).get("channel") == "books" and "data" in m:
            for d in m["data"]:
                self.change(m["arg"]["instId"], d, m["action"] == "snapshot")


def naive_checksum(sides: Sides) -> int:
    """By the page."""
    bids, asks = sorted(sides[0].items(), reverse=True)[:25], sorted(sides[1].items())[:25]
    turns = [level for pair in zip_longest(bids, asks) for level in pair if level is not None]
    return crc32(":".join(f"{n:f}" for level in turns for n in level).encode())


def test_a_change_begins_after_the_one_it_names_and_says_the_books_checksum() -> None:
    data = book(
        "update",
        [["8476.97", "256", "0", "12"]],
        [["8476.98", "0", "0", "0"]],
        checksum=-855196043,
        prevSeqId=7,
        seqId=9,
    )
    assert MARKET_DATA.parse(data, reading()) == (
        Checked(
            BookDelta(
                instrument="okx:BTC-USDT",
                bids=(("8476.97", "256"),),
                asks=(("8476.98", "0"),),
                first_sequence=8,
                sequence=9,
                ts_event=NS,
                ts_init=5,
            ),
            -855196043 & 0xFFFFFFFF,
        ),
    )


def test_a_checksum_of_0_is_none_and_older_frames_have_no_numbers() -> None:
    (found,) = MARKET_DATA.parse(book("snapshot", [["1", "2", "0", "1"]], [], checksum=0), reading()) or ()
    assert found == BookSnapshot(
        instrument="okx:BTC-USDT", bids=(("1", "2"),), asks=(), depth=400, sequence=0, ts_event=NS, ts_init=5
    )


def test_frames_are_chained_through_heartbeats_and_numbers_that_begin_anew() -> None:
    def level(price: str) -> list[list[str]]:
        return [[price, "1", "0", "1"]]

    frames = [
        book("snapshot", level("1"), level("9"), prevSeqId=-1, seqId=10),
        book("update", level("2"), [], prevSeqId=10, seqId=17),
        book("update", [], [], prevSeqId=17, seqId=17),
        book("update", level("3"), [], prevSeqId=17, seqId=3),
        book("update", level("4"), [], prevSeqId=3, seqId=5).replace(TS.encode(), b"1597026383185"),
    ]
    state = play("okx", map(item, frames)).states["okx:BTC-USDT"]
    assert (state.book.updates, state.book.gaps) == (4, 0)
    lost = play("okx", map(item, [*frames[:3], *frames[4:]]))
    assert lost.states["okx:BTC-USDT"].book.book is None
    assert [r.reason for r in lost.records if isinstance(r, Gap)] == ["sequence"]


def test_of_two_books_of_one_instrument_the_first_of_the_deepest_counts() -> None:
    def told(channel: str, action: str) -> bytes:
        return book(action, [["1", "2", "0", "1"]], []).replace(b'"books"', b'"%b"' % channel.encode())

    at = reading()
    for channel, action, counts in (
        ("books50-l2-tbt", "snapshot", True),
        ("books", "snapshot", True),
        ("books50-l2-tbt", "update", False),
        ("books-l2-tbt", "snapshot", False),
        ("books", "update", True),
    ):
        assert (MARKET_DATA.parse(told(channel, action), at) is not None) == counts


def test_trades_name_their_takers_side() -> None:
    data = [{"instId": "BTC-USDT", "tradeId": "7849", "px": "30218.80", "sz": "1", "side": "buy", "ts": TS}]
    assert MARKET_DATA.parse(frame("trades", data), reading()) == [
        Trade(
            instrument="okx:BTC-USDT",
            trade_id="7849",
            price=Decimal("30218.80"),
            size=Decimal(1),
            aggressor=Side.BUY,
            ts_event=NS,
            ts_init=5,
        )
    ]


def test_quotes_come_from_the_ticker_until_they_come_tick_by_tick() -> None:
    told = [
        {"instId": "BTC-USDT", "last": "9", "askPx": "8446", "askSz": "1", "bidPx": "8445", "bidSz": "2.50", "ts": TS}
    ]
    best = [{"asks": [["8446", "95", "0", "3"]], "bids": [["8445", "12", "0", "2"]], "ts": TS, "seqId": 3235851742}]
    one = reading()
    quote, ticker = MARKET_DATA.parse(frame("tickers", told), one) or ()
    assert isinstance(quote, Quote)
    assert isinstance(ticker, Ticker)
    assert (str(quote.bid_size), ticker.last) == ("2.50", 9)
    (quote,) = MARKET_DATA.parse(frame("bbo-tbt", best), one) or ()
    assert isinstance(quote, Quote)
    assert (quote.ask_size, quote.sequence) == (95, 3235851742)
    (ticker,) = MARKET_DATA.parse(frame("tickers", told), one) or ()
    assert isinstance(ticker, Ticker)


def test_marks_funding_interest_and_liquidations() -> None:
    one, name = reading("BTC-USD-PERP"), "BTC-USD-SWAP"
    (mark,) = MARKET_DATA.parse(frame("mark-price", [{"instId": name, "markPx": "42310.6", "ts": TS}], name), one) or ()
    assert isinstance(mark, Ticker)
    assert str(mark.mark) == "42310.6"
    told = {"instId": name, "fundingRate": "0.0001875391284828", "fundingTime": "1700726400000", "ts": TS}
    (funding,) = MARKET_DATA.parse(frame("funding-rate", [told], name), one) or ()
    assert isinstance(funding, Funding)
    assert (str(funding.rate), funding.next_ts) == ("0.0001875391284828", 1_700_726_400_000_000_000)
    (open_,) = MARKET_DATA.parse(frame("open-interest", [{"instId": name, "oi": "5000", "ts": TS}], name), one) or ()
    assert isinstance(open_, OpenInterest)
    assert open_.open_interest == 5000
    details = [{"bkLoss": "0", "bkPx": "0.007831", "posSide": "short", "side": "buy", "sz": "13", "ts": TS}]
    data = [{"details": details, "instId": other} for other in ("IOST-USDT-SWAP", name)]
    told_all = json.dumps({"arg": {"channel": "liquidation-orders", "instType": "SWAP"}, "data": data}).encode()
    assert MARKET_DATA.symbols_in(told_all) == ("IOST-USDT-SWAP", name)
    (liquidation,) = MARKET_DATA.parse(told_all, one) or ()
    assert isinstance(liquidation, Liquidation)
    assert (liquidation.side, str(liquidation.price), liquidation.size) == (Side.BUY, "0.007831", 13)


@pytest.mark.parametrize(
    "data",
    [
        b"pong",
        b'{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"a4d3ae55"}',
        frame("books5", [{"asks": [], "bids": [], "ts": TS}]),
        frame("candle1m", [["1"]]),
    ],
)
def test_what_nobody_asked_for_is_passed_over(data: bytes) -> None:
    assert MARKET_DATA.parse(data, reading()) is None


@pytest.mark.parametrize(
    "data",
    [
        b'{"event":"error","code":"60012","msg":"Invalid request: {}","connId":"a4d3ae55"}',
        book("replace", [], []),
        book("update", [], []).replace(TS.encode(), b"-1"),
        frame("books", [], name="ETH-USDT", action="update"),
        frame("trades", [{"instId": "BTC-USDT", "tradeId": "1", "px": "0", "sz": "1", "side": "buy", "ts": TS}]),
        frame("bbo-tbt", [{"asks": [["1", "1"]], "bids": [["2", "1"]], "ts": TS}]),
        b"[]",
    ],
)
def test_what_breaks_the_rules_is_a_bad_frame(data: bytes) -> None:
    with pytest.raises(BadFrame):
        MARKET_DATA.parse(data, reading())


def test_definitions_say_steps_multiplier_and_kind(data_dir: Path) -> None:
    answers = {i.about: i.data for i in items_of(data_dir / RECORDING) if i.kind is Kind.ANSWER}
    body = next(body for url, body in answers.items() if "SWAP" in url)
    definition, _ = MARKET_DATA.parse(rest_frame("instruments", "BTC-USD-SWAP", body), reading("BTC-USD-PERP")) or ()
    assert definition == Instrument(
        instrument="okx:BTC-USD-PERP",
        venue="okx",
        venue_symbol="BTC-USD-SWAP",
        base="BTC",
        quote="USD",
        tick_size=Decimal("0.1"),
        lot_size=Decimal(1),
        min_qty=Decimal(1),
        max_qty=Decimal(100000000),
        multiplier=Decimal(100),
        kind="inverse",
        inverse=True,
        settle="BTC",
        ts_init=5,
    )
    url = "https://www.okx.com/api/v5/public/instruments?instType=SWAP&instId=BTC-USD-SWAP"
    assert MARKET_DATA.answer(url, body) == ("instruments", "BTC-USD-SWAP")


@pytest.mark.parametrize(
    ("spelling", "instrument"),
    [
        ("BTC-USDT", "BTC-USDT"),
        ("BTC-USDT-SWAP", "BTC-USDT-PERP"),
        ("BTC-USD-220527", "BTC-USD-220527"),
        ("BTC-USD-220514-22000-C", "BTC-USD-220514-22000-C"),
    ],
)
def test_spellings_are_translated_both_ways(spelling: str, instrument: str) -> None:
    assert MARKET_DATA.instrument_of("okx", spelling) == f"okx:{instrument}"
    assert MARKET_DATA.venue_symbol(f"okx:{instrument}") == spelling


@given(st.from_regex(r"[A-Z]{2,4}-[A-Z]{3,4}(-(SWAP|PERP|\d{6}))?(-\d{1,5}-[CP])?", fullmatch=True))
def test_translation_and_its_inverse_agree(symbol: str) -> None:
    try:
        instrument = MARKET_DATA.instrument_of("okx", symbol)
    except ValueError:
        return
    assert MARKET_DATA.venue_symbol(instrument) == symbol


def test_a_kind_has_its_channels_and_liquidations_come_by_type() -> None:
    (connection,) = MARKET_DATA.connections(Endpoints(), ["BTC-USDT", "BTC-USD-SWAP"])
    args = [arg for message in connection.subscribe for arg in json.loads(message)["args"]]
    assert {a["channel"] for a in args if a.get("instId") == "BTC-USDT"} == {"books", "bbo-tbt", "trades", "tickers"}
    assert {"channel": "funding-rate", "instId": "BTC-USD-SWAP"} in args
    assert args[-1] == {"channel": "liquidation-orders", "instType": "SWAP"}
    assert [json.loads(m)["op"] for m in MARKET_DATA.resubscribe("BTC-USDT")] == ["unsubscribe", "subscribe"]


def test_every_checksum_of_the_recording_is_right_and_every_book_equals_an_independent_one(data_dir: Path) -> None:
    items = items_of(data_dir / RECORDING)
    assert_equal_books("okx", items, Naive(), every=10)
    found = check([data_dir / RECORDING])
    assert len(found.instruments) == 3
    assert {(o.gaps, o.book_state, o.checksums_failed, o.unreadable) for o in found.instruments} == {(0, "live", 0, 0)}
    frames = [json.loads(i.data) for i in items if i.kind is Kind.FRAME]
    trades = [d for m in frames if m["arg"]["channel"] == "trades" for d in m.get("data", ())]
    assert sum(one.checksums_verified for one in found.instruments) == sum("action" in m for m in frames) == 290
    assert sum(one.trades for one in found.instruments) == len(trades)


@pytest.mark.parametrize("fault", ["lost", "repeated", "swapped", "changed"])
def test_a_fault_ends_in_a_gap_and_the_next_snapshot_in_equality(data_dir: Path, fault: str) -> None:
    items = items_of(data_dir / RECORDING)
    mark = b'{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update"'
    changes = [n for n, i in enumerate(items) if i.data.startswith(mark)]
    at, other, naive = changes[30], changes[31], Naive()

    def snapshot(after: Item) -> Item:
        bids, asks = ([[str(p), str(s), "0", "1"] for p, s in side.items()] for side in naive.books["BTC-USDT"])
        return after._replace(data=book("snapshot", bids, asks, checksum=naive_checksum(naive.books["BTC-USDT"])))

    faulty = with_snapshot(items, fault, at, other, naive, snapshot)
    if fault == "changed":
        m = json.loads(items[at].data)
        best = max(m["data"][0]["bids"], key=lambda level: float(level[0]))
        best[1] = "7.77"
        faulty[at] = items[at]._replace(data=json.dumps(m, separators=(",", ":")).encode())
    played, end = play("okx", faulty), Naive()
    for one in items:
        end.feed(one)
    state = played.states["okx:BTC-USDT"]
    assert sides(state) == end.books["BTC-USDT"]
    assert (state.book.gaps, state.book.resyncs) == ((0, 0) if fault == "repeated" else (1, 1))


def test_mutated_frames_never_raise_anything_else(data_dir: Path) -> None:
    fuzz("okx", [i for i in items_of(data_dir / RECORDING) if i.kind is Kind.FRAME])


def test_frames_about_nobody_we_follow_are_passed_over_and_refusals_are_not() -> None:
    nobody = Reading("okx", "okx:", 5, 0, {})
    assert MARKET_DATA.parse(frame("liquidation-orders", []), nobody) is None
    with pytest.raises(BadFrame, match="the venue says"):
        MARKET_DATA.parse(b'{"event":"error","code":"60012","msg":"Invalid request"}', nobody)
