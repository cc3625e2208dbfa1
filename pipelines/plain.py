"""Records as people and their scripts read them: decimals in plain digits, never with an exponent."""

import json
from decimal import Decimal
from typing import Any

import msgspec

from pipelines.exact import text


def plain_json(record: Any) -> str:
    """One line of JSON of a struct."""
    return json.dumps(_plain(msgspec.to_builtins(record, builtin_types=(Decimal,))), ensure_ascii=False)


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return text(value)
        case dict():
            return {name: _plain(one) for name, one in value.items()}
        case list():
            return [_plain(one) for one in value]
    return value


def money(amount: Decimal | float) -> str:
    """To the cent; below one unit, as coin mostly is, as many of eight decimals as there are."""
    if amount == 0 or not -1 < amount < 1:
        return f"{amount:,.2f}"
    whole, _, fraction = f"{amount:.8f}".partition(".")
    return f"{whole}.{fraction.rstrip('0'):0<2}"
