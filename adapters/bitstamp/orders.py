"""Bitstamp's orders one by one (L3), to records. Pure, with a memory of the event that came last.

The venue's page: www.bitstamp.net/websocket/v2, ``live_orders_[market]``, and "Order book" of its REST API with ``group=2``.
Each event names the one before it in its channel: one that is missing shows at the next. Both names begin with a time.
"""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import Final, Literal

import msgspec

from adapters.base import BadFrame, Parsed, Reading
from adapters.parsing import MOST, positive, whole
from topics.market import (
    BookOrderAdded,
    BookOrderChanged,
    BookOrderRemoved,
    BookOrders,
    BookOrdersLost,
)
from topics.record import Level, RestingOrder, Side

LAST: Final = "event"
"""In the memory: the id of the event that came last."""

Rows = tuple[tuple[str, ...], ...]


class OrderData(msgspec.Struct):
    """``amount_str`` is what is left; ``order_type`` 0 buys, 1 sells. An order at the market has no price.

    ``{"data":{"id":2046839978799111,"id_str":"2046839978799111","order_type":0,"order_subtype":5,"datetime":"1788551766",
    "microtimestamp":"1788551766357000","amount":0.00137276,"amount_str":"0.00137276","amount_traded":"0",
    "amount_at_create":"0.00137276","price":71743.85,"price_str":"71743.85","is_liquidation":false},"channel":
    "live_orders_btcusd","event":"order_created","event_id":"00065aad-a8b2-3408-0000-000102000020",
    "pre_event_id":"00065aad-a8b2-14c8-0000-000101000020","order_source":"orderbook"}``
    """

    id: int
    order_type: Literal[0, 1]
    microtimestamp: str
    amount_str: Decimal
    price_str: Decimal


class OrderFrame(msgspec.Struct):
    data: OrderData
    event: str
    event_id: str = ""
    pre_event_id: str = ""


_order = msgspec.json.Decoder(OrderFrame)
Event = BookOrderAdded | BookOrderChanged | BookOrderRemoved
_EVENTS: Final[dict[str, type[Event]]] = {
    "order_created": BookOrderAdded,
    "order_changed": BookOrderChanged,
    "order_deleted": BookOrderRemoved,
}


def ordered(frame: bytes, reading: Reading) -> Sequence[Parsed] | None:
    d = _order.decode(frame)
    kind = _EVENTS.get(d.event)
    if kind is None:
        return None
    known, reading.memory[LAST] = reading.memory.get(LAST, ""), d.event_id
    lost: list[Parsed] = []
    if known and d.pre_event_id and known != d.pre_event_id:
        reason = f"sequence: {d.pre_event_id} is missing"
        lost.append(BookOrdersLost(instrument=reading.instrument, reason=reason[:100], ts_init=reading.ts_init))
    if not d.data.price_str:
        return lost
    return [*lost, _event(kind, d, reading)]


def _event(kind: type[Event], d: OrderFrame, reading: Reading) -> Event:
    micros = whole(d.data.microtimestamp, "microtimestamp")
    if micros >= 10**16:
        raise BadFrame(f"not a time: {micros}")
    if not 0 <= d.data.amount_str < MOST:
        raise BadFrame(f"not a size: {d.data.amount_str}")
    return kind(
        instrument=reading.instrument,
        order_id=str(d.data.id),
        side=Side.SELL if d.data.order_type else Side.BUY,
        price=positive(d.data.price_str, "price"),
        size=d.data.amount_str,
        sequence=micros,
        previous=_micros(d.pre_event_id),
        ts_event=micros * 1000,
        ts_init=reading.ts_init,
    )


def _micros(event_id: str) -> int:
    """The time that an event's id begins with: ``00065aad-a8b2-3408-…``; 0 where it is another kind of id."""
    digits = event_id.replace("-", "")[:16]
    try:
        micros = int(digits, 16) if len(digits) == 16 else 0
    except ValueError:
        return 0
    return micros if 0 <= micros < 10**16 else 0


def resting(bids: Rows, asks: Rows, number: int, reading: Reading) -> BookOrders:
    """Of an answer with rows of three: price, size, id."""
    return BookOrders(
        instrument=reading.instrument,
        bids=_orders(bids),
        asks=_orders(asks),
        sequence=number,
        ts_event=number * 1000,
        ts_init=reading.ts_init,
    )


def _orders(rows: Rows) -> tuple[RestingOrder, ...]:
    return tuple([(row[2], row[0], row[1]) for row in rows])


def levels(rows: Rows) -> tuple[Level, ...]:
    """What the orders of each price come to; rows of two are levels already. The digits of a level of one order stay."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if len(row) not in (2, 3):
            raise BadFrame(f"neither a level nor an order: {row}")
        found.setdefault(row[0], []).append(row[1])
    return tuple([(price, sizes[0] if len(sizes) == 1 else _sum(sizes)) for price, sizes in found.items()])


def _sum(sizes: list[str]) -> str:
    with localcontext(prec=100):
        return format(sum(map(Decimal, sizes), Decimal(0)), "f")
