"""Contracts: what they are worth, held against the textbook's formula and against a rebuild in fractions."""

from collections.abc import Iterable
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import contracts, orders, positions
from pipelines.exact import SMALLEST
from pipelines.portfolio import portfolio_stage
from tests.facts import ACCOUNT, INSTRUMENT, STRATEGY, D, OrderMaker, definition, fill, mark
from tests.folding import run
from topics.orders import Fill, OrderAnomaly
from topics.portfolio import PortfolioLine, PositionChanged
from topics.record import Payoff, Side

BUY, SELL = Side.BUY, Side.SELL
HUNDRED_USD = {"payoff": Payoff.INVERSE, "multiplier": D(100), "settle": "BTC", "quote": "USD"}
TENTH = {"payoff": Payoff.LINEAR, "multiplier": D("0.1"), "settle": "USDT"}
HALF = Fraction(SMALLEST) / 2


def last_of(fills: Iterable[Fill]) -> PositionChanged:
    (*_, last) = run(positions.STAGE, fills)
    assert isinstance(last, PositionChanged)
    return last


def test_a_long_inverse_contract_earns_what_the_textbook_says() -> None:
    """100 contracts of 100 USD from 50,000 to 62,500: 10,000 x (1/50,000 - 1/62,500) = 0.04 BTC."""
    p = last_of([fill(BUY, "100", "50000", **HUNDRED_USD), fill(SELL, "100", "62500", **HUNDRED_USD)])
    assert (p.quantity, p.realized_pnl, p.avg_px, p.settle) == (D(0), D("0.04"), None, "BTC")


def test_a_short_inverse_contract_earns_the_opposite() -> None:
    p = last_of([fill(SELL, "100", "50000", **HUNDRED_USD), fill(BUY, "100", "62500", **HUNDRED_USD)])
    assert p.realized_pnl == D("-0.04")


def test_the_average_of_an_inverse_contract_is_the_price_that_cost_as_much() -> None:
    """As much in dollars at 50,000 as at 62,500: the harmonic mean."""
    p = last_of([fill(BUY, "1", "50000", **HUNDRED_USD), fill(BUY, "1", "62500", "b", **HUNDRED_USD)])
    assert p.avg_px is not None
    assert abs(Fraction(p.avg_px) - Fraction(500_000, 9)) < Fraction(1, 10**12)


def test_a_bust_of_an_inverse_execution_leaves_nothing_of_it() -> None:
    kept, gone = fill(BUY, "3", "61000.7", **HUNDRED_USD), fill(BUY, "1", "61003", "b", **HUNDRED_USD)
    back = fill(BUY, "1", "61003", "b", reversal=True, **HUNDRED_USD)
    alone, p = last_of([kept]), last_of([kept, gone, back])
    assert (p.bought_value, p.avg_px, p.realized_pnl) == (alone.bought_value, alone.avg_px, D(0))


def test_one_contract_of_a_hundred_dollars_is_an_exposure_of_a_hundred_dollars() -> None:
    """In bitcoin, and in dollars where the venue has a market that says what a bitcoin is."""
    bought = fill(BUY, "1", "50000", **HUNDRED_USD)
    spot = "sim:BTC-USD"
    told = [definition(spot), mark("62500", spot), mark("62500"), last_of([bought])]
    in_coin = lines(run(portfolio_stage({}), told))
    assert (in_coin.currency, in_coin.net_exposure, in_coin.gross_exposure) == ("BTC", D("0.0016"), D("0.0016"))
    assert (in_coin.unrealized_pnl, in_coin.realized_pnl, in_coin.complete) == (D("0.0004"), D(0), True)
    in_usd = lines(run(portfolio_stage({ACCOUNT: "USD"}), told))
    assert (in_usd.net_exposure, in_usd.unrealized_pnl) == (D(100), D(25))


def test_a_short_inverse_contract_is_an_exposure_below_nothing() -> None:
    sold = fill(SELL, "2", "50000", **HUNDRED_USD)
    line = lines(run(portfolio_stage({}), [mark("62500"), last_of([sold])]))
    assert (line.net_exposure, line.gross_exposure) == (D("-0.0032"), D("0.0032"))
    assert line.unrealized_pnl == D("-0.0008")


@pytest.mark.parametrize("px", ["0", "-5"])
def test_without_a_price_above_nothing_an_inverse_contract_has_no_value(px: str) -> None:
    line = lines(run(portfolio_stage({}), [mark(px), last_of([fill(BUY, "1", "50000", **HUNDRED_USD)])]))
    assert not line.complete
    (anomaly,) = [o for o in run(orders.STAGE, [OrderMaker().filled(px=px, **HUNDRED_USD)]) if type(o) is OrderAnomaly]
    assert anomaly.what == "execution_unreadable"


def lines(outputs: Iterable[object]) -> PortfolioLine:
    (line,) = [o for o in outputs if isinstance(o, PortfolioLine) and o.instrument == INSTRUMENT and o.strategy]
    assert line.strategy == STRATEGY
    return line


CONTENT = st.tuples(
    st.sampled_from(Side),
    st.decimals("0.001", "5000", places=3).map(str),
    st.decimals("0.01", "90000", places=2).map(str),
)


def made(contents: list[tuple[Side, str, str]], terms: dict[str, object]) -> list[Fill]:
    """By the orders stage, from what a venue says."""
    facts = [OrderMaker().filled(f"t{n}", q, px, side=s, **terms) for n, (s, q, px) in enumerate(contents)]
    return [o for o in run(orders.STAGE, facts) if isinstance(o, Fill)]


def rebuilt(contents: list[tuple[Side, str, str]], unit: "Unit") -> tuple[Fraction, Fraction]:
    """Quantity, and what closing it at the last price would leave: each execution's own gain from its price to that one."""
    *_, (_, _, last) = contents
    held = sum((s.sign * Fraction(q) for s, q, _ in contents), Fraction(0))
    earned = sum((s.sign * Fraction(q) * (unit(last) - unit(px)) for s, q, px in contents), Fraction(0))
    return held, earned


class Unit:
    """What one contract is worth, in fractions."""

    def __init__(self, terms: dict[str, object]) -> None:
        self.size = Fraction(str(terms["multiplier"]))
        self.inverse = terms["payoff"] is Payoff.INVERSE

    def __call__(self, px: str) -> Fraction:
        return -self.size / Fraction(px) if self.inverse else self.size * Fraction(px)


@pytest.mark.parametrize("terms", [HUNDRED_USD, TENTH], ids=["inverse", "linear"])
@given(contents=st.lists(CONTENT, min_size=1, max_size=8))
def test_what_a_position_has_earned_is_what_its_executions_have(
    terms: dict[str, object], contents: list[tuple[Side, str, str]]
) -> None:
    fills = made(contents, terms)
    p, unit = last_of(fills), Unit(terms)
    held, earned = rebuilt(contents, unit)
    told = Fraction(p.sold_value) - Fraction(p.bought_value) + held * unit(contents[-1][2])
    assert Fraction(p.quantity) == held
    assert abs(told - earned) <= (len(contents) * HALF if unit.inverse else 0)
    if held == 0:
        assert abs(Fraction(p.realized_pnl) - earned) <= len(contents) * HALF


@pytest.mark.parametrize("terms", [HUNDRED_USD, TENTH], ids=["inverse", "linear"])
@given(contents=st.lists(CONTENT, min_size=1, max_size=8), order=st.randoms(use_true_random=False))
def test_the_sums_are_the_same_whatever_the_order(
    terms: dict[str, object], contents: list[tuple[Side, str, str]], order: Random
) -> None:
    fills = made(contents, terms)
    other = list(fills)
    order.shuffle(other)
    one, two = last_of(fills), last_of(other)
    for name in ("quantity", "bought_qty", "sold_qty", "bought_value", "sold_value", "fees", "fills"):
        assert getattr(one, name) == getattr(two, name)


@given(quantity=st.decimals("1", "100000", places=0), entry=st.decimals("0.01", "90000", places=2), data=st.data())
def test_an_inverse_round_trip_is_the_formula(quantity: D, entry: D, data: st.DataObject) -> None:
    leave = data.draw(st.decimals("0.01", "90000", places=2))
    trip = made([(BUY, str(quantity), str(entry)), (SELL, str(quantity), str(leave))], HUNDRED_USD)
    due = Fraction(quantity) * 100 * (1 / Fraction(entry) - 1 / Fraction(leave))
    assert abs(Fraction(last_of(trip).realized_pnl) - due) <= 2 * HALF


@given(st.decimals("0.01", "90000", places=2), st.integers(1, 10**6))
def test_an_inverse_quantity_at_its_average_price_is_its_cost(px: D, quantity: int) -> None:
    cost = contracts.value(Payoff.INVERSE, D(100), D(quantity), px)
    average = contracts.average_px(Payoff.INVERSE, D(100), D(quantity), cost)
    assert average is not None
    assert abs(Fraction(average) - Fraction(px)) <= Fraction(px) ** 2 / 10**18
