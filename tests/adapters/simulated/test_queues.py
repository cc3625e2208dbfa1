"""Queue models: what is ahead of us never grows, and nobody waits longer than the risk-averse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.simulated.core import Core
from adapters.simulated.model import BookDelta, BookSnapshot, ExecutionType, MarketTrade
from adapters.simulated.queues import RISK_AVERSE, Log, Power, QueueModel, RiskAverse, queue_model
from adapters.simulated.units import SCALE
from tests.adapters.simulated.builders import BUY, INSTRUMENT, RICH, SYMBOL, order, reports

MODELS = [RISK_AVERSE, Power(1), Power(2), Power(3), Log()]
QTY = st.integers(0, 10**12)


@pytest.mark.parametrize(
    ("text", "model"), [("risk-averse", RiskAverse()), ("power", Power(3)), ("power:2", Power(2)), ("log", Log())]
)
def test_a_model_is_named(text: str, model: QueueModel) -> None:
    assert queue_model(text) == model


@pytest.mark.parametrize("text", ["", "risk", "power:", "power:0", "power:x", "power:nan", "log:2"])
def test_what_is_no_model_is_refused(text: str) -> None:
    if text == "power:":
        assert queue_model(text) == Power()
        return
    with pytest.raises(ValueError, match=r"queue model|exponent"):
        queue_model(text)


def test_in_the_middle_of_the_queue_half_of_what_is_cancelled_was_ahead() -> None:
    assert [Power(n).ahead(50, 100, 80, 0) for n in (1, 2, 3)] == [40, 40, 40]
    assert RISK_AVERSE.ahead(50, 100, 80, 0) == 50


def test_far_in_front_most_of_what_is_cancelled_was_behind_and_more_so_with_a_higher_power() -> None:
    """10 of 100 ahead, 20 cancelled: behind with 0.9, 0.988, 0.9986."""
    assert [Power(n).ahead(10 * SCALE, 100 * SCALE, 80 * SCALE, 0) / SCALE for n in (1, 2, 3)] == [
        pytest.approx(10 - 20 * (1 - p), abs=1e-6) for p in (0.9, 81 / 82, 729 / 730)
    ]


def test_more_than_was_behind_was_ahead() -> None:
    """Of 90 cancelled the share behind is 69, but there were 60."""
    assert Power(3).ahead(40, 100, 10, 0) == 10
    assert Power(1).ahead(90, 100, 50, 0) == 45
    assert Log().ahead(90, 100, 0, 0) == 0


def test_what_was_traded_is_not_counted_as_cancelled_too() -> None:
    """60 were ahead, 20 traded: 40 left, and the level shrank by no more than that."""
    assert all(model.ahead(40, 100, 80, 20) == 40 for model in MODELS)


@pytest.mark.parametrize("model", MODELS, ids=repr)
@given(ahead=QTY, before=QTY, after=QTY, traded=QTY)
def test_a_position_is_never_negative_never_grows_and_is_never_more_than_what_is_shown(
    model: QueueModel, ahead: int, before: int, after: int, traded: int
) -> None:
    found = model.ahead(ahead, before, after, traded)
    assert 0 <= found <= min(ahead, after)
    assert found <= RISK_AVERSE.ahead(ahead, before, after, traded)


@pytest.mark.parametrize("model", MODELS[1:], ids=repr)
@given(data=st.data())
def test_what_is_cancelled_is_ahead_or_behind_and_nothing_is_lost(model: QueueModel, data: st.DataObject) -> None:
    before = data.draw(st.integers(1, 10**12))
    ahead, after = data.draw(st.integers(0, before)), data.draw(st.integers(0, before))
    left_ahead = model.ahead(ahead, before, after, 0)
    assert 0 <= after - left_ahead <= before - ahead  # what is left behind us, no more than there was


# --- in the book ------------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("shown"), st.sampled_from([99, 98]), st.integers(0, 12)),
        st.tuples(st.just("traded"), st.sampled_from([99, 98]), st.integers(1, 6)),
    ),
    max_size=25,
)


def venue(model: QueueModel) -> Core:
    made = Core([INSTRUMENT], recorded=[SYMBOL], queue=model)
    made.open_account(1, "us", RICH)
    made.feed(
        1, SYMBOL, BookSnapshot(10, [(99 * SCALE, 8 * SCALE), (98 * SCALE, 9 * SCALE)], [(101 * SCALE, 5 * SCALE)])
    )
    made.submit(1, order("us", BUY, 3, 99))
    made.submit(1, order("us", BUY, 3, 98))
    return made


@given(steps=STEPS, model=st.sampled_from(MODELS[1:]))
def test_a_probabilistic_model_fills_no_less_and_no_later_than_the_risk_averse(
    steps: list[tuple[str, int, int]], model: QueueModel
) -> None:
    careful, hopeful = venue(RISK_AVERSE), venue(model)
    filled = {id(careful): 0, id(hopeful): 0}
    for n, (kind, price, qty) in enumerate(steps):
        for core in (careful, hopeful):
            recorded = (
                BookDelta(20 + n, 20 + n, [(price * SCALE, qty * SCALE)], [])
                if kind == "shown"
                else MarketTrade(price * SCALE, qty * SCALE, buyer_is_maker=True)
            )
            executions = reports(core.feed(2, SYMBOL, recorded), "us", ExecutionType.TRADE)
            filled[id(core)] += sum(one.last_qty for one in executions)
            book = core.recorded_books()[SYMBOL]
            assert all(book.queue_ahead(one) >= 0 for one in core.open_orders("us", SYMBOL))
        assert filled[id(careful)] <= filled[id(hopeful)] <= 6 * SCALE
