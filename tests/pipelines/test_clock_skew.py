"""How far a clock is behind is told by what was received; no latency is below 0, and nothing changes places."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import archive
from infra.captures import read
from infra.tail import Place, Taken
from pipelines.backtest_latency import ages
from pipelines.clock_skew import BELIEVED_NS, WINDOW_NS, ClockSkew, Skews, behind
from pipelines.exhibits import MarketExhibit
from pipelines.gateway.metrics import GatewayMetrics
from pipelines.normalize import MarketState
from pipelines.recorded_latency import recorded_latencies
from pipelines.recorded_run import ArchivedRun
from pipelines.tape_check import check
from pipelines.tape_figures import figures
from tests.facts import ACCOUNT, INSTRUMENT, STRATEGY, OrderMaker
from tests.recordings import data_folder
from topics import wire
from topics.catalog import MARKET_EVENTS, ORDERS_EVENTS
from topics.market import BookDelta, Trade
from topics.record import InstrumentId, Record, Side

T0 = 1_700_000_000_000_000_000
MS = 1_000_000
S = 1000 * MS

ways = st.lists(st.tuples(st.integers(0, 10 * S), st.integers(0, 500 * MS)), min_size=1, max_size=60)
"""Pauses, and how long each frame was on its way."""


def told(found: list[tuple[int, int]], ahead: int) -> Iterator[tuple[int, int]]:
    """(the venue's time, ours) of frames where our clock is ``ahead`` of the venue's by so much."""
    now = T0
    for pause, way in found:
        now += pause
        yield now - way, now + ahead


@given(found=ways, ahead=st.integers(-5 * S, 5 * S))
def test_no_latency_is_below_0_and_no_clock_is_said_to_be_further_behind_than_it_is(
    found: list[tuple[int, int]], ahead: int
) -> None:
    skew = ClockSkew()
    for ts_event, ts_init in told(found, ahead):
        latency = skew.latency(ts_event, ts_init)
        assert latency is not None
        assert latency >= 0
        assert 0 <= skew.ns <= max(0, -ahead)


@given(found=ways, one=st.integers(600 * MS, 5 * S), other=st.integers(600 * MS, 5 * S))
def test_how_far_a_clock_is_behind_makes_no_difference_to_latencies(
    found: list[tuple[int, int]], one: int, other: int
) -> None:
    """As long as it falls behind in whole windows: they begin by our own clock."""
    a, b = ClockSkew(), ClockSkew()
    within = [(min(pause, S // 2), way) for pause, way in found]
    latencies = [[skew.latency(*times) for times in told(within, -ahead)] for skew, ahead in ((a, one), (b, other))]
    assert latencies[0] == latencies[1]
    assert a.ns - one == b.ns - other


@given(found=ways, ahead=st.integers(-5 * S, 5 * S))
def test_of_a_whole_recording_no_latency_is_below_0_either(found: list[tuple[int, int]], ahead: int) -> None:
    times = list(told(found, ahead))
    skews = Skews(reversed(times))
    assert all(ts_init - ts_event + skews.at(ts_init) >= 0 for ts_event, ts_init in times)
    assert Skews([]).at(T0) == 0


def test_a_clock_that_is_set_right_counts_as_right_two_windows_later() -> None:
    skew = ClockSkew()
    assert skew.latency(T0 + S, T0) == 0
    assert skew.ns == S
    assert skew.latency(T0 + WINDOW_NS, T0 + WINDOW_NS + MS) == S + MS, "as told in the minute before"
    assert skew.latency(T0 + 2 * WINDOW_NS, T0 + 2 * WINDOW_NS + MS) == MS
    assert skew.ns == 0


def test_what_is_dated_far_ahead_or_not_at_all_says_nothing_of_clocks() -> None:
    skew = ClockSkew()
    assert skew.latency(T0 + BELIEVED_NS + 1, T0) is None
    assert skew.latency(0, T0) is None
    assert (skew.ns, behind(None)) == (0, 0)


BEHIND = {
    "hftbacktest/spot/ethusdt_20240808.gz": "binance",
    "hftbacktest/usdm/ethusdt_20240808.gz": "binance_usdm",
}
"""Recordings whose clock was more than a second behind the venue's."""


@pytest.fixture(params=sorted(BEHIND))
def recording(request: pytest.FixtureRequest) -> Path:
    path = data_folder() / request.param
    if not path.exists():
        pytest.skip(f"no recording {request.param} here")
    return path


def test_a_recording_whose_clock_was_behind_has_latencies_of_at_least_0(recording: Path) -> None:
    venue = BEHIND[str(recording.relative_to(data_folder()))]
    events: dict[InstrumentId, list[Record]] = {}

    def see(instrument: InstrumentId, state: MarketState, out: object) -> None:
        assert isinstance(out, list)
        events.setdefault(instrument, []).extend(out)

    checked = check([recording], venue, see=see)
    known = {one.clock_skew_ns for one in checked.instruments}
    (skew,) = known
    assert S < skew < 2 * S
    assert figures(read([recording]), venue).clock_skew >= skew
    for found in events.values():
        received = [event.ts_init for event in found if isinstance(event, BookDelta | Trade)]
        assert received == sorted(received), "in the order they were received"
        assert all(0 <= age < 5 * S for age in ages(found))
    exhibit = MarketExhibit(events)
    for found in events.values():
        for event in found:
            exhibit.written(MARKET_EVENTS, [event])
    shown = {sample.name: sample for metric in exhibit.collect() for sample in metric.samples}
    assert shown["tapedeck_venue_clock_skew_seconds"].value == pytest.approx(skew / 1e9, abs=0.2)


# --- orders -------------------------------------------------------------------------------------------------------------


def test_the_time_from_the_exchange_to_an_order_is_on_one_clock() -> None:
    metrics = GatewayMetrics(ACCOUNT, [STRATEGY])
    metrics.told.say({"ready": True})
    for way in (40 * MS, 10 * MS, 15 * MS):  # the exchange's clock is a second and more ahead
        ts = {"ts_event": T0 + S - way, "ts_init": T0}
        made = OrderMaker().requested()
        command = msgspec.structs.replace(made.command, **ts)
        metrics.sent(msgspec.structs.replace(made, command=command), T0 + 2 * MS)
    shown = {s.name: s.value for m in metrics.collect() for s in m.samples if not s.labels.get("le")}
    assert shown["tapedeck_order_exchange_to_sent_seconds_sum"] == pytest.approx(3 * 0.002 + 0.005)
    assert shown["tapedeck_order_exchange_to_sent_seconds_count"] == 3


def test_recorded_ways_to_and_from_a_venue_whose_clock_is_ahead_are_those_on_one_clock(tmp_path: Path) -> None:
    ahead, there, back, now = 1300 * MS, 20 * MS, 30 * MS, T0 + 50 * MS
    traded = trade_of(T0, T0 + ahead - 1 * MS), trade_of(T0 + 200 * MS, T0 + 200 * MS + ahead - 4 * MS)
    maker = OrderMaker(account="sim.main")
    accepted = msgspec.structs.replace(maker.accepted(), ts_event=T0 + there + ahead - 1 * MS, ts_init=now)
    facts = [maker.requested(), maker.sent(), accepted]
    facts = [msgspec.structs.replace(fact, ts_init=T0) for fact in facts[:2]] + facts[2:]
    for topic, events in ((MARKET_EVENTS, traded), (ORDERS_EVENTS, facts)):
        rows = [
            Taken(topic.name, "id", 0, n, event.ts_init // MS, b"k", wire.encode([event]), None, None)
            for n, event in enumerate(events)
        ]
        archive.write(tmp_path, Place(topic.name, 0), rows)
    found = recorded_latencies(ArchivedRun(tmp_path))
    assert found.to_venue.values == [there], "less the way of the quickest frame, which nobody knows"
    assert found.from_venue.values == [back]
    assert found.feed.values == [0, 3 * MS]


def trade_of(ts_init: int, ts_event: int) -> Trade:
    amounts = {"price": Decimal(1), "size": Decimal(1), "aggressor": Side.BUY}
    return Trade(instrument=INSTRUMENT, trade_id=str(ts_init), ts_event=ts_event, ts_init=ts_init, **amounts)
