"""A tape played into a topic: what arrives there is what was recorded, in order, and as far apart as it was."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import archive, kafka
from infra.edge import Edge
from infra.errors import Problem
from infra.shell.processor import Inbound
from infra.tail import Place, Taken
from pipelines.folding import Fold
from pipelines.normalize import normalize_stage
from pipelines.pacing import Pacing
from pipelines.partitioning import partition_of
from pipelines.topic_replay import ORIGIN_HEADER, Chosen, check, partitions_of, play
from pipelines.topic_source import Played, TopicSource, archived, captured, on_broker
from tests.pipelines.fast.books import INSTRUMENTS, market
from tests.pipelines.flow_capture import record_flow
from tests.synthetic_run import config_of
from topics import wire
from topics.catalog import MARKET_EVENTS, MARKET_RAW, ORDERS_INTENTS, POSITIONS_LATEST, STAGE_LOG, STRATEGY_INBOX, Topic
from topics.coordinates import HEADER, Coordinate
from topics.record import Record

EVERYTHING = Chosen()


def normalized(records: list[Inbound]) -> list[bytes]:
    made: list[Record] = []
    fold = Fold(normalize_stage({"sim": "binance"}), lambda outputs, partition, offset: made.extend(outputs))
    for record in records:
        fold.feed(record)
    return [wire.encode([one]) for one in made]


def play_into(conf: dict[str, str], prefix: str, source: TopicSource, target: Topic, speed: str = "max") -> int:
    """Into a topic that is made; checked before, as the command does."""
    kafka.create_topics(conf, prefix, topics=[target, STAGE_LOG])
    config = config_of(Path("/nowhere"), prefix)
    expected = check(source, target, partitions_of(conf, config, target), EVERYTHING)
    with Edge(conf, prefix, "replay.test", config_digest="x", subscriptions={}) as edge:
        assert play(EVERYTHING.of(source, target), edge, target, Pacing.of(speed)) == expected
    return expected


def test_a_capture_played_at_most_speed_normalizes_to_the_same_events_as_the_file(
    kafka_conf: dict[str, str], run_prefix: str, tmp_path: Path
) -> None:
    capture = record_flow(tmp_path, seed=7, seconds=4)[0]
    source = captured([capture], "sim")
    count = play_into(kafka_conf, run_prefix, source, MARKET_RAW)
    messages = list(kafka.read_all(kafka_conf, kafka.physical(run_prefix, MARKET_RAW)))
    assert len(messages) == count
    of_file = [Inbound(0, n, r.key, r.value, ()) for n, r in enumerate(source.records())]
    of_topic = [Inbound(0, n, m.key(), m.value(), m.headers() or ()) for n, m in enumerate(messages)]
    assert normalized(of_topic) == normalized(of_file)
    assert len(normalized(of_file)) > 50
    coordinates = [Coordinate.decode(kafka.header(m, HEADER) or b"") for m in messages]
    assert all(a < b for a, b in pairwise(coordinates))
    assert kafka.header(messages[0], ORIGIN_HEADER) == f"{capture.name}:0".encode()


def test_an_archive_and_a_topic_are_played_with_keys_partitions_and_order(
    kafka_conf: dict[str, str], run_prefix: str, tmp_path: Path
) -> None:
    source = archived(archive_of(tmp_path), MARKET_EVENTS)
    first, second = f"{run_prefix}a", f"{run_prefix}b"
    play_into(kafka_conf, first, source, MARKET_EVENTS)
    play_into(kafka_conf, second, on_broker(kafka_conf, first, MARKET_EVENTS), MARKET_EVENTS)
    recorded = by_partition([(r.partition, r.key, r.value) for r in source.records()])
    for prefix in (first, second):
        messages = kafka.read_all(kafka_conf, kafka.physical(prefix, MARKET_EVENTS))
        assert by_partition([(m.partition(), m.key(), m.value()) for m in messages]) == recorded


def archive_of(root: Path) -> Path:
    taken: dict[int, list[Taken]] = {}
    for n, (key, events) in enumerate(market(4, 120)):
        rows = taken.setdefault(partition_of(key.encode(), MARKET_EVENTS.partitions), [])
        partition = partition_of(key.encode(), MARKET_EVENTS.partitions)
        src = f"normalize|market.raw@x/0|{n}|0".encode()
        rows.append(Taken("market.events", "id", partition, len(rows), n, key.encode(), wire.encode(events), src, b"v"))
    for partition, rows in taken.items():
        archive.write(root, Place("market.events", partition), rows)
    return root


def by_partition(
    rows: list[tuple[int | None, bytes | None, bytes | None]],
) -> dict[int | None, list[tuple[bytes | None, bytes | None]]]:
    found: dict[int | None, list[tuple[bytes | None, bytes | None]]] = {}
    for partition, key, value in rows:
        found.setdefault(partition, []).append((key, value))
    return found


# --- what is refused ---------------------------------------------------------------------------------------------------


def of(topic: Topic, *records: Played) -> TopicSource:
    return TopicSource("tape", topic, lambda: iter(records))


KEY = INSTRUMENTS[0].encode()
HOME = partition_of(KEY, 4)


@pytest.mark.parametrize(
    ("source", "target", "partitions", "why"),
    [
        (of(MARKET_RAW), MARKET_EVENTS, 4, "frames as received are played into their own topic"),
        (of(STRATEGY_INBOX), ORDERS_INTENTS, 1, "orders.intents, which holds no"),
        (of(MARKET_EVENTS), POSITIONS_LATEST, 4, "holds states"),
        (of(MARKET_EVENTS), MARKET_EVENTS, 3, "has 3 partitions, not 4"),
        (of(MARKET_EVENTS), MARKET_EVENTS, 4, "nothing to play"),
        (of(MARKET_EVENTS, Played(1, (HOME + 1) % 4, KEY, b"[]", "")), MARKET_EVENTS, 4, "partitioned otherwise"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(
    source: TopicSource, target: Topic, partitions: int, why: str
) -> None:
    with pytest.raises(Problem, match=why):
        check(source, target, partitions, EVERYTHING)


def test_a_choice_narrows_by_time_and_key_and_leaves_the_clocks_ticks_out() -> None:
    records = [Played(ts, 0, key, b"[]", "") for ts, key in [(1, b"a"), (2, b"b"), (3, None), (4, b"a"), (5, b"a")]]
    source = of(MARKET_EVENTS, *records)
    chosen = Chosen(since=2, until=5, keys=frozenset([b"a", b"b"]))
    assert [r.ts for r in chosen.of(source, MARKET_EVENTS)] == [2, 4]
    assert [r.ts for r in EVERYTHING.of(source, MARKET_EVENTS)] == [1, 2, 4, 5]


# --- spacing -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 10**12), min_size=1), st.floats(0.01, 1000))
def test_records_are_as_far_apart_as_recorded_divided_by_the_speed(times: list[int], speed: float) -> None:
    times.sort()
    pacing = Pacing(speed)
    due = [pacing.due(ts) for ts in times]
    assert due[0] == 0
    assert due == [int((ts - times[0]) / speed) for ts in times]


@given(st.lists(st.integers(0, 10**12)))
def test_what_is_due_never_steps_back_and_at_most_speed_everything_is_due(times: list[int]) -> None:
    pacing, at_once = Pacing(2.0), Pacing.of("max")
    due = [pacing.due(ts) for ts in times]
    assert due == sorted(due)
    assert {at_once.due(ts) for ts in times} <= {0}


@pytest.mark.parametrize("text", ["0", "-1", "fast", "inf", "nan"])
def test_a_speed_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Problem, match="--speed"):
        Pacing.of(text)


@dataclass
class Simulated:
    now: int = 0

    def clock(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += int(seconds * 1e9) + 1


class Written:
    """An edge's side of the play: when each record was written."""

    def __init__(self, time: Simulated) -> None:
        self._time, self.at = time, list[int]()

    def publish_raw(self, *_: object, **__: object) -> None:
        self.at.append(self._time.now)

    def flush(self, timeout_s: float) -> None:
        pass


def test_the_player_waits_for_each_record_and_stops_when_asked() -> None:
    seconds = [0, 1, 1, 4]
    records = [Played(s * 10**9, 0, b"k", b"[]", "") for s in seconds]
    time = Simulated()
    written = Written(time)
    play(iter(records), written, MARKET_EVENTS, Pacing(2.0), clock=time.clock, sleep=time.sleep)  # type: ignore[arg-type]
    assert [round(at / 1e9, 2) for at in written.at] == [0.0, 0.5, 0.5, 2.0]

    time = Simulated()
    written = Written(time)
    stopped = lambda: time.now > 600_000_000  # noqa: E731
    count = play(
        iter(records),
        written,
        MARKET_EVENTS,
        Pacing(2.0),
        stopped=stopped,
        clock=time.clock,
        sleep=time.sleep,  # type: ignore[arg-type]
    )
    assert count == len(written.at) == 3
