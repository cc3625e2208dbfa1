"""Amendments in the core: the order shrinks where it stands, in a generated and in a recorded book."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.simulated.core import Core
from adapters.simulated.model import BookSnapshot, ExecutionType, MarketTrade, OrderType, Refused, TimeInForce
from adapters.simulated.units import SCALE
from tests.adapters.simulated.builders import BUY, SELL, SYMBOL, core, fills, held, order, reports, smaller


@pytest.fixture
def venue() -> Core:
    """Ours is first of two at 100."""
    made = core("us", "other", "taker")
    made.submit(1, order("us", BUY, 6, 100, client_order_id="ours"))
    made.submit(1, order("other", BUY, 4, 100))
    return made


def test_a_smaller_order_keeps_its_place_and_frees_what_it_no_longer_needs(venue: Core) -> None:
    events = venue.amend(2, smaller("us", "ours", 3, "again"))
    [report] = reports(events, "us")
    assert (report.execution, report.replaced_id) == (ExecutionType.REPLACED, "ours")
    assert (report.order.client_order_id, report.order.orig_qty) == ("again", 3 * SCALE)
    assert held(venue, "us", "USDT")[1] == 300 * SCALE
    assert venue.books()[SYMBOL].take_changes() == (1, 3, [(100 * SCALE, 7 * SCALE)], [])
    events = venue.submit(3, order("taker", SELL, 5, 100))
    assert fills(events, "us") == [(100, 3)]
    assert fills(events, "other") == [(100, 2)]


def test_the_executed_part_counts_as_part_of_the_quantity(venue: Core) -> None:
    venue.submit(2, order("taker", SELL, 2, 100))
    for qty in (1, 2):
        assert venue.amend(3, smaller("us", "ours", qty)) == [Refused(-1013, "Filter failure: LOT_SIZE")]
    venue.amend(3, smaller("us", "ours", 3))
    found = venue.order("us", SYMBOL, client_order_id="ours")
    assert found is not None
    assert (found.status, found.leaves, found.executed) == ("PARTIALLY_FILLED", SCALE, 2 * SCALE)


@pytest.mark.parametrize(
    ("name", "qty", "refused"),
    [
        ("ours", 7, Refused(-2038, "Order amend (quantity increase) is not supported.")),
        ("ours", 6, Refused(-2038, "The requested action would change no state; rejecting.")),
        ("nobody", 1, Refused(-2038, "Unknown order sent.")),
    ],
)
def test_what_is_not_a_smaller_open_order_is_refused(venue: Core, name: str, qty: int, refused: Refused) -> None:
    assert venue.amend(2, smaller("us", name, qty)) == [refused]


def test_the_client_id_of_another_open_order_is_refused_and_the_old_one_is_free(venue: Core) -> None:
    venue.submit(1, order("us", BUY, 1, 99, client_order_id="second"))
    assert venue.amend(2, smaller("us", "ours", 5, "second")) == [Refused(-2038, "Duplicate order sent.")]
    venue.amend(2, smaller("us", "ours", 5, "renamed"))
    assert venue.order("us", SYMBOL, client_order_id="ours") is None
    assert not isinstance(venue.submit(3, order("us", BUY, 1, 99, client_order_id="ours"))[0], Refused)


def test_an_order_is_amended_ten_times_at_most() -> None:
    venue = core("us")
    venue.submit(1, order("us", BUY, 20, 100, client_order_id="ours"))
    for qty in range(19, 9, -1):
        assert not isinstance(venue.amend(2, smaller("us", "ours", qty))[0], Refused)
    assert venue.amend(2, smaller("us", "ours", 9)) == [Refused(-2038, "Filter failure: MAX_NUM_ORDER_AMENDS")]


def test_a_waiting_stop_shrinks_too(venue: Core) -> None:
    venue.submit(2, order("taker", SELL, 1, 100))
    venue.submit(3, order("us", BUY, 4, kind=OrderType.STOP_LOSS, stop=110, client_order_id="stop"))
    locked = held(venue, "us", "USDT")[1]
    venue.amend(4, smaller("us", "stop", 1))
    assert locked - held(venue, "us", "USDT")[1] == 330 * SCALE


def test_the_queue_ahead_stays_beside_a_recorded_book() -> None:
    venue = core("us", recorded=True)
    venue.feed(1, SYMBOL, BookSnapshot(10, [(99 * SCALE, 5 * SCALE)], [(101 * SCALE, 4 * SCALE)]))
    venue.submit(1, order("us", BUY, 6, 99, client_order_id="first"))
    venue.submit(1, order("us", BUY, 2, 99, client_order_id="second"))
    venue.amend(2, smaller("us", "first", 3))
    first = venue.order("us", SYMBOL, client_order_id="first")
    assert first is not None
    assert venue.recorded_books()[SYMBOL].queue_ahead(first) == 5 * SCALE
    events = venue.feed(3, SYMBOL, MarketTrade(99 * SCALE, 9 * SCALE, buyer_is_maker=True))
    assert [(one.order.client_order_id, one.last_qty // SCALE) for one in reports(events, "us")] == [
        ("first", 3),
        ("second", 1),
    ]


queues = st.lists(st.integers(2, 9), min_size=2, max_size=6)
shrinks = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 8)), max_size=6)


@pytest.mark.parametrize("recorded", [False, True])
@given(quantities=queues, smaller_ones=shrinks, taken=st.integers(1, 30))
def test_whatever_shrinks_a_queue_is_taken_in_the_order_in_which_it_formed(
    recorded: bool, quantities: list[int], smaller_ones: list[tuple[int, int]], taken: int
) -> None:
    venue, left = core("us", "taker", recorded=recorded), list(quantities)
    if recorded:
        venue.feed(0, SYMBOL, BookSnapshot(10, [(90 * SCALE, SCALE)], [(110 * SCALE, SCALE)]))
    for place, qty in enumerate(quantities):
        venue.submit(1, order("us", BUY, qty, 100, client_order_id=f"c{place}"))
    for place, by in smaller_ones:
        if place < len(left) and by < left[place]:
            left[place] -= by
            assert not isinstance(venue.amend(2, smaller("us", f"c{place}", left[place]))[0], Refused)
    assert held(venue, "us", "USDT")[1] == 100 * sum(left) * SCALE
    if recorded:
        events = venue.feed(3, SYMBOL, MarketTrade(100 * SCALE, taken * SCALE, buyer_is_maker=True))
    else:
        events = venue.submit(3, order("taker", SELL, taken, 100, time_in_force=TimeInForce.IOC))
    before = [sum(left[:place]) for place in range(len(left))]
    expected = [
        (f"c{place}", min(qty, taken - ahead))
        for place, (qty, ahead) in enumerate(zip(left, before, strict=True))
        if ahead < taken
    ]
    traded = reports(events, "us", ExecutionType.TRADE)
    assert [(one.order.client_order_id, one.last_qty // SCALE) for one in traded] == expected
