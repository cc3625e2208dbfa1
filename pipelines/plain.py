"""Records as people and their scripts read them: decimals in plain digits, never with an exponent."""

import json
from decimal import Decimal
from typing import Any

import msgspec


def plain(value: Decimal) -> str:
    """All of its digits, no zeros at the end of a fraction, no sign before a zero."""
    text = f"{value if value else abs(value):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def plain_json(record: Any) -> str:
    """One line of JSON of a struct."""
    return json.dumps(_plain(msgspec.to_builtins(record, builtin_types=(Decimal,))), ensure_ascii=False)


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return plain(value)
        case dict():
            return {name: _plain(one) for name, one in value.items()}
        case list():
            return [_plain(one) for one in value]
    return value
