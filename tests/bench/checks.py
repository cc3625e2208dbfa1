"""The pre-trade checks of one order that passes them all, and the whole decision with what it was judged by."""

import time
from collections.abc import Iterator
from decimal import Decimal

from pipelines.exact import EXACT, localcontext
from pipelines.gateway.checks import first_denial, look_up
from pipelines.gateway.decide import decide
from pipelines.gateway.state import State
from tests.bench.measure import Row, in_turn, row
from tests.bench.scene import Scene
from tests.pipelines.gateway.worlds import NOW, add_controls, add_market, balance, limit, order, place, world
from topics.controls import LimitName

ORDERS, REPETITIONS = 2000, 7
OPEN = 1000
STEP_NS = 200_000
"""Orders come 5,000 a second."""


def measure(scene: Scene) -> Iterator[Row]:
    few, many = _world(10), _world(OPEN)
    checks_few, checks_many, whole = in_turn(
        [lambda: _checks(few), lambda: _checks(many), lambda: _decisions(many)], REPETITIONS
    )
    yield row("checks, 10 orders open", "µs an order", checks_few, at_most=20)
    yield row(f"checks, {OPEN:,} open, 5,000/s", "µs an order", checks_many, at_most=20)
    yield row("decision with its judgement", "µs an order", whole, note=f"{OPEN:,} orders open")


def _world(open_orders: int) -> State:
    """With so many orders open, placed at 5,000 a second by ten strategies."""
    state = world()
    add_market(state, balance("USDT", "1000000000"))
    for name, value in (
        (LimitName.MAX_ORDER_VALUE, "1000000000"),
        (LimitName.MAX_POSITION_VALUE, "1000000000"),
        (LimitName.MAX_ORDERS_PER_SECOND, "1000000"),
    ):
        add_controls(state, limit(name, Decimal(value)))
    for n in range(open_orders):
        command = order(f"open{n}", strategy=f"s{n % 10}", order_qty=Decimal("0.001"), price=Decimal(59_000 + n % 500))
        place(state, command, NOW + n * STEP_NS)
    assert len(state.book.working) == open_orders
    return state


def _commands(n: int) -> list:
    return [
        order(f"new{i}", strategy=f"s{i % 10}", order_qty=Decimal("0.001"), price=Decimal("59990.5")) for i in range(n)
    ]


def _checks(state: State) -> float:
    commands, now = _commands(ORDERS), NOW + OPEN * STEP_NS
    began = time.process_time()
    with localcontext(EXACT):
        for command in commands:
            if first_denial(look_up(state, command, now)) is not None:
                raise AssertionError("an order was denied")
    return (time.process_time() - began) / ORDERS * 1e6


def _decisions(state: State) -> float:
    commands, now = _commands(ORDERS), NOW + OPEN * STEP_NS
    began = time.process_time()
    for command in commands:
        decide(state, command, now)
    return (time.process_time() - began) / ORDERS * 1e6
