"""orders.events -> orders.state, fills. State per account and instrument: its orders, folded from facts.

An execution becomes one ``Fill`` under the strategy its order is booked to (``EXTERNAL`` for orders that are not
ours), a bust becomes the reversing one. ``OrderUpdated`` follows when the order's view changed, then anomalies. The
venue's own identity of an execution is judged here, and only here: whoever reads ``fills`` may count.

The state is one record of the changelog, so it is kept small. By the time in the facts:

  open               kept in full
  closed             kept in full for ``FORGET_MINUTES`` after the last fact that taught something
  later, unexecuted  forgotten: an execution that comes still is new by definition, and counts
  later, executed    its executions are rows of a ``Grave``: a repeated one says nothing, a bust takes one back, a new
                     one counts and is flagged. Its terms are forgotten, so it has no view any more
  KEEP_CLOSED_DAYS   forgotten: an execution as old as what is gone, of an order that is not known, may have been
                     counted, so it is only reported as an anomaly

An order whose terms never came counts as closed, and takes its executions back when the venue shows it.

Measured with ids and digits as our strategies and Binance write them: 63 bytes for an execution in a grave with its
venue order id, so 16 MiB hold 266,000 executed orders and ``ROOM`` 232,000; 280 bytes for a closed order without
executions, so 85 of them a second fit into ``FORGET_MINUTES``. Beyond ``ROOM`` closed orders and then the oldest
executions are forgotten early, with an anomaly that says so.
"""

from collections.abc import Iterator
from itertools import takewhile

import msgspec

from pipelines.exact import EXACT, localcontext
from pipelines.order import AnomalyKind, ExecutionId, OrderFacts, Step, anomaly
from pipelines.order_parts import Grave
from topics.catalog import MAX_MESSAGE_BYTES, ORDERS_EVENTS
from topics.coordinates import At
from topics.orders import (
    ControlDone,
    ExternalOrderSeen,
    Fact,
    Fill,
    OrderAnomaly,
    OrderBusted,
    OrderFilled,
    OrderUpdated,
    ReconciliationDifference,
)
from topics.record import EXTERNAL, ClientOrderId, Record, VenueOrderId
from topics.stage import Outputs, Stage

FORGET_MINUTES = 10
KEEP_CLOSED_DAYS = 1
MINUTE_NS = 60_000_000_000

ROOM = MAX_MESSAGE_BYTES * 7 // 8
MEASURE_EVERY = 4096
"""Facts between two looks at the size: at less than 512 bytes each they cannot fill what lies above ``ROOM``."""

_encode = msgspec.msgpack.Encoder().encode


class Orders(msgspec.Struct):
    """``owners``: the order that a venue's order id was first executed under, for the orders kept in full. ``closed``:
    since which minute, the oldest first. ``graves`` by hour. ``unexecuted_ts`` and ``forgotten_ts``: the last time in
    any fact of a forgotten order without executions, and with.
    """

    orders: dict[ClientOrderId, OrderFacts] = {}
    owners: dict[VenueOrderId, ClientOrderId] = {}
    closed: dict[ClientOrderId, int] = {}
    graves: dict[int, Grave] = {}
    minute: int = 0
    facts: int = 0
    unexecuted_ts: int = 0
    forgotten_ts: int = 0


def state_key(fact: Fact | ReconciliationDifference | ControlDone) -> str | None:
    return None if isinstance(fact, ReconciliationDifference | ControlDone) else f"{fact.account}|{fact.instrument}"


def on_event(state: Orders | None, fact: Fact, at: At) -> tuple[Orders, Outputs]:
    state = state or Orders()
    _pass_time(state, fact.ts_init // MINUTE_NS)
    outputs = _fold(state, fact)
    return state, [*outputs, *_make_room(state, fact)]


def _fold(state: Orders, fact: Fact) -> list[Record]:
    if isinstance(fact, OrderFilled | OrderBusted) and _is_buried(state, fact):
        step = _fold_buried(state, fact)
        return [*step.fills, *step.anomalies]
    order = state.orders.get(fact.client_order_id)
    if order is None and (fact.ts_event or fact.ts_init) <= state.forgotten_ts:
        return _refused(fact)
    order = order or OrderFacts.about(fact)
    if isinstance(fact, ExternalOrderSeen) and order.terms is None:
        if _is_ended(state, fact.venue_order_id):
            return []
        _take_back(state, order, fact.venue_order_id)
    step = _add(state, order, fact)
    view = order.view(fact) if step.visible else None
    return [*step.fills, *([] if view is None else [view]), *step.anomalies]


def _refused(fact: Fact) -> list[Record]:
    if not isinstance(fact, OrderFilled | OrderBusted):
        return []
    detail = f"{fact.venue_order_id} {fact.trade_id} of {fact.ts_event}: older than closed orders are kept"
    return [anomaly(fact, AnomalyKind.EXECUTION_TOO_OLD, detail)]


# --- orders in full ------------------------------------------------------------------------------------------------


def _add(state: Orders, order: OrderFacts, fact: Fact) -> Step:
    owner = _owner_of(state, fact) if isinstance(fact, OrderFilled) else None
    if owner is not None and isinstance(fact, OrderFilled):
        return owner.quarantine(fact, AnomalyKind.EXECUTION_CONFLICT, f"counted for {owner.client_order_id}")
    step = order.add(fact)
    if step.changed:
        _file(state, order)
    for fill in step.fills:
        state.owners.setdefault(fill.venue_order_id, fill.client_order_id)
    if order.terms is None and _is_ours(fact) and (fact.ts_event or fact.ts_init) <= state.unexecuted_ts:
        return _flagged(step, fact)
    return step


def _owner_of(state: Orders, fact: OrderFilled) -> OrderFacts | None:
    """Another order that this very execution was counted for."""
    owner = state.orders.get(state.owners.get(fact.venue_order_id, fact.client_order_id))
    if owner is None or owner.client_order_id == fact.client_order_id:
        return None
    return owner if (fact.venue_order_id, fact.trade_id) in owner.executions else None


def _file(state: Orders, order: OrderFacts) -> None:
    """Keep it; a closed one goes last of those to forget."""
    state.orders[order.client_order_id] = order
    state.closed.pop(order.client_order_id, None)
    if order.terms is None or order.is_terminal:
        state.closed[order.client_order_id] = state.minute


def _is_ours(fact: Fact) -> bool:
    return fact.strategy not in ("", EXTERNAL)


def _flagged(step: Step, fact: Fact) -> Step:
    """With the word that what it counted was not expected any more."""
    if not step.fills or not isinstance(fact, OrderFilled):
        return step
    detail = f"{fact.last_qty} at {fact.last_px} of an order closed for more than {FORGET_MINUTES} minutes"
    return step._replace(anomalies=(*step.anomalies, anomaly(fact, AnomalyKind.EXECUTION_AFTER_END, detail)))


# --- forgetting ----------------------------------------------------------------------------------------------------


def _pass_time(state: Orders, minute: int) -> None:
    """Once per minute; looks at what is due and at the hours, not at what stays."""
    if minute <= state.minute:
        return
    state.minute = minute
    _forget_closed(state, before=minute - FORGET_MINUTES)
    for hour in [h for h in state.graves if h < minute // 60 - 24 * KEEP_CLOSED_DAYS]:
        _drop(state, hour)


def _forget_closed(state: Orders, before: int) -> None:
    for client_order_id, since in list(takewhile(lambda one: one[1] < before, state.closed.items())):
        del state.closed[client_order_id]
        _put_away(state, state.orders.pop(client_order_id), since)


def _put_away(state: Orders, order: OrderFacts, since: int) -> None:
    for venue_order_id, _ in order.executions:
        if state.owners.get(venue_order_id) == order.client_order_id:
            del state.owners[venue_order_id]
    if order.executions or order.busted:
        _bury(state, order, since, ended=order.is_terminal or order.strategy != EXTERNAL)
    else:
        state.unexecuted_ts = max(state.unexecuted_ts, order.last_ts)


def _bury(state: Orders, order: OrderFacts, since: int, ended: bool) -> None:
    """Among the hour's; by the venue's clock where that is ahead, so that nothing is forgotten before its time."""
    hour = max(since, order.last_ts // MINUTE_NS) // 60
    grave = state.graves.setdefault(hour, Grave())
    grave.last_ts = max(grave.last_ts, order.last_ts)
    for key, execution in order.executions.items():
        grave.put(key, grave.row_of(execution, order.strategy, ended, key in order.busted))
    for key in order.busted:
        if key not in order.executions:
            grave.put(key, None)


def _drop(state: Orders, hour: int) -> None:
    state.forgotten_ts = max(state.forgotten_ts, state.graves.pop(hour).last_ts)


def _make_room(state: Orders, fact: Fact) -> Iterator[OrderAnomaly]:
    """Before no record can hold the state, which would be the end: all closed orders early, then the oldest graves."""
    state.facts += 1
    if state.facts % MEASURE_EVERY != 0:
        return
    size = before = len(_encode(state))
    if size > ROOM:
        _forget_closed(state, before=state.minute + 1)
        size = len(_encode(state))
    while size > ROOM and state.graves:
        _drop(state, min(state.graves))
        size = len(_encode(state))
    if before > ROOM:
        detail = f"{before} bytes, room for {ROOM}; {size} without closed orders and executions to {state.forgotten_ts}"
        yield anomaly(fact, AnomalyKind.FORGOTTEN_EARLY, detail)


# --- orders in graves ----------------------------------------------------------------------------------------------


def _graves_of(state: Orders, venue_order_id: VenueOrderId) -> list[Grave]:
    return [grave for grave in state.graves.values() if venue_order_id in grave.rows]


def _is_buried(state: Orders, fact: OrderFilled | OrderBusted) -> bool:
    """The execution itself, or its order, unless that is kept in full under the id in the fact."""
    graves, order = _graves_of(state, fact.venue_order_id), state.orders.get(fact.client_order_id)
    if not graves or order is None:
        return bool(graves)
    if any(fact.trade_id in grave.rows[fact.venue_order_id] for grave in graves):
        return True
    return order.terms is None and (fact.venue_order_id, fact.trade_id) not in order.executions


def _fold_buried(state: Orders, fact: OrderFilled | OrderBusted) -> Step:
    """As an order of this one execution, which is all there is to know here."""
    key, order = (fact.venue_order_id, fact.trade_id), OrderFacts.about(fact)
    ended = _is_ours(fact) or _is_ended(state, fact.venue_order_id)
    last = next((g for g in _graves_of(state, fact.venue_order_id) if fact.trade_id in g.rows[key[0]]), None)
    if last is not None:
        _exhume(last, key, order)
    step = order.add(fact)
    if step.changed and (order.executions or order.busted):
        if last is not None:
            last.remove(key)
        _bury(state, order, state.minute, ended)
    if isinstance(fact, OrderFilled) and not step.changed and order.strategy != (fact.strategy or EXTERNAL):
        return order.quarantine(fact, AnomalyKind.EXECUTION_CONFLICT, f"counted for {order.strategy}")
    return _flagged(step, fact) if ended else step


def _is_ended(state: Orders, venue_order_id: VenueOrderId) -> bool:
    graves = _graves_of(state, venue_order_id)
    rows = ((grave, row) for grave in graves for row in grave.rows[venue_order_id].values())
    return any(row is not None and grave.marks[row.mark].ended for grave, row in rows)


def _exhume(grave: Grave, key: ExecutionId, order: OrderFacts) -> None:
    """Give the order what is kept of the execution."""
    row = grave.rows[key[0]][key[1]]
    if row is None:
        order.busted[key] = False
        return
    mark, order.executions[key] = grave.read(row)
    order.strategy = mark.strategy
    if mark.busted:
        order.busted[key] = True


def _take_back(state: Orders, order: OrderFacts, venue_order_id: VenueOrderId) -> None:
    """Everything that was counted for it before the venue showed it."""
    for grave in _graves_of(state, venue_order_id):
        for trade_id in list(grave.rows[venue_order_id]):
            _exhume(grave, (venue_order_id, trade_id), order)
            grave.remove((venue_order_id, trade_id))
            state.owners[venue_order_id] = order.client_order_id
    with localcontext(EXACT):
        order.recount()


STAGE = Stage(
    name="orders",
    input=ORDERS_EVENTS,
    state_type=Orders,
    state_key=state_key,
    on_event=on_event,
    outputs=(OrderUpdated, Fill, OrderAnomaly),
)
