"""Sink ``audit``: every command, fact, fill, order state, position, balance, control and stage start into Postgres.

``records`` has each event as it stood on the tape, with its coordinates, its source and the software that made it; typed tables
have each event once by source, for questions. Idempotent: what is taken twice, or was written to the tape twice after a crash,
counts once. Nothing is thinned. What cannot be read is kept as bytes with the reason, and told in ``dead.letters``.
"""

import threading

from infra.config import Config
from infra.edge import Edge
from infra.kafka import KafkaConf
from infra.metrics import Exposition
from infra.postgres.migrate import migrate
from infra.postgres.store import AuditStore, Batch
from infra.postgres.tables import AUDITED
from infra.tail import Tail, Taken, topic_ids
from pipelines.sinks import SinkStatus, follow
from topics.catalog import DEAD_LETTERS
from topics.system import DeadLetter

STAGE = "audit"
MOST = 2000


def run_audit(
    config: Config,
    kafka_conf: KafkaConf,
    postgres_dsn: str,
    stop: threading.Event,
    exposition: Exposition | None = None,
) -> None:
    """Until ``stop``; with ``stop`` already set, up to the end of the tape. Raises what it cannot go on with."""
    migrate(postgres_dsn, config.prefix)
    ids = topic_ids(kafka_conf, config.prefix, AUDITED)
    status = SinkStatus(config.run_dir, STAGE)
    if exposition is not None:
        exposition.add(status)
    with (
        AuditStore(postgres_dsn, config.prefix) as store,
        Edge(kafka_conf, config.prefix, STAGE, config_digest=config.digest(), subscriptions={}) as edge,
        Tail(kafka_conf, config.prefix, AUDITED, ids, store.offsets(ids)) as tail,
    ):

        def write(taken: list[Taken]) -> None:
            batch = Batch(taken)
            if (done := store.settle()) is not None:
                status.records_out += done.events
                status.dead_letters += len(done.unreadable)
                edge.publish(letters(done))
            if taken:
                store.begin(batch)

        follow(tail, write, status, stop, most=MOST)


def letters(batch: Batch) -> list[DeadLetter]:
    """What to tell of the unreadable; an unreadable dead letter is not told again."""
    return [
        DeadLetter(
            stage=STAGE,
            topic=t.topic,
            partition=t.partition,
            offset=t.offset,
            reason=reason,
            payload=t.value or b"",
            key=t.key or b"",
        )
        for t, reason in batch.unreadable
        if t.topic != DEAD_LETTERS.name
    ]
