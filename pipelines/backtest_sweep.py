"""A grid of parameters: one backtest per point, in parallel processes, into one DuckDB table and one page.

A point's figures depend on the point alone, so the table is the same however many processes there were, but for
``took_s``. Each process opens the input once. Ctrl-C: what is done is kept, what runs ends at once and counts for nothing.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from infra.config import Config
from infra.errors import Hopeless, Problem
from infra.shell.processor import StageBroken
from pipelines.backtest import Backtest, Settings
from pipelines.backtest_figures import Collector, Figures
from pipelines.backtest_source import Source, open_source

LOOK_S = 0.2
"""How often a wait for the processes looks whether it was interrupted."""

Point = Mapping[str, str]


class Done(NamedTuple):
    """One point's run. Without ``figures`` it broke, and ``error`` says why."""

    run: int
    point: Point
    seed: int
    figures: Figures | None
    error: str
    took_s: float


@dataclass(frozen=True)
class Input:
    """What each process opens for itself."""

    paths: Sequence[Path]
    venue: str
    venues: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    run: int
    point: Point
    config: Config


# --- in a process of the pool -----------------------------------------------------------------------------------------


class _Process:
    source: Source
    stop: Any


def _begin(given: Input, stop: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _Process.source, _Process.stop = open_source(given.paths, given.venue, given.venues), stop


def _work(job: Job, settings: Settings) -> Done | None:
    """None when it was stopped."""
    return run_point(job, _Process.source, settings, _Process.stop.is_set)


def run_point(job: Job, source: Source, settings: Settings, stopped: Callable[[], bool]) -> Done | None:
    began, collector = time.monotonic(), Collector()
    figures: Figures | None = None
    error = ""
    try:
        Backtest(job.config, source, settings, collector).run(stopped=stopped)
        figures = collector.figures(*source.span)
    except StageBroken as broken:
        error = str(broken)
    return None if stopped() else Done(job.run, job.point, settings.seed, figures, error, time.monotonic() - began)


# --- the pool ---------------------------------------------------------------------------------------------------------


def sweep(
    jobs: Sequence[Job],
    given: Input,
    settings: Settings,
    processes: int | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> Generator[Done, None, None]:
    """As they are done. Ends early, with every process gone, once ``interrupted``."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    count = min(len(jobs), processes or os.cpu_count() or 1)
    with ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(given, stop)) as pool:
        try:
            with _no_interrupt():
                left = {pool.submit(_work, job, settings) for job in jobs}
            while left and not interrupted():
                finished, left = wait(left, LOOK_S, FIRST_COMPLETED)
                yield from _results(finished)
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


def _results(finished: set[Future[Done | None]]) -> Iterator[Done]:
    found = [future.result() for future in finished]
    yield from sorted((done for done in found if done is not None), key=lambda done: done.run)


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Processes that start meanwhile leave a terminal's Ctrl-C to us."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def planned_jobs(points: Sequence[Point], configure: Callable[[Point], Config]) -> list[Job]:
    """Every point's configuration, made before anything runs; Problem names the first point that cannot be run."""
    jobs = []
    for n, point in enumerate(points, start=1):
        try:
            jobs.append(Job(n, point, configure(point)))
        except Problem as error:
            raise refused(point, error) from error
    return jobs


def refused(point: Point, error: Problem) -> Hopeless:
    text = " ".join(f"{name}={value}" for name, value in point.items())
    return Hopeless(f"--sweep {text}: {error}")
