"""What the options of a backtest mean, and the latencies that it draws."""

from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.simulated.units import share
from infra.config import ConfigError, check_run_name
from infra.errors import Problem
from pipelines import backtest_options as options
from pipelines.backtest import Settings
from pipelines.backtest_flaws import Flaws, survey
from pipelines.backtest_latency import Samples, ages, recorded, round_trips, thinned
from pipelines.compose import MS, as_decoded
from strategies import StrategyError
from strategies.loading import typed_params
from topics.catalog import MARKET_EVENTS
from topics.market import Trade
from topics.orders import OrderAccepted, OrderSent
from topics.record import Side
from topics.strategy import Signal

BUYER = "strategies.spread_buyer:SpreadBuyer"


# --- latencies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "way", "feed"),
    [("constant:5ms", 5 * MS, 5 * MS), ("constant:250us/8ms", 250_000, 8 * MS), ("jittered:3ms/0ms", 3 * MS, 3 * MS)],
)
def test_a_latency_is_said_in_a_word(text: str, way: int, feed: int) -> None:
    made = options.with_latency(Settings(), text).latency()
    assert (made.to_venue(), made.from_venue(), made.feed(), made.hop(MARKET_EVENTS)) == (way, way, feed, 2 * MS)


@pytest.mark.parametrize(
    "text", ["", "5ms", "constant:", "constant:5", "constant:-5ms", "sampled:", "sampled:nowhere", "jittered:5ms"]
)
def test_what_is_no_latency_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(Problem) as refused:
        options.with_latency(Settings(), text)
    assert "\n" not in str(refused.value)


def table(path: Path, rows: list[tuple[str, int]]) -> Path:
    pq.write_table(pa.table({"kind": [kind for kind, _ in rows], "ns": [ns for _, ns in rows]}), path)
    return path


def test_recorded_latencies_are_drawn_with_the_seed_each_kind_for_itself(tmp_path: Path) -> None:
    path = table(
        tmp_path / "l.parquet", [*(("order", n * MS) for n in range(2, 40)), *(("feed", n) for n in range(50))]
    )
    settings = options.with_latency(Settings(seed=4), f"sampled:{path}")
    one, same, other = (
        settings.latency(),
        settings.latency(),
        options.with_latency(Settings(seed=5), f"sampled:{path}").latency(),
    )
    drawn = [one.to_venue() for _ in range(20)]
    mixed = []
    for _ in range(20):
        same.feed()
        mixed.append(same.to_venue())
    assert drawn == mixed != [other.to_venue() for _ in range(20)]
    assert set(drawn) <= {n * MS // 2 for n in range(2, 40)}
    assert {one.feed() for _ in range(40)} <= set(range(50))


def test_an_empty_or_a_foreign_table_is_refused(tmp_path: Path) -> None:
    for rows, word in (
        ([("feed", 1)], "order"),
        ([("order", 1)], "market data"),
        ([("order", -1), ("feed", 1)], "below 0"),
    ):
        with pytest.raises(Problem, match=word):
            recorded(table(tmp_path / "t.parquet", rows))
    (tmp_path / "x").write_text("no table")
    with pytest.raises(Problem, match="kind and ns"):
        recorded(tmp_path / "x")


def test_round_trips_and_ages_are_read_from_facts_and_market_data() -> None:
    about = {"account": "sim.main", "instrument": "sim:BTC-USDT", "strategy": "s"}
    sent = [OrderSent(client_order_id=i, ts_init=10, **about) for i in ("a", "b")]
    accepted = OrderAccepted(client_order_id="a", venue_order_id="1", ts_init=17, **about)
    assert list(round_trips([*sent, accepted, accepted])) == [7]
    trade = Trade(
        instrument="sim:BTC-USDT",
        trade_id="1",
        price=Decimal(1),
        size=Decimal(1),
        aggressor=Side.BUY,
        ts_event=9,
        ts_init=4,
    )
    assert list(ages([trade])) == [0]  # the venue's clock was ahead


def test_of_very_many_latencies_some_are_kept_evenly() -> None:
    kept = thinned(range(1000), most=100)
    assert 50 <= len(kept) <= 100
    assert len({b - a for a, b in pairwise(kept)}) == 1


# --- parameters, fees, grids ------------------------------------------------------------------------------------------


def test_parameters_are_text_json_or_a_toml_file_and_become_what_the_strategy_declares(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text('order_qty = "0.01"\nrequote_ms = 200\npost_only = false\n')
    for text in (
        "order_qty=0.01, requote_ms=200,post_only=false",
        '{"order_qty": "0.01", "requote_ms": 200, "post_only": false}',
        str(tmp_path / "p.toml"),
    ):
        assert typed_params(BUYER, options.params(text)) == {"order_qty": "0.01", "requote_ms": 200, "post_only": False}
    with pytest.raises(StrategyError, match="requote_ms=x"):
        typed_params(BUYER, {"requote_ms": "x"})


@pytest.mark.parametrize("text", ["order_qty", "=1", "a=", "[1]", "{", "nowhere.toml"])
def test_what_are_no_parameters_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(Problem) as refused:
        options.params(text)
    assert "\n" not in str(refused.value)


def test_fees_are_named_or_in_the_order_of_maker_and_taker() -> None:
    expected = (Decimal("0.001"), Decimal("0.002"))
    assert options.rates("taker=0.002,maker=0.001") == options.rates("0.001,0.002") == expected


def test_a_maker_may_be_paid() -> None:
    assert options.rates("maker=-0.0001,taker=0.0004") == (Decimal("-0.0001"), Decimal("0.0004"))
    assert (share(15_000, -100_000), share(19_999, -10_000)) == (-15, -1)  # never more than the rate
    for text in ("maker=-1,taker=0", "maker=0,taker=1", "maker=nan,taker=0"):
        with pytest.raises(Problem, match="rates between"):
            options.rates(text)


def test_a_grid_is_every_combination_with_exact_steps() -> None:
    found = options.grid("a=1,2 b=0:0.3:0.1")
    assert [(p["a"], p["b"]) for p in found] == [(a, b) for a in "12" for b in ("0.0", "0.1", "0.2", "0.3")]


@pytest.mark.parametrize("text", ["a", "a=", "a=1 a=2", "a=5:1:1", "a=1:2:0", "a=1,,2", "a=0:99999:1", " "])
def test_what_is_no_grid_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(Problem) as refused:
        options.grid(text)
    assert "\n" not in str(refused.value)


# --- what goes from stage to stage without its bytes ------------------------------------------------------------------


@pytest.mark.parametrize("value", [5, True, float("nan"), float("inf"), Decimal(1)])
def test_a_signal_that_its_bytes_would_change_goes_by_its_bytes(value: float) -> None:
    assert not as_decoded(Signal("s", value))
    assert as_decoded(Signal("s", 1.5))


def test_samples_make_settings_of_their_own() -> None:
    settings = Settings(sampled=Samples((2,), (3,)))
    assert settings.latency().feed() == settings.usual_feed_ns == 3


@pytest.mark.parametrize("name", ["../../esc", "a/b", "", ".hidden", "a b"])
def test_what_cannot_name_a_run_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a run's name"):
        check_run_name(name)


def test_lines_that_are_played_twice_are_counted() -> None:
    lines = [(n, b"{%d}" % n) for n in range(100)]
    assert survey(lambda: lines) == Flaws(last=99)
    assert survey(lambda: lines[:60] + lines[40:]) == Flaws(last=99, backward=19, repeated=20)
    assert survey(lambda: [*lines, lines[-1]]) == Flaws(last=99, backward=0, repeated=1)
    assert survey(lambda: [lines[5], lines[3]]) == Flaws(last=5, backward=1, repeated=0)
