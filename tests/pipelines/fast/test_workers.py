"""A strategy on the fast path has other workers, and everybody who names workers knows them."""

from pathlib import Path

import pytest

from infra.config import Config, ConfigError, parse
from pipelines.backtest_plan import in_stages
from pipelines.replay_all import covered, not_covered
from pipelines.workers import worker_names


def config(**host: str) -> Config:
    strategy = {"class": "strategies.spread_buyer:SpreadBuyer", "account": "sim.main", "instruments": ["sim:BTC-USDT"]}
    return parse(
        {
            "run": {"name": "r", "home": str(Path("/nowhere"))},
            "venues": {"sim": {"adapter": "binance"}},
            "accounts": {"sim.main": {"api_key_env": "KEY", "api_secret_env": "SECRET"}},
            "strategies": {"slow": strategy, "quick": {**strategy, **host}},
        }
    )


def test_a_hosted_strategy_has_one_worker_and_brings_the_fan_out() -> None:
    names = worker_names(config(host="grpc"))
    assert [n for n in names if "quick" in n] == ["host/quick"]
    assert [n for n in names if "slow" in n] == ["signals/slow", "intents/slow"]
    assert names.index("normalize") < names.index("marketdata") < names.index("host/quick")
    assert "marketdata" not in worker_names(config())


def test_its_decisions_are_replayed_and_the_fan_out_is_an_edge() -> None:
    hosted = config(host="grpc")
    assert "host/quick" in covered(hosted)
    assert "marketdata" in not_covered(hosted)
    assert "marketdata" not in covered(hosted)


def test_a_backtest_of_it_runs_its_two_stages() -> None:
    assert worker_names(in_stages(config(host="grpc"))) == worker_names(config())


def test_a_host_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="host"):
        config(host="carrier pigeon")
