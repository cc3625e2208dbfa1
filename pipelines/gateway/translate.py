"""The venue's words into facts: pure. What the log knows already gives nothing, so the same word may come by several
ways.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from adapters.execution import (
    Accepted,
    Balance,
    Execution,
    Listed,
    NotSent,
    OrderReport,
    Outcome,
    Refused,
    Unknown,
    VenueStatus,
)
from pipelines import order_parts
from pipelines.gateway import decide
from pipelines.gateway.state import Book, Held
from topics.orders import (
    CancelRejected,
    ExternalOrderSeen,
    Fact,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderReconciled,
    OrderRejected,
    OrderStatus,
    OrderTriggered,
    OrderUnknown,
)
from topics.portfolio import BalanceChanged
from topics.record import EXTERNAL, Account

NOT_SENT = "NOT_SENT"


def about(held: Held) -> dict[str, Any]:
    f = held.facts
    return {
        "client_order_id": f.client_order_id,
        "account": f.account,
        "instrument": f.instrument,
        "strategy": f.strategy,
    }


def external_id(account: Account, instrument: str, venue_order_id: str) -> str:
    """The id under which an order that is not ours is kept."""
    return f"{EXTERNAL}-{account}-{instrument}-{venue_order_id}"


def find(book: Book, instrument: str, venue_client_id: str, venue_order_id: str) -> Held | None:
    """Our order by the id that we gave it, else by the venue's."""
    cid = book.by_venue_client_id.get(venue_client_id) or book.by_venue_order_id.get((instrument, venue_order_id))
    return None if cid is None else book.orders.get(cid)


def of_submit(held: Held, outcome: Outcome, now_ns: int) -> Fact | None:
    """What the end of a submit says about its order."""
    match outcome:
        case Accepted(venue_order_id, ts_event):
            if venue_order_id in held.facts.acknowledged:
                return None
            return OrderAccepted(**about(held), venue_order_id=venue_order_id, ts_event=ts_event, ts_init=now_ns)
        case Refused(code, reason):
            return OrderRejected(**about(held), code=code, reason=reason, ts_init=now_ns)
        case NotSent(reason):
            return OrderRejected(**about(held), code=NOT_SENT, reason=reason, ts_init=now_ns)
        case Unknown(reason):
            return (
                None
                if held.facts.is_at_venue
                else OrderUnknown(**about(held), where="submit", reason=reason, ts_init=now_ns)
            )


def of_cancel(held: Held, command_id: str, outcome: Outcome, now_ns: int) -> Fact | None:
    """What the end of a cancel says; an accepted one is confirmed by the venue's event, which comes after the order's
    last execution.
    """
    match outcome:
        case Accepted():
            return None
        case Refused(code, reason):
            return CancelRejected(**about(held), command_id=command_id, code=code, reason=reason, ts_init=now_ns)
        case NotSent(reason):
            return CancelRejected(**about(held), command_id=command_id, code=NOT_SENT, reason=reason, ts_init=now_ns)
        case Unknown(reason):
            return OrderUnknown(**about(held), where="cancel", reason=reason, ts_init=now_ns)


def of_amend(held: Held, outcome: Outcome, now_ns: int) -> Fact | None:
    """What the end of an amendment in its place says; nothing where an event has told already."""
    if not held.facts.pending_revision:
        return None
    match outcome:
        case Accepted(_, ts_event):
            return decide.modified(held, now_ns, ts_event)
        case Refused(code, reason):
            return decide.modify_rejected(held, code, reason, now_ns)
        case NotSent(reason):
            return decide.modify_rejected(held, NOT_SENT, reason, now_ns)
        case Unknown(reason):
            return OrderUnknown(**about(held), where="modify", reason=reason, ts_init=now_ns)


def of_amended(held: Held, report: OrderReport, now_ns: int) -> Fact | None:
    """That the venue shows the quantity asked for, and the log does not have it yet."""
    modify, f = held.modify, held.facts
    if modify is None or modify.replacement or f.revisions[modify.revision].accepted:
        return None
    return decide.modified(held, now_ns, report.ts_event) if report.order_qty == modify.order_qty else None


def cancel_too_late(held: Held, command_id: str, now_ns: int) -> CancelRejected:
    reason = f"the order is {held.facts.status}"
    return CancelRejected(**about(held), command_id=command_id, code="TERMINAL", reason=reason, ts_init=now_ns)


def seen_external(account: Account, report: OrderReport, now_ns: int) -> ExternalOrderSeen:
    return ExternalOrderSeen(
        client_order_id=external_id(account, report.instrument, report.venue_order_id),
        account=account,
        instrument=report.instrument,
        strategy=EXTERNAL,
        venue_order_id=report.venue_order_id,
        side=report.side,
        order_type=report.order_type,
        order_qty=report.order_qty,
        price=report.price,
        trigger_price=report.trigger_price,
        ts_event=report.ts_event,
        ts_init=now_ns,
    )


def of_report(held: Held, report: OrderReport, now_ns: int) -> list[Fact]:
    """What a report tells that the log does not know; executions are not made from it."""
    facts: list[Fact] = []
    if not held.facts.acknowledged and report.status is not VenueStatus.REJECTED:
        facts.append(
            OrderAccepted(**about(held), venue_order_id=report.venue_order_id, ts_event=report.ts_event, ts_init=now_ns)
        )
    if report.triggered and not held.facts.triggered:
        facts.append(OrderTriggered(**about(held), ts_event=report.ts_event, ts_init=now_ns))
    more = (of_amended(held, report, now_ns), of_end(held, report, now_ns))
    return facts + [fact for fact in more if fact is not None]


def of_end(held: Held, report: OrderReport, now_ns: int) -> Fact | None:
    """The report's end of the order, unless the log has it."""
    ends = held.facts.ends
    ts: dict[str, Any] = {"ts_event": report.ts_event, "ts_init": now_ns}
    match report.status:
        case VenueStatus.CANCELED if OrderStatus.CANCELED not in ends or held.facts.end_cum_qty is None:
            return OrderCanceled(**about(held), cum_qty=report.cum_qty, prevented_qty=report.prevented_qty, **ts)
        case VenueStatus.EXPIRED if OrderStatus.EXPIRED not in ends:
            return OrderExpired(
                **about(held), cum_qty=report.cum_qty, prevented_qty=report.prevented_qty, reason=report.reason, **ts
            )
        case VenueStatus.REJECTED if OrderStatus.REJECTED not in ends:
            return OrderRejected(**about(held), code="REJECTED", reason=report.reason, **ts)
    return None


def of_execution(held: Held, execution: Execution, listed: Listed, now_ns: int) -> OrderFilled | None:
    """None where the log has this very execution; one of the same identity and another content goes to the log, to be
    quarantined there.
    """
    fact = OrderFilled(
        **about(held),
        venue_order_id=execution.venue_order_id,
        trade_id=execution.trade_id,
        side=execution.side,
        last_qty=execution.last_qty,
        last_px=execution.last_px,
        fee=execution.fee,
        fee_currency=execution.fee_currency,
        liquidity=execution.liquidity,
        base=listed.base,
        quote=listed.quote,
        settle=listed.settle or listed.quote,
        multiplier=listed.multiplier,
        payoff=listed.payoff,
        ts_event=execution.ts_event,
        ts_init=now_ns,
    )
    return None if _is_known(held, fact) else fact


def _is_known(held: Held, fact: OrderFilled) -> bool:
    """Counted, or quarantined, with this content."""
    key, content = order_parts.execution_id(fact), order_parts.Execution.of(fact)
    counted = held.facts.executions.get(key)
    kept = held.facts.quarantined.get(key, [])
    return any(_are_same(known, content) for known in ([] if counted is None else [counted]) + kept)


def _are_same(one: order_parts.Execution, other: order_parts.Execution) -> bool:
    """The currency of a fee of nothing says nothing: a venue's two channels name different ones."""
    if one.fee == 0 and other.fee == 0:
        one = msgspec.structs.replace(one, fee=other.fee, fee_currency=other.fee_currency)
    return one.agrees_with(other) or repr(one) == repr(other)  # by digits too: a NaN equals nothing


def not_found(held: Held, now_ns: int) -> OrderReconciled:
    return OrderReconciled(**about(held), found=False, ts_init=now_ns)


def found(held: Held, report: OrderReport, now_ns: int) -> OrderReconciled:
    """That the venue has it. Its end is a fact of its own, after its executions."""
    return OrderReconciled(
        **about(held),
        found=True,
        venue_order_id=report.venue_order_id,
        venue_status=report.status if report.status.is_open else "",
        order_qty=report.order_qty,
        cum_qty=report.cum_qty,
        ts_event=report.ts_event,
        ts_init=now_ns,
    )


def changed_balances(
    account: Account, balances: Iterable[Balance], known: dict[str, BalanceChanged], now_ns: int
) -> list[BalanceChanged]:
    """Only the currencies whose amounts differ from the last word on them; an older word than that is passed over."""
    out = []
    for b in balances:
        last = known.get(b.currency)
        if last is None or (b.ts_event >= last.ts_event and (last.free, last.locked) != (b.free, b.locked)):
            out.append(
                BalanceChanged(
                    account=account,
                    currency=b.currency,
                    free=b.free,
                    locked=b.locked,
                    reason=b.reason,
                    ts_event=b.ts_event,
                    ts_init=now_ns,
                )
            )
    return out
