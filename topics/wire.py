"""The wire form: a record's value is a JSON array of tagged structs. Encoding is deterministic; digits survive."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from topics import controls, market, orders, portfolio, strategy, system
from topics.record import Record

MODULES = (market, strategy, orders, portfolio, controls, system)

RECORD_TYPES: dict[str, type[Record]] = {
    t.__name__: t
    for module in MODULES
    for t in vars(module).values()
    if isinstance(t, type) and issubclass(t, Record) and t.__module__ == module.__name__
}

_encoder = msgspec.json.Encoder(order="deterministic")


class BadRecord(ValueError):
    """The bytes are not what the topic holds; the message says why."""


@cache
def _decoder(types: tuple[type, ...]) -> "msgspec.json.Decoder[Any]":
    union: Any = types[0]
    for t in types[1:]:
        union = union | t
    return msgspec.json.Decoder(list[union])


def encode(events: Sequence[Record]) -> bytes:
    return _encoder.encode(events)


def decode(value: bytes, types: tuple[type, ...] | None = None) -> list[Any]:
    """The record's events, in order. BadRecord where the bytes do not fit ``types`` (all record types when None)."""
    try:
        return _decoder(types or tuple(RECORD_TYPES.values())).decode(value)  # type: ignore[no-any-return]
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRecord(str(error)) from error
