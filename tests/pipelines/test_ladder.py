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
from pipelines.ladder_feed import BEFORE, LadderFeed
from pipelines.ladder_picture import depth_that_fits, picture
from pipelines.ladder_queue import place
from topics import wire
from topics.catalog import MARKET_EVENTS
from topics.market import (
    BookDelta,
    BookOrderAdded,
    BookOrderChanged,
    BookOrderEvent,
    BookOrderRemoved,
    BookOrders,
    BookOrdersLost,
    BookSnapshot,
    Gap,
    Trade,
)
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


# --- order by order -------------------------------------------------------------------------------------------------


def orders(ts: int = T0) -> BookOrders:
    """What ``snapshot`` has, as single orders."""
    bids = (("1", "100.5", "1.5"), ("2", "100.50", "0.5"), ("3", "100.25", "1.5"), ("4", "99", "4"))
    asks = (("5", "101.0", "0.5"), ("6", "101.75", "3"))
    return BookOrders(instrument=BTC, bids=bids, asks=asks, ts_event=ts, ts_init=ts)


def order(kind: type[BookOrderEvent], order_id: str, price: str, size: str, side: Side = Side.BUY) -> BookOrderEvent:
    return kind(
        instrument=BTC,
        order_id=order_id,
        side=side,
        price=Decimal(price),
        size=Decimal(size),
        sequence=1,
        ts_event=T0,
        ts_init=T0,
    )


def test_each_level_tells_how_many_orders_make_it_where_they_are_known() -> None:
    lines = shown(ladder_of(snapshot(), orders()))
    assert line_with(lines, "cumulated").split()[1:5] == ["price", "size", "orders", "cumulated"]
    assert line_with(lines, "100.50").split()[1:5] == ["100.50", "2.0", "2", "2.0"]
    assert line_with(lines, "99.00").split()[1:5] == ["99.00", "4.0", "1", "7.5"]
    assert "6 orders" in lines[0]
    assert "orders" not in "".join(shown(ladder_of(snapshot())))


def test_a_queue_has_the_first_to_be_filled_on_top_and_what_is_ahead_of_each() -> None:
    grown = order(BookOrderChanged, "1", "100.5", "1.75")
    ladder = ladder_of(snapshot(), orders(), order(BookOrderAdded, "7", "100.5", "0.25"), grown)
    lines = shown(ladder, queue=place("bid"))
    assert "bid 100.5, 3 orders" in lines[1]
    rows = [line.split("│")[-2].split() for line in lines[3:6]]
    assert rows == [["1", "0.50", "0.00", "2"], ["2", "0.25", "0.50", "7"], ["3", "1.75", "0.75", "1"]]
    assert "ask 101.75, 1 order" in shown(ladder, queue=place("101.750"))[1]
    assert "no orders there" in "".join(shown(ladder, queue=place("7")))
    ladder.take(order(BookOrderRemoved, "5", "101.0", "0", Side.SELL))
    assert "ask 101.75" in shown(ladder, queue=place("ask"))[1]


def test_a_queue_that_is_longer_than_the_screen_ends_in_what_is_left_of_it() -> None:
    many = (order(BookOrderAdded, f"n{n}", "100.5", "1") for n in range(20))
    lines = shown(ladder_of(snapshot(), orders(), *many), depth=3, queue=place("bid"))
    assert line_with(lines, "more").split()[1:5] == ["16.0", "6.0", "16", "more"]
    assert len(lines) == 2 * 3 + 5


def test_orders_that_were_lost_are_not_shown_until_all_are_told_again() -> None:
    ladder = ladder_of(snapshot(), orders(), BookOrdersLost(instrument=BTC, reason="sequence", ts_init=T0))
    lines = shown(ladder, queue=place("bid"))
    assert "the orders are not known until the venue tells all of them: sequence" in lines[1]
    assert "the orders are not known here" in "".join(lines)
    assert ladder.standing(T0) is Standing.LIVE, "the book of levels is not concerned"
    ladder.take(orders())
    assert "not known" not in "".join(shown(ladder))
    ladder.take(order(BookOrderRemoved, "9", "100", "0"))
    assert "order 9 is removed and was not there" in shown(ladder)[1]


@pytest.mark.parametrize("words", ["", "offer", "0", "-1", "NaN", "inf"])
def test_a_place_in_the_book_is_a_side_or_a_price(words: str) -> None:
    with pytest.raises(ValueError, match="neither bid, ask nor a price"):
        place(words)


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


def test_the_command_shows_a_queue_where_orders_are_followed_however_long_ago_they_were_told(
    kafka_conf: dict[str, str], run_prefix: str, tmp_path: Path
) -> None:
    tape = Tape(kafka_conf, run_prefix, tmp_path)
    assert refusal(tape.book(BTC, "--queue", "bid")).endswith('are not followed: book = "L3" in [venues] does')
    tape.path.write_text(tape.path.read_text() + 'book = "L3"\n')
    assert refusal(tape.book(BTC, "--queue", "x")).endswith("neither bid, ask nor a price")
    kafka.create_topics(kafka_conf, run_prefix, topics=[MARKET_EVENTS])
    now = time.time_ns() + 600_000_000_000
    tape.write(orders(now), *(trade("100.5", "1", ts=now + n) for n in range(BEFORE)), snapshot(now))
    once = tape.book(BTC, "--once", "--queue", "bid")
    assert once.exit_code == 0, once.output
    assert "bid 100.5, 2 orders" in once.output
