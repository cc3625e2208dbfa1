"""What holds of the gateway's state and decisions whatever comes: hypothesis over inputs, their interleaving and their redelivery."""

from collections.abc import Callable
from decimal import Decimal as D
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.gateway.decide import decide, decide_cancel, decide_cancel_all
from pipelines.gateway.state import State
from tests.pipelines.gateway.worlds import (
    ACCOUNT,
    BTC,
    LIMITS,
    NOW,
    control_records,
    filled,
    kill,
    limit,
    mark,
    market_records,
    order,
    place,
    world,
)
from topics.controls import FIRM, LimitName, Resume, Scope, ScopeKind
from topics.orders import (
    CancelAll,
    CancelOrder,
    Judgement,
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderRequested,
    OrderUnknown,
    SubmitOrder,
)
from topics.record import OrderType, Side, TimeInForce

ABSURD = [D("1e250"), D("-1E+999999"), D("1e-300"), D("1." + "7" * 300), D("NaN"), D("-Infinity")]
STRATEGIES = st.sampled_from(["quoter", "taker"])
COMMANDS = st.builds(
    order,
    st.sampled_from([f"o{i}" for i in range(6)]),
    strategy=STRATEGIES,
    side=st.sampled_from(Side),
    order_type=st.sampled_from([OrderType.LIMIT, OrderType.MARKET]),
    order_qty=st.sampled_from([D("0"), D("0.00001"), D("0.05"), D("0.1"), D("0.100001"), D("0.2"), *ABSURD]),
    price=st.sampled_from([None, D("1"), D("59990"), D("60000"), D("60005"), D("60010"), D("60020.001"), *ABSURD]),
    time_in_force=st.sampled_from(TimeInForce),
    reduce_only=st.booleans(),
)
FATES = st.sampled_from(["none", "accepted", "unknown", "partial", "filled", "canceled"])


def live(state: State, command: SubmitOrder, fate: str, tell: Callable[[Any], None] = lambda fact: None) -> None:
    """An order requested, and what then becomes of it."""
    requested = place(state, command)
    if not isinstance(requested, OrderRequested):
        return
    tell(requested)
    fact = fate_of(command, fate)
    if fact is not None:
        tell(fact)
        state.book.fold(fact)


def fate_of(command: SubmitOrder, fate: str) -> Any:
    cid = command.client_order_id
    about: Any = {
        "client_order_id": cid,
        "account": ACCOUNT,
        "instrument": BTC,
        "strategy": command.strategy,
        "ts_init": NOW,
    }
    match fate:
        case "accepted":
            return OrderAccepted(**about, venue_order_id=f"v-{cid}")
        case "unknown":
            return OrderUnknown(**about, where="submit", reason="timeout")
        case "partial":
            return filled(command, str(command.order_qty / 2))
        case "filled":
            return filled(command, str(command.order_qty))
        case "canceled":
            return OrderCanceled(**about)
    return None


LIVES = st.lists(st.tuples(COMMANDS, FATES), max_size=12)


def lived(lives: list[tuple[SubmitOrder, str]]) -> State:
    state = world()
    for command, fate in lives:
        live(state, command, fate)
    return state


def encoded(value: Any) -> bytes:
    return msgspec.json.encode(value, order="deterministic")


@given(lives=LIVES, command=COMMANDS)
def test_a_denied_order_never_counts(lives: list[tuple[SubmitOrder, str]], command: SubmitOrder) -> None:
    state = lived(lives)
    book = state.book
    before = (
        dict(book.working),
        dict(book.positions),
        list(book.requests.recent),
        book.pending(BTC, Side.BUY),
        book.pending(BTC, Side.SELL),
    )
    if isinstance(place(state, command), OrderDenied):
        after = (
            dict(book.working),
            dict(book.positions),
            list(book.requests.recent),
            book.pending(BTC, Side.BUY),
            book.pending(BTC, Side.SELL),
        )
        assert after == before


@given(lives=LIVES)
def test_exposure_is_reserved_from_the_request_until_the_end(lives: list[tuple[SubmitOrder, str]]) -> None:
    state = lived(lives)
    for side in Side:
        open_qty = sum(
            (
                h.facts.leaves_qty
                for h in state.book.orders.values()
                if h.facts.terms and h.side is side and not h.facts.is_terminal
            ),
            D(0),
        )
        assert state.book.pending(BTC, side) == open_qty
    mid = D("60010")
    for worst in (
        state.book.position(BTC) + state.book.pending(BTC, Side.BUY),
        state.book.position(BTC) - state.book.pending(BTC, Side.SELL),
    ):
        assert abs(worst) * mid <= LIMITS[LimitName.MAX_POSITION_VALUE] * D("1.001")


@given(lives=LIVES)
def test_no_two_open_orders_of_ours_could_meet(lives: list[tuple[SubmitOrder, str]]) -> None:
    open_orders = list(lived(lives).book.open_orders(BTC))
    buys = [h for h in open_orders if h.side is Side.BUY]
    sells = [h for h in open_orders if h.side is Side.SELL]
    assert not (buys and sells and any(h.price is None for h in open_orders))
    assert all(b.price < s.price for b in buys for s in sells if b.price is not None and s.price is not None)


@given(lives=LIVES, again=st.integers(0, 11))
def test_a_command_redelivered_changes_nothing(lives: list[tuple[SubmitOrder, str]], again: int) -> None:
    state = lived(lives)
    for command, _ in lives[: again + 1]:
        assert decide(state, command, NOW) is None


@given(lives=LIVES, command=COMMANDS)
def test_facts_redelivered_change_no_decision(lives: list[tuple[SubmitOrder, str]], command: SubmitOrder) -> None:
    once, twice = lived(lives), lived(lives)
    for requested in [h for h in lived(lives).book.orders.values() if h.command is not None]:
        assert requested.command is not None
        fact = OrderRequested(
            client_order_id=requested.client_order_id,
            account=ACCOUNT,
            instrument=BTC,
            strategy=requested.facts.strategy,
            command=requested.command,
            venue_client_id=requested.venue_client_id,
            judged_by=Judgement(),
            ts_init=NOW,
        )
        twice.book.fold(fact)
    assert encoded(decide(once, command, NOW)) == encoded(decide(twice, command, NOW))


INPUTS: list[tuple[str, Any]] = [
    *(("market", r) for r in market_records()),
    *(("controls", r) for r in control_records()),
    ("market", mark(best_bid=D("59990"), best_ask=D("60000"))),
    ("controls", limit(LimitName.MAX_ORDER_VALUE, D(7000), Scope(ScopeKind.STRATEGY, "quoter"))),
    ("controls", kill(Scope(ScopeKind.STRATEGY, "taker"))),
    ("controls", kill(FIRM, "k2")),
    ("controls", Resume(control_id="r", scope=FIRM, who="w", why="y", ts_init=NOW)),
]


@settings(max_examples=60)
@given(lives=LIVES, command=COMMANDS, interleaving=st.randoms(use_true_random=False))
def test_inputs_commute_however_they_are_interleaved(
    lives: list[tuple[SubmitOrder, str]], command: SubmitOrder, interleaving: Any
) -> None:
    """Own facts, market and controls, each in its own order, mixed in any way: the same decision, to the byte."""
    facts = facts_of(lives)
    streams = [[("facts", f) for f in facts], *([i for i in INPUTS if i[0] == kind] for kind in ("market", "controls"))]
    assert encoded(decide(folded(flat(streams)), command, NOW)) == encoded(
        decide(folded(mixed(streams, interleaving)), command, NOW)
    )


def facts_of(lives: list[tuple[SubmitOrder, str]]) -> list[Any]:
    """The facts that these lives leave on the tape, in order."""
    facts: list[Any] = []
    state = world()
    for command, fate in lives:
        live(state, command, fate, facts.append)
    return facts


def folded(inputs: list[tuple[str, Any]]) -> State:
    state = State.empty(ACCOUNT)
    state.ready = True
    offsets = {"market": 0, "controls": 0}
    for kind, record in inputs:
        if kind == "facts":
            state.book.fold(record)
            continue
        part = state.market if kind == "market" else state.rules
        part.fold(offsets[kind], [record])  # type: ignore[attr-defined]
        part.fold(offsets[kind], [record])  # type: ignore[attr-defined]
        offsets[kind] += 1
    return state


def flat(streams: list[list[tuple[str, Any]]]) -> list[tuple[str, Any]]:
    return [one for stream in streams for one in stream]


def mixed(streams: list[list[tuple[str, Any]]], random: Any) -> list[tuple[str, Any]]:
    left, out = [list(s) for s in streams if s], []
    while left:
        stream = random.choice(left)
        out.append(stream.pop(0))
        left = [s for s in left if s]
    return out


# --- cancels -------------------------------------------------------------------------------------------------------


def cancel(cid: str = "o1", command_id: str = "c1") -> CancelOrder:
    return CancelOrder(
        command_id=command_id, client_order_id=cid, strategy="quoter", account=ACCOUNT, instrument=BTC, ts_init=NOW
    )


def test_a_cancel_is_decided_once_even_when_everything_denies_new_orders() -> None:
    state = world()
    place(state, order())
    state.ready = False
    state.rules.fold(99, [kill()])
    fact = decide_cancel(state, cancel(), NOW)
    assert fact is not None
    state.book.fold(fact)
    assert state.book.orders["o1"].facts.pending_cancel
    assert decide_cancel(state, cancel(), NOW) is None


def test_a_cancel_of_an_order_that_ended_is_rejected_and_of_none_is_nothing() -> None:
    state = world()
    place(state, order())
    state.book.fold(filled(order(), "0.1"))
    rejected = decide_cancel(state, cancel(), NOW)
    assert rejected is not None
    assert type(rejected).__name__ == "CancelRejected"
    assert decide_cancel(state, cancel("nobody"), NOW) is None


def test_cancel_all_reaches_what_works_and_its_redelivery_no_newer_order() -> None:
    state = world()
    place(state, order("a"))
    place(state, order("b", strategy="taker"))
    command = CancelAll(command_id="all", account=ACCOUNT, strategy="quoter", ts_init=NOW)
    facts = decide_cancel_all(state, command, NOW)
    assert [f.client_order_id for f in facts] == ["a"]
    for fact in facts:
        state.book.fold(fact)
    place(state, order("c"))
    assert decide_cancel_all(state, command, NOW) == []


def test_cancel_all_leaves_orders_that_were_decided_on_later_data() -> None:
    state = world()
    place(state, order("new", ts_init=NOW + 1), NOW + 1)
    assert decide_cancel_all(state, CancelAll(command_id="all", account=ACCOUNT, ts_init=NOW), NOW + 2) == []
