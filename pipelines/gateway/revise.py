"""A modification's terms, and the order that carries out what a venue does not amend in its place. Pure, of one order.

Ids. The order for the rest of ``X`` is ``X~2``, for the rest of that ``X~3``: derived, so that a replay and a restart make
the same.
"""

import re
from decimal import Decimal
from typing import NamedTuple

from msgspec.structs import replace

from pipelines.exact import EXACT, ZERO, is_sane
from pipelines.gateway.state import Held
from topics.orders import ModifyOrder, OrderStatus, SubmitOrder
from topics.record import ClientOrderId, OrderType

_LINKED = re.compile(r"(?s)(.*)~([0-9]{1,6})")
CANCELS_FOR = "modify:"
"""Begins the command id of a cancel that makes way for a revision."""


class Revised(NamedTuple):
    """What an order is to be, as a whole."""

    order_qty: Decimal
    price: Decimal | None
    trigger_price: Decimal | None


def is_linked(client_order_id: ClientOrderId) -> bool:
    return _LINKED.fullmatch(client_order_id) is not None


def linked_id(client_order_id: ClientOrderId) -> ClientOrderId:
    found = _LINKED.fullmatch(client_order_id)
    return f"{client_order_id}~2" if found is None else f"{found[1]}~{int(found[2]) + 1}"


def cancel_id(command_id: str) -> str:
    return f"{CANCELS_FOR}{command_id}"


def revised(held: Held, command: ModifyOrder) -> Revised:
    """Its terms with those changed that the command names."""
    terms = held.facts.terms
    assert terms is not None
    return Revised(
        terms.order_qty if command.order_qty is None else command.order_qty,
        terms.price if command.price is None else command.price,
        terms.trigger_price if command.trigger_price is None else command.trigger_price,
    )


def only_shrinks(held: Held, wanted: Revised) -> bool:
    """A smaller quantity at the same prices: no risk is added."""
    terms = held.facts.terms
    assert terms is not None
    same = (terms.price, terms.trigger_price) == wanted[1:]
    return same and is_sane(wanted.order_qty) and wanted.order_qty < terms.order_qty


def order_for(held: Held, wanted: Revised, command: ModifyOrder) -> SubmitOrder:
    """The order for what would be left. As old as the command: what was decided on old data is not done late."""
    assert held.command is not None
    rest = wanted.order_qty
    if is_sane(rest):
        rest = EXACT.subtract(rest, held.facts.cum_qty)
    triggered = held.facts.triggered and held.command.order_type.is_priced
    return replace(
        held.command,
        client_order_id=linked_id(held.client_order_id),
        order_type=OrderType.LIMIT if triggered else held.command.order_type,
        order_qty=rest,
        price=wanted.price,
        trigger_price=None if triggered else wanted.trigger_price,
        replaces=held.client_order_id,
        reason=command.reason,
        cause=command.cause,
        ts_event=0,
        ts_init=command.ts_init,
    )


def replacement_of(held: Held) -> SubmitOrder | None:
    """The order that is due now: its predecessor was cancelled for it and for nothing else, and what that had executed
    is known. None where there is none due.
    """
    modify = held.modify
    if modify is None or not modify.replacement or not held.facts.pending_revision or held.command is None:
        return None
    if held.facts.status is not OrderStatus.CANCELED or is_unwanted(held) or is_behind(held):
        return None
    wanted = Revised(modify.order_qty, modify.price, modify.trigger_price)
    due = order_for(held, wanted, modify.command)
    return due if due.order_qty > ZERO else None


def is_unwanted(held: Held) -> bool:
    """Somebody else has asked for its cancel too: then nothing follows it."""
    return any(not command_id.startswith(CANCELS_FOR) for command_id in held.facts.cancels)


def is_behind(held: Held) -> bool:
    """Executions that the venue has counted are still to come."""
    end = held.facts.end_cum_qty
    return end is None or end > held.facts.cum_qty
