"""The live view's alarms: what somebody should look at."""

import time
from typing import Any

from pipelines.live_view import alarms


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
