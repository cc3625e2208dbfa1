"""The shell on the real broker: chains, restarts, rebalances, bad input, and how it ends."""

import signal
import time

import pytest

from infra import kafka
from infra.kafka import KafkaProblem
from infra.shell.live import FENCE
from infra.shell.worker import group_of
from pipelines.recorded_run import LiveRun
from pipelines.replay_snapshots import newest_before
from tests.infra.shell_run import Run, eventually
from tests.infra.shell_toys import trade, trades
from topics import wire
from topics.catalog import DEAD_LETTERS, MARKET_EVENTS, STAGE_LOG, STRATEGY_INBOX, STRATEGY_RECORDS
from topics.market import Tick
from topics.system import DeadLetter, StageStarted


def tick(run: Run, n: int) -> None:
    for partition in range(MARKET_EVENTS.partitions):
        run.feed(Tick(n=n, ts_init=n), partition=partition)


def test_state_and_fence_survive_a_clean_stop_a_kill_and_the_loss_of_the_folder(run: Run) -> None:
    run.feed(*trades(0, 60), again=True)
    child = run.start("count")
    run.committed("count")
    assert child.stop() == 0

    tick(run, 1)  # before any key is touched again
    run.feed(*trades(60, 90))
    child = run.start("count")
    run.committed("count")
    child.kill()

    run.forget_state()
    tick(run, 2)
    run.feed(*trades(90, 120), again=True)
    child = run.start("count")
    run.committed("count")
    status = child.ready()
    assert (status.skipped_by_fence, status.events_in, status.missing) == (30, 34, 0)
    assert child.stop() == 0
    assert run.check("count", STRATEGY_INBOX) == 120


def test_two_chained_stages_killed_again_and_again_lose_and_double_nothing(run: Run) -> None:
    children = {stage: run.start(stage) for stage in ("count", "tally")}
    fed = 0
    for stage in ("count", "tally", "count", "tally"):
        run.feed(*trades(fed, fed + 100))
        fed += 100
        before = len(run.messages(STRATEGY_RECORDS))
        eventually(lambda before=before: len(run.messages(STRATEGY_RECORDS)) > before, "outputs flow")  # type: ignore[misc]
        children[stage].kill()
        children[stage] = run.start(stage)
    run.committed("count")
    run.committed("tally")
    for child in children.values():
        child.ready()  # its predecessor may have committed it all
    assert [child.stop() for child in children.values()] == [0, 0]
    assert run.check("count", STRATEGY_INBOX) == fed
    assert run.check("tally", STRATEGY_RECORDS) == fed


def test_a_worker_that_joins_and_leaves_takes_and_returns_its_partitions(run: Run) -> None:
    run.feed(*trades(0, 60))
    first = run.start("count", session_s=2)
    run.committed("count")
    second = run.start("count", instance=1, session_s=2)
    eventually(lambda: (s := second.status()) is not None and len(s.partitions) == 2, "the second has its share")
    run.feed(*trades(60, 120))
    run.committed("count")
    assert second.stop() == 0
    eventually(lambda: (s := first.status()) is not None and len(s.partitions) == 4, "the first has all again")
    tick(run, 1)
    run.feed(*trades(120, 180))
    run.committed("count")
    assert first.stop() == 0
    assert run.check("count", STRATEGY_INBOX) == 180


def test_bad_input_is_a_dead_letter_and_the_stage_goes_on(run: Run) -> None:
    run.feed_raw(b"no record at all", "x:A")
    run.feed_raw(wire.encode([trade("x:A", 1)]), "x:A", src=b"nowhere")
    run.feed(trade("x:A", 2))
    child = run.start("count")
    run.committed("count")
    assert child.ready().dead_letters == 2
    assert child.stop() == 0
    letters = [e for m in run.messages(DEAD_LETTERS) for e in wire.decode(m.value() or b"", (DeadLetter,))]
    assert [(e.topic, e.payload[:9], e.key) for e in letters] == [
        ("market.events", b"no record", b"x:A"),
        ("market.events", b'[{"type":', b"x:A"),
    ]
    assert len(run.seen(STRATEGY_INBOX)) == 1


def test_the_state_is_on_the_tape_every_so_often_and_at_a_clean_stop(run: Run) -> None:
    child = run.start("count", snapshot_every_s=0.5)
    run.feed(*trades(0, 60))
    eventually(lambda: (s := child.status()) is not None and s.snapshots > 0, "a snapshot was taken")
    run.feed(*trades(60, 90))
    run.committed("count")
    assert child.stop() == 0
    recorded = LiveRun(run.conf, run.prefix)
    input_offsets = {p: high for p, (_, high) in kafka.watermarks(run.conf, [run.input])[run.input].items() if high}
    last = newest_before(recorded, "count", MARKET_EVENTS, max(input_offsets.values()))
    assert {p: one.offset for p, one in last.items()} == input_offsets
    states = {(p, k[1:].decode()): v for p, one in last.items() for k, v in one.entries().items() if k != FENCE}
    assert states == run.expected("count")[1]


def test_every_start_is_announced(run: Run) -> None:
    for _ in range(2):
        child = run.start("count")
        child.ready()
        child.stop()
    records = [e for m in run.messages(STAGE_LOG) for e in wire.decode(m.value() or b"", (StageStarted,))]
    assert [(r.stage, r.instance, r.config) for r in records] == [("count", 0, "test")] * 2


def test_the_status_file_shows_lag_offsets_and_readiness(run: Run) -> None:
    run.feed(*trades(0, 24))
    child = run.start("count")
    run.committed("count")
    child.ready()
    status = eventually(lambda: (s := child.status()) and sum(s.committed.values()) == 24 and s, "all is told")
    assert (status.records_in, status.events_in, status.records_out, status.lag) == (24, 24, 24, 0)
    assert status.partitions == (0, 1, 2, 3)
    assert status.checkpoint_s > 0
    assert abs(time.time_ns() - status.ts) < 60e9
    child.stop()
    left = child.status()
    assert left is not None
    assert not left.ready


def test_a_fold_that_raises_ends_the_process_and_commits_nothing_of_that_record(run: Run) -> None:
    run.feed(trade("x:A", 1))
    child = run.start("count")
    run.committed("count")
    poison = wire.encode([trade("x:A", 2)]).replace(b'"trade_id":"2"', b'"trade_id":"poison"')
    run.feed_raw(poison, "x:A")
    assert child.ended() == 1
    assert "the toy does not like this trade" in child.log.read_text()
    child = run.start("count")
    assert child.ended() == 1  # it meets the same record again
    assert len(run.seen(STRATEGY_INBOX)) == 1


def test_a_stop_before_the_loop_began_is_a_clean_one(run: Run) -> None:
    child = run.start("count")
    eventually(lambda: child.status() is not None or run.messages(STAGE_LOG), "it began")
    child.process.send_signal(signal.SIGTERM)
    assert child.ended() == 0


def test_without_a_broker_there_is_one_clear_line_within_ten_seconds(run: Run) -> None:
    began = time.monotonic()
    run.conf = {"bootstrap.servers": "127.0.0.1:1"}
    child = run.start("count")
    assert child.ended() == 1
    assert time.monotonic() - began < 20  # importing takes its time on a busy machine; the check itself ends within 8 s
    assert "KafkaProblem: no Kafka at 127.0.0.1:1" in child.log.read_text()


def test_without_its_topics_there_is_one_clear_line(run: Run) -> None:
    run.prefix = "nobody"
    child = run.start("count")
    assert child.ended() == 1
    assert "KafkaProblem: no topic nobody.market.events" in child.log.read_text()


def test_a_name_that_cannot_be_part_of_a_topics_is_refused() -> None:
    assert group_of("live", "signals/quoter") == "live.signals-quoter"
    with pytest.raises(KafkaProblem, match="my quoter"):
        group_of("live", "signals/my quoter")
