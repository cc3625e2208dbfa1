"""The sums that the checks ask for, against a walk over all orders."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from pipelines.gateway.sums import Part, Request, Requests, Sums
from topics.record import Side

INSTRUMENTS, STRATEGIES = ("sim:BTC-USDT", "sim:ETH-USDT"), ("a", "b")

parts = st.builds(
    Part,
    instrument=st.sampled_from(INSTRUMENTS),
    side=st.sampled_from(Side),
    strategy=st.sampled_from(STRATEGIES),
    leaves=st.decimals("0.1", "5", places=1),
    price=st.none() | st.decimals("90", "110", places=1),
    waits=st.booleans(),
)
changes = st.lists(st.tuples(st.sampled_from([f"o{n}" for n in range(8)]), st.none() | parts), max_size=60)


def test_an_id_that_comes_back_on_another_instrument_leaves_nothing_on_the_first() -> None:
    sums, (first, second) = Sums(), INSTRUMENTS
    for instrument in (first, second):
        sums.put("o", Part(instrument, Side.BUY, "a", Decimal(1), Decimal(100), False))
    assert (sums.nearest(first, Side.BUY), sums.nearest(second, Side.BUY)) == (None, Decimal(100))


@given(changes)
def test_sums_follow_every_order_that_comes_changes_and_goes(changes: list[tuple[str, Part | None]]) -> None:
    sums, orders = Sums(), {}
    for cid, part in changes:
        sums.put(cid, part)
        orders.pop(cid, None)
        if part is not None:
            orders[cid] = part
        for instrument in INSTRUMENTS:
            for side in Side:
                _agree(
                    sums, [p for p in orders.values() if (p.instrument, p.side) == (instrument, side)], instrument, side
                )


def _agree(sums: Sums, open_orders: list[Part], instrument: str, side: Side) -> None:
    key = (instrument, side)
    assert sums.by_side.get(key, 0) == sum(p.leaves for p in open_orders)
    for strategy in STRATEGIES:
        own = sum(p.leaves for p in open_orders if p.strategy == strategy)
        assert sums.by_strategy.get((*key, strategy), 0) == own
    priced = [p for p in open_orders if p.price is not None]
    assert sums.value.get(key, 0) == sum(p.leaves * (p.price or 0) for p in priced)
    assert len(sums.odd.get(key, {})) == sum(p.price is None or p.waits for p in open_orders)
    nearest = max if side is Side.BUY else min
    assert sums.nearest(instrument, side) == nearest((p.price for p in priced), default=None)


def test_what_is_gone_does_not_pile_up() -> None:
    sums = Sums()
    for n in range(2000):
        sums.put("o", Part("sim:BTC-USDT", Side.BUY, "a", Decimal(1), Decimal(n), False))
        sums.put("o", None)
    assert len(sums.best["sim:BTC-USDT", Side.BUY]) < 200


requests = st.lists(
    st.builds(
        Request, ts=st.integers(0, 300), strategy=st.sampled_from(STRATEGIES), instrument=st.sampled_from(INSTRUMENTS)
    ),
    max_size=40,
)


@given(requests, st.integers(0, 400))
def test_requests_of_the_last_second_are_counted_by_strategy_and_instrument(made: list[Request], later: int) -> None:
    made = sorted(made, key=lambda one: one.ts)
    counted = Requests(window_ns=100)
    for one in made:
        counted.add(one)
    since = (made[-1].ts if made else 0) + later - 100
    kept = [one for one in made if one.ts > since]
    assert counted.since(since) == len(kept)
    for strategy in STRATEGIES:
        assert counted.since(since, strategy=strategy) == sum(one.strategy == strategy for one in kept)
    for instrument in INSTRUMENTS:
        assert counted.since(since, instrument=instrument) == sum(one.instrument == instrument for one in kept)


@given(requests, st.integers(0, 400))
def test_a_clock_that_was_set_back_never_makes_the_count_too_small(made: list[Request], later: int) -> None:
    counted = Requests(window_ns=100)
    for one in made:
        counted.add(one)
    since = (made[-1].ts if made else 0) + later - 100
    newest = max((one.ts for one in made), default=0)
    assert counted.since(since) >= sum(one.ts > since and one.ts > newest - 100 for one in made)
