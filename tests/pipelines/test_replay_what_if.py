"""Other limits, other parameters and other code: exactly the decisions that would have been others are listed."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from infra.errors import Hopeless, Problem
from pipelines.cli_research import raw_config
from pipelines.recorded_run import ArchivedRun
from pipelines.replay import Range
from pipelines.replay_what_if import Differing, changed, differing
from tests.pipelines.backtests import backtest, events, on_flow
from tests.pipelines.flow_capture import record_flow
from tests.pipelines.test_replay import command
from topics.catalog import ORDERS_EVENTS
from topics.orders import OrderDenied, OrderRequested

REPOSITORY = Path(__file__).parents[2]
GATEWAY = "gateway/sim.main"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    captures = record_flow(tmp_path_factory.mktemp("flow"), seed=7, seconds=6)
    return backtest(on_flow("recorded", tmp_path_factory.mktemp("home")), captures)


def ask(run: Path, name: str, *, param: str = "", limit: str = "", software: Path | None = None) -> list[Differing]:
    asked = changed(raw_config(run), [param] if param else [], [limit] if limit else [], software)
    return differing(name, ArchivedRun(run / "archive"), asked, Range(), {})


def requested(run: Path) -> list[OrderRequested]:
    return [e for e in events(run, ORDERS_EVENTS) if isinstance(e, OrderRequested)]


def test_with_nothing_changed_no_decision_is_another(recorded: Path) -> None:
    for name in (GATEWAY, "intents/quoter", "orders"):
        assert ask(recorded, name) == []


def test_a_tighter_limit_lists_exactly_the_orders_that_it_would_have_denied(recorded: Path) -> None:
    values = {o.client_order_id: o.command.order_qty * (o.command.price or 0) for o in requested(recorded)}
    middle = sorted(values.values())[len(values) // 2]
    found = ask(recorded, GATEWAY, limit=f"firm.max_order_value={middle}")
    above = {cid for cid, value in values.items() if value > middle}
    assert above
    assert {one.about.split()[0] for one in found} == above
    for one in found:
        assert (one.kind, one.fields["check"]) == ("OrderRequested → OrderDenied", (None, "max_order_value"))


def test_a_wider_limit_lists_the_denials_that_it_would_have_let_through(recorded: Path) -> None:
    denied = [e for e in events(recorded, ORDERS_EVENTS) if isinstance(e, OrderDenied)]
    tight = ask(recorded, GATEWAY, limit="strategy:quoter.max_order_value=0.01")
    mine = [o for o in requested(recorded) if o.strategy == "quoter"]
    assert len(tight) == len(mine) > 0
    assert not denied or all(isinstance(d.value, str) for d in denied)


def test_another_parameter_lists_the_orders_that_it_would_have_changed(recorded: Path) -> None:
    qty = Decimal(str(raw_config(recorded)["strategies"]["quoter"]["params"]["order_qty"]))
    found = ask(recorded, "intents/quoter", param=f"quoter.order_qty={qty / 2}")
    first = next(one for one in found if one.kind == "SubmitOrder" and one.what == "changed")
    assert {Decimal(side) for side in first.fields["order_qty"]} == {qty, qty / 2}
    assert ask(recorded, "intents/buyer", param=f"quoter.order_qty={qty / 2}") == []


@pytest.mark.parametrize("name", ["intents/quoter", GATEWAY])
def test_another_checkouts_code_runs_in_a_process_of_its_own(recorded: Path, name: str, tmp_path: Path) -> None:
    assert ask(recorded, name, software=REPOSITORY) == []
    other = tmp_path / "other"
    other.mkdir()
    for part in ("adapters", "infra", "pipelines", "strategies", "topics"):
        (other / part).symlink_to(REPOSITORY / part)
    (other / "strategies").unlink()
    (other / "pipelines").unlink()
    with pytest.raises(Problem, match="no checkout of tapedeck there"):
        ask(recorded, name, software=other)


def test_a_checkout_that_decides_otherwise_is_told_of(recorded: Path, tmp_path: Path) -> None:
    """The same code but for one line of the quoter."""
    import shutil

    other = tmp_path / "other"
    shutil.copytree(REPOSITORY / "strategies", other / "strategies")
    for part in ("adapters", "infra", "pipelines", "topics"):
        (other / part).symlink_to(REPOSITORY / part)
    quoter = other / "strategies" / "two_sided_quoter.py"
    assert "post_only=True" in quoter.read_text()
    quoter.write_text(quoter.read_text().replace("post_only=True", "post_only=False"))
    found = ask(recorded, "intents/quoter", software=other)
    assert found
    assert any("post_only" in one.fields for one in found)


@pytest.mark.parametrize(
    ("param", "limit", "word"),
    [
        ("nobody.order_qty=1", "", "no strategy 'nobody'"),
        ("order_qty", "", "write it like quoter.order_qty=0.3"),
        ("", "firm.nothing=1", "no limit 'nothing'"),
        ("", "moon.max_order_value=1", "not a scope"),
        ("", "firm.max_order_value=many", "no number"),
    ],
)
def test_what_cannot_be_changed_is_told_in_one_line(recorded: Path, param: str, limit: str, word: str) -> None:
    with pytest.raises(Problem, match=word) as refused:
        ask(recorded, GATEWAY, param=param, limit=limit)
    assert "\n" not in str(refused.value)


def test_the_command_lists_them_and_exits_with_0(recorded: Path) -> None:
    options = ("replay-stage", GATEWAY, "--run", str(recorded), "--limit", "firm.max_order_value=0.01")
    code, text = command(*options)
    assert code == 0
    assert f"{len(requested(recorded)):,} OrderRequested → OrderDenied changed" in text
    code, text = command(*options, "--json")
    assert code == 0
    assert len(json.loads(text)) == len(requested(recorded))


@pytest.mark.parametrize("limit", ["strategy:nosuch.max_order_value=1", "instrument:sim:NO-SUCH.max_order_value=1"])
def test_a_limit_of_what_is_not_configured_is_refused(recorded: Path, limit: str) -> None:
    with pytest.raises(Hopeless, match="named"):
        ask(recorded, GATEWAY, limit=limit)
