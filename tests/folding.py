"""Runs a stage in process, as its shell would: keys, ticks to every key, states encoded and decoded when asked."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from topics import wire
from topics.coordinates import At
from topics.record import Record, StrategyId
from topics.routes import Subscription, group
from topics.stage import EVERY, Stage


class Folding:
    """One partition of one stage; ``states`` are its live objects by key, recoded every ``recode_every`` events."""

    def __init__(self, stage: Stage[Any], recode_every: int | None = None) -> None:
        self.stage = stage
        self.states: dict[str, Any] = {}
        self.recode_every = recode_every
        self.offset = 0

    def feed(self, event: Any) -> list[Record]:
        """The outputs of one input record: an event (sent through its wire form), or bytes for ``decode``."""
        outputs = [out for i, e in enumerate(self._decoded(event)) for out in self._fold(e, At(0, self.offset, i))]
        self.offset += 1
        if self.recode_every is not None and self.offset % self.recode_every == 0:
            self.recode()
        return outputs

    def recode(self) -> None:
        for key, state in self.states.items():
            self.states[key] = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=self.stage.state_type)

    def _decoded(self, event: Any) -> list[Any]:
        if self.stage.decode is not None:
            return self.stage.decode(event)
        return wire.decode(wire.encode([event]), self.stage.input.types)

    def _fold(self, event: Any, at: At) -> Iterator[Record]:
        key = self.stage.state_key(event)
        keys = sorted(self.states) if key == EVERY else [] if key is None else [key]
        for k in keys:
            self.states[k], outputs = self.stage.on_event(self.states.get(k), event, at)
            yield from outputs


def run(stage: Stage[Any], events: Iterable[Any], recode_every: int | None = None) -> list[Record]:
    """All output records, in order."""
    folding = Folding(stage, recode_every)
    return [out for event in events for out in folding.feed(event)]


def fold(
    stage: Stage[Any],
    events: Iterable[Any],
    subscriptions: Mapping[StrategyId, Subscription] | None = None,
    recode_every: int | None = None,
) -> list[bytes]:
    """What the stage would put on the tape: ``topic TAB key TAB value`` per output record, in order."""
    folding = Folding(stage, recode_every)
    return [
        f"{topic.name}\t{key}\t".encode() + wire.encode(records)
        for event in events
        for (topic, key), records in group(folding.feed(event), subscriptions or {}).items()
    ]
