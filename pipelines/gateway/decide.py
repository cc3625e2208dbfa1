"""Decisions: pure functions of the state, a command and the time. What they judged by is written down, so that a
replay can decide again.

offsets  how far each input was folded: ``orders.events`` by the coordinate (epoch, n) of our own last record, the
         others by offset
values   what the checks looked at, and ``reconciled`` and ``carries_out``, which no input tells
limits   those in force for the order, by name and scope
"""

import hashlib
from decimal import Decimal
from typing import Any

from pipelines.exact import EXACT, localcontext
from pipelines.gateway.checks import Asked, Denial, first_denial, look_up, text
from pipelines.gateway.state import CARRIES_OUT, Held, State
from topics.controls import LimitName
from topics.orders import (
    CancelAll,
    CancelOrder,
    CancelRejected,
    CancelRequested,
    Judgement,
    OrderDenied,
    OrderRequested,
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


def _judged(a: Asked) -> tuple[Denial | None, Judgement]:
    """What cannot be reckoned (a mark of 0, say) is denied: an error would meet every redelivery again."""
    with localcontext(EXACT):
        try:
            return first_denial(a), judgement(a)
        except ArithmeticError as error:
            denial = Denial("unjudgeable", type(error).__name__, "numbers that can be reckoned with")
            return denial, Judgement(_offsets(a), _untold(a))


def judgement(a: Asked) -> Judgement:
    return Judgement(_offsets(a), _untold(a) | _values(a), _limits(a))


def _offsets(a: Asked) -> dict[str, int]:
    book, market, rules = a.state.book, a.state.market, a.state.rules
    return {
        "orders.events.epoch": book.epoch,
        "orders.events.n": book.n,
        "portfolio.inbox": market.offset,
        "controls": rules.offset,
    }


def _untold(a: Asked) -> dict[str, str]:
    """What no input tells."""
    own = {CARRIES_OUT: a.carries_out} if a.carries_out else {}
    return {"reconciled": str(a.state.ready).lower(), **own}


def _values(a: Asked) -> dict[str, str]:
    o, book = a.order, a.state.book
    values = {
        "trading_state": a.state.rules.trading_state(o.account, o.strategy, o.instrument).value,
        "position": text(book.position(o.instrument, o.strategy)),
        "account_position": text(book.position(o.instrument)),
        "pending_buy": text(book.pending(o.instrument, Side.BUY, o.strategy)),
        "pending_sell": text(book.pending(o.instrument, Side.SELL, o.strategy)),
        "open_orders": str(len(book.working)),
    }
    if a.mark is not None:
        values |= {"best_bid": text(a.mark.best_bid), "best_ask": text(a.mark.best_ask), "mark_ts": str(a.mark.ts_init)}
    if a.definition is not None:
        for currency in (a.definition.base, a.definition.quote):
            values[f"held_{currency}"] = text(_held(a.state, currency))
    return values


def _held(state: State, currency: Currency) -> Decimal:
    balance = state.market.balances.get(currency)
    return Decimal(0) if balance is None else balance.free + balance.locked


def _limits(a: Asked) -> dict[str, str]:
    return {f"{name} {scope}": text(limit) for name in LimitName for scope, limit in a.limits(name)}


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
    answer.
    """
    first = state.book.commands.get(command.command_id)
    return [
        cancel_requested(held, command.command_id, command.reason, now_ns)
        for held in state.book.open_orders()
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
