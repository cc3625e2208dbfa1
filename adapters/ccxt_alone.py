"""One of ccxt's exchanges without its two hundred neighbours: ``import ccxt`` loads them all, which takes seconds and memory.

While it is imported, empty packages stand in for ``ccxt`` and ``ccxt.async_support``, with the few names that ccxt's
own modules take from them; then they are taken away again, so that a later ``import ccxt`` finds the whole of it, with
the same classes. Where this does not work (another version of ccxt), the whole is imported.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

WHOLE = ("ccxt", "ccxt.async_support")


@cache
def exchange(ccxt_id: str) -> tuple[Any, Any]:
    """The class, and the module that has the classes of its errors."""
    if not any(name in sys.modules for name in WHOLE):
        before = set(sys.modules)
        try:
            return _alone(ccxt_id)
        except (ImportError, AttributeError):
            for name in [name for name in sys.modules if name.partition(".")[0] == "ccxt" and name not in before]:
                del sys.modules[name]
    whole = importlib.import_module("ccxt.async_support")
    return getattr(whole, ccxt_id), whole


def _alone(ccxt_id: str) -> tuple[Any, Any]:
    found = find_spec("ccxt")
    if found is None or found.origin is None:
        raise ImportError("ccxt is not installed")
    with _standing_in(Path(found.origin).parent) as package:
        errors = importlib.import_module("ccxt.base.errors")
        vars(package).update({name: value for name, value in vars(errors).items() if not name.startswith("_")})
        vars(package)["Exchange"] = importlib.import_module("ccxt.base.exchange").Exchange
        return getattr(importlib.import_module(f"ccxt.async_support.{ccxt_id}"), ccxt_id), errors


@contextmanager
def _standing_in(root: Path) -> Iterator[ModuleType]:
    for name in WHOLE:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = module_from_spec(spec)
    try:
        yield sys.modules["ccxt"]
    finally:
        for name in WHOLE:
            del sys.modules[name]
