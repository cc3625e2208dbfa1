"""Whatever a venue does (late words, refusals, lost cancels, partial fills), these hold for each strategy."""

import random
from collections import deque
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.intents import intents_stage
from pipelines.signals import signals_stage
from strategies import Strategy
from strategies.moving_average_cross import MovingAverageCross
from strategies.spread_buyer import SpreadBuyer
from strategies.two_sided_quoter import TwoSidedQuoter
from tests.folding import Folding
from tests.strategies.builders import MS, SECOND, SUBSCRIPTION, D, bar, instrument, quote, tick
from tests.strategies.toy_venue import ToyVenue
from topics.orders import SubmitOrder
from topics.record import Record, Side
from topics.strategy import StrategyHalted

QTY, MOST = D("0.3"), D("1")
DUST = D("0.06")  # below the smallest notional at these prices
QUOTER = TwoSidedQuoter(
    TwoSidedQuoter.Params(order_qty=QTY, max_qty=MOST, half_spread_bps=D(0), lean_bps=D(1), requote_ms=500)
)
BUYER = SpreadBuyer(SpreadBuyer.Params(order_qty=QTY, max_spread_bps=D(3), min_gain_bps=D(1), max_hold_s=D(1)))
CROSS = MovingAverageCross(
    MovingAverageCross.Params(fast=1, slow=2, order_qty=QTY, max_qty=MOST, allow_short=True, slippage_bps=D(1))
)

ACTIONS = [
    "quote",
    "quote",
    "bar",
    "tick",
    "take",
    "take",
    "refuse",
    "fill",
    "fill",
    "expire",
    "update",
    "update",
    "position",
]
steps = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 40)), max_size=120)
patient = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Session:
    """Signals, inbox and intents of one strategy against a toy venue; ``inbox`` and ``said``: what went in and out."""

    def __init__(self, strategy: Strategy) -> None:
        self.signals = Folding(signals_stage("s1", strategy, SUBSCRIPTION))
        self.intents = Folding(intents_stage("s1", strategy, SUBSCRIPTION))
        self.venue = ToyVenue()
        self.commands: deque[Record] = deque()
        self.inbox: list[Record] = []
        self.said: list[Record] = []
        self.submitted: list[int] = []
        self.hear(instrument())

    def hear(self, event: Record) -> None:
        self.inbox.append(event)
        for out in self.intents.feed(event):
            self.said.append(out)
            assert not isinstance(out, StrategyHalted), out
            if isinstance(out, SubmitOrder):
                self.submitted.append(out.ts_init)
            self.commands.append(out)

    def step(self, action: str, n: int) -> None:
        self.venue.now += n * 5 * MS
        now, resting = self.venue.now, sorted(self.venue.orders)
        match action:
            case "quote":
                bid = D(9990 + n) / 100
                for signal in self.signals.feed(quote(str(bid), str(bid + D("0.01") * (1 + n % 3)), ts=now)):
                    self.hear(signal)
            case "bar":
                self.hear(bar(str(95 + n % 10), ts=now))
            case "tick":
                self.hear(tick(now))
            case "take" | "refuse" if self.commands:
                self.venue.take(self.commands.popleft(), refuse=action == "refuse")
            case "fill" if resting:
                self.venue.fill(resting[n % len(resting)], Decimal(1 + n % 4) / 10)
            case "expire" if resting:
                self.venue.expire(resting[n % len(resting)])
            case "update" if self.venue.updates:
                self.hear(self.venue.updates.popleft())
            case "position" if self.venue.positions:
                self.hear(self.venue.positions.popleft())

    def worst(self, side: Side) -> Decimal:
        """The position on that side if everything commanded on it filled, and nothing on the other."""
        unsent = sum((c.order_qty for c in self.commands if isinstance(c, SubmitOrder) and c.side is side), D(0))
        return self.venue.quantity * side.sign + self.venue.open_qty(side) + unsent

    def in_flight(self, side: Side) -> int:
        unsent = sum(isinstance(c, SubmitOrder) and c.side is side for c in self.commands)
        return unsent + sum(o.command.side is side for o in self.venue.orders.values())


def drive(strategy: Strategy, script: list[tuple[str, int]]) -> Iterator[Session]:
    session = Session(strategy)
    for action, n in script:
        session.step(action, n)
        yield session


def after(strategy: Strategy, script: list[tuple[str, int]]) -> Session:
    session = Session(strategy)
    for action, n in script:
        session.step(action, n)
    return session


def check_quoter(session: Session) -> None:
    assert max(session.in_flight(Side.BUY), session.in_flight(Side.SELL)) <= 1
    assert max(session.worst(Side.BUY), session.worst(Side.SELL)) <= MOST


def check_buyer(session: Session) -> None:
    assert session.in_flight(Side.BUY) + session.in_flight(Side.SELL) <= 1
    assert session.worst(Side.BUY) <= QTY + DUST
    assert session.worst(Side.SELL) <= 0


def check_cross(session: Session) -> None:
    assert session.in_flight(Side.BUY) + session.in_flight(Side.SELL) <= 1
    assert max(session.worst(Side.BUY), session.worst(Side.SELL)) <= MOST


@patient
@given(steps)
def test_the_quoter_has_one_order_a_side_and_stays_within_its_position(script: list[tuple[str, int]]) -> None:
    for session in drive(QUOTER, script):
        check_quoter(session)


@patient
@given(steps)
def test_the_buyer_has_one_order_and_never_holds_more_nor_sells_what_it_has_not(script: list[tuple[str, int]]) -> None:
    for session in drive(BUYER, script):
        check_buyer(session)


@patient
@given(steps)
def test_the_cross_has_one_order_and_stays_within_its_position(script: list[tuple[str, int]]) -> None:
    for session in drive(CROSS, script):
        check_cross(session)


@pytest.mark.parametrize(
    ("strategy", "check"),
    [(QUOTER, check_quoter), (BUYER, check_buyer), (CROSS, check_cross)],
    ids=["quoter", "buyer", "cross"],
)
def test_the_same_holds_over_a_long_session_in_which_it_trades_both_ways(
    strategy: Strategy, check: Callable[[Session], None]
) -> None:
    choose = random.Random(5)
    script = [(choose.choice(ACTIONS), choose.randrange(41)) for _ in range(3000)]
    *_, session = (checked(session, check) for session in drive(strategy, script))
    assert min(session.venue.bought, session.venue.sold) > 3


def checked(session: Session, check: Callable[[Session], None]) -> Session:
    check(session)
    return session


@pytest.mark.parametrize("strategy", [QUOTER, BUYER, CROSS], ids=["quoter", "buyer", "cross"])
@patient
@given(script=steps)
def test_no_strategy_sends_more_than_five_orders_a_second(strategy: Strategy, script: list[tuple[str, int]]) -> None:
    times = after(strategy, script).submitted
    assert all(later - earlier >= SECOND for earlier, later in zip(times, times[5:], strict=False))


@pytest.mark.parametrize("strategy", [QUOTER, BUYER, CROSS], ids=["quoter", "buyer", "cross"])
@patient
@given(script=steps, every=st.integers(1, 7))
def test_state_that_is_stored_and_read_back_decides_the_same(
    strategy: Strategy, script: list[tuple[str, int]], every: int
) -> None:
    session = after(strategy, script)
    recoded = Folding(intents_stage("s1", strategy, SUBSCRIPTION), recode_every=every)
    assert [out for event in session.inbox for out in recoded.feed(event)] == session.said
