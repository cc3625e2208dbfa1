"""Positions: exact sums whatever the order of fills, average cost through zero, busts, and nothing counted twice."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import orders
from pipelines.exact import SMALLEST
from pipelines.positions import RECENT, STAGE
from tests.facts import ACCOUNT, INSTRUMENT, D, fill
from tests.folding import Folding, fold, run
from tests.strategies_of_facts import PRICES, QUANTITIES, doubled, facts_of_orders, set_and_tape
from topics import wire
from topics.orders import Fact, Fill
from topics.portfolio import PositionChanged
from topics.record import Side

BUY, SELL = Side.BUY, Side.SELL


def last_of(*fills: Fill) -> PositionChanged:
    (*_, last) = run(STAGE, fills)
    assert isinstance(last, PositionChanged)
    return last


def state_of(p: PositionChanged) -> tuple[object, ...]:
    return p.quantity, p.avg_px, p.realized_pnl


def test_buying_more_moves_the_average() -> None:
    assert state_of(last_of(fill(BUY, "1", "100"), fill(BUY, "3", "120"))) == (D(4), D(115), D(0))


def test_selling_a_part_realizes_against_the_average_and_keeps_it() -> None:
    p = last_of(fill(BUY, "1", "100"), fill(BUY, "1", "120"), fill(SELL, "1", "130"))
    assert state_of(p) == (D(1), D(110), D(20))


def test_a_flat_position_has_no_average_and_has_realized_everything() -> None:
    assert state_of(last_of(fill(BUY, "3", "100"), fill(SELL, "3", "101"))) == (D(0), None, D(3))


def test_a_short_position_gains_when_bought_back_lower() -> None:
    p = last_of(fill(SELL, "2", "100"), fill(BUY, "1", "90"))
    assert state_of(p) == (D(-1), D(100), D(10))


@pytest.mark.parametrize(("side", "sign"), [(BUY, 1), (SELL, -1)])
def test_through_zero_the_rest_opens_at_the_price_of_the_fill(side: Side, sign: int) -> None:
    p = last_of(fill(side, "1", "100"), fill(side.opposite, "3", "110"))
    assert state_of(p) == (D(-2) * sign, D(110), D(10) * sign)


def test_values_honour_the_multiplier_and_the_average_is_a_price() -> None:
    ten = {"multiplier": D(10)}
    p = last_of(fill(BUY, "2", "100", **ten), fill(SELL, "1", "105", **ten))
    assert (state_of(p), p.bought_value, p.sold_value) == ((D(1), D(100), D(50)), D(2000), D(1050))


def test_fees_are_kept_apart_by_currency() -> None:
    p = last_of(fill(BUY, "1", "100", fee=D("0.1")), fill(BUY, "2", "1", fee=D("0.02"), fee_currency="BNB"))
    assert (p.fees, p.realized_pnl) == ({"USDT": D("0.1"), "BNB": D("0.02")}, D(0))


def test_a_bust_leaves_the_position_as_if_its_execution_had_not_been() -> None:
    first, second = fill(BUY, "2", "100", fee=D(1)), fill(BUY, "1", "130", fee=D(1))
    busted = fill(BUY, "1", "130", fee=D(1), reversal=True)
    p = last_of(first, second, busted)
    assert state_of(p) == (D(2), D(100), D(0))
    assert (p.bought_qty, p.bought_value, p.fees, p.fills) == (D(2), D(200), {"USDT": D(1)}, 1)


def test_a_bust_of_what_was_already_closed_keeps_the_total_exact() -> None:
    p = last_of(fill(BUY, "1", "100"), fill(SELL, "1", "110"), fill(BUY, "1", "100", reversal=True))
    assert p.quantity == D(-1)
    assert total_at(p, "50") == Fraction(110 - 50)


def test_strategies_on_one_instrument_have_positions_of_their_own() -> None:
    outputs = run(STAGE, [fill(BUY, "1", "100", "a"), fill(SELL, "2", "100", "b", strategy="trend")])
    assert [(p.strategy, p.quantity) for p in outputs if isinstance(p, PositionChanged)] == [
        ("quoter", D(1)),
        ("trend", D(-2)),
    ]


def test_a_self_trade_counts_on_both_orders() -> None:
    both = [fill(BUY, "1", "9", "t"), fill(SELL, "1", "9", "t", client_order_id="other-1", venue_order_id="v2")]
    assert len(run(STAGE, both)) == 2


def test_what_is_remembered_of_fills_is_bounded() -> None:
    folding = Folding(STAGE)
    for n in range(3 * RECENT):
        folding.feed(fill(BUY, "1", "100", f"t{n}"))
    state = folding.states[f"{ACCOUNT}|{INSTRUMENT}"]
    assert len(state.recent) == RECENT
    assert state.positions["quoter"].quantity == D(3 * RECENT)


def total_at(p: PositionChanged, px: str) -> Fraction:
    """Realized and unrealized at a price, from the exact sums."""
    held = Fraction(p.quantity) * Fraction(px) * Fraction(p.multiplier)
    return Fraction(p.sold_value) - Fraction(p.bought_value) + held


@st.composite
def fills(draw: st.DrawFn) -> list[Fill]:
    content = st.tuples(st.sampled_from(Side), st.sampled_from(QUANTITIES), st.sampled_from(PRICES))
    strategy = st.sampled_from(("quoter", "trend"))
    drawn = draw(st.lists(st.tuples(content, strategy), max_size=8))
    made = [fill(*c, f"t{n}", strategy=s, fee=D("0.001")) for n, (c, s) in enumerate(drawn)]
    return made if draw(st.booleans()) else [*made, *(fill_taken_back(f) for f in made[: draw(st.integers(0, 3))])]


def fill_taken_back(f: Fill) -> Fill:
    fields = {"strategy": f.strategy, "fee": f.fee, "reversal": True}
    return fill(f.side, str(f.last_qty), str(f.last_px), f.trade_id, **fields)


def settled(outputs: list[object]) -> dict[str, tuple[object, ...]]:
    """What must not depend on the order of fills."""
    last = {p.strategy: p for p in outputs if isinstance(p, PositionChanged)}
    return {
        s: (p.quantity, p.bought_qty, p.sold_qty, p.bought_value, p.sold_value, sorted(p.fees.items()), p.fills)
        for s, p in last.items()
    }


@given(set_and_tape(facts_of_orders()))
def test_any_tape_of_the_same_facts_gives_the_same_positions_and_total(drawn: tuple[list[Fact], list[Fact]]) -> None:
    one, other = (run(STAGE, [f for f in run(orders.STAGE, facts) if isinstance(f, Fill)]) for facts in drawn)
    assert settled(list(one)) == settled(list(other))


@given(fills())
def test_money_is_conserved(made: list[Fill]) -> None:
    """What was paid and received is what the sums say, to the last digit, and realized is what is not tied up."""
    last = {p.strategy: p for p in run(STAGE, made) if isinstance(p, PositionChanged)}
    for strategy, p in last.items():
        own = [f for f in made if f.strategy == strategy]
        signed = [(-f.side.sign if f.reversal else f.side.sign, Fraction(f.last_qty), Fraction(f.last_px)) for f in own]
        cash = sum((-sign * qty * px for sign, qty, px in signed), Fraction(0))
        assert Fraction(p.sold_value) - Fraction(p.bought_value) == cash
        assert Fraction(p.quantity) == sum((sign * qty for sign, qty, _ in signed), Fraction(0))
        assert p.quantity == p.bought_qty - p.sold_qty
        if p.quantity == 0:
            assert (Fraction(p.realized_pnl), p.avg_px) == (cash, None)
        elif p.avg_px is not None:
            tied_up = Fraction(p.quantity) * Fraction(p.avg_px)
            rounding = abs(Fraction(p.quantity)) * Fraction(SMALLEST) / 2  # the average price is told to 18 decimals
            assert abs(Fraction(p.realized_pnl) - cash - tied_up) <= rounding


@given(fills())
def test_an_average_lies_between_the_prices_that_made_it(made: list[Fill]) -> None:
    for p in run(STAGE, made):
        assert isinstance(p, PositionChanged)
        if p.avg_px is not None:
            prices = [Fraction(f.last_px) for f in made]
            slack = max(prices) / 10**20
            assert min(prices) - slack <= Fraction(p.avg_px) <= max(prices) + slack or any(f.reversal for f in made)


@given(fills())
def test_delivering_fills_again_says_nothing_new(made: list[Fill]) -> None:
    assert fold(STAGE, doubled(list(made))) == fold(STAGE, made)


@given(fills(), st.integers(1, 4))
def test_the_stage_folds_the_same_live_or_recoded(made: list[Fill], every: int) -> None:
    assert fold(STAGE, made, recode_every=every) == fold(STAGE, made)


@given(fills())
def test_positions_go_over_the_wire(made: list[Fill]) -> None:
    said = run(STAGE, made)
    assert wire.decode(wire.encode(said), (PositionChanged,)) == said
