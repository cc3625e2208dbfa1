"""Builders: one order's facts, fills, positions, marks and controls, with plain defaults."""

from decimal import Decimal
from typing import Any

import msgspec

from pipelines import contracts
from topics.controls import FIRM, Flatten, Kill, LimitName, Resume, Scope, SetLimit, SetParams
from topics.market import Instrument, Mark, Tick
from topics.orders import (
    CancelRejected,
    CancelRequested,
    ExternalOrderSeen,
    Fill,
    Judgement,
    ModifyDenied,
    ModifyOrder,
    ModifyRejected,
    ModifyRequested,
    OrderAccepted,
    OrderBusted,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderModified,
    OrderReconciled,
    OrderRejected,
    OrderRequested,
    OrderSent,
    OrderTriggered,
    OrderUnknown,
    SubmitOrder,
)
from topics.portfolio import PositionChanged
from topics.record import Liquidity, OrderType, Payoff, Side

D = Decimal
SECOND = 1_000_000_000
DAY = 86_400 * SECOND
T0 = 20_000 * DAY
"""Midnight of a day in 2024, in nanoseconds."""

ACCOUNT, INSTRUMENT, STRATEGY, ORDER, VENUE_ORDER = "sim.main", "sim:BTC-USDT", "quoter", "quoter-1", "v1"


class OrderMaker:
    """Facts about one order, by keyword: everything has a default."""

    def __init__(self, client_order_id: str = ORDER, venue_order_id: str = VENUE_ORDER, **common: Any) -> None:
        self.venue_order_id = venue_order_id
        ids = {"client_order_id": client_order_id, "account": ACCOUNT, "instrument": INSTRUMENT}
        self.common = ids | {"strategy": STRATEGY, "ts_init": T0} | common

    def submit(self, qty: str = "5", side: Side = Side.BUY, price: str | None = "100") -> SubmitOrder:
        amounts = {"order_qty": D(qty), "price": None if price is None else D(price)}
        ids = {name: value for name, value in self.common.items() if name != "ts_event"}
        return SubmitOrder(side=side, order_type=OrderType.LIMIT, **amounts, **ids)

    def requested(self, qty: str = "5", side: Side = Side.BUY) -> OrderRequested:
        command = self.submit(qty, side)
        return OrderRequested(command=command, venue_client_id="x1", judged_by=Judgement(), **self.common)

    def denied(self, check: str = "price_collar") -> OrderDenied:
        words = {"check": check, "value": "0.2", "limit": "0.1"}
        return OrderDenied(command=self.submit(), judged_by=Judgement(), **words, **self.common)

    def sent(self) -> OrderSent:
        return OrderSent(**self.common)

    def accepted(self, venue_order_id: str = "") -> OrderAccepted:
        return OrderAccepted(venue_order_id=venue_order_id or self.venue_order_id, **self.common)

    def rejected(self, code: str = "-2010", reason: str = "no funds") -> OrderRejected:
        return OrderRejected(code=code, reason=reason, **self.common)

    def cancel_requested(self, command_id: str = "c1") -> CancelRequested:
        return CancelRequested(command_id=command_id, **self.common)

    def cancel_rejected(self, command_id: str = "c1") -> CancelRejected:
        return CancelRejected(command_id=command_id, code="-2011", reason="unknown order", **self.common)

    def modify(self, qty: str = "3", price: str = "100", command_id: str = "m1") -> ModifyOrder:
        ids = {name: value for name, value in self.common.items() if name != "ts_event"}
        return ModifyOrder(command_id=command_id, order_qty=D(qty), price=D(price), **ids)

    def modify_requested(
        self, revision: int = 1, qty: str = "3", price: str = "100", replacement: str = ""
    ) -> ModifyRequested:
        terms = {"order_qty": D(qty), "price": D(price), "replacement": replacement}
        command = self.modify(qty, price, f"m{revision}")
        return ModifyRequested(command=command, revision=revision, judged_by=Judgement(), **terms, **self.common)

    def modified(
        self, revision: int = 1, qty: str = "3", price: str = "100", replaced_by: str = "", **fields: Any
    ) -> OrderModified:
        terms = {"order_qty": D(qty), "price": D(price), "replaced_by": replaced_by}
        return OrderModified(command_id=f"m{revision}", revision=revision, **terms, **(self.common | fields))

    def modify_rejected(self, revision: int = 1) -> ModifyRejected:
        words = {"code": "-2038", "reason": "no"}
        return ModifyRejected(command_id=f"m{revision}", revision=revision, **words, **self.common)

    def modify_denied(self, command_id: str = "d1") -> ModifyDenied:
        words = {"check": "price_collar", "value": "0.2", "limit": "0.1"}
        return ModifyDenied(command=self.modify(command_id=command_id), judged_by=Judgement(), **words, **self.common)

    def triggered(self) -> OrderTriggered:
        return OrderTriggered(**self.common)

    def canceled(self, **fields: Any) -> OrderCanceled:
        return OrderCanceled(**(self.common | fields))

    def expired(self, reason: str = "ioc") -> OrderExpired:
        return OrderExpired(reason=reason, **self.common)

    def unknown(self, where: str = "submit") -> OrderUnknown:
        return OrderUnknown(where=where, reason="timeout", **self.common)

    def reconciled(self, found: bool, status: str = "", **fields: Any) -> OrderReconciled:
        seen = {"venue_order_id": self.venue_order_id} if found else {}
        return OrderReconciled(found=found, venue_status=status, **(self.common | seen | fields))

    def external(self, qty: str = "5", side: Side = Side.BUY) -> ExternalOrderSeen:
        terms = {"side": side, "order_type": OrderType.LIMIT, "order_qty": D(qty), "price": D("100")}
        return ExternalOrderSeen(venue_order_id=self.venue_order_id, **terms, **self.common)

    def filled(self, trade_id: str = "t1", qty: str = "2", px: str = "100", **fields: Any) -> OrderFilled:
        ids = {"venue_order_id": self.venue_order_id, "trade_id": trade_id, "side": Side.BUY}
        amounts = {"last_qty": D(qty), "last_px": D(px), "fee": D("0.1"), "fee_currency": "USDT"}
        what = {"liquidity": Liquidity.MAKER, "base": "BTC", "quote": "USDT"}
        return OrderFilled(**(self.common | ids | amounts | what | fields))

    def busted(self, trade_id: str = "t1") -> OrderBusted:
        return OrderBusted(venue_order_id=self.venue_order_id, trade_id=trade_id, **self.common)


def fill(side: Side, qty: str, px: str, trade_id: str = "", **fields: Any) -> Fill:
    """A fill; its trade id is its content unless given, so that two builders of one content are one execution."""
    names = {"account": ACCOUNT, "strategy": STRATEGY, "instrument": INSTRUMENT, "client_order_id": ORDER}
    ids = {"venue_order_id": VENUE_ORDER, "trade_id": trade_id or f"{side}{qty}@{px}"}
    what = {"liquidity": Liquidity.MAKER, "base": "BTC", "quote": "USDT", "ts_event": T0, "ts_init": T0}
    amounts = {"side": side, "last_qty": D(qty), "last_px": D(px), "fee": D(0), "fee_currency": "USDT"}
    terms = {"payoff": Payoff.SPOT, "multiplier": D(1), "settle": "USDT"} | fields
    value = contracts.value(terms["payoff"], terms["multiplier"], D(qty), D(px))
    return Fill(**(names | ids | what | amounts | {"value": value} | terms))


def position(qty: str, value: str, **fields: Any) -> PositionChanged:
    """Bought (or, when negative, sold) ``qty`` for ``value`` in all, nothing closed, no fees."""
    q, v = D(qty), D(value)
    sums = {"bought_qty": q, "bought_value": v} if q >= 0 else {"sold_qty": -q, "sold_value": v}
    names = {"account": ACCOUNT, "strategy": STRATEGY, "instrument": INSTRUMENT, "base": "BTC", "quote": "USDT"}
    rest = {"last_px": D(100), "ts_event": T0, "ts_init": T0}
    return PositionChanged(**(names | {"quantity": q, "avg_px": v / abs(q) if q else None} | sums | rest | fields))


def mark(mid: str, instrument: str = INSTRUMENT, spread: str = "0") -> Mark:
    bid, ask = D(mid) - D(spread) / 2, D(mid) + D(spread) / 2
    return Mark(instrument=instrument, best_bid=bid, best_ask=ask, ts_event=T0, ts_init=T0)


def definition(instrument: str, **fields: Any) -> Instrument:
    venue, _, symbol = instrument.partition(":")
    base, quote = symbol.split("-")[:2]
    names = {"venue": venue, "venue_symbol": base + quote, "base": base, "quote": quote}
    steps = {"tick_size": D("0.01"), "lot_size": D("0.001"), "ts_init": T0}
    return Instrument(instrument=instrument, **(names | steps | fields))


def tick(after_s: float, n: int = 0) -> Tick:
    return Tick(n=n, ts_init=T0 + int(after_s * SECOND))


_BY = {"who": "ada", "why": "test", "ts_init": T0}


def kill(control_id: str = "k1", scope: Scope = FIRM) -> Kill:
    return Kill(control_id=control_id, scope=scope, **_BY)


def resume(control_id: str = "r1", scope: Scope = FIRM) -> Resume:
    return Resume(control_id=control_id, scope=scope, **_BY)


def flatten(control_id: str = "f1", scope: Scope = FIRM) -> Flatten:
    return Flatten(control_id=control_id, scope=scope, **_BY)


def set_limit(control_id: str, limit: LimitName, value: str, scope: Scope = FIRM) -> SetLimit:
    return SetLimit(control_id=control_id, scope=scope, limit=limit, value=D(value), **_BY)


def set_params(control_id: str, params: str, scope: Scope) -> SetParams:
    raw = msgspec.Raw(params.encode())
    return SetParams(control_id=control_id, scope=scope, params=raw, **_BY)
