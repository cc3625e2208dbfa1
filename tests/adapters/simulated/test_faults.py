"""Fault profiles: read strictly, drawn the same way from the same seed, bounded, each written down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from adapters.simulated.endpoints import REQUESTS
from adapters.simulated.faults import FaultError, Profile, decode_profile, read_profile
from adapters.simulated.injector import FIELDS, Injector


@pytest.fixture
def injector(tmp_path: Path) -> Iterator[Injector]:
    made = Injector(tmp_path / "faults.jsonl")
    yield made
    made.close()


def profile(**faults: object) -> Profile:
    return decode_profile(orjson.dumps(faults), REQUESTS)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (b"", "no fault profile"),
        (b"[]", "Expected `object`"),
        (b'{"answer_loss":{}}', "unknown field `answer_loss`"),
        (b'{"answer_lost":{"probabilty":1}}', "unknown field `probabilty`"),
        (b'{"answer_lost":{"probability":1.5}}', "<= 1.0"),
        (b'{"answer_lost":{"probability":"often"}}', "Expected `float`"),
        (b'{"answer_lost":{"most":-1}}', ">= 0"),
        (b'{"answer_delayed":{"min_ms":5,"max_ms":4}}', "min_ms must not be above max_ms"),
        (b'{"answer_lost":{"on":["POST orders"]}}', "there is no request 'POST orders'"),
        (b'{"event_dropped":{"on":["POST order"]}}', "unknown field `on`"),
        (b'{"time_offset_ms":1000000000000}', "86400000"),
    ],
)
def test_what_is_no_profile_is_refused_in_one_line(given: bytes, complaint: str) -> None:
    with pytest.raises(FaultError) as refused:
        decode_profile(given, REQUESTS)
    assert complaint in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_a_profile_is_json_or_a_file_with_it(tmp_path: Path) -> None:
    text = '{"seed":3,"error_after":{"probability":0.5,"on":["POST order"]}}'
    path = tmp_path / "profile.json"
    path.write_text(text)
    assert read_profile(text, REQUESTS) == read_profile(str(path), REQUESTS)
    with pytest.raises(FaultError, match=r"absent\.json"):
        read_profile(str(tmp_path / "absent.json"), REQUESTS)


def test_nothing_happens_without_a_profile(injector: Injector) -> None:
    assert [injector.draw(name) for name in FIELDS] == [None] * len(FIELDS)
    assert injector.counts == {}


def test_the_same_seed_draws_the_same_whatever_other_faults_draw(tmp_path: Path) -> None:
    drawn = []
    for number, others in enumerate((0.0, 0.7)):
        made = Injector(tmp_path / f"{number}.jsonl")
        made.set(profile(seed=7, event_dropped={"probability": 0.3}, depth_missing={"probability": others}))
        drawn.append([(made.draw("event_dropped"), made.draw("depth_missing"))[0] for _ in range(200)])
        made.close()
    assert drawn[0] == drawn[1]
    assert 30 < sum(one is not None for one in drawn[0]) < 90


def test_most_bounds_how_often_and_setting_begins_anew(injector: Injector) -> None:
    twice = profile(answer_lost={"probability": 1, "most": 2})
    for _ in range(2):
        injector.set(twice)
        assert sum(injector.draw("answer_lost", "POST order") is not None for _ in range(9)) == 2
    assert injector.counts == {"answer_lost": 4}


def test_a_delay_is_within_its_bounds(injector: Injector) -> None:
    injector.set(profile(event_delayed={"probability": 1, "min_ms": 20, "max_ms": 30}))
    drawn = [injector.draw("event_delayed") for _ in range(100)]
    assert {one // 1_000_000 for one in drawn if one is not None} == set(range(20, 31))


def test_a_fault_of_answers_befalls_the_requests_that_it_names(injector: Injector) -> None:
    injector.set(profile(error_after={"probability": 1, "on": ["POST order"]}))
    assert injector.draw("error_after", "GET order") is None
    assert injector.draw("error_after", "POST order") == 0


def test_each_injected_fault_is_a_line_that_says_whom_it_met(injector: Injector, tmp_path: Path) -> None:
    injector.set(profile(answer_delayed={"probability": 1, "min_ms": 5, "max_ms": 5}))
    injector.draw("answer_delayed", "POST order", order_id=12, status=200)
    first, second = (orjson.loads(line) for line in (tmp_path / "faults.jsonl").read_bytes().splitlines())
    assert (first["n"], first["fault"], first["profile"]["answer_delayed"]["probability"]) == (1, "profile", 1.0)
    assert second.pop("time") >= first["time"]
    assert second == {
        "n": 2,
        "fault": "answer_delayed",
        "request": "POST order",
        "order_id": 12,
        "status": 200,
        "delay_ms": 5,
    }
