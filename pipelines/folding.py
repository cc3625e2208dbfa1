"""One stage folded in this process, by the very ``Processor`` that its worker runs: fence, decoding, state, dead letters."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from infra.shell.processor import Inbound, Processor, Publish
from infra.shell.status import Status
from topics.stage import Stage


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
