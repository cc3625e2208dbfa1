"""orders.events -> orders.state, fills. State per account and instrument: its orders, folded from facts.

An execution becomes one ``Fill`` under the strategy its order is booked to (``EXTERNAL`` for orders that are not
ours), a bust becomes the reversing one. ``OrderUpdated`` follows when the order's view changed, then anomalies. The
venue's own identity of an execution is judged here, and only here: whoever reads ``fills`` may count.

Closed orders are forgotten ``KEEP_CLOSED_DAYS`` after the last fact that taught something, by the time in the facts,
when a fact begins a new day. What a forgotten order may have counted is not counted again: an execution as old as one
of them, of an order that is not known, is only reported as an anomaly.
"""

import msgspec

from pipelines.order import AnomalyKind, OrderFacts, Step, anomaly
from topics.catalog import ORDERS_EVENTS
from topics.coordinates import At
from topics.orders import Fact, Fill, OrderAnomaly, OrderBusted, OrderFilled, OrderUpdated, ReconciliationDifference
from topics.record import ClientOrderId, Record, VenueOrderId
from topics.stage import Outputs, Stage

KEEP_CLOSED_DAYS = 3
DAY_NS = 86_400_000_000_000


class Orders(msgspec.Struct):
    """``owners``: the order that a venue's order id was first executed under; ``forgotten_ts``: the last time in any
    fact of a forgotten order."""

    orders: dict[ClientOrderId, OrderFacts] = {}
    owners: dict[VenueOrderId, ClientOrderId] = {}
    day: int = 0
    forgotten_ts: int = 0


def state_key(fact: Fact | ReconciliationDifference) -> str | None:
    return None if isinstance(fact, ReconciliationDifference) else f"{fact.account}|{fact.instrument}"


def on_event(state: Orders | None, fact: Fact, at: At) -> tuple[Orders, Outputs]:
    state = state or Orders()
    _forget_closed(state, fact.ts_init // DAY_NS)
    if _is_of_forgotten(state, fact):
        return state, _refused(fact)
    order = state.orders.get(fact.client_order_id) or OrderFacts.about(fact)
    step = _add(state, order, fact)
    outputs: list[Record] = list(step.fills)
    view = order.view(fact) if step.visible else None
    if view is not None:
        outputs.append(view)
    return state, [*outputs, *step.anomalies]


def _add(state: Orders, order: OrderFacts, fact: Fact) -> Step:
    owner = _owner_of(state, fact) if isinstance(fact, OrderFilled) else None
    if owner is not None and isinstance(fact, OrderFilled):
        return owner.quarantine(fact, AnomalyKind.EXECUTION_CONFLICT, f"counted for {owner.client_order_id}")
    step = order.add(fact)
    if step.changed:
        state.orders[fact.client_order_id] = order
    for fill in step.fills:
        state.owners.setdefault(fill.venue_order_id, fill.client_order_id)
    return step


def _owner_of(state: Orders, fact: OrderFilled) -> OrderFacts | None:
    """Another order that this very execution was counted for."""
    owner = state.orders.get(state.owners.get(fact.venue_order_id, fact.client_order_id))
    if owner is None or owner.client_order_id == fact.client_order_id:
        return None
    return owner if (fact.venue_order_id, fact.trade_id) in owner.executions else None


def _forget_closed(state: Orders, day: int) -> None:
    """An order whose terms never came (executions reported without it) counts as closed."""
    if day <= state.day:
        return
    state.day = day
    horizon = (day - KEEP_CLOSED_DAYS) * DAY_NS
    old = [o for o in state.orders.values() if o.last_ts < horizon and (o.terms is None or o.is_terminal)]
    for order in old:
        del state.orders[order.client_order_id]
        state.forgotten_ts = max(state.forgotten_ts, order.last_ts)
    state.owners = {v: c for v, c in state.owners.items() if c in state.orders}


def _is_of_forgotten(state: Orders, fact: Fact) -> bool:
    return fact.client_order_id not in state.orders and (fact.ts_event or fact.ts_init) <= state.forgotten_ts


def _refused(fact: Fact) -> Outputs:
    if not isinstance(fact, OrderFilled | OrderBusted):
        return ()
    detail = f"{fact.venue_order_id} {fact.trade_id} of {fact.ts_event}: older than closed orders are kept"
    return (anomaly(fact, AnomalyKind.EXECUTION_TOO_OLD, detail),)


STAGE = Stage(
    name="orders",
    input=ORDERS_EVENTS,
    state_type=Orders,
    state_key=state_key,
    on_event=on_event,
    outputs=(OrderUpdated, Fill, OrderAnomaly),
)
