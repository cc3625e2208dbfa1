"""Decisions: pure functions of the state, a command and the time. What they judged by is written down, so that a
replay can decide again.

offsets  how far each input was folded: ``orders.events`` by the coordinate (epoch, n) of our own last record, the
         others by offset
values   what the checks looked at, and ``reconciled``, ``carries_out`` and what the venue can do, which no input tells
limits   those in force for the order, by name and scope
"""

import hashlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from pipelines.exact import EXACT, is_sane, localcontext, text
from pipelines.gateway import revise
from pipelines.gateway.checks import SANE, SHOWN, Asked, Denial, first_denial, look_up, lot_size
from pipelines.gateway.state import AMENDS, CARRIES_OUT, TAKES, Held, State
from topics.orders import (
    CancelAll,
    CancelOrder,
    CancelRejected,
    CancelRequested,
    Fact,
    Judgement,
    ModifyDenied,
    ModifyOrder,
    ModifyRejected,
    ModifyRequested,
    OrderDenied,
    OrderModified,
    OrderRequested,
    OrderStatus,
    SubmitOrder,
)
from topics.record import Currency, Side

VENUE_CLIENT_ID_LENGTH = 32


def venue_client_id(client_order_id: str, account: str) -> str:
    """What the venue gets: a digest in letters and digits, within 36 characters, the same whenever it is asked for."""
    return hashlib.sha256(f"{account}|{client_order_id}".encode()).hexdigest()[:VENUE_CLIENT_ID_LENGTH]


def decide(
    state: State, command: SubmitOrder, now_ns: int, carries_out: str = ""
) -> OrderRequested | OrderDenied | None:
    """None where this id was decided already: the same command twice is one order and one answer. ``carries_out`` is
    the id of the flatten that the gateway itself made the order for.
    """
    if command.client_order_id in state.book.orders:
        return None
    denial, judged_by = _judged(look_up(state, command, now_ns, carries_out))
    if denial is None:
        return OrderRequested(
            client_order_id=command.client_order_id,
            account=command.account,
            instrument=command.instrument,
            strategy=command.strategy,
            command=command,
            venue_client_id=venue_client_id(command.client_order_id, command.account),
            judged_by=judged_by,
            ts_init=now_ns,
        )
    return OrderDenied(
        client_order_id=command.client_order_id,
        account=command.account,
        instrument=command.instrument,
        strategy=command.strategy,
        command=command,
        check=denial.check,
        value=denial.value,
        limit=denial.limit,
        judged_by=judged_by,
        ts_init=now_ns,
    )


def _judged(a: Asked, ask: Callable[[Asked], Denial | None] = first_denial) -> tuple[Denial | None, Judgement]:
    """What cannot be reckoned (a mark of 0, say) is denied: an error would meet every redelivery again."""
    with localcontext(EXACT):
        try:
            return ask(a), judgement(a)
        except ArithmeticError as error:
            denial = Denial("unjudgeable", type(error).__name__, "numbers that can be reckoned with")
            return denial, Judgement(_offsets(a.state), _untold(a))


def judgement(a: Asked) -> Judgement:
    return Judgement(_offsets(a.state), _untold(a) | _values(a), _limits(a))


def _offsets(state: State) -> dict[str, int]:
    book, market, rules = state.book, state.market, state.rules
    return {
        "orders.events.epoch": book.epoch,
        "orders.events.n": book.n,
        "portfolio.inbox": market.offset,
        "controls": rules.offset,
    }


def _untold(a: Asked) -> dict[str, str]:
    """What no input tells."""
    own = {CARRIES_OUT: a.carries_out} if a.carries_out else {}
    venue = a.state.venue
    if a.order.order_type.is_stop or a.order.order_type not in venue.order_types:
        own[TAKES] = ",".join(sorted(venue.order_types))
    if a.instead_of is not None:
        own[AMENDS] = str(venue.amends_quantity).lower()
    return {"reconciled": str(a.state.ready).lower(), **own}


def _values(a: Asked) -> dict[str, str]:
    o, book = a.order, a.state.book
    values = {
        "trading_state": a.applying.state.value,
        "position": text(book.position(o.instrument, o.strategy)),
        "account_position": text(book.position(o.instrument)),
        "pending_buy": text(book.pending(o.instrument, Side.BUY, o.strategy)),
        "pending_sell": text(book.pending(o.instrument, Side.SELL, o.strategy)),
        "open_orders": str(len(book.working)),
    }
    if a.mark is not None:
        values |= {"best_bid": text(a.mark.best_bid), "best_ask": text(a.mark.best_ask), "mark_ts": str(a.mark.ts_init)}
    if a.definition is not None:
        for currency in (a.definition.base, a.definition.quote, a.definition.settled_in):
            values[f"held_{currency}"] = text(_held(a.state, currency))
    return values


def _held(state: State, currency: Currency) -> Decimal:
    balance = state.market.balances.get(currency)
    return Decimal(0) if balance is None else balance.free + balance.locked


def _limits(a: Asked) -> dict[str, str]:
    return a.applying.texts


# --- modifications: only the risk that they add is judged -----------------------------------------------------------


def decide_modify(state: State, command: ModifyOrder, now_ns: int) -> ModifyRequested | ModifyDenied | None:
    """None: decided already, or no such order of this account. A smaller quantity at the same prices adds no risk, so no
    limit is asked; anything else is judged as a new order for what would be left, in place of this one.
    """
    held = state.book.orders.get(command.client_order_id)
    if held is None or held.facts.has_decided_modify(command.command_id):
        return None
    denial, judged_by = _unmodifiable(held), Judgement(_offsets(state))
    if denial is not None:
        return _modify_denied(held, command, denial, judged_by, now_ns)
    wanted = revise.revised(held, command)
    asked = look_up(state, revise.order_for(held, wanted, command), now_ns)._replace(instead_of=held)
    denial, judged_by = _judged(asked, lambda a: _modify_denial(a, held, command, wanted))
    if denial is not None:
        return _modify_denied(held, command, denial, judged_by, now_ns)
    in_place = revise.only_shrinks(held, wanted) and state.venue.amends_quantity
    return ModifyRequested(
        **_about(held),
        command=command,
        revision=held.facts.next_revision,
        order_qty=wanted.order_qty,
        price=wanted.price,
        trigger_price=wanted.trigger_price,
        replacement="" if in_place else asked.order.client_order_id,
        judged_by=judged_by,
        ts_init=now_ns,
    )


def _unmodifiable(held: Held) -> Denial | None:
    f = held.facts
    if held.command is None or f.terms is None:
        return Denial("order", "not this platform's", "an order of its own")
    if f.is_terminal or f.status is OrderStatus.UNKNOWN:
        return Denial("status", f.status, "an order that works")
    if f.pending_cancel:
        return Denial("pending_cancel", "true", "false")
    if f.pending_revision:
        return Denial("pending_replace", "true", "false")
    if f.triggered and not f.terms.order_type.is_priced:
        return Denial("status", f.status, "a stop order that waits")
    return None


def _modify_denial(a: Asked, held: Held, command: ModifyOrder, wanted: revise.Revised) -> Denial | None:
    f = held.facts
    assert f.terms is not None
    if command.revision not in (0, f.next_revision):
        return Denial("revision", str(command.revision), str(f.next_revision))
    if wanted == (f.terms.order_qty, f.terms.price, f.terms.trigger_price):
        return Denial("modify", "the terms it has", "other terms")
    if not is_sane(wanted.order_qty) or wanted.order_qty <= f.cum_qty:
        return Denial("order_qty", str(wanted.order_qty)[:SHOWN], f"{SANE}, above the executed {text(f.cum_qty)}")
    if revise.only_shrinks(held, wanted):
        return None if a.definition is None else lot_size(a)
    return first_denial(a)


def _modify_denied(held: Held, command: ModifyOrder, denial: Denial, judged_by: Judgement, now_ns: int) -> ModifyDenied:
    return ModifyDenied(
        **_about(held),
        command=command,
        check=denial.check,
        value=denial.value,
        limit=denial.limit,
        judged_by=judged_by,
        ts_init=now_ns,
    )


def finish_replace(state: State, held: Held, now_ns: int) -> list[Fact]:
    """What follows when the order that is to be replaced has ended, or stays: the order for its rest, or why there is
    none; to be written in one record. Nothing while that is not known.
    """
    modify, f = held.modify, held.facts
    if modify is None or not modify.replacement or not f.pending_revision:
        return []
    if not f.is_terminal:
        refused = f.cancels.get(revise.cancel_id(modify.command.command_id), False)
        return [modify_rejected(held, "CANCEL_REJECTED", "the order could not be cancelled", now_ns)] if refused else []
    if f.status is not OrderStatus.CANCELED or revise.is_unwanted(held):
        return [*_late_cancel(held, now_ns), modify_rejected(held, "TERMINAL", f"the order is {f.status}", now_ns)]
    if revise.is_behind(held):
        return []
    command = revise.replacement_of(held)
    if command is None:
        return [modify_rejected(held, "FILLED", "nothing is left to replace", now_ns)]
    decided = decide(state, command, now_ns)
    if decided is None:
        known = state.book.orders[command.client_order_id]
        return [modified(held, now_ns) if known.denied is None else modify_rejected(held, "DENIED", "", now_ns)]
    if isinstance(decided, OrderDenied):
        why = f"{decided.check}: {decided.value} against {decided.limit}"
        return [decided, modify_rejected(held, "DENIED", why, now_ns)]
    return [decided, modified(held, now_ns)]


def _late_cancel(held: Held, now_ns: int) -> list[Fact]:
    """The answer to a cancel that made way for nothing: the order had ended otherwise."""
    assert held.modify is not None
    command_id = revise.cancel_id(held.modify.command.command_id)
    if held.facts.status is OrderStatus.CANCELED or held.facts.cancels.get(command_id, True):
        return []
    reason = f"the order is {held.facts.status}"
    return [CancelRejected(**_about(held), command_id=command_id, code="TERMINAL", reason=reason, ts_init=now_ns)]


def modified(held: Held, now_ns: int, ts_event: int = 0) -> OrderModified:
    """The newest revision asked for is in force."""
    m = held.modify
    assert m is not None
    return OrderModified(
        **_about(held),
        command_id=m.command.command_id,
        revision=m.revision,
        order_qty=m.order_qty,
        price=m.price,
        trigger_price=m.trigger_price,
        replaced_by=m.replacement,
        ts_event=ts_event,
        ts_init=now_ns,
    )


def modify_rejected(held: Held, code: str, reason: str, now_ns: int) -> ModifyRejected:
    m = held.modify
    assert m is not None
    return ModifyRejected(
        **_about(held),
        command_id=m.command.command_id,
        revision=m.revision,
        code=code,
        reason=reason,
        ts_init=now_ns,
    )


# --- cancels: never denied by a check, only answered when there is nothing to cancel ---------------------------------


def decide_cancel(state: State, command: CancelOrder, now_ns: int) -> CancelRequested | CancelRejected | None:
    """None: decided already, or no such order of this account."""
    held = state.book.orders.get(command.client_order_id)
    if held is None or command.command_id in held.facts.cancels:
        return None
    if held.facts.is_terminal:
        return CancelRejected(
            **_about(held),
            command_id=command.command_id,
            code="TERMINAL",
            reason=f"the order is {held.facts.status}",
            ts_init=now_ns,
        )
    return cancel_requested(held, command.command_id, command.reason, now_ns)


def decide_cancel_all(state: State, command: CancelAll, now_ns: int) -> list[CancelRequested]:
    """One for every working order in the command's reach. Asked again, it reaches only orders older than its first
    answer. One that is gone to make way for its replacement is meant too: that does not follow then.
    """
    first = state.book.commands.get(command.command_id)
    book = state.book
    replaced = [book.orders[cid] for cid in book.revising if cid not in book.working]
    return [
        cancel_requested(held, command.command_id, command.reason, now_ns)
        for held in [*book.open_orders(), *replaced]
        if _is_meant(held, command)
        and command.command_id not in held.facts.cancels
        and (first is None or held.seq < first)
    ]


def _is_meant(held: Held, command: CancelAll) -> bool:
    """An order decided on later data than the cancel is not its business: it may be overtaken on its way here."""
    later = held.command is not None and held.command.ts_init > command.ts_init
    return (
        not later
        and command.strategy in ("", held.facts.strategy)
        and command.instrument in ("", held.facts.instrument)
    )


def cancel_requested(held: Held, command_id: str, reason: str, now_ns: int) -> CancelRequested:
    return CancelRequested(**_about(held), command_id=command_id, reason=reason, ts_init=now_ns)


def _about(held: Held) -> dict[str, Any]:
    f = held.facts
    return {
        "client_order_id": f.client_order_id,
        "account": f.account,
        "instrument": f.instrument,
        "strategy": f.strategy,
    }
