"""The reference of a hop and of a stage's work: consume, decode, encode, produce; no state, no fence, no checkpoint.

Arguments: Kafka settings as JSON, source, target, the logical topic whose records these are ("" for bytes as they are), and
how many are taken at a time (1 where each is waited for).
"""

import json
import signal
import sys

from confluent_kafka import TopicPartition

from infra import kafka
from topics import wire
from topics.catalog import TOPICS


def main() -> None:
    conf, source, target, name, most = json.loads(sys.argv[1]), *sys.argv[2:5], int(sys.argv[5])
    types = TOPICS[name].types if name else ()
    running = True

    def stop(*_: object) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    consumer, producer = kafka.consumer(conf, f"raw-{source}-{target}"), kafka.producer(conf)
    partitions = consumer.list_topics(source, timeout=10).topics[source].partitions
    consumer.assign([TopicPartition(source, p, 0) for p in partitions])
    while running:
        for message in consumer.consume(most, 0.05):
            value = message.value() or b""
            producer.produce(
                target,
                wire.encode(wire.decode(value, types)) if types else value,
                message.key(),
                headers=message.headers(),
            )
            producer.poll(0)
        producer.poll(0)
    producer.flush(5)
    consumer.close()


if __name__ == "__main__":
    main()
