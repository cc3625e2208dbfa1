"""``make chaos ROUNDS=200 SEED=1``: rounds of SIGKILL under load and faults, each judged; the first that fails ends the run and keeps everything."""

import argparse
import signal
import sys
import time
from pathlib import Path

from infra import services
from tests.chaos.plan import plan
from tests.chaos.runner import Life, Result, Summary, fresh_home
from tests.chaos.system import BrokenSystem
from tests.chaos.table import table

ALL_EVERY = 10


def parse(arguments: list[str]) -> argparse.Namespace:
    known = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    known.add_argument("--rounds", type=int, default=20)
    known.add_argument("--seed", type=int, default=1)
    known.add_argument("--first", type=int, default=1, help="number of the first round: FIRST=n ROUNDS=1 repeats one")
    known.add_argument("--every", type=int, default=25, help="rounds until a fresh system")
    known.add_argument("--home", type=Path, default=services.default_home() / "chaos")
    known.add_argument("--result", type=Path, default=services.default_home() / "chaos.json")
    return known.parse_args(arguments)


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def main(arguments: list[str]) -> int:
    given = parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    summary, began = Summary(given.seed), time.monotonic()
    number, last = given.first, given.first + given.rounds
    while number < last:
        upto = min(last, number + given.every)
        if not _life(given, summary, number, upto):
            _tell_failure(given, summary)
            return 1
        number = upto
        summary.took_s = time.monotonic() - began
        summary.write(given.result)
    print(table(summary))
    return 0


def _life(given: argparse.Namespace, summary: Summary, first: int, upto: int) -> bool:
    """One system's rounds; False at the first that fails."""
    home = given.home / f"seed-{given.seed}-from-{first}"
    fresh_home(home)
    with BrokenSystem(home, "chaos", given.seed + first) as system:
        life = Life(system, given.seed + first, say)
        try:
            life.start()
            summary.lives += 1
            for number in range(first, upto):
                drawn = plan(given.seed, number, system.workers)
                every = number % ALL_EVERY == 0
                result = life.round(drawn, _all(system) if every else None)
                summary.rounds.append(result)
                summary.write(given.result)
                say(line_of(result))
                if result.problems:
                    return False
            problems, equal = life.end()
        finally:
            life.load.close()
        summary.replayed_at_end += equal
        say(f"every stage replayed over the archive: {equal:,} records equal")
        if problems:
            summary.rounds[-1].problems += problems
            return False
    fresh_home(home)
    return True


def _all(system: BrokenSystem) -> list[str]:
    from pipelines.replay_all import covered

    return covered(system.config)


def line_of(r: Result) -> str:
    how = f"caught up {r.caught_up_s:.1f} s, quiet {r.quiet_s:.1f} s, judged {r.judged_s:.1f} s"
    what = f"{r.in_flight} in flight, {r.counts.get('venue_orders', 0)} venue orders, {r.equal} records replayed equal"
    end = "ok" if not r.problems else "FAILED"
    return f"round {r.number} {r.kind}: {', '.join(r.killed)}: {how}; {what}: {end}"


def _tell_failure(given: argparse.Namespace, summary: Summary) -> None:
    failed = summary.rounds[-1]
    summary.write(given.result)
    start = failed.number - (failed.number - given.first) % given.every
    print(f"\nseed {given.seed}, round {failed.number} ({failed.kind}: {', '.join(failed.killed)}):", file=sys.stderr)
    for problem in failed.problems:
        print(f"  {problem}", file=sys.stderr)
    print(f"kept: {given.home / f'seed-{given.seed}-from-{start}'} (run 'chaos')", file=sys.stderr)
    again = f"make chaos SEED={given.seed} FIRST={start} ROUNDS={failed.number - start + 1}"
    print(f"again: {again}; this round's plan alone: FIRST={failed.number} ROUNDS=1", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
