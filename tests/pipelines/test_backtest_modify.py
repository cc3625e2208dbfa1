"""Modified and stop orders in a backtest: by a strategy, through the gateway's decisions, at the matching core."""

from collections import Counter
from pathlib import Path

import pytest

from infra.config import Config, parse
from pipelines.recorded_run import ArchivedRun
from pipelines.replay import Range, Replayed
from pipelines.replay_all import replay_one
from tests.pipelines.backtests import backtest, events
from tests.pipelines.flow_capture import record_flow
from topics.catalog import FILLS, ORDERS_EVENTS, ORDERS_INTENTS, STRATEGY_RECORDS
from topics.orders import (
    ModifyOrder,
    ModifyRequested,
    OrderCanceled,
    OrderFilled,
    OrderModified,
    OrderRequested,
    OrderTriggered,
)
from topics.record import OrderType
from topics.strategy import StrategyHalted

LIMITS = {
    "price_collar": "0.02",
    "max_order_value": "50000",
    "max_position_value": "200000",
    "max_orders_per_second": "200",
    "max_data_age": "5",
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    strategy = {
        "class": "tests.strategies.modifier:Modifier",
        "account": "sim.main",
        "instruments": ["sim:BTC-USDT"],
        "params": {"order_qty": "0.02", "stop_bps": "0.3"},
    }
    return parse(
        {
            "run": {"name": "modify", "home": str(tmp_path_factory.mktemp("home"))},
            "venues": {"sim": {"adapter": "binance"}},
            "accounts": {"sim.main": {"api_key_env": "NONE", "api_secret_env": "NONE"}},
            "limits": [{"scope": "firm", **LIMITS}],
            "strategies": {"modifier": strategy},
        }
    )


@pytest.fixture(scope="module")
def run(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return backtest(config, record_flow(tmp_path_factory.mktemp("flow"), seed=7, seconds=20))


def test_a_strategy_modifies_in_place_and_by_another_order_and_its_stop_is_triggered(run: Path) -> None:
    facts = events(run, ORDERS_EVENTS)
    assert not any(isinstance(e, StrategyHalted) for e in events(run, STRATEGY_RECORDS))
    commands = [c for c in events(run, ORDERS_INTENTS) if isinstance(c, ModifyOrder)]
    done = [f for f in facts if isinstance(f, OrderModified)]
    assert len([f for f in done if f.replaced_by]) >= 3, Counter(type(f).__name__ for f in facts)
    assert len([f for f in done if not f.replaced_by]) >= 3
    assert {c.reason for c in commands} >= {"smaller", "nearer", "trail"}
    triggered = {f.client_order_id for f in facts if isinstance(f, OrderTriggered)}
    assert triggered & {f.client_order_id for f in facts if isinstance(f, OrderFilled)}
    stops = {
        f.client_order_id
        for f in facts
        if isinstance(f, OrderRequested) and f.command.order_type is OrderType.STOP_LIMIT
    }
    assert triggered <= stops
    assert events(run, FILLS)


def test_an_order_and_its_replacement_are_never_open_together(run: Path) -> None:
    ended: set[str] = set()
    for fact in events(run, ORDERS_EVENTS):
        if isinstance(fact, OrderRequested):
            assert fact.command.replaces == "" or fact.command.replaces in ended
        elif isinstance(fact, OrderCanceled):
            ended.add(fact.client_order_id)


@pytest.mark.parametrize("stage", ["gateway/sim.main", "orders", "intents/modifier"])
def test_every_decision_replays_equal(run: Path, config: Config, stage: str) -> None:
    result: Replayed = replay_one(stage, config, ArchivedRun(run / "archive"), run, within=Range(), recode_every=3)
    assert result.difference is None
    if stage.startswith("gateway"):
        decided = [f for f in events(run, ORDERS_EVENTS) if isinstance(f, OrderRequested | ModifyRequested)]
        assert result.equal >= len(decided)
