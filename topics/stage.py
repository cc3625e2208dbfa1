"""What a stage is: a pure fold of one input topic. Kafka composes stages in production, an event loop does in a backtest."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from topics.catalog import Topic
from topics.coordinates import At
from topics.record import Record

S = TypeVar("S")

EVERY: Final = "*"
"""As a state key: the event is folded into every key of its partition, in sorted order (ticks)."""

Outputs = Iterable[Record]


@dataclass(frozen=True)
class Stage(Generic[S]):
    """``on_event(state, event, at) -> (state, outputs)``: no clock, no randomness, no I/O, no second topic.

    The state is None at a key's first event; it may be changed in place, and is kept as MessagePack of ``state_type``. It must fold the same
    whether it was kept live or encoded and decoded in between. ``state_key`` says whose state an event folds into: None when it is not this
    stage's, EVERY for all keys of the partition. ``decode`` turns a record's value into events, for inputs that are not our own wire form
    (BadRecord for what cannot be read). With ``own_key`` only records with this Kafka key, and keyless ticks, are this stage's.
    Of other types than ``reads`` (None: none other) an event changes nothing and puts nothing out, so that it may be passed over.
    Outputs are routed by ``topics.routes``; their order is part of what replay compares.
    """

    name: str
    input: Topic
    state_type: type[S]
    state_key: Callable[[Any], str | None]
    on_event: Callable[[S | None, Any, At], tuple[S, Outputs]]
    decode: Callable[[bytes], list[Any]] | None = None
    outputs: tuple[type[Record], ...] = ()
    own_key: str | None = None
    reads: tuple[type[Record], ...] | None = None
