"""One order as a fold over the set of its facts: neither their order of arrival nor repetition matters.

Folded by the orders stage, and by the gateway over its own facts.

Status, the highest first (FIX 5.0 SP2 order state change matrices, with this platform's own):

  FILLED            the executions that stand cover the order quantity
  CANCELED, EXPIRED, REJECTED
                    the venue said so, and it stays so whatever executions come late;
                    a rejection gives way to the venue showing the order
  DENIED            by our own checks, never requested
  PARTIALLY_FILLED  something stands
  TRIGGERED         a stop order works
  NEW               the venue has it: accepted, found, executed, or not ours
  REJECTED          proved never to have arrived, with nothing that says otherwise
  UNKNOWN           the answer to the submit is missing; the whole quantity stays reserved
  PENDING_NEW       requested

Pending cancel is a flag beside it: a cancel request that neither a ``CancelRejected`` nor the ``OrderCanceled`` has
answered, terminal or not. A missing answer to a cancel changes nothing: the order is as live as its other facts say. A
bust of a filled order opens it again, because nothing else says that the venue closed it.

Amendments have numbers: ``terms`` are those of the highest revision in force, so it does not matter which was heard of
first. Pending replace is a flag like the other: a revision that is neither in force nor rejected. One that another order
carries out (``replacement``) changes no terms here: this order is cancelled, and names the other in ``replaced_by``.
"""

from decimal import Decimal

import msgspec

from pipelines.contracts import average_px, value
from pipelines.exact import EXACT, ZERO, add_to, localcontext
from pipelines.order_parts import (
    HALTING,
    AnomalyKind,
    Execution,
    ExecutionId,
    Revision,
    Step,
    Terms,
    anomaly,
    execution_id,
)
from topics.orders import (
    TERMINAL,
    CancelRejected,
    CancelRequested,
    ExternalOrderSeen,
    Fact,
    Fill,
    ModifyDenied,
    ModifyRejected,
    ModifyRequested,
    OrderAccepted,
    OrderAnomaly,
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
    OrderStatus,
    OrderTriggered,
    OrderUnknown,
    OrderUpdated,
)
from topics.record import EXTERNAL, ClientOrderId, Currency, VenueOrderId

__all__ = ["HALTING", "AnomalyKind", "Execution", "ExecutionId", "OrderFacts", "Revision", "Step", "Terms", "anomaly"]


_ENDS = (OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.REJECTED)
_VENUE_ENDS = {
    "canceled": OrderStatus.CANCELED,
    "cancelled": OrderStatus.CANCELED,
    "expired": OrderStatus.EXPIRED,
    "rejected": OrderStatus.REJECTED,
}


class OrderFacts(msgspec.Struct, array_like=True):
    """What is known about one order; begins with ``OrderFacts.about(fact)`` and learns by ``add``.

    Mutable; MessagePack as an array, so new fields go last. The first fact names account, instrument and strategy.
    ``cum_qty``, ``value`` (as ``Fill.value``) and ``fees`` are sums over the executions that stand (those not
    busted).
    """

    client_order_id: str
    account: str
    instrument: str
    strategy: str
    terms: Terms | None = None
    requested: bool = False
    sent: bool = False
    found: bool = False
    not_found: bool = False
    unknown: str | None = None
    acknowledged: list[VenueOrderId] = []
    """The venue's ids for it, by its own word; more than one is an anomaly."""
    ends: dict[OrderStatus, str] = {}
    cancels: dict[str, bool] = {}
    """command id -> whether the venue refused it."""
    executions: dict[ExecutionId, Execution] = {}
    busted: dict[ExecutionId, bool] = {}
    """identity -> whether its execution is known (and so taken back)."""
    quarantined: dict[ExecutionId, list[Execution]] = {}
    cum_qty: Decimal = ZERO
    value: Decimal = ZERO
    fees: dict[Currency, Decimal] = {}
    last_ts: int = 0
    """The latest time, venue's or ours, in any fact that taught something."""
    triggered: bool = False
    revisions: dict[int, Revision] = {}
    asked: Terms | None = None
    """The terms as requested, where a revision has replaced them."""
    denied_modifies: dict[str, str] = {}
    """command id -> why."""
    end_cum_qty: Decimal | None = None
    """What the venue said was executed when the order ended: there may be executions still to come."""

    @classmethod
    def about(cls, fact: Fact) -> "OrderFacts":
        return cls(fact.client_order_id, fact.account, fact.instrument, fact.strategy or EXTERNAL)

    # --- what follows from the facts ---

    @property
    def order_qty(self) -> Decimal | None:
        return None if self.terms is None else self.terms.order_qty

    @property
    def status(self) -> OrderStatus:
        cum_qty, ends = self.cum_qty, self.ends
        if cum_qty > 0 and self.terms is not None and cum_qty >= self.terms.order_qty:
            return OrderStatus.FILLED
        if ends:  # most orders asked about have none
            for end in _ENDS:
                if end in ends and not (end is OrderStatus.REJECTED and self.found):
                    return end
            if OrderStatus.DENIED in ends and not self.requested:
                return OrderStatus.DENIED
        if cum_qty > 0:
            return OrderStatus.PARTIALLY_FILLED
        if self.triggered:
            return OrderStatus.TRIGGERED
        if self.is_at_venue:
            return OrderStatus.NEW
        if self.not_found:
            return OrderStatus.REJECTED
        return OrderStatus.PENDING_NEW if self.unknown is None else OrderStatus.UNKNOWN

    @property
    def is_at_venue(self) -> bool:
        """The venue had it at some time: it acknowledged, showed or executed it."""
        return bool(self.acknowledged or self.found or self.executions or self.triggered)

    @property
    def venue_order_id(self) -> VenueOrderId:
        """As acknowledged, else as its executions name it; the lowest, so that their order does not matter."""
        known = self.acknowledged or [v for v, _ in self.executions]
        return known[0] if len(known) == 1 else min(known, default="")

    @property
    def is_terminal(self) -> bool:
        return self.status.is_terminal

    @property
    def pending_cancel(self) -> bool:
        return OrderStatus.CANCELED not in self.ends and not all(self.cancels.values())

    @property
    def pending_revision(self) -> int:
        """The number of the newest one that is not answered; 0 where none waits."""
        return max((n for n, one in self.revisions.items() if one.is_pending), default=0) if self.revisions else 0

    @property
    def revision(self) -> int:
        """The number of the newest one in force; 0 is the order as requested."""
        return max((n for n, one in self.revisions.items() if one.accepted), default=0) if self.revisions else 0

    @property
    def next_revision(self) -> int:
        return max(self.revisions, default=0) + 1

    @property
    def replaced_by(self) -> ClientOrderId:
        if not self.revisions:
            return ""
        return next(
            (one.replacement for _, one in sorted(self.revisions.items()) if one.accepted and one.replacement), ""
        )

    def has_decided_modify(self, command_id: str) -> bool:
        return command_id in self.denied_modifies or any(r.command_id == command_id for r in self.revisions.values())

    @property
    def reserved_qty(self) -> Decimal:
        """What may still be executed, also if a revision that waits for its answer is in force already."""
        if not self.revisions:
            return self.leaves_qty
        if self.order_qty is None or self.is_terminal:
            return ZERO
        asked = [one.order_qty for one in self.revisions.values() if one.is_pending]
        return EXACT.subtract(max([self.order_qty, *asked]), self.cum_qty)

    @property
    def leaves_qty(self) -> Decimal:
        return self._leaves(self.status)

    def _leaves(self, status: OrderStatus) -> Decimal:
        if self.terms is None or status in TERMINAL:
            return ZERO
        return EXACT.subtract(self.terms.order_qty, self.cum_qty)

    @property
    def overfill_qty(self) -> Decimal:
        if self.terms is None or self.cum_qty < self.terms.order_qty:
            return ZERO
        return max(EXACT.subtract(self.cum_qty, self.terms.order_qty), ZERO)

    @property
    def avg_px(self) -> Decimal | None:
        if self.cum_qty <= 0:
            return None
        one = next(iter(self.executions.values()))
        return average_px(one.payoff, one.multiplier, self.cum_qty, self.value)

    def view(self, cause: Fact | None = None) -> OrderUpdated | None:
        """The order as of now; None as long as its terms are not known (only facts that ran ahead of the request)."""
        terms = self.terms
        if terms is None:
            return None
        execution, status = cause if isinstance(cause, OrderFilled) else None, self.status
        return OrderUpdated(
            client_order_id=self.client_order_id,
            account=self.account,
            instrument=self.instrument,
            strategy=self.strategy,
            side=terms.side,
            order_type=terms.order_type,
            order_qty=terms.order_qty,
            price=terms.price,
            trigger_price=terms.trigger_price,
            time_in_force=terms.time_in_force,
            post_only=terms.post_only,
            status=status,
            pending_cancel=self.pending_cancel,
            pending_replace=self.pending_revision > 0,
            revision=self.revision,
            replaces=terms.replaces,
            replaced_by=self.replaced_by,
            venue_order_id=self.venue_order_id,
            cum_qty=self.cum_qty,
            leaves_qty=self._leaves(status),
            avg_px=self.avg_px,
            overfill_qty=self.overfill_qty,
            fees=dict(self.fees),
            last_qty=None if execution is None else execution.last_qty,
            last_px=None if execution is None else execution.last_px,
            fact="" if cause is None else type(cause).__name__,
            reason=self._reason(cause, status),
            ts_event=0 if cause is None else cause.ts_event,
            ts_init=self.last_ts if cause is None else cause.ts_init,
        )

    def _reason(self, cause: Fact | None, status: OrderStatus) -> str:
        if isinstance(cause, CancelRejected) and status not in TERMINAL:
            return f"{cause.code} {cause.reason}".strip()
        if isinstance(cause, ModifyRejected):
            return f"{cause.code} {cause.reason}".strip()
        if isinstance(cause, ModifyDenied):
            return self.denied_modifies[cause.command.command_id]
        if status is OrderStatus.UNKNOWN:
            return self.unknown or ""
        return self.ends.get(status, "never arrived" if status is OrderStatus.REJECTED else "")

    def _visible(self) -> tuple[object, ...]:
        if self.terms is None:
            return ()
        seen = (self.status, self.pending_cancel, self.venue_order_id, self.terms, len(self.denied_modifies))
        sums = (self.cum_qty, self.value, tuple(sorted(self.fees.items()))) if self.executions else ()
        revised = (self.pending_revision, self.revision, self.replaced_by) if self.revisions else ()
        return (*seen, sums, revised)

    # --- learning ---

    def add(self, fact: Fact) -> Step:
        """Learn one fact. A fact already known changes nothing and says nothing, however often it comes."""
        if isinstance(fact, OrderSent):  # one in three facts; what it says shows nowhere
            return self._learn(fact)
        with localcontext(EXACT):
            before, overfill, contradicted = self._visible(), self.overfill_qty, self._is_contradicted
            step = self._learn(fact)
            if not step.changed:
                return step
            self.last_ts = max(self.last_ts, fact.ts_init, fact.ts_event)
            anomalies = list(step.anomalies)
            if self.overfill_qty > overfill:
                detail = f"{self.cum_qty} executed of {self.order_qty}"
                anomalies.append(anomaly(fact, AnomalyKind.OVERFILL, detail))
            if self._is_contradicted and not contradicted:
                anomalies.append(anomaly(fact, AnomalyKind.NOT_FOUND_BUT_LIVE, "not found, and yet seen at the venue"))
            return Step(True, self._visible() != before, step.fills, tuple(anomalies))

    def _note_sent(self, fact: OrderSent) -> Step:
        if self.sent:
            return Step()
        self.sent, self.last_ts = True, max(self.last_ts, fact.ts_init, fact.ts_event)
        return Step(changed=True)

    @property
    def _is_contradicted(self) -> bool:
        return self.not_found and self.is_at_venue

    def quarantine(self, fact: OrderFilled, kind: AnomalyKind, detail: str) -> Step:
        """Keep an execution that cannot be counted, once per content."""
        kept, content = self.quarantined.setdefault(execution_id(fact), []), Execution.of(fact)
        if any(repr(content) == repr(k) for k in kept):  # by digits: a NaN equals nothing, not even itself
            return Step()
        kept.append(content)
        return Step(changed=True, anomalies=(anomaly(fact, kind, detail),))

    def _learn(self, fact: Fact) -> Step:
        match fact:
            case OrderFilled():
                return self._execute(fact)
            case OrderBusted():
                return self._bust(fact)
            case OrderRequested():
                return self._request(Terms.of(fact.command))
            case OrderDenied():
                if self.terms is None:
                    self.terms = Terms.of(fact.command)
                    self._apply_revision()
                return self._end(OrderStatus.DENIED, f"{fact.check}: {fact.value} against {fact.limit}")
            case ExternalOrderSeen():
                terms = Terms(fact.side, fact.order_type, fact.order_qty, fact.price, trigger_price=fact.trigger_price)
                return self._request(terms).merged(self._acknowledge(fact, fact.venue_order_id))
            case OrderAccepted():
                return self._acknowledge(fact, fact.venue_order_id)
            case OrderReconciled():
                return self._reconcile(fact)
            case OrderRejected():
                return self._end(OrderStatus.REJECTED, f"{fact.code} {fact.reason}".strip())
            case OrderCanceled():
                return self._end(OrderStatus.CANCELED, "").merged(self._end_at(fact.cum_qty))
            case OrderExpired():
                return self._end(OrderStatus.EXPIRED, fact.reason).merged(self._end_at(fact.cum_qty))
            case ModifyRequested() | OrderModified() | ModifyRejected():
                return self._revise(fact.revision, Revision.of(fact))
            case ModifyDenied():
                return self._deny_modify(fact)
            case OrderTriggered():
                changed, self.triggered = not self.triggered, True
                return Step(changed)
            case CancelRequested():
                return self._cancel(fact.command_id, refused=False)
            case CancelRejected():
                return self._cancel(fact.command_id, refused=True)
            case OrderSent():
                return self._note_sent(fact)
            case OrderUnknown():
                if fact.where != "submit" or self.unknown is not None:
                    return Step()
                self.unknown = fact.reason
                return Step(changed=True)

    def _request(self, terms: Terms) -> Step:
        """The request's terms count, over those of a denied command that used the same id."""
        if self.requested:
            return Step()
        self.terms, self.requested, self.asked = terms, True, None
        self._apply_revision()
        return Step(changed=True)

    def _revise(self, number: int, revision: Revision) -> Step:
        known = self.revisions.get(number)
        merged = revision if known is None else known.merged(revision)
        if repr(merged) == repr(known):  # by digits: the same whichever came first
            return Step()
        self.revisions[number] = merged
        self._apply_revision()
        return Step(changed=True)

    def _apply_revision(self) -> None:
        """The newest one in force counts, unless another order carries it out."""
        here = [n for n, one in self.revisions.items() if one.accepted and not one.replacement]
        terms = self.asked or self.terms
        if here and terms is not None:
            self.asked, self.terms = terms, terms.revised(self.revisions[max(here)])

    def _deny_modify(self, fact: ModifyDenied) -> Step:
        if fact.command.command_id in self.denied_modifies:
            return Step()
        self.denied_modifies[fact.command.command_id] = f"{fact.check}: {fact.value} against {fact.limit}"
        return Step(changed=True)

    def _end_at(self, cum_qty: Decimal | None) -> Step:
        if cum_qty is None or (self.end_cum_qty is not None and cum_qty <= self.end_cum_qty):
            return Step()
        self.end_cum_qty = cum_qty
        return Step(changed=True)

    def _end(self, status: OrderStatus, reason: str) -> Step:
        if status in self.ends:
            return Step()
        self.ends[status] = reason
        return Step(changed=True)

    def _cancel(self, command_id: str, refused: bool) -> Step:
        known = self.cancels.get(command_id)
        if known is not None and known >= refused:
            return Step()
        self.cancels[command_id] = refused
        return Step(changed=True)

    def _acknowledge(self, fact: Fact, venue_order_id: VenueOrderId) -> Step:
        if not venue_order_id or venue_order_id in self.acknowledged:
            return Step()
        self.acknowledged.append(venue_order_id)
        if len(self.acknowledged) == 1:
            return Step(changed=True)
        detail = f"{venue_order_id} after {self.acknowledged[0]}"
        return Step(changed=True, anomalies=(anomaly(fact, AnomalyKind.VENUE_ORDER_ID_CONFLICT, detail),))

    def _reconcile(self, fact: OrderReconciled) -> Step:
        """Quantities come from executions alone; a rejection found there is no proof that the order is alive."""
        if not fact.found:
            changed, self.not_found = not self.not_found, True
            return Step(changed)
        step = self._acknowledge(fact, fact.venue_order_id)
        end = _VENUE_ENDS.get(fact.venue_status.lower())
        if end is not None:
            step = step.merged(self._end(end, "as reconciled"))
        if end is not OrderStatus.REJECTED and not self.found:
            self.found = True
            step = step.merged(Step(changed=True))
        return step

    def _execute(self, fact: OrderFilled) -> Step:
        """Always applied, late or not; what contradicts a known one or is unreadable is quarantined."""
        key, execution = execution_id(fact), Execution.of(fact)
        known = self.executions.get(key)
        if not execution.is_readable:
            return self.quarantine(fact, AnomalyKind.EXECUTION_UNREADABLE, str(execution))
        if known is not None:
            if known.agrees_with(execution):
                return Step()
            detail = f"{execution} after {known}"
            return self.quarantine(fact, AnomalyKind.EXECUTION_CONFLICT, detail)
        anomalies = self._doubts(fact)
        self.executions[key] = execution
        fills: tuple[Fill, ...] = (self._fill(fact, key),)
        if key in self.busted:
            self.busted[key] = True
            fills += (self._fill(fact, key, reversal=True),)
        else:
            self._count(execution)
        return Step(changed=True, fills=fills, anomalies=anomalies)

    def _doubts(self, fact: OrderFilled) -> tuple[OrderAnomaly, ...]:
        status, doubts = self.status, []
        if status.is_terminal and status is not OrderStatus.FILLED and not self._was_announced(fact.last_qty):
            detail = f"{fact.last_qty} at {fact.last_px} when {status}"
            doubts.append(anomaly(fact, AnomalyKind.EXECUTION_AFTER_END, detail))
        if self.terms is not None and fact.side is not self.terms.side:
            doubts.append(anomaly(fact, AnomalyKind.SIDE_MISMATCH, f"{fact.side} on an order to {self.terms.side}"))
        return tuple(doubts)

    def _was_announced(self, last_qty: Decimal) -> bool:
        """The venue counted it when it ended the order: it only came later than the word of the end."""
        return self.end_cum_qty is not None and EXACT.add(self.cum_qty, last_qty) <= self.end_cum_qty

    def _bust(self, fact: OrderBusted) -> Step:
        key = (fact.venue_order_id, fact.trade_id)
        if key in self.busted:
            return Step()
        self.busted[key] = key in self.executions
        if key not in self.executions:
            detail = f"{fact.venue_order_id} {fact.trade_id}"
            return Step(changed=True, anomalies=(anomaly(fact, AnomalyKind.BUST_WITHOUT_EXECUTION, detail),))
        self.recount()
        return Step(changed=True, fills=(self._fill(fact, key, reversal=True),))

    def _count(self, execution: Execution) -> None:
        self.cum_qty += execution.last_qty
        self.value += value(execution.payoff, execution.multiplier, execution.last_qty, execution.last_px)
        add_to(self.fees, execution.fee_currency, execution.fee)

    def recount(self) -> None:
        """From the set, so that a bust leaves the very digits that the execution's absence would have."""
        self.cum_qty, self.value, self.fees = ZERO, ZERO, {}
        for key, execution in self.executions.items():
            if key not in self.busted:
                self._count(execution)

    def _fill(self, cause: OrderFilled | OrderBusted, key: ExecutionId, reversal: bool = False) -> Fill:
        execution = self.executions[key]
        return Fill(
            account=self.account,
            strategy=self.strategy,
            instrument=self.instrument,
            client_order_id=self.client_order_id,
            venue_order_id=key[0],
            trade_id=key[1],
            side=execution.side,
            last_qty=execution.last_qty,
            last_px=execution.last_px,
            fee=execution.fee,
            fee_currency=execution.fee_currency,
            liquidity=execution.liquidity,
            base=execution.base,
            quote=execution.quote,
            settle=execution.settle,
            multiplier=execution.multiplier,
            payoff=execution.payoff,
            value=value(execution.payoff, execution.multiplier, execution.last_qty, execution.last_px),
            reversal=reversal,
            ts_event=cause.ts_event,
            ts_init=cause.ts_init,
        )
