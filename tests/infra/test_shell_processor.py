"""What happens to one record, without Kafka: fence, dead letters, ticks, and live state against state read back."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.shell.live import FENCE, LivePartition, UnknownVersion
from infra.shell.processor import MAX_DEAD_PAYLOAD, Inbound, Processor, StageBroken
from infra.shell.status import Status, read_status, status_path
from tests.infra.shell_toys import COUNT, Count, trade
from topics import wire
from topics.coordinates import HEADER, Coordinate
from topics.market import Tick
from topics.record import Record
from topics.stage import Stage
from topics.system import DeadLetter


class MemoryStore:
    """Shows what was set at once; the real one only after a checkpoint."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    def set(self, key: bytes, value: bytes) -> None:
        self.values[key] = value

    def items(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        yield from sorted((k, v) for k, v in self.values.items() if first <= k < end)


class Bench:
    """A processor over stores that outlive it; partition 0 unless told otherwise."""

    def __init__(self, stage: Stage[Any] = COUNT) -> None:
        self.stage = stage
        self.stores: dict[int, MemoryStore] = {}
        self.outputs: list[tuple[list[Record], int, int]] = []
        self.offset = 0
        self.start()

    def start(self) -> None:
        self.status = Status(stage=self.stage.name, instance=0)
        self.processor = Processor(
            self.stage,
            lambda partition: self.stores.setdefault(partition, MemoryStore()),
            lambda outputs, partition, offset: self.outputs.append((outputs, partition, offset)),
            self.status,
        )

    def checkpoint(self) -> None:
        self.processor.write_back()

    def feed(self, *events: Record, src: Coordinate | bytes | None = None, key: str = "k", partition: int = 0) -> None:
        self.feed_raw(wire.encode(events), src=src, key=key.encode(), partition=partition)

    def feed_raw(
        self,
        value: bytes | None,
        *,
        src: Coordinate | bytes | None = None,
        key: bytes | None = b"k",
        partition: int = 0,
    ) -> None:
        raw = src.encode() if isinstance(src, Coordinate) else src
        headers = [("other", b"x")] + ([] if raw is None else [(HEADER, raw)])
        self.processor.process(Inbound(partition, self.offset, key, value, headers))
        self.offset += 1

    def signals(self) -> list[tuple[str, float]]:
        return [(r.instrument, r.value) for records, _, _ in self.outputs for r in records]  # type: ignore[attr-defined]

    def dead_letters(self) -> list[DeadLetter]:
        return [r for records, _, _ in self.outputs for r in records if isinstance(r, DeadLetter)]


def from_edge(n: int, epoch: int = 1) -> Coordinate:
    return Coordinate("edge", "", epoch, n)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_record_that_is_delivered_again_changes_nothing(bench: Bench) -> None:
    for n in (1, 2, 2, 1, 3):
        bench.feed(trade("x:A", n), src=from_edge(n))
    assert bench.signals() == [("x:A", 1.0), ("x:A", 2.0), ("x:A", 3.0)]
    assert bench.status.skipped_by_fence == 2


def test_each_producer_and_each_of_its_sources_has_a_fence_of_its_own(bench: Bench) -> None:
    for producer, source in (("a", "t@1/0"), ("b", "t@1/0"), ("a", "t@1/1"), ("a", "t@2/0"), ("a", "t@1/0")):
        bench.feed(trade("x:A", 1), src=Coordinate(producer, source, 7, 0))
    assert len(bench.signals()) == 4


def test_a_later_epoch_starts_counting_again(bench: Bench) -> None:
    for epoch, n in ((1, 5), (2, 1), (1, 6)):
        bench.feed(trade("x:A", n), src=from_edge(n, epoch))
    assert len(bench.signals()) == 2


def test_partitions_have_fences_of_their_own(bench: Bench) -> None:
    for partition in (0, 1):
        bench.feed(trade("x:A", 1), src=from_edge(1), partition=partition)
    assert len(bench.signals()) == 2


def test_records_without_a_coordinate_are_always_folded(bench: Bench) -> None:
    for _ in range(3):
        bench.feed(trade("x:A", 1))
    assert len(bench.signals()) == 3


def test_the_fence_survives_a_restart(bench: Bench) -> None:
    bench.feed(trade("x:A", 1), src=from_edge(1))
    bench.checkpoint()
    bench.start()
    bench.feed(trade("x:A", 1), src=from_edge(1))
    bench.feed(trade("x:A", 2), src=from_edge(2))
    assert bench.signals() == [("x:A", 1.0), ("x:A", 2.0)]


def test_what_was_not_written_back_is_folded_again_to_the_same_outputs(bench: Bench) -> None:
    bench.feed(trade("x:A", 1), src=from_edge(1))
    bench.checkpoint()
    bench.feed(trade("x:A", 2), src=from_edge(2))
    bench.processor.forget()
    bench.feed(trade("x:A", 2), src=from_edge(2))
    assert bench.signals() == [("x:A", 1.0), ("x:A", 2.0), ("x:A", 2.0)]


@pytest.mark.parametrize(
    ("value", "src", "reason"),
    [
        (b"\xff\xfe", None, ""),
        (b'[{"type":"Nonsense"}]', None, "Nonsense"),
        (b'{"type":"Trade"}', None, "array"),
        (None, None, "no value"),
        (wire.encode([trade("x:A", 1)]), b"not a coordinate", "no coordinate"),
        (wire.encode([trade("x:A", 1)]), b"\xff|\xfe|1|2", "no coordinate"),
        (wire.encode([trade("x:A", 1)]), b"a|b|c|d", "no coordinate"),
    ],
)
def test_what_cannot_be_read_is_a_dead_letter_and_the_stage_goes_on(
    bench: Bench, value: bytes | None, src: bytes | None, reason: str
) -> None:
    bench.feed_raw(value, src=src, key=b"some key")
    bench.feed(trade("x:A", 1))
    (letter,) = bench.dead_letters()
    assert reason in letter.reason
    assert (letter.stage, letter.topic, letter.partition, letter.offset) == ("count", "market.events", 0, 0)
    assert (letter.payload, letter.key) == (value or b"", b"some key")
    assert bench.status.dead_letters == 1
    assert len(bench.outputs) == 2


def test_an_unreadable_record_is_fenced_too(bench: Bench) -> None:
    bench.feed_raw(b"?", src=from_edge(1).encode())
    bench.feed_raw(b"?", src=from_edge(1).encode())
    assert len(bench.dead_letters()) == 1


def test_a_huge_payload_is_cut_so_that_the_dead_letter_still_fits(bench: Bench) -> None:
    bench.feed_raw(b"?" * (MAX_DEAD_PAYLOAD + 1))
    (letter,) = bench.dead_letters()
    assert len(letter.payload) == MAX_DEAD_PAYLOAD
    assert f"of {MAX_DEAD_PAYLOAD + 1} bytes" in letter.reason


def test_a_tick_reaches_every_key_of_its_partition_in_sorted_order(bench: Bench) -> None:
    visited: list[str] = []

    def on_event(state: Count | None, event: Any, at: Any) -> tuple[Count, tuple[Record, ...]]:
        if isinstance(event, Tick):
            visited.append(str(state))
        return state or Count(trades=int(event.trade_id)), ()

    bench = Bench(replace(COUNT, on_event=on_event))
    for n, instrument in enumerate(("x:C", "x:A", "x:é", "x:B")):
        bench.feed(trade(instrument, n))
    bench.feed(trade("x:other", 9), partition=1)
    bench.feed(Tick(n=1, ts_init=1))
    assert visited == [str(Count(trades=n)) for n in (1, 3, 0, 2)]


def test_a_tick_reaches_keys_that_were_not_touched_since_the_restart(bench: Bench) -> None:
    for instrument in ("x:B", "x:A"):
        bench.feed(trade(instrument, 1))
    bench.checkpoint()
    bench.start()
    bench.feed(trade("x:C", 1))
    bench.feed(Tick(n=1, ts_init=1))
    bench.checkpoint()
    live = LivePartition(bench.stores[0], Count)
    keys = live.keys()
    assert keys == ["x:A", "x:B", "x:C"]
    assert [live.get(k).ticks for k in keys] == [1, 1, 1]  # type: ignore[union-attr]


def test_with_an_own_key_other_keys_pass_by_but_ticks_do_not() -> None:
    bench = Bench(replace(COUNT, own_key="mine"))
    bench.feed(trade("x:A", 1), key="mine", src=from_edge(1))
    bench.feed(trade("x:A", 2), key="theirs", src=from_edge(2))
    bench.feed_raw(b"unreadable, but not ours", key=b"theirs")
    bench.feed_raw(wire.encode([Tick(n=1, ts_init=1)]), key=None)
    assert bench.signals() == [("x:A", 1.0)]
    assert bench.status.events_in == 2


def test_all_outputs_of_a_record_are_published_together_with_its_place(bench: Bench) -> None:
    bench.feed(trade("x:A", 1))
    bench.feed(trade("x:A", 2), trade("x:B", 3), trade("x:A", 4), partition=2)
    records, partition, offset = bench.outputs[1]
    assert (len(records), partition, offset) == (3, 2, 1)


def test_a_fold_that_raises_ends_the_stage_with_the_coordinates(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    poison = wire.encode([trade("x:A", 1), trade("x:A", 2)]).replace(b'"trade_id":"2"', b'"trade_id":"poison"')
    with pytest.raises(StageBroken, match=r"count at market.events\[0\]@0.1: ArithmeticError"):
        bench.feed_raw(poison)
    assert [r.message for r in caplog.records if r.levelname == "CRITICAL"] == [
        "count at market.events[0]@0.1: ArithmeticError on Trade: the toy does not like this trade"
    ]


def test_state_of_another_version_is_refused(bench: Bench) -> None:
    store = MemoryStore()
    store.set(FENCE, b"\x07whatever")
    with pytest.raises(UnknownVersion, match="07"):
        LivePartition(store, Count).is_news(from_edge(1))


def test_stored_values_never_look_like_a_time(bench: Bench) -> None:
    bench.feed(trade("x:A", 1), src=from_edge(1))
    bench.checkpoint()
    century = range(4_102_444_800_000)
    assert all(int.from_bytes(v[:8].ljust(8, b"\0"), "big") not in century for v in bench.stores[0].values.values())


events = st.one_of(
    st.builds(trade, st.sampled_from(["x:A", "x:B", "x:C"]), st.integers(1, 1000)),
    st.builds(Tick, n=st.integers(1, 99), ts_init=st.just(1)),
)


@given(st.lists(st.tuples(st.lists(events, max_size=3), st.integers(0, 1)), max_size=30), st.sets(st.integers(0, 29)))
def test_outputs_and_state_do_not_depend_on_where_it_was_restarted(
    records: list[tuple[list[Record], int]], restarts: set[int]
) -> None:
    kept, restarted = Bench(), Bench()
    for n, (batch, partition) in enumerate(records):
        kept.feed(*batch, src=from_edge(n), partition=partition)
        restarted.feed(*batch, src=from_edge(n), partition=partition)
        if n in restarts:
            restarted.checkpoint()
            restarted.start()
    kept.checkpoint()
    restarted.checkpoint()
    assert restarted.outputs == kept.outputs
    assert {p: s.values for p, s in restarted.stores.items()} == {p: s.values for p, s in kept.stores.items()}


def test_the_status_file_is_read_back_as_it_was_written(tmp_path: Any) -> None:
    path = status_path(tmp_path / "state", "signals/quoter", 2)
    assert path == tmp_path / "status" / "signals-quoter.2.json"
    assert read_status(path) is None
    path.parent.mkdir()
    status = Status(stage="signals/quoter", instance=2, lag=3, committed={0: 7})
    status.write(path)
    assert read_status(path) == status
    assert [p.name for p in path.parent.iterdir()] == [path.name]
