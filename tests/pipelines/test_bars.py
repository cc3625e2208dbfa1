from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.binance.symbols import instrument_of
from pipelines.bars import KEPT_NS, LATENESS_NS, bars_stage, rule_of
from pipelines.clock_skew import BELIEVED_NS
from pipelines.intents import intents_stage
from pipelines.normalize import normalize_stage
from pipelines.raw import encode_line
from strategies import Desk, Strategy
from tests.folding import Folding, fold, run
from tests.recordings import hftbacktest
from topics.catalog import STRATEGY_INBOX
from topics.market import Bar, BookDelta, BookSnapshot, Gap, Mark, Tick, Trade
from topics.record import Record, Side
from topics.routes import Subscription, group

BTC, ETH = "sim:BTC-USDT", "sim:ETH-USDT"
S = 1_000_000_000
STAGE = bars_stage({BTC: ("time-1s", "time-5s"), ETH: ()})
START = 1_700_000_000 * S


def trade(at: float, price: str = "100.00", size: str = "1.5", instrument: str = BTC, behind: int = 0) -> Trade:
    """``at`` seconds after START by the venue's clock, received ``behind`` ns later by ours."""
    ts = START + round(at * S)
    return Trade(
        instrument=instrument,
        trade_id="1",
        price=Decimal(price),
        size=Decimal(size),
        aggressor=Side.BUY,
        ts_event=ts,
        ts_init=ts + behind,
    )


def delta(at: float) -> BookDelta:
    ts = START + round(at * S)
    return BookDelta(instrument=BTC, bids=(), asks=(), first_sequence=1, sequence=1, ts_event=ts, ts_init=ts)


def tick(at: float) -> Tick:
    return Tick(n=1, ts_init=START + round(at * S))


def naive(trades: Iterable[Trade], seconds: int) -> list[tuple[Any, ...]]:
    """The bars of all trades, computed from the whole list at once; the last one is still open."""
    groups: dict[int, list[Trade]] = {}
    for t in trades:
        groups.setdefault(t.ts_event // (seconds * S), []).append(t)
    out: list[tuple[Any, ...]] = []
    for start, ts in sorted(groups.items())[:-1]:
        prices = [t.price for t in ts]
        volume = sum((t.size for t in ts), Decimal(0))
        notional = sum((t.price * t.size for t in ts), Decimal(0))
        ohlc = (prices[0], max(prices), min(prices), prices[-1])
        out.append((start * seconds * S, (start + 1) * seconds * S, *ohlc, volume, notional, len(ts)))
    return out


def told(records: Iterable[Record], spec: str) -> list[tuple[Any, ...]]:
    return [
        (b.ts_open, b.ts_close, b.open, b.high, b.low, b.close, b.volume, b.notional, b.trades)
        for b in records
        if isinstance(b, Bar) and b.spec == spec
    ]


@pytest.fixture(scope="module")
def recorded_events(data_dir: Path) -> list[Record]:
    """A recorded day's last minutes, with a tick each second of receive time."""
    normalize = Folding(normalize_stage({"sim": "binance"}))
    out: list[Record] = []
    second = 0
    for frame in hftbacktest(data_dir / "hftbacktest" / "spot" / "ethusdt_20240808.gz"):
        if frame.ts // S > second:
            second = frame.ts // S
            out.append(Tick(n=second, ts_init=frame.ts))
        out += normalize.feed(encode_line(frame.ts, instrument_of("sim", frame.symbol), frame.data))
    return [r for r in out if not isinstance(r, Mark)]


@pytest.mark.parametrize("seconds", [1, 5, 60])
def test_recorded_bars_are_those_computed_from_all_trades_at_once(recorded_events: list[Record], seconds: int) -> None:
    spec = f"time-{seconds}s"
    folding = Folding(bars_stage({ETH: (spec,)}))
    out = [bar for event in recorded_events for bar in folding.feed(event)]
    assert all(bar.revision == bar.late == 0 for bar in out if isinstance(bar, Bar))
    wanted = naive([r for r in recorded_events if isinstance(r, Trade)], seconds)
    assert told(out, spec)[: len(wanted)] == wanted
    assert len(told(out, spec)) - len(wanted) in (0, 1)  # a tick may have closed the last one


def test_a_bar_holds_the_trades_from_its_opening_up_to_but_not_at_its_close() -> None:
    out = run(STAGE, [trade(0.0, "100"), trade(0.999999999, "103"), trade(1.0, "99")])
    assert told(out, "time-1s") == [
        (START, START + S, *map(Decimal, ("100", "103", "100", "103")), Decimal("3.0"), Decimal("304.5"), 2)
    ]


def test_an_interval_without_trades_makes_no_bar() -> None:
    out = run(STAGE, [trade(0.5), trade(7.5), trade(9.1)])
    assert [(b[0] - START) // S for b in told(out, "time-1s")] == [0, 7]


def test_a_gap_in_the_market_data_changes_no_edge() -> None:
    out = run(STAGE, [trade(0.5), gap(1), trade(3.2), trade(4.0)])
    assert [(b[0] - START, b[1] - START) for b in told(out, "time-1s")] == [(0, S), (3 * S, 4 * S)]


def gap(at: float) -> Gap:
    return Gap(instrument=BTC, reason="a hole", ts_init=START + round(at * S))


def whole(at: float) -> BookSnapshot:
    ts = START + round(at * S)
    return BookSnapshot(instrument=BTC, bids=(), asks=(), ts_event=ts, ts_init=ts)


def gaps(records: Iterable[Record], spec: str) -> list[int]:
    return [bar.gaps for bar in records if isinstance(bar, Bar) and bar.spec == spec]


def test_a_time_bar_tells_the_gaps_in_its_interval_before_its_first_trade_and_after_its_last() -> None:
    inside = [
        trade(0.1),
        gap(0.5),
        whole(0.6),
        trade(1.1),
        trade(2.5),
        gap(2.6),
        whole(2.7),
        gap(2.8),
        whole(2.9),
        trade(4),
    ]
    assert gaps(run(STAGE, inside), "time-1s") == [1, 0, 2]
    before = [gap(0.1), whole(0.2), trade(0.5), gap(1.1), whole(1.2), trade(2.5), trade(3)]
    assert gaps(run(STAGE, before), "time-1s") == [1, 0], "the second was in an interval without trades"


def test_a_gap_that_stays_open_touches_every_bar_until_the_next_snapshot() -> None:
    events = [trade(0.1), gap(0.5), trade(1.1), trade(2.1), whole(2.5), trade(3.1), trade(4.1)]
    assert gaps(run(STAGE, events), "time-1s") == [1, 1, 1, 0]


def test_a_filled_bar_tells_the_gaps_since_the_bar_before_it() -> None:
    stage = bars_stage({BTC: ("tick-2",)})
    events = [trade(0), trade(1), gap(1.5), whole(1.6), trade(2), gap(2.5), whole(2.6), trade(3), trade(4), trade(5)]
    assert gaps(run(stage, events), "tick-2") == [0, 2, 0]


def test_the_trade_that_fills_a_bar_is_its_last_and_is_not_split() -> None:
    stage = bars_stage({BTC: ("volume-4", "notional-300", "tick-2")})
    out = run(stage, [trade(0, size="3"), trade(1, size="9"), trade(1, size="1")])
    assert [(b[1] - START, b[6]) for b in told(out, "volume-4")] == [(S, Decimal(12))]
    assert [b[7] for b in told(out, "notional-300")] == [Decimal(300), Decimal(900)]
    assert [b[8] for b in told(out, "tick-2")] == [2]


def test_bars_that_are_filled_take_trades_in_the_order_of_the_tape_whatever_their_time() -> None:
    stage = bars_stage({BTC: ("tick-3",)})
    out = run(stage, [trade(5, "3"), trade(2, "1"), trade(9, "2", behind=-BELIEVED_NS - 1)])
    assert [b[:6] for b in told(out, "tick-3")] == [(START + 5 * S, START + 9 * S, *map(Decimal, (3, 3, 1, 2)))]


def test_a_quiet_market_closes_its_bar_at_a_tick_that_allows_for_lateness() -> None:
    folding = Folding(STAGE)
    folding.feed(trade(0.5))
    assert folding.feed(tick(1 + (LATENESS_NS - 1) / S)) == []
    assert [b.spec for b in folding.feed(tick(1 + LATENESS_NS / S)) if isinstance(b, Bar)] == ["time-1s"]
    assert [b.spec for b in folding.feed(tick(9)) if isinstance(b, Bar)] == ["time-5s"]
    assert folding.feed(tick(20)) == []


def test_a_book_change_past_the_lateness_closes_it_too() -> None:
    folding = Folding(STAGE)
    folding.feed(trade(0.5))
    assert folding.feed(delta(1.4)) == []
    assert len(folding.feed(delta(1.5))) == 1


def test_our_clock_is_set_against_the_venues_before_it_closes_a_bar() -> None:
    folding = Folding(STAGE)
    folding.feed(trade(0.5, behind=3 * S))
    assert folding.feed(tick(4.4)) == []
    assert len(folding.feed(tick(4.5))) == 1


def revisions(records: Iterable[Record], spec: str = "time-1s") -> list[tuple[int, int, int, int]]:
    """Of each telling the second it begins at, its revision, its trades and those too late."""
    return [
        ((b.ts_open - START) // S, b.revision, b.trades, b.late)
        for b in records
        if isinstance(b, Bar) and b.spec == spec
    ]


def test_a_trade_that_comes_after_its_bar_was_closed_tells_it_again() -> None:
    events = [trade(0.5, "100"), tick(2), trade(0.9, "103"), trade(0.1, "101"), trade(1.5), trade(2.5)]
    out = run(STAGE, events)
    assert revisions(out) == [(0, 0, 1, 0), (0, 1, 2, 0), (0, 2, 3, 0), (1, 0, 1, 0)]
    again = told(out, "time-1s")[2]
    assert again[2:6] == tuple(map(Decimal, ("100", "103", "100", "101"))), "open and close by the order of the tape"
    assert [b[8] for b in told(run(STAGE, [*events, tick(9)]), "time-5s")] == [5], "the longer one was still open"


def test_a_late_trade_of_an_interval_that_was_passed_over_makes_a_bar_out_of_turn() -> None:
    out = run(STAGE, [trade(0.5), trade(3.5), trade(1.5), trade(1.6), trade(4.1)])
    assert revisions(out) == [(0, 0, 1, 0), (1, 1, 1, 0), (1, 2, 2, 0), (3, 0, 1, 0)]


def test_a_late_bar_takes_no_gap_of_a_later_one() -> None:
    events = [trade(0.5), tick(2), gap(2.1), whole(2.2), trade(1.5), trade(2.5), trade(3)]
    assert gaps(run(STAGE, events), "time-1s") == [0, 0, 1]
    assert gaps(run(STAGE, [trade(0.5), gap(0.6), tick(3), whole(3), trade(0.7)]), "time-1s") == [1, 1]


def test_a_trade_for_a_bar_that_is_no_longer_kept_is_in_none_and_told_by_the_next_one() -> None:
    kept = KEPT_NS / S
    times = (0.5, 1.5, kept + 0.9, 30, 0.6, kept + 1, 0.7, 0.8, kept + 2, kept + 1.5)
    last = round(kept)
    assert revisions(run(STAGE, map(trade, times))) == [
        (0, 0, 1, 0),
        (1, 0, 1, 0),
        (30, 1, 1, 0),
        (0, 1, 2, 0),
        (last, 0, 1, 0),
        (last + 1, 0, 1, 2),
        (last + 1, 1, 2, 2),
    ]


def test_a_trade_from_the_far_future_is_not_believed() -> None:
    out = run(STAGE, [trade(0.5), trade(90, behind=-BELIEVED_NS - 1), trade(0.6), trade(1.0)])
    assert revisions(out) == [(0, 0, 2, 1)]


def test_no_more_is_kept_than_the_bars_of_the_time_that_is_kept() -> None:
    folding = Folding(STAGE)
    for second in range(500):
        folding.feed(trade(second))
        folding.feed(trade(second - 30.5))
    assert len(folding.states[BTC].kept["time-1s"]) <= KEPT_NS // S + 1


def test_other_instruments_and_those_without_bars_are_passed_over() -> None:
    out = run(STAGE, [trade(i, instrument=other) for i in range(3) for other in (ETH, "sim:SOL-USDT")])
    assert out == []


def test_sums_are_exact_however_many_digits_they_have() -> None:
    many = [trade(0.1, "99999999.99999999", "123456789.12345678"), trade(0.2, "0.00000001", "0.00000001"), trade(1)]
    (bar,) = [b for b in run(STAGE, many) if isinstance(b, Bar)]
    assert f"{bar.notional:f}" == "12345678912345676.7654321087654323"
    assert f"{bar.volume:f}" == "123456789.12345679"


@pytest.mark.parametrize("spec", ["", "time", "time-0s", "time-1", "time-1.5s", "time--1s", "ticks-5", "time-1s "])
def test_a_specification_that_is_none_is_refused_by_name(spec: str) -> None:
    with pytest.raises(ValueError, match="not a bar"):
        rule_of(spec)


lateness = st.one_of(st.just(0), st.integers(0, 61_000))
arrivals = st.lists(st.tuples(st.integers(-100, 20_000), lateness, st.booleans()), max_size=60)


def arrived(steps: Iterable[tuple[int, int, bool]]) -> list[Record]:
    """Trades in any order, none so late that its bar is forgotten, some with a tick behind them."""
    events: list[Record] = []
    newest = 0
    for n, (ms, late, ticks) in enumerate(steps):
        at = max(0, newest + ms - min(late, KEPT_NS // 1_000_000))
        newest = max(newest, at)
        events.append(trade(at / 1000, price=str(100 + n % 7), size=f"0.{n + 1}"))
        if ticks:
            events.append(tick(newest / 1000))
    return events


@given(steps=arrivals, every=st.integers(1, 4))
def test_the_last_revisions_hold_every_trade_in_whatever_order_they_come(
    steps: list[tuple[int, int, bool]], every: int
) -> None:
    events = [*arrived(steps), tick(1_000_000)]
    trades = [e for e in events if isinstance(e, Trade)]
    out = [bar for bar in run(STAGE, events) if isinstance(bar, Bar)]
    for spec, seconds in (("time-1s", 1), ("time-5s", 5)):
        last = {bar.ts_open: bar for bar in out if bar.spec == spec}
        assert told((last[start] for start in sorted(last)), spec) == naive([*trades, trade(1_000_000)], seconds)
        for start, end in last.items():
            tellings = [bar for bar in out if bar.spec == spec and bar.ts_open == start]
            assert [b.revision for b in tellings] == list(range(end.revision - len(tellings) + 1, end.revision + 1))
            assert tellings[0].revision <= 1
    assert sum(bar.late for bar in out) == 0
    assert fold(STAGE, events, recode_every=every) == fold(STAGE, events)


class Hearer(Strategy):
    class State(msgspec.Struct):
        heard: list[tuple[str, int]] = []

    def on_bar(self, state: State, desk: Desk, bar: Bar) -> None:
        state.heard.append((bar.spec, bar.ts_open))


@given(steps=arrivals)
def test_a_strategy_hears_each_bar_once_and_in_turn(steps: list[tuple[int, int, bool]]) -> None:
    subscription = Subscription(account="sim.main", instruments=(BTC,), bars=("time-1s", "time-5s"))
    bars, heard = Folding(STAGE), Folding(intents_stage("s1", Hearer(), subscription))
    told: list[Bar] = []
    for event in [*arrived(steps), tick(1_000_000)]:
        out = bars.feed(event)
        told += (bar for bar in out if isinstance(bar, Bar))
        for (topic, _), inbox in group(out, {"s1": subscription}).items():
            for bar in inbox if topic is STRATEGY_INBOX else ():
                heard.feed(bar)
    found = heard.states["s1"].state.heard if heard.states else []
    assert found == [(bar.spec, bar.ts_open) for bar in told if bar.revision == 0]
    for spec in subscription.bars:
        opens = [ts for name, ts in found if name == spec]
        assert opens == sorted(set(opens))


MAKES: dict[str, Callable[[float], Record]] = {"trade": trade, "delta": delta, "tick": tick, "gap": gap, "whole": whole}
steps = st.lists(
    st.tuples(st.integers(0, 3000), st.sampled_from(["trade", "delta", "tick", "gap", "whole"])), max_size=40
)


@given(steps=steps, every=st.integers(1, 4))
def test_any_ordered_market_makes_the_naive_bars_and_folds_the_same_when_recoded(
    steps: list[tuple[int, str]], every: int
) -> None:
    events: list[Record] = []
    at = 0
    for ms, kind in steps:
        at += ms
        events.append(MAKES[kind](at / 1000))
    trades = [e for e in events if isinstance(e, Trade)]
    for spec, seconds in (("time-1s", 1), ("time-5s", 5)):
        wanted = naive(trades, seconds)
        assert told(run(STAGE, events), spec)[: len(wanted)] == wanted
    stage = bars_stage({BTC: ("time-1s", "time-5s", "tick-2", "volume-4", "notional-400")})
    assert fold(stage, events, recode_every=every) == fold(stage, events)
