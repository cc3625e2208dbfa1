"""What stages and gateways show to Prometheus of what they decide."""

import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.core import Metric

from infra.config import Config, parse
from infra.shell.metrics import Exhibit
from pipelines import controls, positions
from pipelines.bars import bars_stage
from pipelines.exhibits import REMEMBERED, exhibit_of
from pipelines.gateway import checks
from pipelines.gateway.metrics import GatewayMetrics
from pipelines.gateway.state import State
from pipelines.intents import Running
from pipelines.order import AnomalyKind
from pipelines.portfolio import portfolio_stage
from strategies.folded import Folded
from tests.facts import ACCOUNT, INSTRUMENT, STRATEGY, T0, OrderMaker, definition, fill, kill, mark, position, resume
from tests.folding import Folding
from tests.strategies.builders import trade
from topics.catalog import FILLS, MARKET_EVENTS, ORDERS_STATE, STRATEGY_INBOX
from topics.market import BookDelta, BookSnapshot, Gap
from topics.orders import OrderAnomaly, OrderStatus, OrderUpdated, ReconciliationDifference
from topics.record import Record, Side

D = Decimal
NAMED = re.compile(r'Denial\(\s*"([a-z_]+)"')
OURS = {"account": ACCOUNT, "strategy": STRATEGY, "instrument": INSTRUMENT}


@pytest.fixture(scope="module")
def config() -> Config:
    return parse(
        {
            "venues": {"sim": {"adapter": "binance", "instruments": [INSTRUMENT]}},
            "accounts": {ACCOUNT: {"api_key_env": "K", "api_secret_env": "S"}},
            "strategies": {STRATEGY: {"class": "x:Y", "account": ACCOUNT, "instruments": [INSTRUMENT]}},
        }
    )


def values(shown: Any, name: str) -> dict[tuple[str, ...], float]:
    """Label values to the number, of one metric."""
    found: Iterable[Metric] = shown.collect()
    return {tuple(s.labels.values()): s.value for m in found for s in m.samples if s.name == f"tapedeck_{name}"}


def updated(status: OrderStatus, order: str = "o1") -> OrderUpdated:
    what: dict[str, Any] = {"side": "buy", "order_type": "limit", "order_qty": D(1), "fact": "x", "ts_init": T0}
    return OrderUpdated(client_order_id=order, status=status, **OURS, **what)


def test_an_order_counts_once_for_each_status_it_comes_to(config: Config) -> None:
    shown = exhibit_of("orders", config)
    for status in (OrderStatus.NEW, OrderStatus.NEW, OrderStatus.FILLED, OrderStatus.FILLED):
        shown.written(ORDERS_STATE, [updated(status)])
        shown.written(STRATEGY_INBOX, [updated(status)])
    found = values(shown, "orders_total")
    assert {status: n for (_, _, status), n in found.items() if n} == {"new": 1, "filled": 1}
    assert len(found) == len(OrderStatus), "the others are there as 0"


def test_only_so_many_orders_are_remembered(config: Config) -> None:
    shown = exhibit_of("orders", config)
    shown.written(ORDERS_STATE, [updated(OrderStatus.NEW, f"o{n}") for n in range(REMEMBERED + 10)])
    assert len(shown._last) == REMEMBERED  # type: ignore[attr-defined]


def test_executions_and_anomalies_are_counted_and_known_before_the_first(config: Config) -> None:
    shown = exhibit_of("orders", config)
    assert set(values(shown, "fills_total").values()) == {0}
    assert len(values(shown, "order_anomalies_total")) == len(AnomalyKind)
    shown.written(FILLS, [fill(Side.BUY, "1", "100")])
    said: dict[str, Any] = {"client_order_id": "o1", "what": "overfill", "detail": "", "ts_init": T0}
    shown.written(ORDERS_STATE, [OrderAnomaly(**OURS, **said)])
    assert values(shown, "fills_total")[ACCOUNT, STRATEGY, INSTRUMENT, "maker"] == 1
    assert values(shown, "order_anomalies_total")[ACCOUNT, "overfill"] == 1


def market(shown: Exhibit, *records: Record) -> None:
    shown.written(MARKET_EVENTS, records)


def test_a_book_is_whole_from_a_snapshot_to_a_gap_and_its_delay_is_that_of_deltas(config: Config) -> None:
    shown = exhibit_of("normalize", config)
    assert values(shown, "book_gaps_total") == {(INSTRUMENT,): 0}
    times: dict[str, Any] = {"instrument": INSTRUMENT, "ts_init": T0}
    sides: dict[str, Any] = {"bids": (), "asks": (), "sequence": 1}
    market(shown, BookSnapshot(ts_event=T0, **sides, **times))
    market(shown, BookDelta(ts_event=T0 - 30_000_000, first_sequence=2, **sides, **times))
    assert values(shown, "book_synchronized") == {(INSTRUMENT,): 1}
    assert values(shown, "market_delay_seconds_sum") == {("sim",): pytest.approx(0.03)}
    assert values(shown, "market_last_event_timestamp_seconds") == {(INSTRUMENT,): T0 / 1e9}
    market(shown, Gap(reason="hole", **times))
    assert values(shown, "book_synchronized") == {(INSTRUMENT,): 0}
    assert values(shown, "book_gaps_total") == {(INSTRUMENT,): 1}
    shown.forgotten()
    assert values(shown, "book_synchronized") == {}, "another worker has the partition"


def test_a_halted_strategy_is_an_alarm_until_it_is_resumed(config: Config) -> None:
    shown = exhibit_of(f"intents/{STRATEGY}", config)
    for why, halted in (("on_bar: KeyError", 1), (None, 0)):
        shown.stand({STRATEGY: Running(None, Folded(), halted=why)})
        assert values(shown, "strategy_halted") == {(STRATEGY,): halted}
        assert (str(why) in shown.alarm) is bool(halted)


def test_trades_that_are_in_no_bar_are_an_alarm_until_a_bar_tells_of_them(config: Config) -> None:
    folding, shown = Folding(bars_stage({INSTRUMENT: ("time-1s",)})), exhibit_of("bars", config)
    for seconds, alarmed in ((100, False), (39, True), (100.5, True), (101, False)):
        ts = T0 + int(seconds * 1e9)
        folding.feed(trade("100", ts=ts, name=INSTRUMENT))
        shown.stand(folding.states)
        assert (INSTRUMENT in shown.alarm) is alarmed


def test_positions_are_shown_as_they_stand_in_the_state_also_after_a_restart(config: Config) -> None:
    folding = Folding(positions.STAGE)
    folding.feed(fill(Side.BUY, "2", "100"))
    shown = exhibit_of("positions", config)
    shown.stand(folding.states)
    assert values(shown, "position_quantity") == {(ACCOUNT, STRATEGY, INSTRUMENT): 2}
    shown.stand({})
    assert values(shown, "position_quantity") == {}


def test_the_portfolio_names_positions_strategies_and_accounts_apart_so_that_sums_add_up(config: Config) -> None:
    folding = Folding(portfolio_stage({ACCOUNT: "USDT"}))
    for event in (definition(INSTRUMENT), mark("110"), position("2", "200")):
        folding.feed(event)
    shown = exhibit_of("portfolio", config)
    shown.stand(folding.states)
    assert values(shown, "position_gross_exposure") == {(ACCOUNT, STRATEGY, INSTRUMENT, "USDT"): 220}
    assert values(shown, "strategy_pnl") == {(ACCOUNT, STRATEGY, "USDT"): 20}
    assert values(shown, "account_unrealized_pnl") == {(ACCOUNT, "USDT"): 20}
    assert values(shown, "account_valued") == {(ACCOUNT,): 1}


def test_a_kill_shows_until_it_is_lifted(config: Config) -> None:
    folding, shown = Folding(controls.STAGE), exhibit_of("controls", config)
    for control, halted in ((kill(), 1), (resume(), 0)):
        folding.feed(control)
        shown.stand(folding.states)
        assert values(shown, "scope_halted") == {("firm",): halted}


def test_a_gateway_counts_denials_by_check_and_differences_by_instrument() -> None:
    shown = GatewayMetrics(ACCOUNT, [STRATEGY], [INSTRUMENT])
    shown.told.say({"ready": True})
    assert set(values(shown, "order_denials_total").values()) == {0}
    shown.heard(OrderMaker().denied("price_collar"))
    told = {"what": "fills", "tape": "1", "venue": "2", "ts_init": T0}
    shown.heard(ReconciliationDifference(account=ACCOUNT, instrument=INSTRUMENT, **told))  # type: ignore[arg-type]
    assert values(shown, "order_denials_total")[ACCOUNT, "price_collar"] == 1
    assert values(shown, "reconciliation_differences_total") == {(ACCOUNT, INSTRUMENT): 1}


def test_a_gateway_shows_open_orders_by_status_and_what_is_halted() -> None:
    state, shown = State.empty(ACCOUNT), GatewayMetrics(ACCOUNT, [STRATEGY], [INSTRUMENT])
    made = OrderMaker()
    for fact in (made.requested(), made.sent(), made.accepted()):
        state.book.fold(fact)
    shown.told.say({"ready": True})
    shown.state_is(state)
    assert {status: n for (_, status), n in values(shown, "orders_open").items() if n} == {"new": 1}
    assert values(shown, "instrument_halted") == {(ACCOUNT, INSTRUMENT): 0}


def test_a_gateway_shows_every_check_that_can_deny_and_every_status_that_works_before_it_happens() -> None:
    shown = GatewayMetrics(ACCOUNT, [STRATEGY], [INSTRUMENT])
    shown.told.say({"ready": True})
    folder = Path(checks.__file__).parent
    named = {n for name in ("checks", "decide") for n in NAMED.findall((folder / f"{name}.py").read_text())}
    assert len(named) > 15
    assert named <= {check for _, check in values(shown, "order_denials_total")}
    assert {status for _, status in values(shown, "orders_open")} == {s.value for s in OrderStatus if not s.is_terminal}


def test_the_time_from_the_exchange_is_of_orders_that_the_exchange_caused() -> None:
    shown = GatewayMetrics(ACCOUNT, [STRATEGY])
    shown.told.say({"ready": True})
    made = OrderMaker().requested()
    shown.sent(made, T0 + 2_000_000)
    assert values(shown, "order_received_to_sent_seconds_sum") == {(ACCOUNT, STRATEGY): pytest.approx(0.002)}
    assert values(shown, "order_exchange_to_sent_seconds_count") == {(ACCOUNT, STRATEGY): 0}
