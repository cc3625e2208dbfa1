"""A chaos run's result as docs/chaos.md holds it."""

from collections import defaultdict
from statistics import median

from tests.chaos.runner import Result, Summary


def table(summary: Summary) -> str:
    by: dict[str, list[Result]] = defaultdict(list)
    for one in summary.rounds:
        by[one.target].append(one)
    lines = [
        "| killed | rounds | in flight (least, median) | caught up p50 | caught up max |",
        "|---|--:|--:|--:|--:|",
        *(_row(name, by[name]) for name in sorted(by)),
        _row("all", summary.rounds),
    ]
    kills = sum(len(r.killed) for r in summary.rounds)
    good = sum(not r.problems for r in summary.rounds)
    words = (
        f"Seed {summary.seed}: {good} of {len(summary.rounds)} rounds good, {kills} SIGKILLs, {summary.lives} systems, "
        f"{summary.replayed_at_end:,} records replayed equal at the systems' ends, {summary.took_s / 60:.0f} minutes."
    )
    return "\n".join([*lines, "", words])


def _row(name: str, rounds: list[Result]) -> str:
    times, flights = [r.caught_up_s for r in rounds], [r.in_flight for r in rounds]
    flight = f"{min(flights)}, {median(flights):.0f}"
    return f"| {name} | {len(rounds)} | {flight} | {median(times):.1f} s | {max(times):.1f} s |"
