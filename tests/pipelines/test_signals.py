"""The signals stage: views, books, filled signals, and what becomes of a callback that raises."""

from collections.abc import Iterator
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.signals import HALT_EVERY_NS, signals_stage
from strategies import Book, Signal, Strategy
from tests.folding import Folding, run
from tests.strategies.builders import (
    BTC,
    ETH,
    SECOND,
    SUBSCRIPTION,
    D,
    delta,
    instrument,
    quote,
    snapshot,
    tick,
    trade,
)
from topics.market import Gap, Quote, Trade
from topics.record import Record
from topics.strategy import StrategyHalted


class Counting(Strategy):
    """One signal for each event of each kind; raises on trades at 13."""

    class View(msgspec.Struct):
        events: int = 0
        highest: Decimal = Decimal(0)

    def on_quote(self, view: View, quote: Quote) -> Iterator[Signal]:
        view.events += 1
        view.highest = max(view.highest, quote.best_bid)
        yield Signal("quote", view.events, {"highest": str(view.highest)})

    def on_trade(self, view: View, trade: Trade) -> Iterator[Signal]:
        view.events += 1
        yield Signal("trade", view.events)
        if trade.price == 13:
            raise ValueError("unlucky")

    def on_book(self, view: View, book: Book) -> list[Signal]:
        return [Signal("levels", len(book.bids(100)) + len(book.asks(100)))]


class QuotesOnly(Strategy):
    def on_quote(self, view: msgspec.Struct, quote: Quote) -> Iterator[Signal]:
        yield Signal("mid", float(quote.mid))


class Mistaken(Strategy):
    def on_quote(self, view: msgspec.Struct, quote: Quote) -> list[Signal]:
        return [1.0]  # type: ignore[list-item]


STAGE = signals_stage("s1", Counting(), SUBSCRIPTION)
SNAPSHOT = snapshot([("100", "1")], [("101", "1")])
GAP = Gap(instrument=BTC, reason="test", ts_init=0)


def named(outputs: list[Record]) -> list[tuple[str, float]]:
    return [(s.name, s.value) for s in outputs if isinstance(s, Signal)]


def test_a_signal_is_filled_with_its_strategy_instrument_time_and_touch() -> None:
    (signal,) = run(STAGE, [quote("100", "101", ts=7, bid_size="2", ask_size="3")])
    assert signal == Signal(
        "quote",
        1,
        {"highest": "100"},
        strategy="s1",
        instrument=BTC,
        best_bid=D(100),
        bid_size=D(2),
        best_ask=D(101),
        ask_size=D(3),
        ts_event=7,
        ts_init=7,
    )


def test_a_signal_before_the_first_quote_has_no_touch() -> None:
    (signal,) = run(STAGE, [trade("100")])
    assert isinstance(signal, Signal)
    assert (signal.best_bid, signal.best_ask) == (None, None)


def test_a_gap_makes_the_touch_and_the_book_unknown() -> None:
    outputs = run(STAGE, [quote("100", "101"), SNAPSHOT, GAP, trade("100"), delta([("99", "1")], [])])
    assert named(outputs) == [("quote", 1), ("levels", 2), ("trade", 2)]
    assert isinstance(outputs[-1], Signal)
    assert outputs[-1].best_bid is None


def test_the_book_is_kept_between_a_snapshot_and_a_gap() -> None:
    outputs = run(STAGE, [delta([("9", "1")], []), SNAPSHOT, delta([("99", "1")], [("101", "0")]), GAP, SNAPSHOT])
    assert named(outputs) == [("levels", 2), ("levels", 2), ("levels", 2)]


def test_no_book_is_kept_for_a_strategy_that_does_not_read_it() -> None:
    folding = Folding(signals_stage("s1", QuotesOnly(), SUBSCRIPTION))
    assert folding.feed(SNAPSHOT) == []
    assert folding.states[BTC].book is None


def test_each_instrument_has_its_own_view() -> None:
    both = msgspec.structs.replace(SUBSCRIPTION, instruments=(BTC, ETH))
    outputs = run(signals_stage("s1", Counting(), both), [quote("1", "2"), quote("1", "2", name=ETH), trade("5")])
    assert named(outputs) == [("quote", 1), ("quote", 1), ("trade", 2)]


@pytest.mark.parametrize("event", [quote("1", "2", name=ETH), tick(1)])
def test_what_is_not_subscribed_and_ticks_pass_over(event: Record) -> None:
    assert STAGE.state_key(event) is None


def test_definitions_make_no_signals() -> None:
    assert run(STAGE, [instrument()]) == []


def test_a_callback_that_raises_yields_a_halt_and_nothing_else() -> None:
    (halted,) = run(STAGE, [trade("13", ts=5)])
    assert isinstance(halted, StrategyHalted)
    assert (halted.strategy, halted.where, halted.ts_init) == ("s1", "on_trade", 5)
    assert halted.error.startswith("ValueError: unlucky (test_signals.py:")


def test_a_lasting_fault_is_said_once_a_second() -> None:
    events = [trade("13", ts=n * HALT_EVERY_NS // 4) for n in range(9)]
    assert [h.ts_init for h in run(STAGE, events) if isinstance(h, StrategyHalted)] == [0, SECOND, 2 * SECOND]


def test_events_after_a_fault_are_still_seen() -> None:
    assert named(run(STAGE, [trade("13"), trade("14")])) == [("trade", 2)]


def test_what_is_not_a_signal_is_a_fault() -> None:
    (halted,) = run(signals_stage("s1", Mistaken(), SUBSCRIPTION), [quote("1", "2")])
    assert isinstance(halted, StrategyHalted)
    assert "a market callback yields signals, not float" in halted.error


def test_the_name_of_the_stage_is_its_strategys_own() -> None:
    assert (STAGE.name, STAGE.input.name) == ("signals/s1", "market.events")


prices = st.integers(1, 30).map(str)
levels = st.lists(st.tuples(prices, st.sampled_from(["0", "1", "2.50"])), max_size=4)
events = st.lists(
    st.one_of(
        st.builds(lambda p: quote(p, "31"), prices),
        st.builds(lambda p: trade(p), prices),
        st.builds(delta, levels, levels),
        st.sampled_from([SNAPSHOT, GAP]),
    ),
    max_size=30,
)


@given(events=events, every=st.integers(1, 5))
def test_a_view_that_is_stored_and_read_back_signals_the_same(events: list[Record], every: int) -> None:
    assert run(STAGE, events, recode_every=every) == run(STAGE, events)
