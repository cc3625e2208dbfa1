"""The book from a snapshot and the rest of the tape is the book from the whole tape."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from infra import kafka
from pipelines.gateway import snapshot
from pipelines.gateway.snapshot import Covered, decoded, encoded, load_book, read, take
from pipelines.gateway.snapshots import Snapshots
from pipelines.gateway.state import Book, State
from tests.facts import ACCOUNT, OrderMaker
from tests.pipelines.gateway.platform import until
from tests.strategies_of_facts import facts_of_orders, set_and_tape
from topics import wire
from topics.catalog import ORDERS_EVENTS
from topics.coordinates import HEADER, Coordinate


def book_of(facts: list[Any], book: Book | None = None) -> Book:
    book = book or Book()
    for fact in facts:
        book.fold(fact)
    return book


@given(set_and_tape(facts_of_orders()), st.data())
def test_a_book_stored_anywhere_in_its_log_goes_on_to_the_same_bytes(tapes: Any, data: st.DataObject) -> None:
    _, tape = tapes
    at = data.draw(st.integers(0, len(tape)))
    resumed = book_of(tape[at:], decoded(encoded(book_of(tape[:at]))))
    assert encoded(resumed) == encoded(book_of(tape))


class Log:
    """A gateway's facts on a real topic."""

    def __init__(self, conf: dict[str, str], prefix: str) -> None:
        self.conf, self.prefix = conf, prefix
        kafka.create_topics(conf, prefix, topics=(ORDERS_EVENTS,))

    def write(self, epoch: int, first: int, facts: list[Any]) -> None:
        producer, name = kafka.producer(self.conf), kafka.physical(self.prefix, ORDERS_EVENTS)
        for n, fact in enumerate(facts, first):
            src = Coordinate(f"gateway.{ACCOUNT}", "", epoch, n).encode()
            producer.produce(name, wire.encode([fact]), headers=[(HEADER, src)])
        producer.flush()

    def load(self, path: Path | None = None) -> tuple[Book, Covered, Covered]:
        return load_book(self.conf, self.prefix, ACCOUNT, path)


def life(n: int) -> list[Any]:
    order = OrderMaker(f"o{n}", f"v{n}")
    end = order.canceled() if n % 2 else order.filled("t2", "3")
    return [
        order.requested(),
        order.sent(),
        order.accepted(),
        order.filled("t1", "2"),
        order.cancel_requested(f"c{n}"),
        end,
    ]


def test_a_start_folds_the_snapshot_and_what_came_after_it(
    kafka_conf: dict[str, str], run_prefix: str, tmp_path: Path
) -> None:
    log, path = Log(kafka_conf, run_prefix), tmp_path / "state" / "gateway.book"
    log.write(1, 1, [fact for n in range(20) for fact in life(n)])
    assert take(kafka_conf, run_prefix, ACCOUNT, path).facts == 120
    log.write(2, 1, [fact for n in range(20, 30) for fact in life(n)])
    log.write(1, 121, life(99))  # written late by the process before: everybody passes over it
    whole, covered, began = log.load()
    resumed, reached, resumed_from = log.load(path)
    assert (began.facts, resumed_from.facts, reached) == (0, 120, covered)
    assert encoded(resumed) == encoded(whole)
    assert "o99" not in resumed.orders
    assert take(kafka_conf, run_prefix, ACCOUNT, path) == covered, "from the snapshot before and the rest"
    assert encoded(log.load(path)[0]) == encoded(whole)


def test_a_snapshot_that_is_another_s_or_not_whole_is_passed_over(tmp_path: Path, monkeypatch: Any) -> None:
    path, book = tmp_path / "gateway.book", book_of(life(1))
    ours = Covered(snapshot.fold_code(), "topic", ACCOUNT, 6, (1, 6), book.seq)
    snapshot.write(path, ours, book)
    found = read(path, ours, 0, 6)
    assert found is not None
    assert (found[0], encoded(found[1])) == (ours, encoded(book))
    for other in ({"code": "another"}, {"topic_id": "recreated"}, {"account": "sim.other"}):
        assert read(path, msgspec.structs.replace(ours, **other), 0, 6) is None
    assert read(path, ours, 0, 5) is None, "the tape is shorter"
    assert read(path, ours, 7, 9) is None, "what follows it is gone from the tape"
    path.write_bytes(path.read_bytes()[:-1])
    assert read(path, ours, 0, 6) is None
    assert read(tmp_path / "none", ours, 0, 6) is None


async def test_a_helper_process_takes_one_when_enough_facts_came(
    kafka_conf: dict[str, str], run_prefix: str, tmp_path: Path
) -> None:
    log, path, stop = Log(kafka_conf, run_prefix), tmp_path / "gateway.book", asyncio.Event()
    log.write(1, 1, life(1))
    state = State.empty(ACCOUNT)
    state.book = log.load()[0]
    snapshots = Snapshots(kafka_conf, run_prefix, ACCOUNT, path, state, every=6)
    task = asyncio.create_task(snapshots.keep(stop))
    await until(lambda: snapshots.covered == 6, "a snapshot")
    stop.set()
    await task
    assert log.load(path)[2].facts == 6
