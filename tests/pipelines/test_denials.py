"""What a denial tells people: what is wrong, and what to do."""

import pytest

from pipelines.denials import ADVICE, MISSING, of_reason, told
from pipelines.gateway.checks import _missing
from pipelines.gateway.metrics import CHECKS
from topics.controls import LimitName


@pytest.mark.parametrize("check", CHECKS)
def test_every_check_says_what_to_do(check: str) -> None:
    line = told(check, "VALUE", "LIMIT")
    assert line.startswith(f"{check}: ")
    assert "against" not in line
    assert "{" not in line
    assert len(line) < 260


@pytest.mark.parametrize("limit", LimitName)
def test_a_limit_that_nobody_gave_is_said_to_be_missing(limit: LimitName) -> None:
    assert tuple(_missing(limit))[2] == MISSING
    assert f"tapedeck limits firm {limit} VALUE" in told(limit, "none", MISSING)


def test_a_reason_on_the_tape_is_told_the_same_way_and_any_other_stays() -> None:
    assert of_reason("tick_size: 100.005 against 0.01") == (
        "tick_size: the price 100.005 is no multiple of the tick 0.01: round it (desk.round_price)"
    )
    assert of_reason("insufficient balance") == "insufficient balance"
    assert of_reason("novel: 1 against 2") == "novel: 1 against 2"


def test_a_market_without_a_price_and_a_trigger_that_was_reached_have_words_of_their_own() -> None:
    assert "no price of this market yet" in told("max_data_age", "no mark", "a mark")
    assert "has reached the trigger 9 already" in told("trigger_price", "9", "beyond the touch, 10")
    assert "trigger_price" in ADVICE
