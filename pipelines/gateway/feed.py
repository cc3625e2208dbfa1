"""The gateway's inputs from Kafka: topics of one partition each.

The lease says who may read for an account. Progress is committed under the group's name all the same, so that lag is
seen and a restart goes on where it was.
"""

from collections.abc import Callable

from confluent_kafka import TopicPartition

from infra import feed, kafka


class Feed(feed.Feed):
    """``starts``: topic, as the broker names it, to offset."""

    def __init__(
        self,
        conf: kafka.KafkaConf,
        group: str,
        starts: dict[str, int],
        handler: feed.Handler,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        places = [TopicPartition(name, 0, offset) for name, offset in starts.items()]
        super().__init__(conf, group, places, handler, on_failure)

    def commit(self, name: str, offset: int) -> None:
        """What is before ``offset`` needs no redelivery."""
        self._consumer.commit(offsets=[TopicPartition(name, 0, offset)], asynchronous=True)

    def lag(self, name: str) -> int:
        """Records that the broker holds and the thread has not read, as far as the client knows without asking."""
        return self.behind(TopicPartition(name, 0))

    def pause(self, name: str, paused: bool) -> None:
        """Read no more of a topic for now, or go on where it was left."""
        places = [TopicPartition(name, 0)]
        if paused:
            self._consumer.pause(places)
        else:
            self._consumer.resume(places)


def committed(conf: kafka.KafkaConf, group: str, name: str) -> int | None:
    """The group's own progress on a topic of one partition; None where it has none."""
    client = kafka.consumer(conf, group)
    try:
        asked = [TopicPartition(name, 0)]
        found = kafka.patiently("a group's progress", lambda: client.committed(asked, timeout=10))[0].offset
    finally:
        client.close()
    return found if found >= 0 else None


def offset_at(conf: kafka.KafkaConf, group: str, name: str, ts_ns: int) -> int:
    """The first record that the broker took in at that time or later; its end (-1) where there is none."""
    client = kafka.consumer(conf, group)
    try:
        asked = [TopicPartition(name, 0, max(0, ts_ns) // 1_000_000)]
        found = kafka.patiently("what came since then", lambda: client.offsets_for_times(asked, timeout=10))
        return int(found[0].offset)
    finally:
        client.close()
