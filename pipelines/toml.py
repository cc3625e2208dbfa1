"""A table as TOML text, for configurations that the platform writes for a run of its own."""

import json
from collections.abc import Mapping
from typing import Any


def to_toml(table: Mapping[str, Any]) -> str:
    """Top-level tables as sections, everything below them inline; lists of tables as arrays of inline tables."""
    loose = {k: v for k, v in table.items() if not isinstance(v, Mapping)}
    lines = [f"{_key(k)} = {_value(v)}" for k, v in loose.items()]
    for name, section in table.items():
        if isinstance(section, Mapping):
            lines += ["", f"[{_key(name)}]", *(f"{_key(k)} = {_value(v)}" for k, v in section.items())]
    return "\n".join(lines).strip() + "\n"


def _key(name: str) -> str:
    return json.dumps(name)


def _value(value: Any) -> str:
    match value:
        case Mapping():
            return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(_value, value)) + "]"
        case bool() | str() | int() | float():
            return json.dumps(value)
    raise TypeError(f"no TOML for {type(value).__name__}")
