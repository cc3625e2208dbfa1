"""A recorded book and our orders beside it: the queue, crossing quotes, and displayed quantity taken once."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.simulated.core import Core
from adapters.simulated.model import (
    BestQuote,
    BookDelta,
    BookSnapshot,
    MarketTrade,
    Recorded,
    Refused,
    Side,
    TimeInForce,
)
from adapters.simulated.recorded import FIRST_TRADE_ID
from adapters.simulated.units import SCALE
from tests.adapters.simulated.builders import BUY, SELL, SYMBOL, core, fills, order, prints, reports

Levels = list[tuple[int, int]]


def scaled(levels: Levels) -> Levels:
    return [(price * SCALE, qty * SCALE) for price, qty in levels]


def snapshot(bids: Levels, asks: Levels, update_id: int = 10) -> BookSnapshot:
    return BookSnapshot(update_id, scaled(bids), scaled(asks))


def delta(update_id: int, bids: Levels = [], asks: Levels = []) -> BookDelta:  # noqa: B006
    return BookDelta(update_id, update_id, scaled(bids), scaled(asks))


def quote(update_id: int, bid: int, bid_qty: int, ask: int, ask_qty: int) -> BestQuote:
    return BestQuote(update_id, bid * SCALE, bid_qty * SCALE, ask * SCALE, ask_qty * SCALE)


def sold(price: int, qty: int) -> MarketTrade:
    """Somebody hit the bid."""
    return MarketTrade(price * SCALE, qty * SCALE, buyer_is_maker=True)


def bought(price: int, qty: int) -> MarketTrade:
    return MarketTrade(price * SCALE, qty * SCALE, buyer_is_maker=False)


@pytest.fixture
def venue() -> Core:
    made = core("us", "them", recorded=True)
    feed(made, snapshot([(99, 5), (98, 7)], [(101, 4), (102, 6)]))
    return made


def feed(venue: Core, *recorded: Recorded) -> list[tuple[int, int]]:
    """(price, qty) of our fills."""
    return [fill for one in recorded for fill in fills(venue.feed(1, SYMBOL, one), "us")]


def test_an_order_waits_behind_what_was_displayed_when_it_came(venue: Core) -> None:
    venue.submit(1, order("us", BUY, 2, 99))
    assert feed(venue, sold(99, 5)) == []
    assert feed(venue, sold(99, 1)) == [(99, 1)]
    assert feed(venue, sold(99, 9)) == [(99, 1)]


def test_a_trade_that_uses_up_the_queue_fills_us_with_what_is_over(venue: Core) -> None:
    venue.submit(1, order("us", BUY, 2, 99))
    assert feed(venue, sold(99, 6)) == [(99, 1)]


def test_a_level_that_shrinks_below_the_queue_cuts_it_and_one_that_grows_does_not_lengthen_it(venue: Core) -> None:
    venue.submit(1, order("us", BUY, 1, 99))
    assert feed(venue, delta(11, bids=[(99, 3)]), delta(12, bids=[(99, 9)]), sold(99, 3)) == []
    assert feed(venue, sold(99, 1)) == [(99, 1)]


def test_trades_and_the_depth_update_that_follows_them_are_not_counted_twice(venue: Core) -> None:
    venue.submit(1, order("us", BUY, 1, 99))
    assert feed(venue, sold(99, 2), delta(11, bids=[(99, 3)]), sold(99, 3)) == []
    assert feed(venue, sold(99, 1)) == [(99, 1)]


def test_a_trade_through_our_price_fills_us_at_our_price(venue: Core) -> None:
    venue.submit(1, order("us", BUY, 2, 99))
    assert feed(venue, sold(98, 9)) == [(99, 2)]


def test_a_buyer_in_the_recording_does_not_fill_our_bid(venue: Core) -> None:
    venue.submit(1, order("us", BUY, 2, 99))
    assert feed(venue, bought(101, 50)) == []


def test_a_recorded_quote_that_crosses_our_price_fills_us_with_what_it_displays(venue: Core) -> None:
    venue.submit(1, order("us", BUY, 3, 100))
    assert feed(venue, quote(11, 98, 7, 100, 2)) == [(100, 2)]
    assert feed(venue, quote(12, 98, 7, 100, 2)) == []
    assert feed(venue, quote(13, 98, 7, 99, 8)) == [(100, 1)]


def test_our_older_order_at_a_price_fills_first(venue: Core) -> None:
    venue.submit(1, order("us", BUY, 1, 99))
    venue.submit(1, order("them", BUY, 1, 99))
    events = venue.feed(2, SYMBOL, sold(99, 6))
    assert (fills(events, "us"), fills(events, "them")) == ([(99, 1)], [])
    assert fills(venue.feed(3, SYMBOL, sold(99, 1)), "them") == [(99, 1)]


def test_a_taker_takes_what_is_displayed_once(venue: Core) -> None:
    first = venue.submit(1, order("us", BUY, 3, 101, time_in_force=TimeInForce.IOC))
    second = venue.submit(2, order("us", BUY, 3, 101, time_in_force=TimeInForce.IOC))
    assert (fills(first, "us"), fills(second, "us")) == ([(101, 3)], [(101, 1)])
    feed(venue, delta(11, asks=[(101, 6)]))
    assert fills(venue.submit(3, order("us", BUY, 9, 101, time_in_force=TimeInForce.IOC)), "us") == [(101, 2)]
    feed(venue, delta(12, asks=[(101, 0)]), delta(13, asks=[(101, 2)]))
    assert fills(venue.submit(4, order("us", BUY, 9, 101, time_in_force=TimeInForce.IOC)), "us") == [(101, 2)]


def test_the_recorded_book_is_never_altered_by_us(venue: Core) -> None:
    before = venue.market(SYMBOL).depth(10), venue.market(SYMBOL).update_id
    venue.submit(1, order("us", BUY, 3, 101))
    venue.submit(2, order("us", BUY, 3, 100))
    assert (venue.market(SYMBOL).depth(10), venue.market(SYMBOL).update_id) == before


def test_our_trades_are_numbered_apart_and_not_printed(venue: Core) -> None:
    events = venue.submit(1, order("us", BUY, 1, 101))
    assert [one.trade_id for one in reports(events, "us") if one.trade_id >= 0] == [FIRST_TRADE_ID]
    assert prints(events) == []


def test_post_only_against_the_recorded_book_is_refused_when_it_would_take(venue: Core) -> None:
    assert isinstance(venue.submit(1, order("us", BUY, 1, 101, post_only=True))[0], Refused)
    assert not isinstance(venue.submit(1, order("us", BUY, 1, 100, post_only=True))[0], Refused)


def test_our_own_resting_order_is_met_in_its_place_in_the_queue(venue: Core) -> None:
    venue.submit(1, order("them", SELL, 2, 101))
    feed(venue, delta(11, asks=[(101, 6)]))
    events = venue.submit(2, order("us", BUY, 7, 101))
    assert fills(events, "us") == [(101, 4), (101, 2), (101, 1)]
    assert fills(events, "them") == [(101, 2)]


def test_a_newer_best_quote_outlives_an_older_depth_update(venue: Core) -> None:
    feed(venue, quote(20, 97, 1, 101, 4), delta(15, bids=[(99, 3)]))
    assert venue.market(SYMBOL).best(BUY) == (97 * SCALE, SCALE)
    assert venue.market(SYMBOL).depth(1)[0] == [(99 * SCALE, 3 * SCALE)]


prices = st.integers(95, 105)
sizes = st.integers(0, 9)
updates = st.tuples(st.just("level"), st.sampled_from(Side), prices, sizes)
takers = st.tuples(st.just("take"), st.sampled_from(Side), prices, st.integers(1, 9))


@given(st.lists(st.one_of(updates, takers), max_size=60))
def test_no_more_is_taken_at_a_price_than_was_displayed_there(history: list[tuple[str, Side, int, int]]) -> None:
    venue = core("us", recorded=True)
    shown: Counter[tuple[Side, int]] = Counter()
    offered: Counter[tuple[Side, int]] = Counter()
    taken: Counter[tuple[Side, int]] = Counter()
    for number, (kind, side, price, qty) in enumerate(history, start=1):
        if kind == "level":
            key = (side, price)
            offered[key] += max(0, qty - shown[key])
            shown[key] = qty
            levels = [(price, qty)]
            venue.feed(number, SYMBOL, delta(number, levels if side is BUY else [], levels if side is SELL else []))
            continue
        events = venue.submit(number, order("us", side, qty, price, time_in_force=TimeInForce.IOC))
        for fill_price, fill_qty in fills(events, "us"):
            taken[side.other, fill_price] += fill_qty
    assert all(taken[key] <= offered[key] for key in taken)


@given(
    st.lists(st.one_of(updates, takers, st.tuples(st.just("rest"), st.sampled_from(Side), prices, sizes)), max_size=60)
)
def test_money_is_conserved_beside_a_recorded_book(history: list[tuple[str, Side, int, int]]) -> None:
    venue = core("us", recorded=True)
    before = worth(venue)
    for number, (kind, side, price, qty) in enumerate(history, start=1):
        if kind == "level":
            levels = [(price, qty)]
            venue.feed(number, SYMBOL, delta(number, levels if side is BUY else [], levels if side is SELL else []))
            venue.feed(number, SYMBOL, MarketTrade(price * SCALE, qty * SCALE, buyer_is_maker=side is BUY))
        elif qty:
            in_force = TimeInForce.IOC if kind == "take" else TimeInForce.GTC
            venue.submit(number, order("us", side, qty, price, time_in_force=in_force))
        assert worth(venue) == before
        executed = sum(one.last_qty for one in venue.executions("us", SYMBOL))
        assert executed == sum(one.executed for one in venue.all_orders("us", SYMBOL))


def worth(venue: Core) -> Counter[str]:
    found: Counter[str] = Counter()
    for account in venue.accounts():
        for asset, balance in venue.balances(account).items():
            assert balance.locked >= 0
            found[asset] += balance.free + balance.locked
    return found


# --- books without numbers, of so many levels, with holes ----------------------------------------------------------------


def best(venue: Core) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """Price and quantity of the best bid and ask."""
    book = venue.recorded_books()[SYMBOL]
    found = (book.best(side) for side in (Side.BUY, Side.SELL))
    bid, ask = (None if one is None else (one[0] // SCALE, one[1] // SCALE) for one in found)
    return bid, ask


def test_changes_without_numbers_are_taken_as_they_come() -> None:
    made = core("us", recorded=True)
    feed(made, snapshot([(99, 5)], [(101, 4)], update_id=0), delta(0, asks=[(101, 0), (102, 8)]))
    feed(made, quote(0, 99, 5, 102, 3))
    assert best(made) == ((99, 5), (102, 3))
    feed(made, delta(0, bids=[(100, 1)]))
    assert best(made) == ((100, 1), (102, 3))


def test_a_whole_book_takes_the_place_of_one_with_a_higher_number(venue: Core) -> None:
    older = snapshot([(50, 1)], [(51, 2)], update_id=3)
    feed(venue, older)
    assert best(venue) == ((99, 5), (101, 4)), "an old answer of the venue's does not"
    feed(venue, BookSnapshot(3, older.bids, older.asks, is_whole=True))
    assert best(venue) == ((50, 1), (51, 2))
    feed(venue, delta(4, bids=[(50, 7)]))
    assert best(venue) == ((50, 7), (51, 2))


def test_levels_that_are_pushed_beyond_the_depth_of_a_book_are_gone() -> None:
    made = core("us", recorded=True)
    feed(made, BookSnapshot(1, scaled([(99, 5), (98, 7)]), scaled([(101, 4), (102, 6)]), depth=2))
    feed(made, delta(2, bids=[(100, 1)]), delta(3, bids=[(100, 0), (99, 0)]))
    assert best(made) == (None, (101, 4)), "of 98 nothing was told any more"


def test_while_nothing_is_known_nothing_can_be_had_and_a_place_in_a_queue_is_kept(venue: Core) -> None:
    venue.submit(1, order("us", BUY, 2, 99))
    feed(venue, BookSnapshot(0, [], [], is_whole=True))
    assert best(venue) == (None, None)
    feed(venue, snapshot([(99, 9)], [(101, 4)], update_id=99))
    assert feed(venue, sold(99, 5)) == [], "five were ahead"
    assert feed(venue, sold(99, 1)) == [(99, 1)]
