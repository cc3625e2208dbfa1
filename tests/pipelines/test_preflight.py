"""What is wrong with a configuration is said, with its key, before anything is started or made."""

import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from infra.config import Config, ConfigError, parse
from pipelines import demo_config, doctor, preflight
from pipelines.operate import folded_params
from pipelines.system import System
from topics.controls import Scope, SetParams


def config(adapter: str = "binance", bars: tuple[str, ...] = ("time-1s",), home: str = ".tapedeck") -> Config:
    cross = {"fast": 1, "slow": 3, "order_qty": "0.01", "max_qty": "0.03"}
    strategy = {"class": "strategies.moving_average_cross:MovingAverageCross", "account": "sim.main", "params": cross}
    return parse(
        {
            "run": {"home": home},
            "venues": {"sim": {"adapter": adapter}},
            "accounts": {"sim.main": {"api_key_env": "K", "api_secret_env": "S"}},
            "strategies": {"cross": {**strategy, "instruments": ["sim:BTC-USDT"], "bars": list(bars)}},
        }
    )


def test_a_good_configuration_passes() -> None:
    preflight.check(config())


@pytest.mark.parametrize("spec", ["time-0s", "time-5", ""])
def test_bars_that_are_none_are_named_with_their_key(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"strategies\.cross\.bars: not a bar"):
        preflight.check(config(bars=(spec,)))


def test_a_book_order_by_order_is_only_to_be_had_where_the_venue_has_it() -> None:
    for adapter, has in (("bitstamp", True), ("binance", False), ("ccxt:bitget", False)):
        chosen = parse({"run": {"name": "r"}, "venues": {"sim": {"adapter": adapter, "book": "L3"}}})
        if has:
            assert preflight.check_adapter(chosen, "sim") == adapter
        else:
            with pytest.raises(ConfigError, match=r"venues\.sim\.book"):
                preflight.check_adapter(chosen, "sim")


def test_an_adapter_that_is_not_there_is_named_with_its_key() -> None:
    with pytest.raises(ConfigError, match=r"venues\.sim\.adapter: no adapter named 'nyse': one of binance"):
        preflight.check(config(adapter="nyse"))


def test_nothing_is_made_for_a_wrong_configuration(tmp_path: Path) -> None:
    wrong = config(bars=("time-0s",), home=str(tmp_path / "home"))
    with pytest.raises(ConfigError), System(wrong, tmp_path / "t.toml", print) as system:
        system.start()
    assert not (tmp_path / "home").exists()


def test_the_doctor_names_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tapedeck.toml"
    path.write_text(
        f'[run]\nhome = "{tmp_path}"\n[venues.sim]\nadapter = "nyse"\n'
        '[accounts."sim.main"]\napi_key_env = "K"\napi_secret_env = "S"\n'
        '[strategies.a]\nclass = "x:Y"\naccount = "sim.main"\ninstruments = ["sim:BTC-USDT"]\nbars = ["time-0s"]\n'
    )
    assert doctor.examine(path) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("BAD")]
    assert any("venues.sim.adapter" in line for line in lines)
    assert any("strategies.a.bars" in line for line in lines)


def test_the_parameters_in_force_are_the_configurations_and_what_operators_changed() -> None:
    def told(n: int, params: bytes) -> SetParams:
        import msgspec

        scope = Scope.parse("strategy:cross")
        return SetParams(control_id=str(n), scope=scope, params=msgspec.Raw(params), who="ann", why="slow", ts_init=n)

    found = folded_params(config(), "cross", [told(1, b'{"slow":5}'), told(2, b'{"slow":0}'), told(3, b'{"fast":2}')])
    assert found["slow"] == ("5", "ann: slow"), "what the strategy refuses changes nothing"
    assert found["max_qty"] == ('"0.03"', "configuration")
    assert found["order_ms"] == ("300", "default")


def test_the_demos_own_account_is_named_and_not_bad_outside_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(demo_config.KEY, raising=False)
    text = demo_config.toml("demo", tmp_path, "127.0.0.1:7", {"BTCUSDT": Decimal(60000)}, played=False)
    (level, what, word), *more = doctor._account(parse(tomllib.loads(text)), "sim.main")
    assert (level, what, more) == (doctor.NOTE, "account sim.main", [])
    assert "the demo's simulated exchange at 127.0.0.1:7" in word
