"""Topics, producers and consumers as this platform wants them. All of our producers use murmur2, as Quix does."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from confluent_kafka.cimpl import NewTopic

from infra.errors import Problem
from topics import wire
from topics.catalog import MAX_MESSAGE_BYTES, TOPICS, Topic
from topics.record import Record
from topics.routes import Subscriptions, group

KafkaConf = Mapping[str, Any]
T = TypeVar("T")

PRODUCER: dict[str, Any] = {
    "partitioner": "murmur2_random",
    "enable.idempotence": True,
    "acks": "all",
    "message.timeout.ms": 0,  # finite makes gaps even with idempotence, and a replay's fence would skip them
    "linger.ms": 0,
    "message.max.bytes": MAX_MESSAGE_BYTES,
    "queue.buffering.max.kbytes": 256 * 1024,
    "socket.nagle.disable": True,
}
CONSUMER: dict[str, Any] = {
    "fetch.min.bytes": 1,
    "fetch.wait.max.ms": 50,
    "fetch.queue.backoff.ms": 1,
    "fetch.message.max.bytes": MAX_MESSAGE_BYTES,
    "queued.max.messages.kbytes": 32 * 1024,
    "socket.nagle.disable": True,
    "isolation.level": "read_committed",
}
PASSING = {
    KafkaError._PARTITION_EOF,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError._WAIT_COORD,
    KafkaError._WAIT_CACHE,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_TOPIC_ID,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.NOT_CONTROLLER,
    KafkaError.NOT_ENOUGH_REPLICAS,
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError.FETCH_SESSION_ID_NOT_FOUND,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE,
}
"""Answers of a broker that starts, stops or moves a partition: ask again. (``retriable()`` knows of transactions only.)"""
AGAIN_S = 0.2
PATIENCE_S = 15.0


class KafkaProblem(Problem):
    """One line that says what to do."""


def passes(error: KafkaError) -> bool:
    """Whether it is worth asking again."""
    return not error.fatal() and (error.retriable() or error.code() in PASSING)


def patiently(what: str, ask: Callable[[], T], timeout_s: float = PATIENCE_S) -> T:
    """Ask until Kafka answers; KafkaProblem in one line for a refusal, or when it has not by then."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except KafkaException as raised:
            error: KafkaError = raised.args[0]
            if not passes(error):
                raise KafkaProblem(f"Kafka refuses {what}: {error.str()}") from raised
            if time.monotonic() > deadline:
                raise KafkaProblem(
                    f"Kafka does not tell {what}: {error.str()} (if it has just been started, try again in a moment)"
                ) from raised
        time.sleep(AGAIN_S)


def physical(prefix: str, topic: Topic | str) -> str:
    name = topic if isinstance(topic, str) else topic.name
    return f"{prefix}.{name}" if prefix else name


def logical(prefix: str, name: str) -> str:
    return name.removeprefix(f"{prefix}.") if prefix else name


def producer(conf: KafkaConf, **overrides: Any) -> Producer:
    return Producer({**conf, **PRODUCER, **overrides})


def consumer(conf: KafkaConf, group: str, **overrides: Any) -> Consumer:
    return Consumer(
        {
            **conf,
            **CONSUMER,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            **overrides,
        }
    )


def check_broker(conf: KafkaConf, timeout_s: float = 5.0) -> None:
    """KafkaProblem when no broker answers in time."""
    try:
        AdminClient({**conf, "socket.connection.setup.timeout.ms": 3000, "log_level": 0}).list_topics(timeout=timeout_s)
    except KafkaException as error:
        raise KafkaProblem(
            f"no Kafka at {conf.get('bootstrap.servers')}: {error.args[0].str()}"
            " (still starting? then in a moment; else 'tapedeck services up', or set TAPEDECK_KAFKA)"
        ) from None


def create_topics(
    conf: KafkaConf,
    prefix: str,
    *,
    replication_factor: int = 1,
    topics: Iterable[Topic] = tuple(TOPICS.values()),
    timeout_s: float = 30.0,
) -> list[str]:
    """Create what is missing, all at once; the names created. KafkaProblem where a topic exists with another partition count."""
    admin = AdminClient(dict(conf))
    wanted = {physical(prefix, t): t for t in topics}
    existing = patiently("its topics", lambda: admin.list_topics(timeout=timeout_s).topics, timeout_s)
    for name, topic in wanted.items():
        if name in existing and len(existing[name].partitions) != topic.partitions:
            raise KafkaProblem(
                f"topic {name} has {len(existing[name].partitions)} partitions, not {topic.partitions}: counts never change; use another run name"
            )
    missing = [
        NewTopic(n, t.partitions, replication_factor, config=t.config()) for n, t in wanted.items() if n not in existing
    ]
    if missing:
        for name, future in admin.create_topics(missing, operation_timeout=timeout_s).items():
            try:
                future.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise KafkaProblem(f"could not create topic {name}: {error.args[0].str()}") from error
        _await_leaders(admin, [t.topic for t in missing], timeout_s)
        _await_offsets(admin, missing, timeout_s)
    return [t.topic for t in missing]


def _await_leaders(admin: AdminClient, names: list[str], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        seen = patiently("its topics", lambda: admin.list_topics(timeout=timeout_s).topics, timeout_s)
        if all(
            n in seen and seen[n].error is None and all(p.leader >= 0 for p in seen[n].partitions.values())
            for n in names
        ):
            return
        if time.monotonic() > deadline:
            raise KafkaProblem("topics were created but have no leader yet: is the cluster healthy?")
        time.sleep(0.05)


def _await_offsets(admin: AdminClient, topics: list[NewTopic], timeout_s: float) -> None:
    """Metadata names a leader before it takes requests: wait until every partition tells its end."""
    partitions = [TopicPartition(t.topic, p) for t in topics for p in range(t.num_partitions)]
    deadline = time.monotonic() + timeout_s
    while partitions:
        futures = admin.list_offsets({p: OffsetSpec.latest() for p in partitions}, request_timeout=timeout_s)
        partitions = [p for p, future in futures.items() if future.exception() is not None]
        if partitions and time.monotonic() > deadline:
            raise KafkaProblem(f"topic {partitions[0].topic} was created but does not answer: is the cluster healthy?")
        if partitions:
            time.sleep(0.05)


def topic_ids(conf: KafkaConf, names: Iterable[str]) -> dict[str, str]:
    """The identity of each topic: a recreated one has another, and its offsets start again at 0."""
    wanted = list(names)

    def ask() -> dict[str, str]:
        admin = AdminClient(dict(conf))  # held until the answers are here: they end with it
        futures = admin.describe_topics(TopicCollection(wanted))
        return {name: str(future.result().topic_id) for name, future in futures.items()}

    return patiently("which topics these are", ask)


def watermarks(conf: KafkaConf, names: Iterable[str], timeout_s: float = 10.0) -> dict[str, dict[int, tuple[int, int]]]:
    """Of each topic, partition to (first offset, next offset), asked for all at once. KafkaProblem for a topic that is not there."""
    wanted = list(names)
    return patiently("where its topics end", lambda: _watermarks(conf, wanted, timeout_s))


def _watermarks(conf: KafkaConf, names: list[str], timeout_s: float) -> dict[str, dict[int, tuple[int, int]]]:
    admin = AdminClient(dict(conf))
    existing = admin.list_topics(timeout=timeout_s).topics
    missing = sorted(set(names) - set(existing))
    if missing:
        raise KafkaProblem(f"no topic {missing[0]}: has this run been started?")
    places = [TopicPartition(name, p) for name in names for p in sorted(existing[name].partitions)]
    low, high = (_offsets(admin, places, spec, timeout_s) for spec in (OffsetSpec.earliest(), OffsetSpec.latest()))
    return {name: {p: (low[name, p], high[name, p]) for p in sorted(existing[name].partitions)} for name in names}


def _offsets(
    admin: AdminClient, places: list[TopicPartition], spec: OffsetSpec, timeout_s: float
) -> dict[tuple[str, int], int]:
    futures = admin.list_offsets(dict.fromkeys(places, spec), request_timeout=timeout_s)
    return {(tp.topic, tp.partition): future.result().offset for tp, future in futures.items()}


def read_all(conf: KafkaConf, name: str, *, start: Mapping[int, int] | None = None) -> Iterator[Message]:
    """Every message of a topic up to its end as of now, partition after partition, each in order."""
    marks = watermarks(conf, [name])[name]
    client = consumer(conf, group="tapedeck-reader")
    try:
        for partition, (low, high) in marks.items():
            first = max(low, (start or {}).get(partition, low))
            if first >= high:
                continue
            client.assign([TopicPartition(name, partition, first)])
            yield from _until(client, high)
    finally:
        client.close()


def offset_at(conf: KafkaConf, name: str, partition: int, ts_ms: int) -> int | None:
    """The first record that the broker took in at that time or later; None where there is none."""
    client = consumer(conf, group="tapedeck-reader")
    try:
        found = client.offsets_for_times([TopicPartition(name, partition, max(0, ts_ms))], timeout=10)[0].offset
    finally:
        client.close()
    return int(found) if found >= 0 else None


def read_span(conf: KafkaConf, name: str, partition: int, first: int, end: int) -> Iterator[Message]:
    """The messages of one partition from ``first`` to ``end`` (excluded), as far as they are still there."""
    if first >= end:
        return
    client = consumer(conf, group="tapedeck-reader")
    try:
        client.assign([TopicPartition(name, partition, first)])
        for message in _until(client, end):
            if (message.offset() or 0) < end:
                yield message
    finally:
        client.close()


def _until(client: Consumer, high: int) -> Iterator[Message]:
    """KafkaProblem when nothing comes any more before the end is reached."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        message = client.poll(1.0)
        error = None if message is None else message.error()
        if message is not None and error is None:
            yield message
            deadline = time.monotonic() + PATIENCE_S
            if (message.offset() or 0) + 1 >= high:
                return
            continue
        if error is not None and not passes(error):
            raise KafkaProblem(f"Kafka refuses a topic's records: {error.str()}") from KafkaException(error)
        if client.position(client.assignment())[0].offset >= high:  # the last offsets are transaction markers
            return
        if time.monotonic() > deadline:
            raise KafkaProblem(
                "Kafka stopped answering in the middle of a topic: is it up ('tapedeck services status')?"
            )


def header(message: Message, name: str) -> bytes | None:
    for key, value in message.headers() or []:
        if key == name:
            return value.encode() if isinstance(value, str) else value
    return None


def publish(
    conf: KafkaConf, prefix: str, records: Iterable[Record], subscriptions: Subscriptions, timeout_s: float = 8.0
) -> None:
    """Write an operator's records and wait for the broker's word. They carry no coordinate: their own ids identify them."""
    client, refused = producer(conf), []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            refused.append(error.str())

    for (topic, key), events in group(records, subscriptions).items():
        client.produce(physical(prefix, topic), wire.encode(events), key, on_delivery=delivered)
    left = client.flush(timeout_s)
    if left:
        client.purge()
        raise KafkaProblem(
            f"the broker did not acknowledge within {timeout_s:g} s: nothing is certain, look with 'tapedeck limits' and try again"
        )
    if refused:
        raise KafkaProblem(f"the broker refused it: {refused[0]}")


def latest(conf: KafkaConf, prefix: str, topic: Topic) -> list[Any]:
    """The last record of every key, in key order: what a state topic says now."""
    found: dict[bytes, list[Any]] = {}
    for message in read_all(conf, physical(prefix, topic)):
        if message.value() is not None:
            found[message.key() or b""] = wire.decode(message.value() or b"", topic.types)
    return [event for _, events in sorted(found.items()) for event in events]
