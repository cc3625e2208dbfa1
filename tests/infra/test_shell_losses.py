"""The three ways in which a plain at-least-once shell lost state, against the real broker with real processes.

Each ends with a cold start, so that what counts is the changelog; outputs and states then equal a fold in this process.
"""

import pytest
from confluent_kafka import Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra.shell.live import STATES
from infra.shell.worker import group_of
from tests.infra.shell_run import Child, Run, eventually
from tests.infra.shell_toys import trades
from topics.catalog import MARKET_EVENTS, STRATEGY_INBOX


@pytest.mark.parametrize("successor", [0, 1], ids=["under the same name", "under another name"])
def test_a_zombie_woken_after_its_successor_appends_nothing_behind_it(run: Run, successor: int) -> None:
    zombie = run.start("count", home="zombie", session_s=1.5, freeze_after=48)
    zombie.ready()
    run.feed(*trades(0, 48))
    run.committed("count")
    run.feed(*trades(48, 72))
    zombie.frozen()  # the outputs are flushed; changelog and offsets are not
    heir = run.start("count", instance=successor, session_s=1.5)
    run.committed("count")
    run.feed(*trades(72, 120))
    run.committed("count")
    zombie.wake()
    assert zombie.ended() == 1
    assert "KafkaProblem: count.0: " in zombie.log.read_text()
    heir.kill()

    run.forget_state()
    run.feed(*trades(120, 144))
    cold = run.start("count", instance=successor, session_s=1.5)
    run.committed("count")
    assert cold.stop() == 0
    assert run.check("count", STRATEGY_INBOX) == 144


def test_a_crash_loop_before_the_commit_loses_nothing_to_compaction(run: Run) -> None:
    make_a_changelog_that_is_compacted_at_once(run)
    child = run.start("count")
    child.ready()
    for first in (0, 12, 24):  # several committed values of every key
        run.feed(*trades(first, first + 12))
        run.committed("count")
    child.kill()

    run.feed(*trades(36, 84))  # every key again
    before = places(changelog(run))
    aborted: set[tuple[int, int]] = set()
    for _ in range(3):
        child = run.start("count", die_after=48)
        assert child.ended() == -9
        aborted = aborted or places(changelog(run)) - before
    assert len(aborted) == 12 + MARKET_EVENTS.partitions  # every key, and the fences
    eventually(lambda: not aborted & places(changelog(run)), "the first crash's values are compacted away")

    run.forget_state()
    run.feed(*trades(84, 120))
    child = run.start("count")
    run.committed("count")
    assert child.stop() == 0
    assert run.check("count", STRATEGY_INBOX) == 120


def test_a_hanging_transaction_on_the_changelog_does_not_end_recovery_early(run: Run) -> None:
    child = run.start("count")
    child.ready()
    run.feed(*trades(0, 24))
    run.committed("count")
    hanging = hang_a_transaction(run)
    run.feed(*trades(24, 96))
    run.committed("count")  # behind it on the changelog
    child.kill()

    run.forget_state()
    run.feed(*trades(96, 120))
    child = run.start("count")
    waits(child)
    hanging.abort_transaction(10)  # as the broker does once its timeout is over
    run.committed("count")
    assert child.stop() == 0
    assert run.check("count", STRATEGY_INBOX) == 120


def test_a_stop_while_it_waits_for_a_hanging_transaction_is_a_clean_one(run: Run) -> None:
    child = run.start("count")
    child.ready()
    assert child.stop() == 0
    hanging = hang_a_transaction(run)
    child = run.start("count")
    waits(child)
    assert child.stop() == 0
    hanging.abort_transaction(10)


def test_a_worker_that_lost_its_partitions_folds_again_what_it_had_not_committed(run: Run) -> None:
    run.feed(*trades(0, 48))
    child = run.start("count", session_s=1.5, commit_interval_s=600, freeze_within=40)
    child.frozen()
    admin = AdminClient(run.conf)
    group = group_of(run.prefix, "count")
    eventually(lambda: not admin.describe_consumer_groups([group])[group].result().members, "it is given up")
    child.wake()  # it rejoins under the same name, and nobody was there in between
    eventually(lambda: (s := child.status()) is not None and s.events_in >= 41 + 48, "all is folded again")
    assert child.stop() == 0

    run.forget_state()
    run.feed(*trades(48, 72))
    child = run.start("count")
    run.committed("count")
    assert child.stop() == 0
    assert run.check("count", STRATEGY_INBOX) == 72


def waits(child: Child) -> None:
    eventually(lambda: "waiting for the end of a transaction" in child.log.read_text(), "it waits")


def changelog(run: Run) -> list[Message]:
    return run.messages(run.changelog("count"), isolation="read_uncommitted")


def places(messages: list[Message]) -> set[tuple[int, int]]:
    return {(m.partition() or 0, m.offset() or 0) for m in messages}


def make_a_changelog_that_is_compacted_at_once(run: Run) -> None:
    """Every append closes a segment, and any of them is worth cleaning."""
    config = {"cleanup.policy": "compact", "segment.ms": "1", "min.cleanable.dirty.ratio": "0.001"}
    topic = NewTopic(run.changelog("count"), MARKET_EVENTS.partitions, 1, config=config)
    admin = AdminClient(run.conf)
    for future in admin.create_topics([topic]).values():
        future.result(30)


def hang_a_transaction(run: Run) -> Producer:
    """What a worker leaves that dies before it ends its transaction."""
    producer = Producer({**run.conf, "transactional.id": f"{run.prefix}.hanging", "transaction.timeout.ms": 100_000})
    producer.init_transactions(10)
    producer.begin_transaction()
    for partition in range(MARKET_EVENTS.partitions):
        producer.produce(run.changelog("count"), b"\x01junk", STATES + b"x:A", partition=partition)
    assert producer.flush(10) == 0
    return producer
