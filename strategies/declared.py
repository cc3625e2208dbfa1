"""Refuses what would hide a strategy's memory from the tape: changing attributes, fields that storage would change."""

from decimal import Decimal
from enum import Enum
from functools import cache
from types import FunctionType
from typing import Any

import msgspec
from msgspec import inspect

CALLBACKS = (
    "on_quote",
    "on_trade",
    "on_book",
    "on_start",
    "on_signal",
    "on_bar",
    "on_order",
    "on_position",
    "on_tick",
    "on_params",
)
_CODE = (FunctionType, property, classmethod, staticmethod, type)
_CONSTANTS = (str, bytes, bool, int, float, Decimal, Enum, type(None))
_LOST = (inspect.AnyType, inspect.SetType, inspect.FrozenSetType, inspect.CustomType, inspect.RawType)


def check_class(cls: type) -> None:
    """TypeError that names the attribute."""
    for name, value in vars(cls).items():
        if not (name.startswith("__") and name.endswith("__")) and not _is_constant(value):
            raise TypeError(
                f"{cls.__name__}.{name}: class attributes are constants here; declare what changes in State or View"
            )
    unknown = [name for name in vars(cls) if name.startswith("on_") and name not in CALLBACKS]
    if unknown:
        raise TypeError(
            f"{cls.__name__}.{unknown[0]}: no such callback, it would never be called (there are {', '.join(CALLBACKS)})"
        )
    for kind, frozen in (("Params", True), ("View", False), ("State", False)):
        _check_kind(cls, kind, frozen)


def _check_kind(cls: type, kind: str, frozen: bool) -> None:
    struct = getattr(cls, kind)
    if not (isinstance(struct, type) and issubclass(struct, msgspec.Struct)):
        raise TypeError(f"{cls.__name__}.{kind} must be a msgspec.Struct")
    if struct.__struct_config__.frozen is not frozen:
        raise TypeError(f"{cls.__name__}.{kind} must {'' if frozen else 'not '}be frozen")


def _is_constant(value: object) -> bool:
    if isinstance(value, tuple | frozenset):
        return all(_is_constant(v) for v in value)
    if isinstance(value, msgspec.Struct):
        return value.__struct_config__.frozen and all(_is_constant(getattr(value, f)) for f in value.__struct_fields__)
    return isinstance(value, _CODE + _CONSTANTS)


@cache
def check_struct(struct: type[msgspec.Struct]) -> None:
    """TypeError unless every field has a default and comes back from MessagePack as it went."""
    for field in inspect.type_info(struct).fields:  # type: ignore[attr-defined]
        if field.required:
            raise TypeError(f"{struct.__qualname__}.{field.name} needs a default")
        if _loses(field.type, frozenset({struct})):
            raise TypeError(
                f"{struct.__qualname__}.{field.name}: Any, sets and Raw do not come back from storage as they went"
            )


def _loses(info: Any, seen: frozenset[type]) -> bool:
    if isinstance(info, _LOST):
        return True
    if isinstance(info, inspect.StructType):
        inner = [] if info.cls in seen else [f.type for f in info.fields]
        return any(_loses(t, seen | {info.cls}) for t in inner)
    parts = [getattr(info, name, None) for name in ("item_type", "key_type", "value_type")]
    parts += [*getattr(info, "item_types", ()), *getattr(info, "types", ())]
    return any(_loses(t, seen) for t in parts if t is not None)
