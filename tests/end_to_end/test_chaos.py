"""The short version of ``make chaos``: every worker, the broker and Postgres are killed at least once, under load and faults, some of them twice."""

from pathlib import Path
from random import Random

import pytest

from tests.chaos.plan import SERVICES, Round, faults
from tests.chaos.runner import Life
from tests.chaos.system import ACCOUNT, BrokenSystem

pytestmark = pytest.mark.timeout(300)


def test_whatever_is_killed_nothing_is_sent_twice_lost_or_unexplained_and_every_stage_replays_equal(
    tmp_path: Path,
) -> None:
    random = Random(4)
    with BrokenSystem(tmp_path, "chaos", seed=4) as system:
        life = Life(system, 4, say=print)
        try:
            life.start()
            half, other = tuple(system.workers[0::2]), tuple(system.workers[1::2])
            rounds = [
                Round(1, "several", (*half, "postgres"), 1.0, 0.0, faults=faults(random)),
                Round(2, "several", (*other, "broker"), 1.0, 0.0, faults=faults(random)),
                Round(3, "start-up", (f"gateway/{ACCOUNT}",), 0.5, 0.0, again_after_s=1.0, faults=faults(random)),
            ]
            results = [life.round(one, replay=()) for one in rounds]
            assert [r.problems for r in results] == [[], [], []]
            assert {name for r in results for name in r.killed} == {*system.workers, *SERVICES}
            assert min(r.in_flight for r in results) >= 20
            assert life.end()[0] == []
        finally:
            life.load.close()
