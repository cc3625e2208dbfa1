"""The live view's alarms: what somebody should look at."""

import io
import time
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console

from pipelines.live_view import alarms, narrow_orders, wide_orders
from topics.orders import OrderStatus, OrderUpdated


def status(**fields: Any) -> dict[str, Any]:
    return {"ready": True, "ts": time.time_ns(), **fields}


def test_a_healthy_system_has_no_alarms() -> None:
    assert alarms({"orders.0": status(lag=3, dead_letters=0, missing=0), "gateway.sim.main": status(unknown=0)}) == []


def test_kills_halts_unknown_orders_losses_and_silence_are_told() -> None:
    gateway = status(kills={"firm": "ada: a test"}, halts={"sim:BTC-USDT": "overfill"}, unknown=2)
    stage = status(dead_letters=1, missing=4, alarm="strategy quoter is halted until a resume: on_bar")
    silent = status() | {"ts": time.time_ns() - 60_000_000_000}
    told = "\n".join(alarms({"gateway.sim.main": gateway, "intents-quoter.0": stage, "audit.0": silent}))
    for word in (
        "killed: firm by ada",
        "sim:BTC-USDT: overfill",
        "2 orders unknown",
        "1 records",
        "4 records",
        "quoter",
    ):
        assert word in told
    assert "audit.0 has said nothing for 60 s" in told


def order(strategy: str, instrument: str) -> OrderUpdated:
    figures: dict[str, Any] = {
        "order_qty": Decimal("0.01234"),
        "price": Decimal("61234.56"),
        "cum_qty": Decimal("0.005"),
    }
    what: dict[str, Any] = {"order_type": "limit", "account": "sim.main", "side": "buy", "fact": "x", "ts_init": 1}
    status = OrderStatus.PARTIALLY_FILLED
    return OrderUpdated(client_order_id="o", status=status, strategy=strategy, instrument=instrument, **figures, **what)


@pytest.mark.parametrize(("width", "made"), [(76, narrow_orders), (150, wide_orders)])
def test_no_figure_or_name_of_an_order_is_cut(width: int, made: Any) -> None:
    out = io.StringIO()
    console = Console(file=out, width=width)
    console.print(made([order("moving_average_cross", "kraken_futures:BCH-USD-210730-INV")]))
    shown = " ".join(out.getvalue().split())
    assert "…" not in shown
    for word in (
        "moving_average_cross",
        "kraken_futures:BCH-USD-210730-INV",
        "0.01234",
        "61234.56",
        "0.005",
        "partial",
    ):
        assert word in shown
