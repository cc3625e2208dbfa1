"""What a ladder is fed with: one instrument's records of ``market.events``, from its last snapshots on (levels; orders, where they
are recorded).
"""

import time

from confluent_kafka import KafkaException, Message, TopicPartition

from infra import kafka
from infra.config import Config
from infra.errors import Problem
from pipelines.ladder import Ladder
from pipelines.marketdata.history import beginnings, market_of
from pipelines.marketdata.hub import ORDERS, SNAPSHOT, Fence
from pipelines.partitioning import partition_of
from topics import wire
from topics.catalog import MARKET_EVENTS
from topics.record import InstrumentId, venue_of

BATCH = 500
BEFORE = 2_000
"""Records read from before the snapshot too where there are fewer behind it: for the last trades."""
PATIENCE_S = 15.0


def known(config: Config, instrument: str) -> InstrumentId:
    """Problem, with those there are, where the configuration has no such instrument."""
    names = sorted({i for venue in config.venues for i in config.instruments_of(venue)})
    if instrument in names:
        return instrument
    if not names:
        raise Problem(f"run {config.run.name} has no instruments: name some in [venues] or [strategies]")
    raise Problem(f"no instrument {instrument!r} in run {config.run.name}: one of {', '.join(names)}")


class LadderFeed:
    """Keeps ``ladder`` up to date with the tape while ``poll`` is called. Use as a context manager.

    KafkaProblem where the run has no topics yet, or the broker refuses them; an outage passes, and the ladder ages.
    """

    def __init__(self, config: Config, conf: kafka.KafkaConf, instrument: InstrumentId) -> None:
        self.ladder = Ladder(instrument)
        self._key = instrument
        self._fence = Fence()
        name = kafka.physical(config.prefix, MARKET_EVENTS)
        marks = kafka.watermarks(conf, [name])[name]
        partition = partition_of(instrument.encode(), len(marks))
        low, self._high = marks[partition]
        wanted = (SNAPSHOT, ORDERS) if config.venues[venue_of(instrument)].book == "L3" else (SNAPSHOT,)
        begun = (beginnings(conf, config.prefix, [instrument], marks, mark)[partition] for mark in wanted)
        self._place = TopicPartition(name, partition, max(low, min(*begun, self._high - BEFORE)))
        self._client = kafka.consumer(conf, "tapedeck-ladder")
        self._client.assign([self._place])

    def catch_up(self) -> None:
        """Until everything that was there at the start is read, or nothing comes any more."""
        deadline = time.monotonic() + PATIENCE_S
        while not self._is_caught_up() and time.monotonic() < deadline:
            if self.poll(0.2):
                deadline = time.monotonic() + PATIENCE_S

    def _is_caught_up(self) -> bool:
        first = int(self._place.offset)
        return max(first, int(self._client.position([self._place])[0].offset)) >= self._high

    def await_book(self, timeout_s: float) -> None:
        """Until there is a book, or it is quiet."""
        deadline = time.monotonic() + timeout_s
        while self.ladder.book is None and time.monotonic() < deadline:
            self.poll(0.1)

    def poll(self, timeout_s: float) -> int:
        """Take what has come; how many records that was."""
        messages = [m for m in self._client.consume(BATCH, timeout_s) if not _is_notice(m)]
        for message in messages:
            self._take(message)
        return len(messages)

    def _take(self, message: Message) -> None:
        record = market_of(message)
        if record.key != self._key or not self._fence.is_news(record):
            return
        try:
            events = wire.decode(record.value, MARKET_EVENTS.types)
        except wire.BadRecord as error:  # it may have been a change of the book
            self.ladder.broken = f"a record cannot be read ({error})"
            return
        for event in events:
            self.ladder.take(event)

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> "LadderFeed":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _is_notice(message: Message) -> bool:
    """True for what passes by itself."""
    error = message.error()
    if error is not None and not kafka.passes(error):
        raise kafka.KafkaProblem(f"Kafka refuses {message.topic()}: {error.str()}") from KafkaException(error)
    return error is not None
