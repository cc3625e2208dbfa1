"""The fan-out without a network: what a subscriber gets, in which order, and what happens when it is slow."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.marketdata.hub import Everything, Hub, Latest, Market
from tests.pipelines.fast.books import INSTRUMENTS, book_of, market, on_one_partition


async def taken(subscriber: Everything) -> list[Market]:
    return [record for record, _ in await subscriber.take()]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 299), st.integers(2, 80))
def test_whoever_joins_late_folds_the_same_book(seed: int, joins_at: int, snapshot_every: int) -> None:
    async def run() -> None:
        records, hub, late = on_one_partition(market(seed, 300, snapshot_every)), Hub(), Everything()
        for record in records[:joins_at]:
            hub.take(record)
        kept, from_tape = hub.join_all(late, INSTRUMENTS)
        for record in records[joins_at:]:
            hub.take(record)
        assert from_tape == {}
        seen = kept + await taken(late) if joins_at < 300 else kept
        for instrument in INSTRUMENTS:
            assert book_of(seen, instrument) == book_of(records, instrument)
        assert [r.offset for r in seen] == sorted(r.offset for r in seen)
        assert set(seen) <= set(records)

    asyncio.run(run())


async def test_a_record_that_was_delivered_again_is_left_out() -> None:
    records, hub, subscriber = on_one_partition(market(3, 40)), Hub(), Everything()
    hub.join_all(subscriber, INSTRUMENTS)
    again = [record._replace(offset=record.offset + 40) for record in records[20:]]
    for record in [*records, *again]:
        hub.take(record)
    assert await taken(subscriber) == records
    assert hub.repeated == 20


async def test_an_all_subscriber_that_is_slow_is_cut_off_and_holds_no_more_memory() -> None:
    records, hub = on_one_partition(market(3, 100)), Hub()
    slow, quick = Everything(most=10), Everything()
    for subscriber in (slow, quick):
        hub.join_all(subscriber, INSTRUMENTS)
    for record in records:
        hub.take(record)
    assert slow.overrun
    assert await taken(slow) == []
    assert await taken(quick) == records


async def test_bytes_are_bounded_too() -> None:
    records, subscriber = on_one_partition(market(3, 10)), Everything(most_bytes=300)
    for record in records:
        subscriber.offer(record)
    assert subscriber.overrun


async def test_a_latest_subscriber_gets_the_newest_record_and_is_told_how_many_it_missed() -> None:
    records = [r for r in on_one_partition(market(3, 60)) if r.key == INSTRUMENTS[0]]
    hub, subscriber = Hub(), Latest()
    hub.join_latest(subscriber, INSTRUMENTS)
    hub.take(records[0])
    assert await subscriber.take() == [(records[0], 0)]
    for record in records[1:8]:
        hub.take(record)
    assert await subscriber.take() == [(records[7], 6)]
    hub.take(records[8])
    assert await subscriber.take() == [(records[8], 0)]


async def test_skips_are_counted_per_instrument() -> None:
    records, hub, subscriber = on_one_partition(market(5, 80)), Hub(), Latest()
    for record in records:
        hub.take(record)
    hub.join_latest(subscriber, INSTRUMENTS)
    again = on_one_partition(market(6, 200))
    for record in again:
        hub.take(record._replace(offset=record.offset + 1000, src=b""))
    got = [(await subscriber.take())[0] for _ in INSTRUMENTS]
    assert {record.key: skipped for record, skipped in got} == {
        i: sum(record.key == i for record in again) for i in INSTRUMENTS
    }


@pytest.mark.parametrize("most", [1, 5, 30])
async def test_a_tail_that_is_too_long_is_read_from_the_tape_instead(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.marketdata.hub.TAIL_MOST", most)
    records, hub, late = on_one_partition(market(9, 200, 1000)), Hub(), Everything()
    for record in records:
        hub.take(record)
    kept, from_tape = hub.join_all(late, INSTRUMENTS)
    assert kept == []
    assert from_tape == {0: min(hub.tails[i].start for i in INSTRUMENTS)}
    assert all(len(hub.tails[i].records) <= most for i in INSTRUMENTS)
