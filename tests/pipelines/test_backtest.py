"""Backtests over generated flow and over a recorded capture: they trade, they are reproducible, and they are runs like any."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from infra.config import ConfigError
from infra.errors import Problem
from pipelines import cli_research
from pipelines.backtest import Backtest, Settings
from pipelines.backtest_run import run_backtest
from pipelines.backtest_source import open_source
from pipelines.compose import MS, Constant, Loop, Tape, Written
from pipelines.partitioning import murmur2, partition_of
from tests.pipelines.backtests import backtest, digests, events, file_digests, on_flow, three
from tests.pipelines.flow_capture import record_flow
from topics.catalog import (
    ACCOUNT_EVENTS,
    CONTROLS,
    FILLS,
    MARKET_BARS,
    MARKET_EVENTS,
    ORDERS_EVENTS,
    ORDERS_INTENTS,
    ORDERS_STATE,
    POSITIONS,
    STRATEGY_RECORDS,
)
from topics.market import Tick
from topics.orders import OrderDenied, OrderFilled, OrderStatus, OrderUpdated, SubmitOrder
from topics.record import Liquidity, Side
from topics.strategy import StrategyHalted


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A minute of flow in three instruments."""
    return record_flow(tmp_path_factory.mktemp("flow"), seed=7, seconds=60)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return record_flow(tmp_path_factory.mktemp("short"), seed=11, seconds=8)


@pytest.fixture(scope="module")
def run(captures: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return backtest(on_flow("flow", tmp_path_factory.mktemp("home")), captures)


def check_each_trades(run: Path) -> None:
    fills = events(run, FILLS)
    for strategy in ("buyer", "quoter", "cross"):
        own = [f for f in fills if f.strategy == strategy]
        assert len(own) >= 20, strategy
        assert {f.side for f in own} == {Side.BUY, Side.SELL}, strategy
    assert sum(f.strategy == "quoter" and f.liquidity is Liquidity.MAKER for f in fills) >= 10
    assert not any(isinstance(e, StrategyHalted) for e in events(run, STRATEGY_RECORDS))


# --- what it does -----------------------------------------------------------------------------------------------------


def test_on_generated_flow_each_of_the_examples_buys_and_sells(run: Path) -> None:
    check_each_trades(run)


def test_on_a_recorded_capture_that_they_share_each_of_the_examples_buys_and_sells(
    data_dir: Path, tmp_path: Path
) -> None:
    instruments = dict.fromkeys(("buyer", "quoter", "cross"), "sim:BTC-USDT")
    config = three("capture", tmp_path, instruments, dict.fromkeys(instruments, "0.01"), half_spread_bps="0.2")
    check_each_trades(backtest(config, [data_dir / "hftbacktest" / "spot" / "btcusdt_20240808.gz"]))


def test_nothing_rests_at_the_end_and_every_intent_was_decided(run: Path) -> None:
    last = {e.client_order_id: e for e in events(run, ORDERS_STATE) if isinstance(e, OrderUpdated)}
    assert {e.status for e in last.values() if not e.status.is_terminal} == set()
    assert set(last) == {e.client_order_id for e in events(run, ORDERS_INTENTS) if isinstance(e, SubmitOrder)}
    assert OrderStatus.CANCELED in {e.status for e in last.values()}


def test_fills_positions_and_balances_agree_to_the_last_digit(run: Path) -> None:
    expected: Counter[str] = Counter()
    opening: dict[str, Decimal] = {}
    held: dict[str, Decimal] = {}
    for b in events(run, ACCOUNT_EVENTS):
        opening.setdefault(b.currency, b.free + b.locked)
        held[b.currency] = b.free + b.locked
    expected.update(opening)
    for f in events(run, FILLS):
        expected[f.base] += f.side.sign * f.last_qty
        expected[f.quote] -= f.side.sign * _quote_amount(f.last_qty * f.last_px)
        expected[f.fee_currency] -= f.fee
    assert dict(expected) == held
    quantities = {(p.strategy, p.instrument): p.quantity for p in events(run, POSITIONS)}
    traded: Counter[tuple[str, str]] = Counter()
    for f in events(run, FILLS):
        traded[f.strategy, f.instrument] += f.side.sign * f.last_qty
    assert quantities == dict(traded)


def _quote_amount(value: Decimal) -> Decimal:
    """Rounded down to the venue's eight decimals."""
    return value.quantize(Decimal("1e-8"), rounding="ROUND_DOWN")


def test_no_execution_is_known_before_the_way_from_the_venue_was_over(run: Path) -> None:
    fills = [e for e in events(run, ORDERS_EVENTS) if isinstance(e, OrderFilled)]
    assert fills
    assert {f.ts_init - f.ts_event for f in fills} == {5 * MS}


def test_limits_of_the_configuration_are_seeded_and_checked(captures: list[Path], tmp_path: Path) -> None:
    config = on_flow("limited", tmp_path)
    tight = config.limits[0].__class__(scope="strategy:cross", max_order_value=Decimal(1))
    config = type(config)(
        run=config.run,
        venues=config.venues,
        accounts=config.accounts,
        strategies=config.strategies,
        limits=(*config.limits, tight),
    )
    run = backtest(config, captures[2:] + captures[:2])
    assert len(events(run, CONTROLS)) == 6
    denied = {(e.strategy, e.check) for e in events(run, ORDERS_EVENTS) if isinstance(e, OrderDenied)}
    assert ("cross", "max_order_value") in denied
    assert {f.strategy for f in events(run, FILLS)} == {"buyer", "quoter"}


def test_fees_are_what_was_asked_for(short: list[Path], tmp_path: Path) -> None:
    run = backtest(on_flow("free", tmp_path), short, Settings(maker=Decimal(0), taker=Decimal("0.01")))
    fills = events(run, FILLS)
    assert {f.fee for f in fills if f.liquidity is Liquidity.MAKER} <= {Decimal(0)}
    takers = [f for f in fills if f.liquidity is Liquidity.TAKER and f.side is Side.BUY]
    assert takers
    assert all(f.fee == f.last_qty / 100 for f in takers)


def test_an_account_without_money_is_denied(short: list[Path], tmp_path: Path) -> None:
    nothing = dict.fromkeys(("BTC", "ETH", "SOL", "USDT"), Decimal(0))
    run = backtest(on_flow("poor", tmp_path), short, Settings(balances=nothing))
    checks = {e.check for e in events(run, ORDERS_EVENTS) if isinstance(e, OrderDenied)}
    assert "free_holdings" in checks
    assert events(run, FILLS) == []


def test_only_what_is_traded_is_followed(short: list[Path], tmp_path: Path) -> None:
    config = on_flow("one", tmp_path)
    one = msgspec.structs.replace(config, strategies={"buyer": config.strategies["buyer"]})
    run = backtest(one, short)
    told = {e.instrument for e in events(run, MARKET_EVENTS) if not isinstance(e, Tick)}
    assert told == {"sim:BTC-USDT"}


def test_an_instrument_that_the_input_does_not_have_is_named(short: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no sim:SOL-USDT in btcusdt.gz: it has sim:BTC-USDT"):
        backtest(
            msgspec.structs.replace(
                on_flow("x", tmp_path), strategies={"cross": on_flow("x", tmp_path).strategies["cross"]}
            ),
            short[:1],
        )


def test_ended_early_it_is_whole_as_far_as_it_went(captures: list[Path], tmp_path: Path) -> None:
    config = on_flow("early", tmp_path)
    source = open_source(captures, "sim")
    counts = run_backtest(config, source, Settings(), stopped=lambda: True)
    assert source.span[0] < counts.until < source.span[1]
    last = {e.client_order_id: e for e in events(config.run_dir, ORDERS_STATE) if isinstance(e, OrderUpdated)}
    assert last
    assert all(e.status.is_terminal for e in last.values())


def test_a_run_is_never_written_over(short: list[Path], tmp_path: Path) -> None:
    backtest(on_flow("once", tmp_path), short)
    with pytest.raises(Problem, match="exists already: use another run name"):
        backtest(on_flow("once", tmp_path), short)


# --- the same bytes ---------------------------------------------------------------------------------------------------

CHILD = """
import json, sys
from pathlib import Path
from pipelines import backtest as module
from adapters.simulated.queues import Log, Power
from pipelines.backtest import Settings
from pipelines.backtest_latency import Samples
from pipelines.compose import MS
from tests.pipelines.backtests import backtest, file_digests, on_flow
module.revision = lambda: "r"  # somebody may commit between the two
home, *paths = map(Path, sys.argv[1:])
samples = Samples(tuple(range(2 * MS, 40 * MS, MS)), tuple(range(MS, 9 * MS, 77_777)))
models = {
    "jittered": Settings(seed=3, jitter_ns=4 * MS),
    "power": Settings(seed=3, queue=Power(2), sampled=samples),
    "log": Settings(queue=Log(), latency_ns=3 * MS, feed_ns=8 * MS),
}
found = {}
for name, settings in models.items():
    run = backtest(on_flow(name, home), paths, settings)
    found |= {f"{name}/{path}": digest for path, digest in file_digests(run).items()}
print(json.dumps(found))
"""


def test_the_same_input_and_seed_give_the_same_files_under_any_hash_seed_and_every_model(
    short: list[Path], tmp_path: Path
) -> None:
    root = Path(__file__).parents[2]
    found = []
    for hash_seed in ("1", "4242"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(root)}
        arguments = [sys.executable, "-c", CHILD, str(tmp_path / hash_seed), *map(str, short)]
        child = subprocess.run(arguments, env=env, cwd=root, capture_output=True, text=True, timeout=100)
        assert child.returncode == 0, child.stderr
        found.append(json.loads(child.stdout))
    assert found[0] == found[1]
    assert {name.partition("/")[0] for name in found[0] if "/fills/" in name} == {"jittered", "power", "log"}


def test_another_seed_draws_other_latencies(short: list[Path], tmp_path: Path) -> None:
    runs = [backtest(on_flow(f"s{seed}", tmp_path), short, Settings(seed=seed, jitter_ns=20 * MS)) for seed in (1, 2)]
    assert digests(runs[0])["orders.events"] != digests(runs[1])["orders.events"]
    assert digests(runs[0])["market.raw"] == digests(runs[1])["market.raw"]


def test_state_that_is_encoded_and_decoded_all_the_time_changes_nothing(short: list[Path], tmp_path: Path) -> None:
    kept = backtest(on_flow("kept", tmp_path), short)
    recoded = backtest(on_flow("recoded", tmp_path), short, Settings(recode_every=1))
    assert file_digests(kept) == file_digests(recoded)


# --- other sources ----------------------------------------------------------------------------------------------------


def test_what_is_kept_from_readers_to_whom_it_is_nothing_changes_no_record(short: list[Path], tmp_path: Path) -> None:
    config, source = on_flow("told", tmp_path), open_source(short, "sim")
    told: list[list[object]] = [[], []]
    for found, counted in zip(told, (False, True), strict=True):

        def keep(w: Written, found: list[object] = found) -> None:
            found.append((w.topic.name, w.partition, w.offset, w.key, w.value, w.src, w.ts))

        Backtest(config, source, Settings(), keep, counted).run()
    assert told[0] == told[1]
    assert Backtest(config, source, Settings(), None).run().records == len(told[0])


def test_the_archive_of_a_run_gives_what_the_capture_gave(short: list[Path], tmp_path: Path) -> None:
    first = backtest(on_flow("first", tmp_path), short)
    again = backtest(on_flow("again", tmp_path), [first])
    assert digests(first) == digests(again)


def test_normalized_events_alone_are_enough(captures: list[Path], run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "archive", tmp_path / "events" / "archive")
    shutil.rmtree(tmp_path / "events" / "archive" / "market.raw")
    again = backtest(on_flow("from-events", tmp_path), [tmp_path / "events"])
    check_each_trades(again)
    assert events(again, MARKET_BARS) == events(run, MARKET_BARS)


def test_several_files_of_one_symbol_are_one_stream(data_dir: Path) -> None:
    folder = data_dir / "hftbacktest" / "spot"
    parts = [folder / "btcusdt_20240808.gz", folder / "btcusdt_20240809.gz"]
    source = open_source(parts[::-1], "sim")
    times = [arrival.ts for arrival in source.arrivals()]
    assert times == sorted(times)
    assert (times[0], times[-1]) == source.span
    assert len(times) == 2 + sum(len(list(open_lines(part))) for part in parts)


def open_lines(path: Path) -> list[bytes]:
    import gzip

    return gzip.open(path).read().splitlines()


def test_a_capture_without_a_snapshot_is_refused_in_one_line(data_dir: Path) -> None:
    with pytest.raises(Problem, match=r"no depth snapshot of BTCUSDT: it continues another capture") as refused:
        open_source([data_dir / "hftbacktest" / "spot" / "btcusdt_20240809.gz"], "sim")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"no capture\n", b"123 {}\n", b'123 {"stream":\n', b"\x1f\x8b\x00"])
def test_what_is_no_capture_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "capture.txt"
    path.write_bytes(content)
    with pytest.raises(Problem) as refused:
        open_source([path], "sim")
    assert "\n" not in str(refused.value)


# --- the command ------------------------------------------------------------------------------------------------------


def command(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    cli_research.mount(app)
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_the_command_runs_one_class_without_a_configuration_and_reports(
    short: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEDECK_HOME", str(tmp_path))
    code, text = command(
        "backtest",
        "strategies.two_sided_quoter:TwoSidedQuoter",
        *("--params", '{"order_qty": "0.01", "max_qty": "0.05"}', "--from", str(short[0]), "--name", "one"),
    )
    assert code == 0, text
    assert "report of one" in text
    assert "TwoSidedQuoter" in text
    assert (tmp_path / "runs" / "one" / "report.html").stat().st_size > 100_000
    code, text = command("replay-stage", "--all", "--run", str(tmp_path / "runs" / "one"))
    assert code == 0, text
    assert "DIFFERS" not in text


def test_the_command_brings_back_a_recorded_runs_own_configuration(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEDECK_HOME", str(tmp_path))
    code, text = command("backtest", "quoter", "--from", str(run), "--name", "again", "--no-report")
    assert code == 0, text
    fills = events(tmp_path / "runs" / "again", FILLS)
    assert {f.strategy for f in fills} == {"quoter"}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--fees", "cheap"),
        ("--fees", "0.001"),
        ("--fees", "0.001,2"),
        ("--fees", "0.0000000001,0"),
        ("--balance", "USDT"),
        ("--balance", "USDT=-1"),
        ("--balance", "USDT=nan"),
        ("--latency", "-1ms"),
        ("--queue", "lucky"),
        ("--from", "topic"),
        ("--params", "{"),
        ("--params", "[]"),
        ("--from", "nowhere.gz"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(short: list[Path], option: str, value: str) -> None:
    strategy = "strategies.two_sided_quoter:TwoSidedQuoter"
    with pytest.raises(Problem) as refused:
        command("backtest", strategy, "--from", str(short[0]), option, value)
    assert "\n" not in str(refused.value)


# --- the tape in memory -----------------------------------------------------------------------------------------------


def test_keys_go_to_the_partitions_that_our_producers_choose() -> None:
    """The vectors of Kafka's own test of murmur2."""
    vectors = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536, b"abc": 479470107}
    assert {key: murmur2(key) for key in vectors} == {key: value & 0xFFFFFFFF for key, value in vectors.items()}
    assert partition_of(b"abc", 4) == 479470107 % 4


def test_records_of_a_partition_arrive_in_order_whatever_each_hop_takes() -> None:
    loop, got = Loop(0), []
    takes = iter([30, 10, 20])

    class Uneven(Constant):
        def hop(self, topic: object) -> int:
            return next(takes)

    tape = Tape(loop, Uneven())
    tape.subscribe(CONTROLS, lambda written: got.append((loop.now, written.value)))
    for value in (b"a", b"b", b"c"):
        tape.append(CONTROLS, b"k", value, None)
    loop.run()
    assert got == [(30, b"a"), (30, b"b"), (30, b"c")]
