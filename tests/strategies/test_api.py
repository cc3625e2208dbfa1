from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from strategies import Pace, Signal, Strategy
from strategies.api import fault
from topics.market import Quote


class Plain(Strategy):
    LIMIT = Decimal("1.5")
    NAMES = ("a", "b")

    class Params(msgspec.Struct, frozen=True):
        size: int = 1

    class State(msgspec.Struct):
        seen: dict[str, list[Decimal]] = {}
        pace: Pace = msgspec.field(default_factory=Pace)

    def on_quote(self, view: Any, quote: Quote) -> Iterator[Signal]:
        yield Signal("mid", float(quote.mid))


def test_an_attribute_cannot_be_assigned() -> None:
    with pytest.raises(AttributeError, match=r"Plain\.count: .*declare a field of State or View"):
        Plain().count = 1


def test_params_are_read_only() -> None:
    strategy = Plain(Plain.Params(2))
    with pytest.raises(AttributeError):
        strategy.params = Plain.Params(3)
    with pytest.raises(AttributeError):
        del strategy.params
    assert strategy.params.size == 2


def test_new_params_make_a_new_strategy() -> None:
    before = Plain(Plain.Params(1))
    assert (before.with_params(Plain.Params(2)).params.size, before.params.size) == (2, 1)


@pytest.mark.parametrize("hidden", [[], {}, set(), bytearray(), object(), (1, []), Pace()])
def test_a_mutable_class_attribute_is_refused_when_the_class_is_defined(hidden: object) -> None:
    with pytest.raises(TypeError, match=r"Bad\.memory: class attributes are constants"):
        type("Bad", (Strategy,), {"memory": hidden})


def test_params_must_be_frozen_and_state_must_not() -> None:
    with pytest.raises(TypeError, match=r"Params must be frozen"):
        type("Bad", (Strategy,), {"Params": msgspec.defstruct("Params", ())})
    with pytest.raises(TypeError, match=r"State must not be frozen"):
        type("Bad", (Strategy,), {"State": msgspec.defstruct("State", (), frozen=True)})
    with pytest.raises(TypeError, match=r"View must be a msgspec\.Struct"):
        type("Bad", (Strategy,), {"View": dict})


@pytest.mark.parametrize("kind", [set[str], dict[str, set[int]], Any, list[Any], msgspec.Raw, frozenset[int] | None])
def test_state_that_storage_would_change_is_refused(kind: Any) -> None:
    state = msgspec.defstruct("State", [("seen", kind, msgspec.field(default_factory=lambda: None))])
    bad = type("Bad", (Strategy,), {"State": state})
    with pytest.raises(TypeError, match=r"State\.seen: Any, sets and Raw"):
        bad()


def test_state_without_a_default_is_refused() -> None:
    bad = type("Bad", (Strategy,), {"State": msgspec.defstruct("State", [("seen", int)])})
    with pytest.raises(TypeError, match=r"State\.seen needs a default"):
        bad()


def test_only_overridden_callbacks_count_as_such() -> None:
    assert Plain().overrides("on_quote")
    assert not Plain().overrides("on_book")


def test_a_callback_that_is_not_overridden_decides_nothing() -> None:
    assert Plain().on_trade(None, None) is None  # type: ignore[arg-type]


def test_a_record_keeps_its_values_as_text() -> None:
    record = Plain().record("why", price=Decimal("1.50"), n=3)
    assert (record.name, record.data) == ("why", {"price": "1.50", "n": "3"})


def test_a_fault_reads_the_same_in_every_run() -> None:
    class Odd:
        pass

    def raised() -> Exception:
        try:
            raise ValueError(f"cannot use {Odd()}\nsecond line")
        except ValueError as error:
            return error

    assert fault(raised()) == fault(raised())
    assert "\n" not in fault(raised())
    assert "(test_api.py:" in fault(raised())
