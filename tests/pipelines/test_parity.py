"""Parity finds every decision of a run again, and finds every record of it that was altered, dropped or made up."""

import json
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from infra.config import ConfigError, load
from pipelines import cli_parity, parity_report
from pipelines.archive_reader import Row, all_rows
from pipelines.parity import DECISIONS, Exact, StrategyParity, exact_parity
from pipelines.parity_free import free_run, side
from pipelines.recorded_latency import recorded_latencies
from pipelines.recorded_run import ArchivedRun
from tests.pipelines.backtests import backtest, events, on_flow
from tests.pipelines.flow_capture import record_flow
from tests.pipelines.test_replay import of, rewrite
from topics.catalog import FILLS, ORDERS_EVENTS, ORDERS_INTENTS, STRATEGY_INBOX, TOPICS
from topics.orders import Judgement, OrderAccepted, OrderCanceled, OrderModified, OrderRequested, SubmitOrder
from topics.record import OrderType, Side

MS = 1_000_000
SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a backtest's run: it has what a live run's folder has."""
    captures = record_flow(tmp_path_factory.mktemp("flow"), seed=7, seconds=12)
    return backtest(on_flow("recorded", tmp_path_factory.mktemp("home")), captures)


@pytest.fixture
def run(recorded: Path, tmp_path: Path) -> Path:
    """A copy that a test may alter."""
    return Path(shutil.copytree(recorded, tmp_path / "runs" / "run"))


def parity(run: Path, *strategies: str) -> Exact:
    return exact_parity(load(run / "tapedeck.toml", {}), ArchivedRun(run / "archive"), run, strategies)


def strategy(exact: Exact, name: str) -> StrategyParity:
    return next(one for one in exact.strategies if one.strategy == name)


def inbox_of(run: Path, name: str) -> int:
    """The partition of a strategy's inbox."""
    return next(r.partition for r in all_rows(run / "archive", STRATEGY_INBOX) if r.key == name.encode())


def alter_first(of_it: Callable[[Row], bool], old: bytes, new: bytes) -> Callable[[list[Row]], list[Row]]:
    def alter(rows: list[Row]) -> list[Row]:
        n = next(n for n, row in enumerate(rows) if of_it(row) and old in (row.value or b""))
        rows[n] = rows[n]._replace(value=(rows[n].value or b"").replace(old, new, 1))
        return rows

    return alter


# --- exact ------------------------------------------------------------------------------------------------------------


def test_every_decision_of_the_three_examples_is_made_again(recorded: Path) -> None:
    exact = parity(recorded)
    assert exact.is_equal, exact
    assert [one.strategy for one in exact.strategies] == ["buyer", "cross", "quoter"]
    for one in exact.strategies:
        rows = [r for name in DECISIONS for r in all_rows(recorded / "archive", TOPICS[name])]
        assert one.decisions == sum(of(row, f"intents/{one.strategy}") for row in rows) > 10, one
        assert {"orders", "positions"} < one.inbox.keys()
        assert one.fed.keys() == {"clock"}


def test_a_whole_inbox_is_either_recomputed_or_fed_by_the_clock(recorded: Path) -> None:
    one = strategy(parity(recorded, "quoter"), "quoter")
    place = inbox_of(recorded, "quoter")
    rows = [r for r in all_rows(recorded / "archive", STRATEGY_INBOX) if r.partition == place]
    mine = [r for r in rows if r.key in (None, b"quoter")]
    assert sum(one.inbox.values()) + sum(one.fed.values()) == len(mine)


def test_an_unknown_strategy_is_named(recorded: Path) -> None:
    with pytest.raises(ConfigError, match="'nobody'"):
        parity(recorded, "nobody")


def test_an_altered_execution_shows_in_what_is_made_from_it(run: Path) -> None:
    rewrite(
        run,
        ORDERS_EVENTS,
        alter_first(lambda row: b'"OrderFilled"' in (row.value or b""), b'"last_px":"', b'"last_px":"1'),
    )
    exact = parity(run)
    assert exact.shared is not None
    assert exact.shared.what == "other bytes"
    assert exact.shared.coordinate.startswith("orders|orders.events@")
    assert not all(one.first is None for one in exact.strategies), "a strategy was told of it too"


def test_an_altered_intent_is_found_and_the_other_strategies_stay_equal(run: Path) -> None:
    submit = next(e for e in events(run, ORDERS_INTENTS) if isinstance(e, SubmitOrder) and e.strategy == "quoter")
    old = f'"order_qty":"{submit.order_qty}"'.encode()
    rewrite(run, ORDERS_INTENTS, alter_first(lambda row: of(row, "intents/quoter"), old, b'"order_qty":"9"'))
    exact = parity(run)
    found = strategy(exact, "quoter")
    assert found.first is not None
    assert found.differences == 1
    assert found.first.recorded is not None
    assert found.first.replayed is not None
    assert b'"order_qty":"9"' in found.first.recorded.value
    assert old in found.first.replayed.value
    assert exact.shared is None
    assert strategy(exact, "buyer").first is None


def test_a_decision_that_is_not_in_the_record_is_found(run: Path) -> None:
    def drop(rows: list[Row]) -> list[Row]:
        n = [n for n, row in enumerate(rows) if of(row, "intents/cross")][2]
        return [row._replace(offset=offset) for offset, row in enumerate(rows[:n] + rows[n + 1 :])]

    rewrite(run, ORDERS_INTENTS, drop)
    found = strategy(parity(run), "cross")
    assert found.first is not None
    assert found.first.what == "recomputed, not recorded"
    assert found.first.coordinate.startswith("intents/cross|strategy.inbox@")


def test_a_hole_in_an_inbox_is_found(run: Path) -> None:
    def drop(rows: list[Row]) -> list[Row]:
        n = next(n for n, row in enumerate(rows) if of(row, "signals/quoter"))
        return rows[:n] + rows[n + 1 :]

    rewrite(run, STRATEGY_INBOX, drop, inbox_of(run, "quoter"))
    exact = parity(run)
    assert not exact.is_equal
    assert strategy(exact, "quoter").first is not None


def test_an_inbox_record_that_was_dropped_without_a_hole_is_found(run: Path) -> None:
    def drop(rows: list[Row]) -> list[Row]:
        n = [n for n, row in enumerate(rows) if of(row, "signals/quoter")][3]
        return [row._replace(offset=offset) for offset, row in enumerate(rows[:n] + rows[n + 1 :])]

    rewrite(run, STRATEGY_INBOX, drop, inbox_of(run, "quoter"))
    found = strategy(parity(run), "quoter")
    assert found.first is not None
    assert found.first.what == "recomputed, not recorded"
    assert found.first.coordinate.startswith("signals/quoter|market.events@")


def test_an_inbox_record_that_no_stage_made_is_found(run: Path) -> None:
    def repeat(rows: list[Row]) -> list[Row]:
        n = max(n for n, row in enumerate(rows) if of(row, "signals/quoter"))
        source, major, minor = (rows[n].src or "").rsplit("|", 2)
        made_up = rows[n]._replace(src=f"{source}|{major}|{int(minor) + 1}", offset=len(rows))
        return [*rows, made_up]

    rewrite(run, STRATEGY_INBOX, repeat, inbox_of(run, "quoter"))
    found = strategy(parity(run), "quoter")
    assert found.first is not None
    assert found.first.what == "recorded, not recomputed"


def test_decisions_hang_on_the_order_of_the_inbox(run: Path) -> None:
    """What made the strategy decide changes places with its neighbour: each is still what its stage made."""
    commands = [e for e in events(run, ORDERS_INTENTS) if e.strategy == "quoter"]
    acted_on = {int(one.cause.split("/")[2]) for one in commands}

    def swap(rows: list[Row]) -> list[Row]:
        pairs = [n for n in range(1, len(rows)) if rows[n].offset in acted_on and of(rows[n], "signals/quoter")]
        n = next(n for n in pairs if not of(rows[n - 1], "signals/quoter"))
        before, after = rows[n - 1], rows[n]
        rows[n - 1 : n + 1] = [after._replace(offset=before.offset), before._replace(offset=after.offset)]
        return rows

    rewrite(run, STRATEGY_INBOX, swap, inbox_of(run, "quoter"))
    exact = parity(run)
    assert exact.shared is None
    found = strategy(exact, "quoter")
    assert found.first is not None
    assert found.first.coordinate.startswith("intents/quoter|")
    assert strategy(exact, "cross").first is None


# --- free -------------------------------------------------------------------------------------------------------------


def test_recorded_latencies_are_those_that_the_run_had(recorded: Path) -> None:
    found = recorded_latencies(ArchivedRun(recorded / "archive"))
    assert found.to_venue.median == found.from_venue.median == 5 * MS
    assert (
        found.write_ahead.median == found.hops["orders.events"].median == found.hops["market.events"].median == 2 * MS
    )
    assert abs(found.hops["market.raw"].median - 2 * MS) <= MS // 2


def test_an_order_rests_at_each_of_its_prices_for_its_time() -> None:
    submit = SubmitOrder(
        client_order_id="a",
        strategy="quoter",
        account="sim.main",
        instrument="sim:BTC-USDT",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        order_qty=Decimal(1),
        price=Decimal(100),
        ts_init=1,
    )
    about = {"client_order_id": "a", "account": "sim.main", "instrument": "sim:BTC-USDT", "strategy": "quoter"}
    facts = [
        OrderRequested(**about, command=submit, venue_client_id="v", judged_by=Judgement(), ts_init=2),
        OrderAccepted(**about, venue_order_id="7", ts_event=3, ts_init=4),
        OrderModified(
            **about, command_id="m", revision=1, order_qty=Decimal(1), price=Decimal(99), ts_event=5, ts_init=6
        ),
        OrderCanceled(**about, ts_event=8, ts_init=9),
    ]
    found = side([], facts).orders
    assert [(one.price, one.since, one.until) for one in found] == [(Decimal(100), 3, 5), (Decimal(99), 5, 8)]


def test_a_run_on_the_matching_core_is_reproduced_by_the_matching_core(recorded: Path) -> None:
    root = recorded / "archive"
    config = load(recorded / "tapedeck.toml", {})
    free = free_run(config, root, ArchivedRun(root), recorded, window_ns=2 * SECOND, wider_ns=10 * SECOND)
    assert free.compared.live == len(events(recorded, FILLS)) > 20
    assert free.compared.share is not None
    assert free.compared.share > 0.5


# --- the command ------------------------------------------------------------------------------------------------------


def command(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    cli_parity.mount(app)
    app.callback()(lambda: None)
    done = CliRunner().invoke(app, ["parity", *arguments])
    return done.exit_code, done.stdout


def test_the_command_says_equal_and_leaves_json_and_a_page(run: Path) -> None:
    code, said = command(str(run))
    assert code == 0, said
    assert said.count(": equal, ") == 4
    assert "live executions reproduced" in said
    found = parity_report.read(run)
    assert found is not None
    assert found["exact"]["equal"] is True
    free = found["free"]
    assert free["live"] == free["reproduced"] + sum(free["live_by_kind"].values())
    assert free["backtest"] == free["reproduced"] + sum(free["backtest_by_kind"].values())
    page = (run / "report.html").read_text()
    assert "Parity of decisions" in page
    assert "equal, record by record" in page
    assert 'id="parity"' in page


def test_nothing_decided_again_is_no_parity_while_commands_are_on_the_tape(run: Path) -> None:
    path = run / "tapedeck.toml"
    quoter = next(line for line in path.read_text().splitlines() if line.startswith('"quoter" = '))
    path.write_text(path.read_text().replace(quoter, quoter.replace('"host" = "kafka"', '"host" = "grpc"')))
    code, said = command(str(run), "--no-report")
    assert code == 1, said
    assert "quoter: DIFFERS" in said
    assert "records of commands was decided again" in said
    assert "buyer: equal" in said
    assert "live executions reproduced" in said


def test_a_difference_is_told_with_both_sides_and_ends_with_code_1(run: Path) -> None:
    submit = next(e for e in events(run, ORDERS_INTENTS) if isinstance(e, SubmitOrder) and e.strategy == "quoter")
    old = f'"order_qty":"{submit.order_qty}"'.encode()
    rewrite(run, ORDERS_INTENTS, alter_first(lambda row: of(row, "intents/quoter"), old, b'"order_qty":"9"'))
    code, said = command(str(run), "--strategy", "quoter", "--exact-only", "--no-report")
    assert code == 1
    assert "DIFFERS" in said
    assert '"order_qty":"9"' in said
    assert old.decode() in said
    code, said = command(str(run), "--strategy", "quoter", "--exact-only", "--no-report", "--json")
    assert code == 1
    (one,) = json.loads(said)["exact"]["strategies"]
    assert '"order_qty":"9"' in one["first_difference"]["recorded"]["value"]
