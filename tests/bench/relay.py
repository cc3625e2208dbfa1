"""The reference of a hop: consume a record, produce it to the next topic, nothing else. Arguments: settings as JSON, from, to."""

import json
import signal
import sys

from confluent_kafka import TopicPartition

from infra import kafka


def main() -> None:
    conf, source, target = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
    running = True

    def stop(*_: object) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    consumer, producer = kafka.consumer(conf, f"relay-{source}"), kafka.producer(conf)
    consumer.assign([TopicPartition(source, 0, 0)])
    while running:
        message = consumer.poll(0.05)
        if message is not None and message.error() is None:
            producer.produce(target, message.value(), message.key(), headers=message.headers())
        producer.poll(0)
    producer.flush(5)
    consumer.close()


if __name__ == "__main__":
    main()
