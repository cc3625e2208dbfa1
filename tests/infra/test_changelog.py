"""Transactions that a dead worker left open on its changelog."""

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from infra import kafka
from infra.shell.changelog import (
    _consumer,
    _offsets_are_stable,
    _still_unstable,
    _unstable,
    changelog,
    end_hanging,
)
from topics.catalog import Topic


def test_what_a_dead_worker_left_open_ends_under_its_name_and_anothers_stays(
    kafka_conf: dict[str, str], run_prefix: str
) -> None:
    group = f"{run_prefix}.group"
    topic, numbers = changelog(group, f"{run_prefix}.numbers", 2), Topic(f"{run_prefix}.numbers", partitions=2)
    kafka.create_topics(kafka_conf, "", topics=[topic, numbers])
    inputs = [TopicPartition(numbers.name, p) for p in range(2)]
    places = [TopicPartition(topic.name, p) for p in range(2)]
    admin = AdminClient(kafka_conf)
    producers = [_opened(kafka_conf, f"{run_prefix}.{name}", place) for name, place in zip("ab", places, strict=True)]
    assert [p.partition for p in _unstable(admin, places)] == [0, 1]
    end_hanging(kafka_conf, group, f"{run_prefix}.a", places, inputs)
    assert [p.partition for p in _unstable(admin, places)] == [1]
    producers[1].commit_transaction(10)
    assert _still_unstable(admin, places, 30) == []  # the marker follows the answer


def test_offsets_that_a_dead_worker_left_in_an_open_transaction_can_be_read_again_and_are_as_before(
    kafka_conf: dict[str, str], run_prefix: str
) -> None:
    group = f"{run_prefix}.group"
    topic, numbers = changelog(group, f"{run_prefix}.numbers", 1), Topic(f"{run_prefix}.numbers", partitions=1)
    kafka.create_topics(kafka_conf, "", topics=[topic, numbers])
    places, inputs = [TopicPartition(topic.name, 0)], [TopicPartition(numbers.name, 0)]
    consumer = _consumer(kafka_conf, group)
    before = Producer({**kafka_conf, "transactional.id": f"{run_prefix}.a", "transaction.timeout.ms": 60_000})
    before.init_transactions(10)
    for offset, ends in ((5, True), (9, False)):
        before.begin_transaction()
        told = [TopicPartition(numbers.name, 0, offset)]
        before.send_offsets_to_transaction(told, consumer.consumer_group_metadata(), 10)
        if ends:
            before.commit_transaction(10)
    assert not _offsets_are_stable(kafka_conf, group, inputs)
    end_hanging(kafka_conf, group, f"{run_prefix}.a", places, inputs)
    assert _offsets_are_stable(kafka_conf, group, inputs)
    assert [p.offset for p in consumer.committed(inputs, timeout=10)] == [5]
    consumer.close()


def _opened(conf: dict[str, str], name: str, place: TopicPartition) -> Producer:
    """A transaction with one record on the broker, not ended; held by the caller, who does nothing more with it."""
    producer = Producer({**conf, "transactional.id": name, "transaction.timeout.ms": 60_000})
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce(place.topic, b"value", b"key", place.partition)
    producer.flush(10)
    return producer
