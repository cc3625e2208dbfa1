"""Bitstamp's books order by order: the venue's frames as it sends them, and a venue made of a seed, with faults."""

import json
import random
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.base import BadFrame, Endpoints, Reading, rest_frame, session_frame
from adapters.bitstamp.market import MARKET_DATA
from infra.captures import Item, Kind
from pipelines.normalize import MarketState
from tests.adapters.venues import Played, fuzz, play
from topics.book import Book
from topics.market import BookOrderAdded, BookOrderRemoved, BookOrders, BookOrdersLost, BookSnapshot, ResyncRequested
from topics.record import Side

CREATED = (
    b'{"data":{"id":2046839978799111,"id_str":"2046839978799111","order_type":0,"order_subtype":5,'
    b'"datetime":"1788551766","microtimestamp":"1788551766357000","amount":0.00137276,"amount_str":"0.00137276",'
    b'"amount_traded":"0","amount_at_create":"0.00137276","price":71743.85,"price_str":"71743.85","is_liquidation":false},'
    b'"channel":"live_orders_btcusd","event":"order_created","event_id":"00065aad-a8b2-3408-0000-000102000020",'
    b'"pre_event_id":"00065aad-a8b2-14c8-0000-000101000020","order_source":"orderbook"}'
)
NAME, URL = "bitstamp:BTC-USD", "https://www.bitstamp.net/api/v2/order_book/btcusd/?group=2"
T0 = 1_788_551_766_000_000


def reading() -> Reading:
    return Reading("bitstamp", NAME, 5, 0, {})


def test_an_order_is_told_with_its_digits_and_the_event_before_it() -> None:
    assert MARKET_DATA.parse(CREATED, reading()) == [
        BookOrderAdded(
            instrument=NAME,
            order_id="2046839978799111",
            side=Side.BUY,
            price=Decimal("71743.85"),
            size=Decimal("0.00137276"),
            sequence=1_788_551_766_357_000,
            previous=1_788_551_766_349_000,
            ts_event=1_788_551_766_357_000_000,
            ts_init=5,
        )
    ]


def test_an_event_that_is_missing_shows_at_the_next_one() -> None:
    at = reading()
    assert len(MARKET_DATA.parse(CREATED, at) or ()) == 1
    lost, _ = MARKET_DATA.parse(CREATED, at) or ()
    assert isinstance(lost, BookOrdersLost)
    MARKET_DATA.parse(session_frame("2", "btcusd"), at)
    assert len(MARKET_DATA.parse(CREATED, at) or ()) == 1


def test_an_order_without_a_price_is_passed_over() -> None:
    assert MARKET_DATA.parse(CREATED.replace(b'"71743.85"', b'"0"'), reading()) == []


@pytest.mark.parametrize("size", [b"-1", b"1e400", b"NaN", b""])
def test_a_size_that_cannot_be_is_a_bad_frame(size: bytes) -> None:
    with pytest.raises(BadFrame):
        MARKET_DATA.parse(CREATED.replace(b'"amount_str":"0.00137276"', b'"amount_str":"%b"' % size), reading())


def test_an_answer_with_orders_begins_both_books() -> None:
    bids = [["79715.38", "0.06272315", "1"], ["79715.38", "0.39542753", "2"], ["79715.24", "0.37633680", "3"]]
    body = json.dumps({"microtimestamp": str(T0), "bids": bids, "asks": [["79728.11", "0.5", "4"]]}).encode()
    book, orders = MARKET_DATA.parse(rest_frame("depth", "btcusd", body), reading()) or ()
    assert isinstance(book, BookSnapshot)
    assert book.bids == (("79715.38", "0.45815068"), ("79715.24", "0.37633680"))
    assert isinstance(orders, BookOrders)
    assert orders.bids == tuple((i, price, size) for price, size, i in bids)
    for rows in ([["1", "2"], ["1", "2", "3"]], [["1"]], [["1", "2", "3", "4"]]):
        mixed = json.dumps({"microtimestamp": str(T0), "bids": rows, "asks": []}).encode()
        with pytest.raises(BadFrame):
            MARKET_DATA.parse(rest_frame("depth", "btcusd", mixed), reading())


def test_orders_are_asked_for_where_they_are_wanted() -> None:
    for orders in (False, True):
        (connection,) = MARKET_DATA.connections(Endpoints(orders=orders), ["btcusd"])
        assert any("live_orders_btcusd" in message for message in connection.subscribe) is orders
    assert MARKET_DATA.has_orders


class Venue:
    """Random orders that come, trade, are altered and go; its truth is a list a price, the oldest first."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.orders: dict[int, list[Any]] = {1: [0, 995, 100], 2: [1, 1005, 200]}
        self.now, self.last, self.count = T0, f"{T0:016x}-0", 2
        self.truth: dict[int, dict[int, list[Any]]] = {}

    def event(self) -> bytes:
        self.now += self.chance.choice([1, 1, 1000])
        old = self.chance.choice(sorted(self.orders)) if self.orders and self.chance.random() < 0.6 else None
        if old is None:
            self.count += 1
            side = self.chance.randrange(2)
            price = 1000 - self.chance.randrange(1, 9) if side == 0 else 1000 + self.chance.randrange(1, 9)
            order = self.orders[self.count] = [side, price, self.chance.randrange(1, 10**6)]
            return self._told("order_created", self.count, order)
        order = self.orders[old]
        match self.chance.randrange(4):
            case 0:
                del self.orders[old]
                return self._told("order_deleted", old, order)
            case 1:
                order[1] += 1 if order[0] else -1
                self.orders[old] = self.orders.pop(old)
            case 2:
                order[2] += 7
                self.orders[old] = self.orders.pop(old)
            case 3:
                order[2] = self.chance.randrange(1, order[2] + 1)
        return self._told("order_changed", old, order)

    def _told(self, event: str, number: int, order: Sequence[int]) -> bytes:
        side, price, size = order
        data = {"id": number, "order_type": side, "microtimestamp": str(self.now)}
        data |= {"amount_str": f"{Decimal(size).scaleb(-8):f}", "price_str": f"{price}.50"}
        known, self.last = self.last, f"{self.now:016x}-{self.chance.randrange(10**9)}"
        self.truth[self.now] = {i: list(o) for i, o in self.orders.items()}
        told = {
            "data": data,
            "channel": "live_orders_btcusd",
            "event": event,
            "event_id": self.last,
            "pre_event_id": known,
        }
        return json.dumps(told, separators=(",", ":")).encode()

    def answer(self) -> bytes:
        """As of now, the best price first."""
        found: dict[str, list[list[str]]] = {"bids": [], "asks": []}
        for number, (side, price, size) in self.orders.items():
            row = [f"{price}.50", f"{Decimal(size).scaleb(-8):f}", str(number)]
            found["asks" if side else "bids"].append(row)
        found["bids"].sort(key=lambda row: -Decimal(row[0]))
        found["asks"].sort(key=lambda row: Decimal(row[0]))
        return json.dumps({"microtimestamp": str(self.now), **found}).encode()


def followed(venue: Venue, n: int, answered: Sequence[int], lost: Sequence[int] = ()) -> Played:
    """``n`` events of which some are lost, with answers before those of these numbers."""
    items = [Item(1, Kind.OPENED, "ws", "wss://ws.bitstamp.net", b"")]
    for i in range(n):
        if i in answered:
            items.append(Item(i + 2, Kind.ANSWER, "", URL, venue.answer()))
        frame = venue.event()
        if i not in lost:
            items.append(Item(i + 2, Kind.FRAME, "ws", "", frame))
    return play("bitstamp", items)


def assert_true(played: Played, venue: Venue) -> None:
    """Its orders are the venue's, in their order, and what they come to is the book of levels of an answer."""
    whole = played.states[NAME]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(whole), type=MarketState) == whole
    state = whole.orders
    assert state is not None
    assert state.book is not None
    found = {i: [r.side is Side.SELL, r.price, r.size] for i, r in state.book.orders.items()}
    assert found == {
        str(i): [bool(side), Decimal(f"{price}.50"), Decimal(size).scaleb(-8)]
        for i, (side, price, size) in venue.orders.items()
    }
    level, *_ = MARKET_DATA.parse(rest_frame("depth", "btcusd", venue.answer()), reading()) or ()
    assert isinstance(level, BookSnapshot)
    l2 = Book.of(level)
    assert (state.book.bids(), state.book.asks()) == (l2.bids(), l2.asks())
    for price, _ in state.book.bids():
        queue = [str(i) for i, (side, at, _) in venue.orders.items() if not side and Decimal(f"{at}.50") == price]
        assert [i for i, _ in state.book.queue(Side.BUY, price)] == queue


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 60), data=st.data())
def test_what_the_orders_come_to_is_the_book_of_levels(seed: int, n: int, data: st.DataObject) -> None:
    venue = Venue(seed)
    played = followed(venue, n, [data.draw(st.integers(0, n - 1))])
    assert played.of(BookOrdersLost) == []
    assert_true(played, venue)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), data=st.data())
def test_a_lost_event_is_told_and_the_next_answer_heals_it(seed: int, data: st.DataObject) -> None:
    at = data.draw(st.integers(12, 40))
    venue = Venue(seed)
    played = followed(venue, at + 2, [4], [at])
    (lost,) = played.of(BookOrdersLost)
    assert isinstance(lost, BookOrdersLost)
    assert lost.reason.startswith("sequence")
    state = played.states[NAME].orders
    assert state is not None
    assert (state.book, state.lost) == (None, 1)
    assert played.of(ResyncRequested)
    venue = Venue(seed)
    played = followed(venue, at + 10, [4, at + 5], [at])
    assert len(played.of(BookOrdersLost)) == 1
    assert_true(played, venue)


def test_an_answer_that_is_older_than_the_stream_is_not_taken() -> None:
    venue = Venue(3)
    old = venue.answer()
    venue.event()
    later = [Item(2, Kind.FRAME, "ws", "", venue.event())]
    played = play("bitstamp", [*later, Item(3, Kind.ANSWER, "", URL, old)])
    assert played.of(BookOrders) == []
    assert [r.reason for r in played.of(ResyncRequested) if isinstance(r, ResyncRequested)] == [
        "orders older than the stream"
    ]


def test_an_order_that_is_not_there_ends_the_trust() -> None:
    venue = Venue(5)
    items = [Item(1, Kind.FRAME, "ws", "", venue.event()), Item(2, Kind.ANSWER, "", URL, venue.answer())]
    venue.now += 1000
    stranger = venue._told("order_deleted", 999, [0, 990, 5])
    played = play("bitstamp", [*items, Item(3, Kind.FRAME, "ws", "", stranger)])
    assert len(played.of(BookOrdersLost)) == 1
    assert played.of(BookOrderRemoved) == []


def test_mutated_frames_never_raise_anything_else() -> None:
    venue = Venue(7)
    items = [Item(1, Kind.FRAME, "ws", "", venue.event()), Item(2, Kind.ANSWER, "", URL, venue.answer())]
    fuzz("bitstamp", [*items, *(Item(n, Kind.FRAME, "ws", "", venue.event()) for n in range(3, 60))], rounds=600)


@pytest.mark.parametrize(("orders", "path"), [(False, ""), (True, "?group=2")])
async def test_an_answer_is_asked_for_with_every_order_where_they_are_followed(orders: bool, path: str) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        return web.Response(body=Venue(1).answer(), content_type="application/json")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    rest = MARKET_DATA.rest(Endpoints(f"http://127.0.0.1:{runner.addresses[0][1]}", orders=orders))
    try:
        frame = await rest.depth("btcusd")
    finally:
        await rest.close()
        await runner.cleanup()
    assert asked == [f"/api/v2/order_book/btcusd/{path}"]
    assert any(isinstance(record, BookOrders) for record in MARKET_DATA.parse(frame, reading()) or ())
