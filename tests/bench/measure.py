"""Rows of the table, and how two things are measured in turn."""

import gc
import statistics
import time
from collections.abc import Callable, Sequence

import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """``ratio`` is ours by reference. ``aim`` is about the ratio, or about ours where there is no reference; ``met`` None where there is no aim."""

    name: str
    ours: float
    reference: float | None = None
    unit: str
    ratio: float | None = None
    aim: str = ""
    met: bool | None = None
    note: str = ""


def row(
    name: str,
    unit: str,
    ours: float,
    reference: float | None = None,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    note: str = "",
) -> Row:
    """The aim is about the ratio where there is a reference, else about our own figure."""
    ratio = None if reference is None else ours / reference
    judged = ours if ratio is None else ratio
    sign, bound = ("≤", at_most) if at_most is not None else ("≥", at_least)
    if bound is None:
        return Row(name=name, unit=unit, ours=ours, reference=reference, ratio=ratio, note=note)
    aim = f"{sign} {bound:g}{'×' if ratio is not None else ' ' + unit}"
    met = judged <= bound if sign == "≤" else judged >= bound
    return Row(name=name, unit=unit, ours=ours, reference=reference, ratio=ratio, aim=aim, met=met, note=note)


def in_turn(tries: Sequence[Callable[[], float]], repetitions: int) -> list[float]:
    """The median of what each returned, all of them once per repetition, the order reversed every other time."""
    found: list[list[float]] = [[] for _ in tries]
    for repetition in range(repetitions):
        order = list(enumerate(tries))
        for index, one in order if repetition % 2 == 0 else reversed(order):
            gc.collect()
            found[index].append(one())
    return [statistics.median(one) for one in found]


def rate(work: Callable[[], int]) -> Callable[[], float]:
    """Things a second, where ``work`` says how many it did."""

    def measured() -> float:
        began = time.perf_counter()
        done = work()
        return done / (time.perf_counter() - began)

    return measured


def quantiles(values: Sequence[float]) -> tuple[float, float]:
    """(p50, p99)"""
    ordered = sorted(values)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
