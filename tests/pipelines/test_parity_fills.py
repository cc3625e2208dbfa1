"""Executions of two runs, one to one, and the class of each difference."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from pipelines.parity_fills import Execution, Kind, Resting, Run, compare
from topics.record import Side

SECOND = 1_000_000_000
WINDOW, WIDER = 2 * SECOND, 10 * SECOND
INSTRUMENT = "sim:BTC-USDT"


def execution(ts: float, price: str = "100", size: str = "1", order: str = "a", side: Side = Side.BUY) -> Execution:
    return Execution("quoter", INSTRUMENT, side, Decimal(price), Decimal(size), int(ts * SECOND), order)


def resting(since: float, until: float, price: str = "100") -> Resting:
    return Resting("quoter", INSTRUMENT, Side.BUY, Decimal(price), int(since * SECOND), int(until * SECOND))


def kinds(
    live: list[Execution], backtest: list[Execution], lives: Sequence[Resting] = (), backtests: Sequence[Resting] = ()
) -> list[Kind]:
    return [one.kind for one in compare(Run(live, lives), Run(backtest, backtests), WINDOW, WIDER).differences]


def test_the_same_execution_within_the_window_is_reproduced() -> None:
    found = compare(Run([execution(10)], []), Run([execution(11.5)], []), WINDOW, WIDER)
    assert found.share == 1
    assert found.differences == []


def test_each_execution_counts_once() -> None:
    found = compare(Run([execution(10), execution(10.1)], []), Run([execution(10)], []), WINDOW, WIDER)
    assert found.share == 0.5
    assert [one.kind for one in found.differences] == [Kind.PARTIAL], "the same order, filled by one part more"


def test_later_than_the_window_is_latency() -> None:
    assert kinds([execution(10)], [execution(15)]) == [Kind.LATENCY]


def test_another_price_at_the_time_is_latency() -> None:
    assert kinds([execution(10)], [execution(10, price="101", order="b")]) == [Kind.LATENCY]


def test_another_quantity_at_the_price_is_partial() -> None:
    assert kinds([execution(10, size="1")], [execution(10, size="0.4")]) == [Kind.PARTIAL]


def test_the_other_parts_of_such_an_order_are_partial_too() -> None:
    parts = [execution(10, size="0.4"), execution(14, size="0.6")]
    assert kinds([execution(10, size="1")], parts) == [Kind.PARTIAL, Kind.PARTIAL]


def test_an_order_that_rested_there_and_was_not_reached_is_queue() -> None:
    assert kinds([execution(10)], [], backtests=[resting(9, 12)]) == [Kind.QUEUE]
    assert kinds([], [execution(10)], lives=[resting(9, 12)]) == [Kind.QUEUE]


def test_an_order_at_another_price_or_time_is_no_queue() -> None:
    assert kinds([execution(10)], [], backtests=[resting(9, 12, price="99"), resting(20, 30)]) == [Kind.MISSING]


def test_what_one_side_alone_has_is_missing_or_extra() -> None:
    assert kinds([execution(10)], []) == [Kind.MISSING]
    assert kinds([], [execution(10)]) == [Kind.EXTRA]
    assert kinds([execution(10)], [execution(10, side=Side.SELL)]) == [Kind.MISSING, Kind.EXTRA]


def test_a_live_run_without_executions_has_no_share() -> None:
    assert compare(Run([], []), Run([execution(1)], []), WINDOW, WIDER).share is None


some = st.lists(
    st.builds(
        execution,
        st.integers(0, 30),
        st.sampled_from(["100", "101"]),
        st.sampled_from(["1", "2"]),
        st.sampled_from("abc"),
        st.sampled_from(Side),
    ),
    max_size=12,
)
orders = st.lists(
    st.builds(resting, st.integers(0, 15), st.integers(15, 30), st.sampled_from(["100", "101"])), max_size=3
)


@given(some, some, orders, orders)
def test_every_execution_is_told_of_exactly_once(
    live: list[Execution], backtest: list[Execution], lives: list[Resting], backtests: list[Resting]
) -> None:
    found = compare(Run(live, lives), Run(backtest, backtests), WINDOW, WIDER)
    mine = [p.live for p in found.reproduced] + [d.live for d in found.differences if d.live]
    others = [p.backtest for p in found.reproduced] + [d.backtest for d in found.differences if d.backtest]
    assert Counter(mine) == Counter(live)
    assert Counter(others) == Counter(backtest)
    assert all(abs(a.ts - b.ts) <= WINDOW for a, b in found.reproduced)


@given(some)
def test_a_run_is_reproduced_by_itself(live: list[Execution]) -> None:
    found = compare(Run(live, []), Run(live, []), WINDOW, WIDER)
    assert found.differences == []
    assert len(found.reproduced) == len(live)
