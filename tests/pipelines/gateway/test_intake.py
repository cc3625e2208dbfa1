"""What the gateway makes of its inputs, in this process: controls answered once, commands in turn."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.gateway import intake
from pipelines.gateway.intake import Intake
from pipelines.gateway.status import GatewayStatus
from pipelines.gateway.tape import MAX_BEHIND
from tests.pipelines.gateway.bench import Bench
from tests.pipelines.gateway.worlds import ACCOUNT, BTC, NOW, kill, order
from topics import wire
from topics.controls import FIRM, Flatten, Resume, Scope, ScopeKind
from topics.orders import ReconciliationDifference

QUOTER = Scope(ScopeKind.STRATEGY, "quoter")


class Message:
    """What the intake asks of one of Kafka's."""

    def __init__(self, offset: int, *records: Any, topic: str = "orders.intents") -> None:
        self._offset, self._value, self._topic = offset, wire.encode(records), topic

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return self._value

    def topic(self) -> str:
        return f"p.{self._topic}"


class FeedStub:
    """Keeps what is committed and paused."""

    def __init__(self) -> None:
        self.committed: dict[str, int] = {}
        self.paused: list[bool] = []

    def commit(self, name: str, offset: int) -> None:
        self.committed[name] = offset

    def pause(self, name: str, paused: bool) -> None:
        self.paused.append(paused)


class Taking:
    """An intake on a bench."""

    def __init__(self, run_dir: Path) -> None:
        self.bench = Bench()
        self.status = GatewayStatus(run_dir, ACCOUNT)
        self.intake = Intake({}, "p", "gateway", self.bench.engine, self.status, lambda: None)
        self.feed = FeedStub()
        self.intake._feed = self.feed  # type: ignore[assignment]
        (self.intents,) = [n for n, t in self.intake._topics.items() if t.name == "orders.intents"]
        self.stop = asyncio.Event()

    def message(self, offset: int, *records: Any) -> Any:
        message: Any = Message(offset, *records)
        message.topic = lambda: self.intents
        return message

    def halt(self) -> None:
        common = {"account": ACCOUNT, "instrument": BTC, "ts_init": self.bench.now}
        self.bench.tape.write([ReconciliationDifference(**common, what="x", tape="0", venue="1")])


@pytest.fixture
async def taking(tmp_path: Path) -> Taking:
    return Taking(tmp_path)


def flatten(control_id: str = "f", ts: int = NOW) -> Flatten:
    return Flatten(control_id=control_id, scope=QUOTER, who="w", why="y", ts_init=ts)


def resume(control_id: str = "r", scope: Scope = FIRM) -> Resume:
    return Resume(control_id=control_id, scope=scope, who="w", why="y", ts_init=NOW)


async def test_a_flatten_that_is_done_or_older_than_our_log_is_not_carried_out_again(taking: Taking) -> None:
    bench = taking.bench
    taking.intake.catch_up([(1, flatten("ancient"))])  # of a log that is still empty
    assert bench.state.book.flattens_done == {"ancient": None}
    later = bench.now + 1
    taking.intake.catch_up([(1, flatten("ancient")), (2, flatten("early", 1)), (3, flatten("open", later))])
    assert list(bench.state.book.flattens_done) == ["ancient", "early"]
    assert (await taking.intake.next_flatten())[1].control_id == "open"
    assert taking.intake._flattens.empty()


async def test_a_resume_lifts_the_halts_before_it_whatever_the_operators_clock_says(taking: Taking) -> None:
    bench = taking.bench
    taking.intake._fold_controls(50, [resume("early")])
    taking.halt()
    assert bench.state.halt(BTC) is not None
    taking.intake._fold_controls(51, [resume("of a strategy", QUOTER), resume("early")])
    assert bench.state.halt(BTC) is not None
    taking.intake._fold_controls(52, [resume("late")])
    assert bench.state.halt(BTC) is None
    assert bench.state.book.resumed_to == 52


async def test_a_resume_heard_before_a_halt_does_not_lift_it_after_a_restart_and_one_not_heard_does(
    taking: Taking,
) -> None:
    taking.intake.catch_up([(40, resume("old"))])
    taking.halt()
    taking.intake.catch_up([(40, resume("old"))])
    assert taking.bench.state.halt(BTC) is not None
    taking.intake.catch_up([(40, resume("old")), (41, resume("while nobody ran"))])
    assert taking.bench.state.halt(BTC) is None


async def test_nothing_is_committed_past_a_decision_that_did_not_become_durable(taking: Taking) -> None:
    loop = asyncio.get_running_loop()
    futures = [loop.create_future() for _ in range(3)]
    futures[0].set_result([1])
    futures[1].set_exception(RuntimeError("not acknowledged"))
    futures[2].set_result([1])
    taking.intake._unacknowledged.extend((offset, [future]) for offset, future in enumerate(futures))
    for _ in range(2):
        taking.intake.commit()
        assert taking.feed.committed[taking.intents] == 1


async def test_a_backlog_leaves_others_their_turn_and_is_not_fetched_without_bound(
    taking: Taking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MAX_WAITING", 100)
    monkeypatch.setattr(taking.bench.engine, "submit", lambda command: type("D", (), {"durable": None}))
    backlog = [taking.message(n, order(f"o{n}")) for n in range(200)]
    taking.intake._take(backlog)
    assert taking.feed.paused == [True]
    obeying = asyncio.ensure_future(taking.intake.obey(taking.stop))
    turns = 0
    while taking.intake._intents.qsize() > 0:
        await asyncio.sleep(0)
        turns += 1
    obeying.cancel()
    assert turns >= 200 // intake.BREATH
    assert taking.feed.paused == [True, False]


async def test_a_listener_that_does_not_listen_is_dropped_and_told_so(taking: Taking) -> None:
    listener = taking.bench.tape.listen()
    for _ in range(MAX_BEHIND + 5):
        listener.tell(None)
    assert (listener.overrun, listener.qsize()) == (True, MAX_BEHIND)


async def test_the_status_says_what_is_halted_and_killed_and_by_whom(taking: Taking) -> None:
    taking.halt()
    taking.bench.state.rules.fold(90, [kill(QUOTER)])
    taking.status.write(taking.bench.state, records_out=0, events_out=0, lag=0)
    words = json.loads(taking.status.path.read_text())
    assert words["halts"] == {BTC: "x: tape 0, venue 1"}
    assert words["kills"] == {"strategy:quoter": "w: y"}
