"""One stage folded in this process.

``Fold`` does it by the very ``Processor`` that its worker runs: fence, decoding, state, dead letters. ``QuickFold`` does the
same to records that this process made, without what they do not need: their coordinates cannot have been seen before, and
their events need not be decoded. Other records it hands to the fence and the decoder as the ``Processor`` does.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from infra.shell.processor import Inbound, Processor, Publish, StageBroken, coordinate, dead_letter
from infra.shell.status import Status
from topics.coordinates import At, Coordinate
from topics.market import Tick
from topics.record import Record
from topics.stage import EVERY, Stage
from topics.wire import BadRecord


class MemoryStore:
    """A partition's states, as the checkpoints of a worker would have them."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def set(self, key: bytes, value: bytes) -> None:
        self._values[key] = value

    def load(self, entries: Mapping[bytes, bytes]) -> None:
        """In the place of all it held."""
        self._values = dict(entries)

    def items(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        return ((key, self._values[key]) for key in sorted(self._values) if first <= key < end)


class Fold:
    """All partitions of one stage. With ``recode_every``, states are encoded, forgotten and decoded after that many events."""

    def __init__(self, stage: Stage[Any], publish: Publish, recode_every: int | None = None) -> None:
        self._stores: dict[int, MemoryStore] = defaultdict(MemoryStore)
        self.stage = stage
        self.status = Status(stage=stage.name, instance=0, pid=0)
        self._processor = Processor(stage, self._stores.__getitem__, publish, self.status)
        self._recode_every = recode_every
        self._recoded = 0

    def feed(self, record: Inbound) -> None:
        """Fold one record of the input; what comes out goes to ``publish`` before this returns. StageBroken when it raises."""
        self._processor.process(record)
        self.status.committed[record.partition] = record.offset + 1
        if self._recode_every is not None and self.status.events_in - self._recoded >= self._recode_every:
            self.recode()

    def restore(self, partition: int, entries: Mapping[bytes, bytes]) -> None:
        """The partition's state and fence are these from now on."""
        self.recode()
        self._stores[partition].load(entries)

    def entries(self, partition: int) -> list[tuple[bytes, bytes]]:
        """The partition's state and fence, as a store would hold them."""
        return self._processor.live(partition).entries()

    def recode(self) -> None:
        """What a checkpoint and a restart do to the state."""
        self._recoded = self.status.events_in
        self._processor.write_back()
        self._processor.forget()

    @property
    def partitions(self) -> list[int]:
        """Those that have state."""
        return sorted(self._stores)


class Incoming(Protocol):
    """A record of the tape. ``is_news``: nothing of its producer and source came later before."""

    partition: int
    offset: int
    key: bytes | None
    is_news: bool

    @property
    def events(self) -> Sequence[Any]:
        """BadRecord when its bytes are none."""

    def inbound(self) -> Inbound: ...


class QuickFold:
    """As ``Fold``: the same outputs, states and counts from the same records."""

    def __init__(self, stage: Stage[Any], publish: Publish, recode_every: int | None = None) -> None:
        self.stage = stage
        self.status = Status(stage=stage.name, instance=0, pid=0)
        self._publish = publish
        self._state_key, self._on_event = stage.state_key, stage.on_event
        self.stopped = False
        """What comes from then on stays unread."""
        self._own_key = None if stage.own_key is None else stage.own_key.encode()
        self._reads = None if stage.reads is None else frozenset(stage.reads)
        self._states: dict[int, States] = {}
        self._fence: dict[tuple[int, str, str], tuple[int, int]] = {}
        self._recode_every = recode_every
        self._recoded = 0

    def feed(self, record: Incoming) -> None:
        """Fold one record; what comes out goes to ``publish`` before this returns. StageBroken when the fold raises."""
        if self.stopped:
            return
        status, partition = self.status, record.partition
        status.records_in += 1
        status.committed[partition] = record.offset + 1
        if self._own_key is not None and record.key is not None and record.key != self._own_key:
            return
        outputs: list[Record]
        try:
            if not record.is_news and self._is_repeated(record):
                status.skipped_by_fence += 1
                return
            events = record.events if self.stage.decode is None else self.stage.decode(record.inbound().value or b"")
        except BadRecord as error:
            status.dead_letters += 1
            outputs = [dead_letter(self.stage, record.inbound(), str(error))]
        else:
            status.events_in += len(events)
            if len(events) == 1 and not self.takes(type(events[0]), partition):
                return
            outputs = self._fold(events, partition, record.offset)
        if outputs:
            self._publish(outputs, partition, record.offset)
        if self._recode_every is not None and status.events_in - self._recoded >= self._recode_every:
            self._recode()

    def takes(self, kind: type, partition: int) -> bool:
        """Whether such an event is anything to this stage: what it reads, and a tick only where there is state to visit."""
        if self._reads is not None and kind not in self._reads:
            return False
        return kind is not Tick or partition in self._states

    def _is_repeated(self, record: Incoming) -> bool:
        source: Coordinate | None = coordinate(record.inbound().headers)
        if source is None:
            return False
        place, at = (record.partition, source.producer, source.source), (source.major, source.minor)
        last = self._fence.get(place)
        if last is not None and at <= last:
            return True
        self._fence[place] = at
        return False

    def _fold(self, events: Sequence[Any], partition: int, offset: int) -> list[Record]:
        states = self._states.get(partition)
        if states is None:
            states = States()
        outputs: list[Record] = []
        index = 0
        try:
            for index, event in enumerate(events):
                key = self._state_key(event)
                if key is None:
                    continue
                at = At(partition, offset, index)
                for one in states.keys() if key == EVERY else (key,):
                    before = states.get(one)
                    state, out = self._on_event(before, event, at)
                    if state is not before:
                        states.put(one, state)
                    if out:
                        outputs += out
        except Exception as error:
            where = f"{self.stage.name} at {self.stage.input.name}[{partition}]@{offset}.{index}"
            raise StageBroken(f"{where}: {type(error).__name__}: {error}") from error
        if states:
            self._states[partition] = states
        return outputs

    def _recode(self) -> None:
        """What a checkpoint and a restart do to the state."""
        self._recoded = self.status.events_in
        for states in self._states.values():
            states.recode(self.stage.state_type)


class States:
    """A partition's states by key."""

    def __init__(self) -> None:
        self._of: dict[str, Any] = {}
        self._sorted: list[str] = []
        self.get = self._of.get

    def __len__(self) -> int:
        return len(self._of)

    def put(self, key: str, state: Any) -> None:
        if key not in self._of:
            self._sorted = []
        self._of[key] = state

    def keys(self) -> list[str]:
        """Sorted; not to be changed."""
        if not self._sorted:
            self._sorted = sorted(self._of)
        return self._sorted

    def recode(self, state_type: type) -> None:
        for key, state in self._of.items():
            self._of[key] = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=state_type)
