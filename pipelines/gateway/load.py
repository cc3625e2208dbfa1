"""The gateway's state rebuilt from the tape: what it has to know before it may do anything."""

from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Message

from infra import kafka
from pipelines.gateway.snapshot import load_book
from pipelines.gateway.state import State
from topics import wire
from topics.catalog import CONTROLS, INSTRUMENTS_LATEST, PORTFOLIO_INBOX, Topic
from topics.controls import Flatten, Resume

INBOX_TAIL = 100_000
"""How many records of ``portfolio.inbox`` are read back. Definitions older than that come from their compacted topic.
"""


class Places(NamedTuple):
    """Where to go on reading, what on the tape has to be answered by a ``ControlDone``, with its offset, and how many
    facts came from the snapshot.
    """

    inbox: int
    controls: int
    to_answer: list[tuple[int, Flatten | Resume]]
    in_snapshot: int = 0


def load(conf: kafka.KafkaConf, prefix: str, state: State, snapshot: Path | None = None) -> Places:
    """Fold everything that is on the tape into ``state``, the book from its snapshot on where there is a good one;
    blocks while it reads.
    """
    state.book, _, began = load_book(conf, prefix, state.account, snapshot)
    controls, to_answer = _load_rules(conf, prefix, state)
    return Places(_load_market(conf, prefix, state), controls, to_answer, began.facts)


def _load_rules(conf: kafka.KafkaConf, prefix: str, state: State) -> tuple[int, list[tuple[int, Flatten | Resume]]]:
    offset, to_answer = -1, []
    for message in kafka.read_all(conf, kafka.physical(prefix, CONTROLS)):
        offset = message.offset() or 0
        controls = _decoded(message, CONTROLS)
        to_answer += [(offset, c) for c in state.rules.fold(offset, controls) if isinstance(c, Flatten | Resume)]
    return offset + 1, to_answer


def _load_market(conf: kafka.KafkaConf, prefix: str, state: State) -> int:
    name = kafka.physical(prefix, PORTFOLIO_INBOX)
    low, high = kafka.watermarks(conf, [name])[name][0]
    start = max(low, high - INBOX_TAIL)
    if start > 0:
        for definition in kafka.latest(conf, prefix, INSTRUMENTS_LATEST):
            state.market.definitions[definition.instrument] = definition
    offset = start - 1
    for message in kafka.read_all(conf, name, start={0: start}):
        offset = message.offset() or 0
        state.market.fold(offset, _decoded(message, PORTFOLIO_INBOX))
    return offset + 1


def _decoded(message: Message, topic: Topic) -> list[Any]:
    """A record that cannot be read says nothing to us; the stage that reads the topic writes its dead letter."""
    try:
        return wire.decode(message.value() or b"", topic.types)
    except wire.BadRecord:
        return []


def decoded_or_error(message: Message, topic: Topic) -> tuple[list[Any], str]:
    try:
        return wire.decode(message.value() or b"", topic.types), ""
    except wire.BadRecord as error:
        return [], str(error)
