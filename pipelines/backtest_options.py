"""What the options of `tapedeck backtest` mean. A Problem in one line for what cannot be meant."""

import itertools
import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from adapters.simulated.queues import QueueModel, queue_model
from infra.errors import Hopeless
from pipelines.backtest import Settings
from pipelines.backtest_latency import recorded

UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
LATENCIES = "constant:5ms, constant:5ms/8ms (orders/market data), jittered:5ms/2ms (with a tail of this mean)"
MOST_RUNS = 10_000

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s)")
_RANGE = re.compile(r"(-?\d+(?:\.\d+)?):(-?\d+(?:\.\d+)?):(\d+(?:\.\d+)?)")


# --- models -----------------------------------------------------------------------------------------------------------


def with_latency(settings: Settings, text: str) -> Settings:
    """``constant:<order>[/<feed>]``, ``jittered:<order>/<mean of the tail>``, ``sampled:<run's folder or Parquet file>``."""
    kind, _, rest = text.partition(":")
    first, _, second = rest.partition("/")
    if kind == "sampled" and rest:
        path = Path(rest)
        if not path.exists():
            raise Hopeless(f"--latency {text!r}: no {rest}: name a run's folder, or a Parquet file")
        return replace(settings, sampled=recorded(path))
    if kind == "constant":
        return replace(settings, latency_ns=nanoseconds(first), feed_ns=nanoseconds(second) if second else None)
    if kind == "jittered" and second:
        return replace(settings, latency_ns=nanoseconds(first), jitter_ns=nanoseconds(second))
    raise Hopeless(f"--latency {text!r}: {LATENCIES}, or sampled:<run's folder or Parquet file>")


def nanoseconds(text: str) -> int:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise Hopeless(f"not a duration: {text!r} (like 5ms, 250us, 1.5s)")
    return int(Decimal(found[1]) * UNITS[found[2]])


def queue(text: str) -> QueueModel:
    try:
        return queue_model(text)
    except ValueError as error:
        raise Hopeless(f"--queue: {error}") from error


# --- money ------------------------------------------------------------------------------------------------------------


def rates(text: str) -> tuple[Decimal, Decimal]:
    """(maker, taker), from ``maker=0.001,taker=0.001`` or ``0.001,0.001``."""
    parts = text.split(",")
    if all("=" in part for part in parts):
        named = dict(part.split("=", 1) for part in parts)
        parts = [named[name] for name in ("maker", "taker") if name in named] if len(named) == 2 else []
    try:
        maker, taker = (Decimal(part) for part in parts)
    except (ValueError, InvalidOperation):
        raise Hopeless(f"--fees {text!r}: two rates, like maker=0.001,taker=0.001") from None
    if not all(_is_exact(abs(rate)) and abs(rate) < 1 for rate in (maker, taker)):
        raise Hopeless(
            f"--fees {text!r}: rates between -1 (a rebate) and 1 of at most 8 decimals, like maker=0.001,taker=0.001"
        )
    return maker, taker


def balance(text: str) -> tuple[str, Decimal]:
    currency, _, number = text.partition("=")
    try:
        amount = Decimal(number)
    except InvalidOperation:
        amount = Decimal(-1)
    if not currency or not _is_exact(amount):
        raise Hopeless(f"--balance {text!r}: a currency and an amount of at most 8 decimals, like USDT=10000")
    return currency, amount


def _is_exact(amount: Decimal) -> bool:
    """What the matching core can hold."""
    return amount.is_finite() and 0 <= amount < 10**12 and amount == round(amount, 8)


# --- parameters -------------------------------------------------------------------------------------------------------


def params(text: str) -> dict[str, Any]:
    """``key=value,key=value``; a JSON object; or a TOML file. Text is read as what the parameter is, later."""
    if not text:
        return {}
    if text.lstrip()[0] in "{[":
        return _json_object(text)
    if text.endswith(".toml"):
        return _toml(Path(text))
    return dict(_pair("--params", part) for part in text.split(","))


def _json_object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise Hopeless(f"--params is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise Hopeless("--params is key=value,…, a TOML file, or a JSON object")
    return found


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise Hopeless(f"--params {path}: {error}") from error


def _pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = (part.strip() for part in text.partition("="))
    if not (name and equals and value):
        raise Hopeless(f"{option}: {text.strip()!r} is no key=value")
    return name, value


def grid(text: str) -> list[dict[str, str]]:
    """``spread=1,2,3 hold=5:20:5`` (``first:last:step``, the last included): every combination, the last name fastest."""
    axes: dict[str, list[str]] = {}
    for part in text.split():
        name, values = _pair("--sweep", part)
        if name in axes:
            raise Hopeless(f"--sweep: {name} twice")
        axes[name] = list(dict.fromkeys(v for value in values.split(",") for v in _values(value)))
    points = 1
    for found in axes.values():
        points *= len(found)
    if not axes:
        raise Hopeless(f"--sweep {text!r}: no parameter in it; as 'spread=1,2,3 hold=5:20:5'")
    if points > MOST_RUNS:
        raise Hopeless(f"--sweep {text!r}: {points:,} runs (1 to {MOST_RUNS:,})")
    return [dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values())]


def _values(text: str) -> Iterable[str]:
    if not text:
        raise Hopeless("--sweep: an empty value")
    found = _RANGE.fullmatch(text)
    if found is None:
        return [text]
    first, last, step = (Decimal(found[n]) for n in (1, 2, 3))
    if step == 0 or last < first:
        raise Hopeless(f"--sweep {text!r}: first:last:step, upwards")
    count = int((last - first) / step) + 1
    if count > MOST_RUNS:
        raise Hopeless(f"--sweep {text!r}: {count:,} values (at most {MOST_RUNS:,})")
    return [str(first + n * step) for n in range(count)]
