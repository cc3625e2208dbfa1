"""The ladder of ``tapedeck book``: what it folds, its picture, and the command on a real broker."""

import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from infra import kafka
from infra.config import load
from infra.errors import Problem
from pipelines.cli import app
from pipelines.ladder import STALE_NS, Ladder, Standing
from pipelines.ladder_feed import LadderFeed
from pipelines.ladder_picture import depth_that_fits, picture
from topics import wire
from topics.catalog import MARKET_EVENTS
from topics.market import BookDelta, BookSnapshot, Gap, Trade
from topics.record import Record, Side

BTC, ETH = "sim:BTC-USDT", "sim:ETH-USDT"
T0 = 1_760_000_000_123_000_000  # 08:53:20.123 UTC
SNAPSHOT_BIDS = (("100.5", "2"), ("100.25", "1.5"), ("99", "4"))
SNAPSHOT_ASKS = (("101.0", "0.5"), ("101.75", "3"))


def snapshot(ts: int = T0, instrument: str = BTC, **fields: Any) -> BookSnapshot:
    levels = {"bids": SNAPSHOT_BIDS, "asks": SNAPSHOT_ASKS} | fields
    return BookSnapshot(instrument=instrument, ts_event=ts, ts_init=ts, **levels)


def delta(ts: int = T0, instrument: str = BTC, **fields: Any) -> BookDelta:
    return BookDelta(instrument=instrument, ts_event=ts, ts_init=ts, **{"bids": (), "asks": ()} | fields)


def trade(price: str, size: str, side: Side = Side.BUY, ts: int = T0) -> Trade:
    numbers = {"price": Decimal(price), "size": Decimal(size)}
    return Trade(instrument=BTC, trade_id=f"{ts}", aggressor=side, ts_event=ts, ts_init=ts, **numbers)


def gap(ts: int = T0) -> Gap:
    return Gap(instrument=BTC, reason="sequence", expected=5, got=7, ts_init=ts)


def ladder_of(*events: Record) -> Ladder:
    ladder = Ladder(BTC)
    for event in events:
        ladder.take(event)
    return ladder


def shown(ladder: Ladder, now_ns: int = T0, *, width: int = 120, **options: Any) -> list[str]:
    plain = Console(width=width, color_system=None, legacy_windows=False)
    with plain.capture() as captured:
        plain.print(picture(ladder, now_ns, width=width, **options))
    return captured.get().splitlines()


def line_with(lines: Sequence[str], word: str) -> str:
    return next(line for line in lines if word in line)


def test_asks_stand_above_bids_each_with_its_size_and_the_sum_from_the_best_outwards() -> None:
    lines = shown(ladder_of(snapshot()))
    order = ("101.75", "101.00", "spread", "100.50", "100.25", "99.00")
    places = [next(i for i, line in enumerate(lines) if word in line) for word in order]
    assert places == list(range(places[0], places[0] + len(order)))
    assert line_with(lines, "101.75").split()[1:4] == ["101.75", "3.0", "3.5"]
    assert line_with(lines, "99.00").split()[1:4] == ["99.00", "4.0", "7.5"]
    bars = {word: line_with(lines, word).count("█") for word in ("99.00", "100.50", "101.00")}
    assert bars["99.00"] > bars["100.50"] > bars["101.00"] > 0


def test_spread_and_mid_are_told_in_full_and_the_spread_in_basis_points() -> None:
    assert "spread 0.5 (49.628 bps)   mid 100.75" in line_with(shown(ladder_of(snapshot())), "spread")


def test_a_level_that_a_delta_took_is_gone_and_depth_bounds_both_sides() -> None:
    lines = "\n".join(shown(ladder_of(snapshot(), delta(bids=(("100.5", "0"),), asks=(("100.75", "9"),))), depth=1))
    assert "100.75" in lines
    assert "100.25" in lines
    for gone in ("100.50", "101", "99"):
        assert gone not in lines


def test_after_a_gap_the_book_says_that_it_is_not_to_be_trusted_until_the_next_snapshot() -> None:
    ladder = ladder_of(snapshot(), gap(), delta(bids=(("100.75", "7"),)))
    assert ladder.standing(T0) is Standing.STALE
    lines = shown(ladder)
    assert "the book is not to be trusted until the next snapshot: gap: sequence (expected 5, got 7)" in lines[1]
    assert "stale" in lines[0]
    assert "1 gap since 08:53:20" in lines[0]
    assert "100.75" not in "".join(lines[2:]).replace("mid 100.75", ""), "what comes meanwhile changes nothing"
    ladder.take(snapshot())
    assert ladder.standing(T0) is Standing.LIVE
    assert "not to be trusted" not in "".join(shown(ladder))


def test_a_change_that_no_book_can_have_breaks_it_like_a_gap() -> None:
    ladder = ladder_of(snapshot(), delta(bids=(("-1", "1"),)))
    assert ladder.standing(T0) is Standing.STALE
    assert "not to be trusted" in "".join(shown(ladder))


def test_silence_makes_it_stale_and_the_age_of_the_newest_frame_is_told() -> None:
    ladder = ladder_of(snapshot(), trade("101", "1", ts=T0 + 2_000_000_000))
    assert "live  newest frame 1.5 s ago" in shown(ladder, T0 + 3_500_000_000)[0]
    late = shown(ladder, T0 + 2_000_000_001 + STALE_NS)
    assert "stale  newest frame 10.0 s ago" in late[0]
    assert "nothing came of late" in late[1]
    assert "newest frame 0.0 s ago" in shown(ladder, T0 - 1)[0], "a clock behind makes no negative age"


def test_trades_stand_newest_first_with_time_side_price_and_size_in_one_number_of_decimals() -> None:
    traded = trade("100.5", "1"), trade("100.25", "0.125", Side.SELL, T0 + 1_001_000_000)
    lines = shown(ladder_of(snapshot(), *traded))
    times = [i for i, line in enumerate(lines) if "sell" in line or "buy" in line]
    assert "08:53:21.124  sell  100.25  0.125" in lines[times[0]]
    assert "08:53:20.123  buy   100.50  1.000" in lines[times[1]]


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_no_line_is_wider_than_the_screen_and_on_a_narrow_one_the_trades_stand_below(width: int) -> None:
    lines = shown(ladder_of(snapshot(), trade("100.5", "1")), width=width, depth=3)
    assert max(map(len, lines)) <= width
    assert ("last trades" in line_with(lines, " book ")) == (width >= 100)


@pytest.mark.parametrize("width", [80, 120])
def test_a_picture_of_the_depth_that_fits_is_not_higher_than_the_screen(width: int) -> None:
    levels = tuple((str(100 + n), "1") for n in range(99))
    ladder = ladder_of(snapshot(bids=(), asks=levels), *(trade("1", "1", ts=T0 + n) for n in range(99)), gap())
    ladder.take(snapshot(bids=tuple((str(99 - n), "1") for n in range(90)), asks=levels))
    ladder.take(gap())
    for height in (24, 50):
        fits = depth_that_fits(99, width, height)
        assert fits > 1
        assert len(shown(ladder, width=width, depth=fits)) <= height


def test_before_a_snapshot_and_with_an_empty_side_it_says_so() -> None:
    assert "no snapshot of the book yet" in "".join(shown(ladder_of(delta())))
    assert "no frame yet" in shown(Ladder(BTC))[0]
    assert "no asks" in "".join(shown(ladder_of(snapshot(asks=()))))


# --- on the real broker ---------------------------------------------------------------------------------------------


class Tape:
    """A run's `market.events`, and a configuration that names two instruments."""

    def __init__(self, conf: dict[str, str], prefix: str, home: Path) -> None:
        self.conf, self.prefix, self.home = conf, prefix, home
        self.path = home / "tapedeck.toml"
        run = f'[run]\nname = "{prefix}"\nhome = "{home}"\n'
        self.path.write_text(run + f'[venues.sim]\nadapter = "binance"\ninstruments = ["{BTC}", "{ETH}"]\n')
        self._n = 0

    def write(self, *events: Any, again: bool = False) -> None:
        producer = kafka.producer(self.conf)
        for event in events:
            self._n += not again
            headers = [("src", f"normalize|market.raw@x/0|{self._n}|0".encode())]
            name = kafka.physical(self.prefix, MARKET_EVENTS)
            producer.produce(name, wire.encode([event]), event.instrument, headers=headers)
        assert producer.flush(20) == 0

    def book(self, *arguments: str) -> Any:
        env = {"TAPEDECK_KAFKA": self.conf["bootstrap.servers"], "COLUMNS": "120"}
        return CliRunner().invoke(app, ["book", *arguments, "--config", str(self.path)], env=env)


def refusal(result: Any) -> str:
    assert isinstance(result.exception, Problem), result.output
    return str(result.exception)


def test_the_command_shows_a_run_as_the_tape_has_it_and_says_what_is_wrong_in_one_line(
    kafka_conf: dict[str, str], run_prefix: str, tmp_path: Path
) -> None:
    tape = Tape(kafka_conf, run_prefix, tmp_path)
    assert refusal(tape.book("sim:DOGE-USDT")).endswith(f"one of {BTC}, {ETH}")
    assert "has this run been started?" in refusal(tape.book(BTC, "--once"))
    kafka.create_topics(kafka_conf, run_prefix, topics=[MARKET_EVENTS])
    tape.write(snapshot(bids=(("1", "1"),)), snapshot(instrument=ETH))
    assert "is not running" in refusal(tape.book(BTC, "--once"))
    now = time.time_ns() + 600_000_000_000  # what is of late is so however slow the machine is
    tape.write(trade("100.5", "1", ts=now), snapshot(now), delta(now, bids=(("100.75", "8"),)), snapshot(now, ETH))
    tape.write(delta(now, ETH, bids=(("99.5", "8"),)))
    once = tape.book(BTC, "--once", "--depth", "2")
    assert once.exit_code == 0, once.output
    assert BTC in once.output
    assert "live" in once.output
    for word in ("101.75", "100.75", "100.50", "spread 0.25"):
        assert word in once.output, word
    assert "99.5" not in once.output, "another instrument's, or deeper than asked for"


def test_what_comes_while_it_runs_is_taken_once_also_when_it_is_delivered_again(
    kafka_conf: dict[str, str], run_prefix: str, tmp_path: Path
) -> None:
    tape = Tape(kafka_conf, run_prefix, tmp_path)
    kafka.create_topics(kafka_conf, run_prefix, topics=[MARKET_EVENTS])
    tape.write(snapshot())
    with LadderFeed(load(tape.path, {}), kafka_conf, BTC) as feed:
        feed.catch_up()
        assert feed.ladder.book is not None
        tape.write(gap())
        tape.write(gap(), again=True)
        tape.write(trade("1", "1"))
        deadline = time.monotonic() + 20
        while not feed.ladder.trades and time.monotonic() < deadline:
            feed.poll(0.1)
        assert len(feed.ladder.trades) == feed.ladder.gaps == 1
        assert feed.ladder.standing(T0) is Standing.STALE
