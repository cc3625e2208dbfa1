"""The parts of an order's fold: what was asked for, executions and their identity, what stays of them when the order is
forgotten, what one fact did, and anomalies.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from pipelines.contracts import can_be_valued
from pipelines.exact import ZERO, is_sane
from topics.orders import (
    Fact,
    Fill,
    ModifyRejected,
    ModifyRequested,
    OrderAnomaly,
    OrderFilled,
    OrderModified,
    SubmitOrder,
)
from topics.record import (
    ClientOrderId,
    Currency,
    Liquidity,
    OrderType,
    Payoff,
    Side,
    StrategyId,
    TimeInForce,
    TradeId,
    VenueOrderId,
)


class AnomalyKind(StrEnum):
    """``OrderAnomaly.what``."""

    EXECUTION_AFTER_END = "execution_after_end"
    EXECUTION_CONFLICT = "execution_conflict"  # one identity, two contents: quarantined
    EXECUTION_UNREADABLE = "execution_unreadable"  # a quantity that is none: quarantined
    EXECUTION_TOO_OLD = "execution_too_old"  # of an order no longer kept, so it may have been counted: quarantined
    OVERFILL = "overfill"
    SIDE_MISMATCH = "side_mismatch"
    BUST_WITHOUT_EXECUTION = "bust_without_execution"
    VENUE_ORDER_ID_CONFLICT = "venue_order_id_conflict"
    NOT_FOUND_BUT_LIVE = "not_found_but_live"
    FORGOTTEN_EARLY = "forgotten_early"  # the state came near what a record may hold


HALTING = frozenset(
    {
        AnomalyKind.EXECUTION_CONFLICT,
        AnomalyKind.EXECUTION_UNREADABLE,
        AnomalyKind.EXECUTION_TOO_OLD,
        AnomalyKind.OVERFILL,
        AnomalyKind.SIDE_MISMATCH,
    }
)
"""After one of these new risk on the instrument stops until someone has reconciled it."""

ExecutionId = tuple[VenueOrderId, TradeId]
"""Identifies an execution within one account and instrument; a self-trade gives one trade id to two orders."""


def _sane(price: Decimal | None) -> Decimal | None:
    return price if price is not None and is_sane(price) else None


class Terms(msgspec.Struct, frozen=True, array_like=True):
    """What was asked for."""

    side: Side
    order_type: OrderType
    order_qty: Decimal
    price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    reduce_only: bool = False
    trigger_price: Decimal | None = None
    replaces: ClientOrderId = ""

    @classmethod
    def of(cls, c: SubmitOrder) -> "Terms":
        """Numbers that nobody can reckon with are kept in the command alone: its order was denied for them."""
        qty = c.order_qty if is_sane(c.order_qty) else ZERO
        flags = (c.time_in_force, c.post_only, c.reduce_only)
        return cls(c.side, c.order_type, qty, _sane(c.price), *flags, _sane(c.trigger_price), c.replaces)

    def revised(self, revision: "Revision") -> "Terms":
        return msgspec.structs.replace(
            self, order_qty=revision.order_qty, price=revision.price, trigger_price=revision.trigger_price
        )


class Revision(msgspec.Struct, frozen=True, array_like=True):
    """One amendment as far as it is known. ``rejected`` counts only as long as nothing says that it is in force.

    Facts of one number that differ in content do not come from one gateway; of such the greater counts, whichever came
    first.
    """

    command_id: str
    order_qty: Decimal
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    replacement: ClientOrderId = ""
    accepted: bool = False
    rejected: bool = False

    @classmethod
    def of(cls, f: ModifyRequested | OrderModified | ModifyRejected) -> "Revision":
        match f:
            case ModifyRequested():
                terms = (f.order_qty, f.price, f.trigger_price)
                return cls(f.command.command_id, *terms, f.replacement)
            case OrderModified():
                terms = (f.order_qty, f.price, f.trigger_price)
                return cls(f.command_id, *terms, f.replaced_by, accepted=True)
            case ModifyRejected():
                return cls(f.command_id, ZERO, rejected=True)

    def merged(self, other: "Revision") -> "Revision":
        """Commutative and idempotent."""
        newest = max(self, other, key=Revision._rank)
        accepted, rejected = self.accepted or other.accepted, self.rejected or other.rejected
        return msgspec.structs.replace(newest, accepted=accepted, rejected=rejected)

    def _rank(self) -> tuple[Any, ...]:
        prices = (-1 if self.price is None else self.price, -1 if self.trigger_price is None else self.trigger_price)
        content = (self.order_qty, *prices, self.replacement, self.command_id)
        return (self.order_qty > 0, self.accepted, *content, repr(content))

    @property
    def is_pending(self) -> bool:
        return not (self.accepted or self.rejected)


class Execution(msgspec.Struct, frozen=True, array_like=True):
    """The content of an execution: what must agree when its identity is seen again, and what its reversal repeats."""

    side: Side
    last_qty: Decimal
    last_px: Decimal
    fee: Decimal
    fee_currency: Currency
    liquidity: Liquidity
    base: Currency
    quote: Currency
    settle: Currency
    multiplier: Decimal
    payoff: Payoff

    @classmethod
    def of(cls, f: OrderFilled) -> "Execution":
        amounts = (f.side, f.last_qty, f.last_px, f.fee, f.fee_currency)
        return cls(*amounts, f.liquidity, f.base, f.quote, f.settle or f.quote, f.multiplier, f.payoff)

    @property
    def is_readable(self) -> bool:
        amounts = (self.last_qty, self.last_px, self.fee, self.multiplier)
        sane = all(is_sane(a) for a in amounts)
        return sane and self.last_qty > 0 and can_be_valued(self.payoff, self.multiplier, self.last_px)

    def __str__(self) -> str:
        return f"{self.side} {self.last_qty} at {self.last_px}, fee {self.fee} {self.fee_currency}"

    def agrees_with(self, other: "Execution") -> bool:
        """Numerically; the flag for liquidity may differ between two of a venue's channels."""
        return msgspec.structs.replace(self, liquidity=other.liquidity) == other


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """What many executions have in common. ``ended``: of an order that no more executions were expected of."""

    strategy: StrategyId
    ended: bool
    busted: bool
    side: Side
    fee_currency: Currency
    liquidity: Liquidity
    base: Currency
    quote: Currency
    settle: Currency
    multiplier: Decimal
    payoff: Payoff


class Row(msgspec.Struct, frozen=True, array_like=True):
    """An execution that was counted; ``mark`` is an index into the marks of its grave."""

    mark: int
    last_qty: Decimal
    last_px: Decimal
    fee: Decimal


class Grave(msgspec.Struct, array_like=True):
    """The executions of orders closed within one hour, small: what it takes to know one again and to take it back.

    In ``rows`` None stands for a bust whose execution has not been seen. ``last_ts``: the latest time in any fact of the
    orders here.
    """

    last_ts: int = 0
    marks: list[Mark] = []
    rows: dict[VenueOrderId, dict[TradeId, Row | None]] = {}

    def put(self, key: ExecutionId, row: Row | None) -> None:
        self.rows.setdefault(key[0], {})[key[1]] = row

    def row_of(self, e: Execution, strategy: StrategyId, ended: bool, busted: bool) -> Row:
        rest = (e.side, e.fee_currency, e.liquidity, e.base, e.quote, e.settle, e.multiplier, e.payoff)
        mark = Mark(strategy, ended, busted, *rest)
        if mark not in self.marks:
            self.marks.append(mark)
        return Row(self.marks.index(mark), e.last_qty, e.last_px, e.fee)

    def read(self, row: Row) -> tuple[Mark, Execution]:
        m = self.marks[row.mark]
        amounts = (m.side, row.last_qty, row.last_px, row.fee, m.fee_currency)
        return m, Execution(*amounts, m.liquidity, m.base, m.quote, m.settle, m.multiplier, m.payoff)

    def remove(self, key: ExecutionId) -> None:
        of_order = self.rows[key[0]]
        del of_order[key[1]]
        if not of_order:
            del self.rows[key[0]]


class Step(NamedTuple):
    """What one fact did. ``changed``: something was learnt (keep the state); ``visible``: the order's view changed."""

    changed: bool = False
    visible: bool = False
    fills: tuple[Fill, ...] = ()
    anomalies: tuple[OrderAnomaly, ...] = ()

    def merged(self, other: "Step") -> "Step":
        changed, visible = self.changed or other.changed, self.visible or other.visible
        return Step(changed, visible, self.fills + other.fills, self.anomalies + other.anomalies)


def execution_id(fact: OrderFilled) -> ExecutionId:
    return fact.venue_order_id, fact.trade_id


def anomaly(fact: Fact, kind: AnomalyKind, detail: str) -> OrderAnomaly:
    return OrderAnomaly(
        client_order_id=fact.client_order_id,
        account=fact.account,
        instrument=fact.instrument,
        strategy=fact.strategy,
        what=kind,
        detail=detail,
        ts_init=fact.ts_init,
    )
