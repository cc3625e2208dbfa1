"""From configuration to a strategy: ``module:Class`` and its parameters. Every error is one line that names the key."""

import importlib
from collections.abc import Mapping
from typing import Any

import msgspec
import msgspec.structs

from strategies.api import Strategy, StrategyError


def load_strategy(path: str, params: Mapping[str, Any]) -> Strategy:
    """``strategies.spread_buyer:SpreadBuyer`` and its table from TOML; quantities as strings, to keep their digits."""
    cls = _find(path)
    return _make(cls, decode_params(cls, msgspec.json.encode(params)))


def typed_params(path: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters given as text (``0.01``, ``true``) as what the strategy declares them to be; plain values as in TOML."""
    cls = _find(path)
    types = {field.encode_name: field.type for field in msgspec.structs.fields(cls.Params)}
    return {name: _typed(cls, name, types[name], v) if name in types else v for name, v in given.items()}


def _typed(cls: type[Strategy], name: str, kind: Any, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return msgspec.to_builtins(msgspec.convert(value, kind, strict=False))
    except (msgspec.MsgspecError, ArithmeticError) as error:
        raise StrategyError(f"{cls.__name__}: {name}={value}: {error}") from error


def _find(path: str) -> type[Strategy]:
    module_name, _, class_name = path.partition(":")
    if not module_name or not class_name:
        raise StrategyError(f"not a strategy: {path!r} (module:Class)")
    try:
        found = getattr(importlib.import_module(module_name), class_name, None)
    except ModuleNotFoundError as error:
        raise StrategyError(f"strategy {path}: no module named {error.name}") from error
    except Exception as error:  # a user's module may raise anything
        raise StrategyError(f"strategy {path}: {type(error).__name__}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise StrategyError(f"strategy {path}: {module_name} has no strategy class {class_name}")
    return found


def _make(cls: type[Strategy], params: msgspec.Struct) -> Strategy:
    try:
        return cls(params)
    except TypeError as error:
        raise StrategyError(f"strategy {cls.__name__}: {error}") from error


def decode_params(cls: type[Strategy], raw: bytes) -> msgspec.Struct:
    """Strictly: a key that ``Params`` does not have, a missing one or a value of another type is a StrategyError."""
    return _decode(cls, _table(raw))


def merge_params(cls: type[Strategy], current: msgspec.Struct, raw: bytes) -> msgspec.Struct:
    """``raw`` may name a part of the parameters; the others stay."""
    return _decode(cls, _table(msgspec.json.encode(current)) | _table(raw))


def _table(raw: bytes) -> dict[str, msgspec.Raw]:
    try:
        return msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError as error:
        raise StrategyError(f"parameters are not a table: {error}") from error


def _decode(cls: type[Strategy], table: dict[str, msgspec.Raw]) -> msgspec.Struct:
    unknown = sorted(set(table) - set(cls.Params.__struct_encode_fields__))
    if unknown:
        known = ", ".join(cls.Params.__struct_encode_fields__)
        raise StrategyError(f"{cls.__name__}: unknown parameter {unknown[0]!r} (known: {known})")
    try:
        return msgspec.json.decode(msgspec.json.encode(table), type=cls.Params)
    except (msgspec.MsgspecError, ArithmeticError) as error:
        raise StrategyError(f"{cls.__name__}: {error}") from error
