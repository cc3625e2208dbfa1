"""The changelog: where a stage's state is kept, as a compacted topic beside its input."""

import logging
import time
from collections.abc import Callable, Iterable

from confluent_kafka import Consumer, IsolationLevel, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from infra import kafka
from topics.catalog import Topic

TELL_EVERY_S = 1.0
GRACE_S, HANGING_S = 3.0, 15.0

log = logging.getLogger(__name__)


class Changelog(Topic):
    def config(self) -> dict[str, str]:
        """Small segments, since only closed ones are compacted and a cold start reads them all."""
        return super().config() | {"segment.bytes": str(32 * 1024 * 1024)}


def changelog(group: str, input_name: str, partitions: int) -> Changelog:
    """Named as Quix Streams wants it."""
    return Changelog(f"changelog__{group}--{input_name}--default", partitions=partitions, compacted=True)


def end_offsets(
    admin: AdminClient, partitions: Iterable[TopicPartition], *, committed: bool
) -> dict[tuple[str, int], int]:
    """The offset after the last record; with ``committed``, the last stable one, before any open transaction."""
    level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
    wanted = {TopicPartition(p.topic, p.partition): OffsetSpec.latest() for p in partitions}
    if not wanted:
        return {}
    futures = admin.list_offsets(wanted, isolation_level=level, request_timeout=10)
    return {(p.topic, p.partition): future.result().offset for p, future in futures.items()}


def end_hanging(
    conf: kafka.KafkaConf, group: str, member: str, places: list[TopicPartition], inputs: list[TopicPartition]
) -> None:
    """End what a dead predecessor of the same name left open on these changelogs and on the group's offsets of its inputs.

    Its transaction ends with ``init_transactions`` under its name. After a broker was killed there can be one that the
    coordinator has forgotten, and nobody would ever end: a marker is written to a partition only for a transaction that
    wrote to it. So we write a record there and offsets, under the name that left it open, and abort: the marker ends both.
    """
    admin = AdminClient(dict(conf))
    if not _unstable(admin, places) and _offsets_are_stable(conf, group, inputs):
        return
    producer = Producer({**conf, "transactional.id": member, "message.timeout.ms": int(HANGING_S * 1000)})
    producer.init_transactions(HANGING_S)
    hanging = _still_unstable(admin, places, GRACE_S)
    if not hanging and _offsets_are_stable(conf, group, inputs):
        return
    what = _named(hanging) or f"the offsets of {group}"
    log.warning("ending a transaction that its coordinator has forgotten on %s", what)
    producer.begin_transaction()
    for place in hanging:
        producer.produce(place.topic, b"", b"\x02hanging", place.partition)
    consumer = _consumer(conf, group)
    never = [TopicPartition(p.topic, p.partition, 0) for p in inputs]
    producer.send_offsets_to_transaction(never, consumer.consumer_group_metadata(), HANGING_S)
    producer.flush(HANGING_S)
    producer.abort_transaction(HANGING_S)
    consumer.close()
    _still_unstable(admin, hanging, GRACE_S)


def _consumer(conf: kafka.KafkaConf, group: str) -> Consumer:
    """Asks about the group, and does not join it."""
    return Consumer({**conf, "group.id": group, "enable.auto.commit": False})


def _offsets_are_stable(conf: kafka.KafkaConf, group: str, inputs: list[TopicPartition]) -> bool:
    """Whether the group's offsets can be read: while a transaction that sends some is open they cannot."""
    consumer = _consumer(conf, group)
    try:
        found = consumer.committed(inputs, timeout=GRACE_S)
    except KafkaException:
        return False
    finally:
        consumer.close()
    return all(one.error is None for one in found)


def _named(places: Iterable[TopicPartition]) -> str:
    return ", ".join(sorted(f"{p.topic}[{p.partition}]" for p in places))


def _unstable(admin: AdminClient, places: list[TopicPartition]) -> list[TopicPartition]:
    stable, high = (end_offsets(admin, places, committed=c) for c in (True, False))
    return [p for p in places if stable[p.topic, p.partition] < high[p.topic, p.partition]]


def _still_unstable(admin: AdminClient, places: list[TopicPartition], timeout_s: float) -> list[TopicPartition]:
    deadline = time.monotonic() + timeout_s
    while (found := _unstable(admin, places)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def await_stable(
    admin: AdminClient, partitions: list[TopicPartition], timeout_s: float, go_on: Callable[[], None]
) -> None:
    """Wait until no transaction is open on these changelogs: recovery would take the first of its records for the end.

    The broker aborts a dead owner's transaction after its timeout. KafkaProblem when it did not.
    ``go_on`` is called meanwhile and ends the wait by raising.
    """
    began = told = time.monotonic()
    while True:
        go_on()
        waiting = _unstable(admin, partitions)
        if not waiting:
            return
        names = _named(waiting)
        if time.monotonic() - began > timeout_s:
            raise kafka.KafkaProblem(f"{names}: a transaction hangs: see 'kafka-transactions.sh find-hanging'")
        if time.monotonic() - told > TELL_EVERY_S:
            told = time.monotonic()
            log.warning("waiting for the end of a transaction on %s", names)
        time.sleep(0.05)
