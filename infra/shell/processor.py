"""What happens to one input record: fenced by its coordinate, decoded, folded event by event, its outputs handed on."""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from infra.shell.live import LivePartition, Store
from infra.shell.status import Status
from topics import wire
from topics.coordinates import HEADER, At, Coordinate
from topics.record import Record
from topics.stage import EVERY, Stage
from topics.system import DeadLetter
from topics.wire import BadRecord

S = TypeVar("S")
Headers = Sequence[tuple[str, bytes | str | None]]
Publish = Callable[[list[Record], int, int], None]
"""(outputs of one input record in order, partition, offset)"""

MAX_DEAD_PAYLOAD = 1024 * 1024  # base64 and quoted it must still fit a record

log = logging.getLogger(__name__)

_at = tuple.__new__
"""A named tuple's own way takes three times as long, for every event."""


class StageBroken(RuntimeError):
    """The fold raised, which it never may: a broken invariant. The process ends, and starts at the last checkpoint."""


class Inbound(NamedTuple):
    """One record as Kafka delivers it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Processor(Generic[S]):
    """Folds the records of the assigned partitions. Redelivered records change nothing and emit nothing."""

    def __init__(self, stage: Stage[S], open_store: Callable[[int], Store], publish: Publish, status: Status) -> None:
        self._stage = stage
        self._open_store = open_store
        self._publish = publish
        self._status = status
        self._own_key = None if stage.own_key is None else stage.own_key.encode()
        self._live: dict[int, LivePartition[S]] = {}

    def process(self, record: Inbound) -> None:
        """Fold one record. StageBroken when the fold raises."""
        self._status.records_in += 1
        if self._own_key is not None and record.key is not None and record.key != self._own_key:
            return
        live = self.live(record.partition)
        source: Coordinate | None = None
        try:
            source = coordinate(record.headers)
            if source is not None and not live.is_news(source):
                self._status.skipped_by_fence += 1
                return
            events = self._decode(record.value)
        except BadRecord as error:
            self._status.dead_letters += 1
            outputs: list[Record] = [dead_letter(self._stage, record, str(error))]
        else:
            outputs = self._fold(live, events, record)
        if source is not None:
            live.passed(source)
        if outputs:
            self._publish(outputs, record.partition, record.offset)

    def live(self, partition: int) -> LivePartition[S]:
        found = self._live.get(partition)
        if found is None:
            found = self._live[partition] = LivePartition(self._open_store(partition), self._stage.state_type)
        return found

    def entries(self) -> dict[int, list[tuple[bytes, bytes]]]:
        """By partition that was folded into since the assignment: all that is known of it, as a store would hold it."""
        return {partition: live.entries() for partition, live in self._live.items()}

    def write_back(self) -> None:
        for live in self._live.values():
            live.write_back()

    def forget(self) -> None:
        """Drop all live objects; they are read again from the last checkpoint."""
        self._live.clear()

    def _decode(self, value: bytes | None) -> list[Any]:
        if value is None:
            raise BadRecord("the record has no value")
        if self._stage.decode is not None:
            return self._stage.decode(value)
        return wire.decode(value, self._stage.input.types)

    def _fold(self, live: LivePartition[S], events: Iterable[Any], record: Inbound) -> list[Record]:
        outputs: list[Record] = []
        folded = -1
        try:
            for folded, event in enumerate(events):
                key = self._stage.state_key(event)
                if key == EVERY:
                    self._fold_every(live, event, _at(At, (record.partition, record.offset, folded)), outputs)
                elif key is not None:
                    at = _at(At, (record.partition, record.offset, folded))
                    state, out = self._stage.on_event(live.get(key), event, at)
                    live.put(key, state)
                    outputs += out
        except Exception as error:
            where = f"{self._stage.name} at {self._stage.input.name}[{record.partition}]@{record.offset}.{folded}"
            log.critical("%s: %s on %s: %s", where, type(error).__name__, type(event).__name__, error)
            raise StageBroken(f"{where}: {type(error).__name__}: {error}") from error
        self._status.events_in += folded + 1
        return outputs

    def _fold_every(self, live: LivePartition[S], event: Any, at: At, outputs: list[Record]) -> None:
        for key in live.keys():  # noqa: SIM118 no dict
            state, out = self._stage.on_event(live.get(key), event, at)
            live.put(key, state)
            outputs += out


def dead_letter(stage: Stage[Any], record: Inbound, reason: str) -> DeadLetter:
    """What the stage says about a record that it cannot read."""
    payload = record.value or b""
    if len(payload) > MAX_DEAD_PAYLOAD:
        reason = f"{reason} (the first {MAX_DEAD_PAYLOAD} of {len(payload)} bytes)"
    where = f"{stage.input.name}[{record.partition}]@{record.offset}"
    log.warning("%s: dead letter %s: %s", stage.name, where, reason)
    return DeadLetter(
        stage=stage.name,
        topic=stage.input.name,
        partition=record.partition,
        offset=record.offset,
        reason=reason,
        payload=payload[:MAX_DEAD_PAYLOAD],
        key=record.key or b"",
    )


def coordinate(headers: Headers) -> Coordinate | None:
    """Where the record came from; None when it does not say. BadRecord when what it says is no coordinate."""
    for name, value in headers:
        if name == HEADER:
            try:
                return Coordinate.decode(value if isinstance(value, bytes) else str(value).encode())
            except ValueError:
                raise BadRecord(f"header {HEADER} is no coordinate: {value!r}") from None
    return None
