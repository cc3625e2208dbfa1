"""Hypothesis strategies: sets of facts about orders, and tapes of them in any order with any repetition."""

from typing import Any

from hypothesis import strategies as st

from tests.facts import T0, D, OrderMaker
from topics.orders import OrderFact, OrderFilled
from topics.record import EXTERNAL, Record, Side

QUANTITIES = ("1", "0.5", "2.25", "0.001", "3")
PRICES = ("100", "99.9", "101.25", "0.00001234", "64123.45678901")
FEES = ("0", "0.1", "-0.025", "0.00000075")


@st.composite
def executions(draw: st.DrawFn, order: OrderMaker, side: Side) -> list[OrderFilled]:
    """A few executions of one order, each with an identity of its own."""
    fees = st.tuples(st.sampled_from(FEES), st.sampled_from(("USDT", "BTC", "BNB")))
    times = st.integers(0, 3)
    out = []
    for n in range(draw(st.integers(0, 4))):
        fee, currency = draw(fees)
        content = {"side": side, "fee": D(fee), "fee_currency": currency, "ts_init": T0 + draw(times)}
        out.append(order.filled(f"t{n}", draw(st.sampled_from(QUANTITIES)), draw(st.sampled_from(PRICES)), **content))
    return out


@st.composite
def revision(draw: st.DrawFn, order: OrderMaker, number: int) -> list[OrderFact]:
    """What may be said of one revision: in its place, or by another order."""
    replacement = draw(st.sampled_from(("", f"{order.common['client_order_id']}~2")))
    terms = (draw(st.sampled_from(QUANTITIES)), draw(st.sampled_from(PRICES)), replacement)
    return [
        order.modify_requested(number, *terms),
        order.modified(number, *terms),
        order.modify_rejected(number),
        order.modified(number, draw(st.sampled_from(QUANTITIES)), terms[1], replacement),
    ]


@st.composite
def order_facts(draw: st.DrawFn, n: int = 1) -> list[OrderFact]:
    """A set of facts about order ``n``: requested (or external), executions, anything that may be said about it."""
    external, side = draw(st.booleans()), draw(st.sampled_from(Side))
    order = OrderMaker(f"o{n}", f"v{n}", strategy=EXTERNAL if external else f"s{n % 2}")
    fills = draw(executions(order, side))
    unknown_trade = st.sampled_from(["t0", "t1", "t9"])
    qty = draw(st.sampled_from(("1", "2.25", "5")))
    said = [
        order.sent(),
        order.accepted(),
        order.rejected(),
        order.canceled(),
        order.expired(),
        order.unknown("submit"),
        order.unknown("cancel"),
        order.reconciled(found=True, status="new"),
        order.reconciled(found=True, status="canceled"),
        order.reconciled(found=False),
        order.cancel_requested("c1"),
        order.cancel_requested("c2"),
        order.cancel_rejected("c1"),
        order.cancel_rejected("c2"),
        order.busted(draw(unknown_trade)),
        order.triggered(),
        order.unknown("modify"),
        order.canceled(cum_qty=D("0.5")),
        order.modify_denied(),
        *(fact for r in (1, 2, 3) for fact in draw(revision(order, r))),
    ]
    first = order.external(qty, side) if external else order.requested(qty, side)
    return [first, *fills, *draw(st.lists(st.sampled_from(said), unique_by=repr, max_size=8))]


@st.composite
def facts_of_orders(draw: st.DrawFn, most: int = 3) -> list[OrderFact]:
    """Facts about several orders of one account and instrument."""
    return [fact for n in range(draw(st.integers(1, most))) for fact in draw(order_facts(n))]


@st.composite
def rearranged(draw: st.DrawFn, facts: list[Any]) -> list[Any]:
    """The same set, in any order, each at least once."""
    again = draw(st.lists(st.sampled_from(facts), max_size=len(facts)))
    return draw(st.permutations(facts + again))


@st.composite
def set_and_tape(draw: st.DrawFn, facts: st.SearchStrategy[list[Any]]) -> tuple[list[Any], list[Any]]:
    """A set of facts as drawn, and a tape of it."""
    drawn = draw(facts)
    return drawn, draw(rearranged(drawn))


def doubled(events: list[Record]) -> list[Record]:
    """Every event delivered twice in a row, and the last half once more at the end, as after a crash."""
    twice = [event for event in events for _ in range(2)]
    return twice + twice[len(twice) // 2 :]
