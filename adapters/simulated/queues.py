"""Where in the queue at its price an order stands, when only the sum displayed there is known.

A trade at the price advances an order under every model. They differ in what a level that shrinks without a trade
says: who cancelled, somebody ahead of us or behind us? The formulas are those that hftbacktest describes
(https://hftbacktest.readthedocs.io/en/latest/order_fill.html), after
https://quant.stackexchange.com/questions/3782/how-do-we-estimate-position-of-our-order-in-order-book

Laws: a position is never below 0, never grows, is never more than what is displayed, and under a probabilistic model
is never behind the risk-averse one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

PARTS = 10**9
"""A share is a whole number of these, so that quantities stay whole."""


class QueueModel(Protocol):
    def ahead(self, ahead: int, before: int, after: int, traded: int) -> int:
        """The quantity ahead of an order (``ahead`` until now) once the level shows ``after`` instead of ``before``.

        ``traded`` of the difference are trades there, which ``ahead`` has already been told of.
        """


@dataclass(frozen=True)
class RiskAverse:
    """Nobody ahead of us cancels, unless the level is smaller than the queue ahead."""

    def ahead(self, ahead: int, before: int, after: int, traded: int) -> int:
        return min(ahead, after)


@dataclass(frozen=True)
class Power:
    """Who cancels was behind us with p = b^n / (b^n + a^n), for b behind and a ahead; the share 1 - p was ahead."""

    n: float = 3.0

    def ahead(self, ahead: int, before: int, after: int, traded: int) -> int:
        return _advanced(self, ahead, before, after, traded)

    def weight(self, qty: float) -> float:
        return float(qty**self.n)


@dataclass(frozen=True)
class Log:
    """As ``Power``, with p = log(1 + b) / (log(1 + b) + log(1 + a))."""

    def ahead(self, ahead: int, before: int, after: int, traded: int) -> int:
        return _advanced(self, ahead, before, after, traded)

    def weight(self, qty: float) -> float:
        return math.log1p(qty)


RISK_AVERSE = RiskAverse()
UNIT = 10**8
"""Quantities are in 1e-8; the weights are of whole ones."""


def queue_model(text: str) -> QueueModel:
    """``risk-averse``, ``power`` or ``power:<n>``, ``log``. ValueError says so."""
    name, _, exponent = text.partition(":")
    if name == "power":
        return Power(_exponent(exponent)) if exponent else Power()
    if text == "log":
        return Log()
    if text == "risk-averse":
        return RISK_AVERSE
    raise ValueError(f"no queue model {text!r}: risk-averse, power, power:<n> or log")


def _exponent(text: str) -> float:
    try:
        n = float(text)
    except ValueError:
        n = 0.0
    if not 0 < n <= 10:
        raise ValueError(f"power:{text}: the exponent is a number above 0, at most 10")
    return n


def _advanced(model: Power | Log, ahead: int, before: int, after: int, traded: int) -> int:
    """What was cancelled, in shares from ahead of us and from behind us; more than was behind us was ahead."""
    cancelled = before - traded - after
    if cancelled <= 0:
        return min(ahead, after)
    behind = max(0, before - traded - ahead)
    from_behind = min(behind, cancelled * _share_behind(model, ahead, behind) // PARTS)
    return max(0, min(ahead - (cancelled - from_behind), after))


def _share_behind(model: Power | Log, ahead: int, behind: int) -> int:
    a, b = model.weight(ahead / UNIT), model.weight(behind / UNIT)
    return PARTS if a + b == 0 else int(PARTS * (b / (a + b)))
