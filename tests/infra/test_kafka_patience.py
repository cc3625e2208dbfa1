"""A broker that starts answers with errors that pass: they are waited out, and told in one line when they do not pass."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from infra.kafka import KafkaProblem, passes, patiently

STARTING = KafkaException(KafkaError(KafkaError.UNKNOWN_LEADER_EPOCH))
FORBIDDEN = KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))


def answers(*given: object):  # type: ignore[no-untyped-def]
    """A question that is answered, or refused, with these one after another."""
    left = list(given)

    def ask() -> object:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


def test_what_passes_is_asked_again() -> None:
    assert patiently("its topics", answers(STARTING, STARTING, 42)) == 42


def test_what_does_not_pass_is_one_line_at_once() -> None:
    with pytest.raises(KafkaProblem, match="refuses its topics") as raised:
        patiently("its topics", answers(FORBIDDEN, 42))
    assert "\n" not in str(raised.value)


def test_what_has_not_passed_in_time_is_one_line() -> None:
    with pytest.raises(KafkaProblem, match=r"does not tell its topics: .*epoch.*try again"):
        patiently("its topics", answers(STARTING, 42), timeout_s=-1)


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError.LEADER_NOT_AVAILABLE, KafkaError._PARTITION_EOF])
def test_errors_of_a_broker_that_comes_and_goes_pass(code: int) -> None:
    assert passes(KafkaError(code))


def test_an_error_that_ends_the_client_does_not_pass() -> None:
    assert not passes(KafkaError(KafkaError._TRANSPORT, fatal=True))
