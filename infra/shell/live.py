"""The live objects of one assigned partition: a state per key, and the fence; written back once per checkpoint.

In the store, ``\\x00fence`` holds the fence and ``\\x01<key>`` each state, both as MessagePack after a version byte.
The byte is needed: Quix has misread values whose first 8 bytes look like a time.
"""

from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from topics.coordinates import Coordinate

S = TypeVar("S")

FENCE = b"\x00fence"
STATES, END_OF_STATES = b"\x01", b"\x02"
VERSION = b"\x01"

_encode = msgspec.msgpack.Encoder().encode
_fence_decoder = msgspec.msgpack.Decoder(list[Coordinate])


class Store(Protocol):
    """A partition's durable state. What is set becomes durable with the checkpoint, together with the offsets."""

    def get(self, key: bytes) -> bytes | None: ...

    def set(self, key: bytes, value: bytes) -> None: ...

    def items(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """What the last checkpoint holds in [first, end), by key."""
        ...


class UnknownVersion(RuntimeError):
    """The stored value was written by another version of this shell."""


class LivePartition(Generic[S]):
    """Thrown away when the partition is revoked, lost or rewound: what is not written back is nobody's then."""

    def __init__(self, store: Store, state_type: type[S]) -> None:
        self._store = store
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(state_type)
        self._states: dict[str, S] = {}
        self._changed: set[str] = set()
        self._sorted: list[str] | None = None  # all keys of the partition; None until asked for, and after a new one
        self._complete = False
        self._fence: dict[tuple[str, str], tuple[int, int]] | None = None
        self._fence_changed = False

    def get(self, key: str) -> S | None:
        """The live object of a key, or None before its first event."""
        if key in self._states:
            return self._states[key]
        raw = self._store.get(STATES + key.encode())
        if raw is None:
            return None
        self._states[key] = state = self._decode(raw)
        return state

    def put(self, key: str, state: S) -> None:
        if key not in self._states:
            self._sorted = None
        self._states[key] = state
        self._changed.add(key)

    def keys(self) -> list[str]:
        """Every key of the partition, sorted."""
        if not self._complete:
            for raw_key, raw in self._store.items(STATES, END_OF_STATES):
                key = raw_key[len(STATES) :].decode()
                if key not in self._states:
                    self._states[key] = self._decode(raw)
            self._complete = True
            self._sorted = None
        if self._sorted is None:
            self._sorted = sorted(self._states)
        return list(self._sorted)

    def is_news(self, source: Coordinate) -> bool:
        """Whether a record from there has not been folded yet."""
        last = self._fences().get((source.producer, source.source))
        return last is None or (source.major, source.minor) > last

    def passed(self, source: Coordinate) -> None:
        """The record from there is folded: it and what comes before it will be skipped."""
        self._fences()[source.producer, source.source] = (source.major, source.minor)
        self._fence_changed = True

    def write_back(self) -> None:
        """Hand everything that changed since the last time to the store."""
        for key in sorted(self._changed):
            self._store.set(STATES + key.encode(), VERSION + _encode(self._states[key]))
        if self._fence_changed:
            self._store.set(FENCE, self._fence_bytes())
        self._changed.clear()
        self._fence_changed = False

    def entries(self) -> list[tuple[bytes, bytes]]:
        """Everything as a store would hold it after a write-back: the fence, then each key's state, by key."""
        states = {} if self._complete else dict(self._store.items(STATES, END_OF_STATES))
        states |= {STATES + key.encode(): VERSION + _encode(state) for key, state in self._states.items()}
        return [(FENCE, self._fence_bytes()), *sorted(states.items())]

    def _fence_bytes(self) -> bytes:
        return VERSION + _encode([Coordinate(*source, *last) for source, last in self._fences().items()])

    def _fences(self) -> dict[tuple[str, str], tuple[int, int]]:
        if self._fence is None:
            raw = self._store.get(FENCE)
            fence = [] if raw is None else _fence_decoder.decode(_payload(raw))
            self._fence = {(c.producer, c.source): (c.major, c.minor) for c in fence}
        return self._fence

    def _decode(self, raw: bytes) -> S:
        return self._decoder.decode(_payload(raw))  # type: ignore[no-any-return]


def _payload(raw: bytes) -> bytes:
    if raw[:1] != VERSION:
        found = raw[:1].hex()
        raise UnknownVersion(
            f"state of version {found}, not {VERSION.hex()}: use the software that wrote it, or a new run"
        )
    return raw[1:]
