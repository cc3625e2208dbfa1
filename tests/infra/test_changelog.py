"""Transactions that a dead worker left open on its changelog."""

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from infra import kafka
from infra.shell.changelog import _still_unstable, _unstable, changelog, end_hanging


def test_what_a_dead_worker_left_open_ends_under_its_name_and_anothers_stays(
    kafka_conf: dict[str, str], run_prefix: str
) -> None:
    topic = changelog(f"{run_prefix}.group", f"{run_prefix}.numbers", 2)
    kafka.create_topics(kafka_conf, "", topics=[topic])
    places = [TopicPartition(topic.name, p) for p in range(2)]
    admin = AdminClient(kafka_conf)
    producers = [_opened(kafka_conf, f"{run_prefix}.{name}", place) for name, place in zip("ab", places, strict=True)]
    assert [p.partition for p in _unstable(admin, places)] == [0, 1]
    end_hanging(kafka_conf, f"{run_prefix}.a", places)
    assert [p.partition for p in _unstable(admin, places)] == [1]
    producers[1].commit_transaction(10)
    assert _still_unstable(admin, places, 30) == []  # the marker follows the answer


def _opened(conf: dict[str, str], name: str, place: TopicPartition) -> Producer:
    """A transaction with one record on the broker, not ended; held by the caller, who does nothing more with it."""
    producer = Producer({**conf, "transactional.id": name, "transaction.timeout.ms": 60_000})
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce(place.topic, b"value", b"key", place.partition)
    producer.flush(10)
    return producer
