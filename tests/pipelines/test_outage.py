"""What the terminal of `tapedeck up` shows when the services go away, and when a stop was not clean."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import supervisor
from pipelines.live_view import _state
from pipelines.outage import RECOVERY_S, Outage
from pipelines.supervisor import Child, Supervisor


@pytest.fixture
def said() -> list[str]:
    return []


def test_an_outage_is_one_line_and_its_end_another(said: list[str]) -> None:
    outage = Outage(look=list, say=said.append)
    outage.gone = ["Kafka"]
    for second in range(60):
        outage.notice(17, unwell=lambda: ["orders"], now=second)
    assert said == ["Kafka does not answer: 17 workers wait; 'tapedeck services up' starts what is down"]
    outage.gone = []
    outage.notice(17, unwell=lambda: ["orders"], now=60)
    assert outage.on, "the broker is back, the workers are not"
    outage.notice(17, unwell=list, now=70)
    assert said[1:] == ["the services answer again; every worker is well"]
    assert not outage.on


def test_after_an_outage_workers_that_stay_unwell_are_named(said: list[str]) -> None:
    outage = Outage(look=list, say=said.append, gone=["Postgres"])
    outage.notice(17, unwell=list, now=0)
    outage.gone = []
    for now in (10, 10 + RECOVERY_S + 1):
        outage.notice(17, unwell=lambda: ["audit"], now=now)
    assert said == [
        "Postgres does not answer: the audit waits; 'tapedeck services up' starts what is down",
        "the services answer again; not well yet: audit",
    ]


def test_what_workers_say_is_told_unless_an_outage_stands_for_it(tmp_path: Path, said: list[str]) -> None:
    watching = Supervisor(tmp_path, tmp_path / "t.toml", (), said.append)
    watching.held = [(1.0, "bars died"), (3.0, "orders died")]
    watching.tell(until=2.0)
    assert said == ["bars died"]
    watching.excused = True
    watching.tell(until=9.0)
    watching.excused = False
    watching.tell(until=9.0)
    assert said == ["bars died"]


@pytest.fixture
def stubborn() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that does not end when it is told to."""
    with subprocess.Popen(["sh", "-c", "trap '' TERM; echo; read x"], stdin=-1, stdout=-1) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_a_gateway_that_had_to_be_killed_is_remembered(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch, stubborn: "subprocess.Popen[bytes]"
) -> None:
    monkeypatch.setattr(supervisor, "STOP_S", 0.1)
    watching = Supervisor(tmp_path, tmp_path / "t.toml", (), said.append)
    with subprocess.Popen(["sleep", "60"]) as clock:
        watching.children = {"gateway/sim.main": Child("gateway/sim.main", stubborn), "clock": Child("clock", clock)}
        assert watching.stop_in_order(lambda: True) == ["gateway/sim.main"]
    assert watching.unclean == ["gateway/sim.main"]


def test_a_worker_that_ends_is_not_called_silent() -> None:
    long_ago = {"pid": 2**22 + 1, "ts": 0, "ready": False}
    assert _state(long_ago, stopping=False, now_s=time.time())[0] == "silent"
    assert _state(long_ago, stopping=True, now_s=time.time())[0] == "stopped"
    assert _state({**long_ago, "pid": 1}, stopping=True, now_s=time.time())[0] == "stopping"


def test_a_worker_that_was_told_to_stop_by_somebody_else_did_not_die(tmp_path: Path, said: list[str]) -> None:
    watching = Supervisor(tmp_path, tmp_path / "t.toml", (), said.append)
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    watching.children["bars"] = Child("bars", ended)
    watching.check()
    watching.tell(time.monotonic())
    assert said == ["bars was told to stop from outside and ended cleanly, restarting in 0.5 s"]


def test_what_a_worker_wants_somebody_to_look_at_is_said_once(tmp_path: Path, said: list[str]) -> None:
    watching = Supervisor(tmp_path, tmp_path / "t.toml", (), said.append)
    status = tmp_path / "status" / "host-quoter.json"
    status.parent.mkdir()
    with subprocess.Popen(["sleep", "60"]) as running:
        watching.children["host/quoter"] = Child("host/quoter", running)
        for alarm in ("strategy quoter is halted", "strategy quoter is halted", "", ""):
            words = {"pid": running.pid, "ts": time.time_ns(), "ready": True, "alarm": alarm}
            status.write_text(json.dumps(words))
            watching.notice()
            watching.tell(time.monotonic())
        running.kill()
    assert said == ["host/quoter: strategy quoter is halted", "host/quoter: no alarm any more"]
