"""Finding out: what became of orders whose fate is not known, and whether venue and tape agree.

``resolve`` asks for one order until there is evidence. ``reconcile`` asks for everything: at start, whenever the
event stream was interrupted, and on a timer. Both only publish facts; what cannot be explained is a
``ReconciliationDifference``, which halts new risk on its instrument until a named resume.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

from adapters.base import VenueError
from adapters.execution import Execution, OrderRef, OrderReport
from pipelines.exact import text
from pipelines.gateway import decide, translate
from pipelines.gateway.engine import Engine, ref
from pipelines.gateway.state import Held, State
from topics.orders import OrderStatus, OrderUnknown, ReconciliationDifference
from topics.record import ClientOrderId, InstrumentId, Record

log = logging.getLogger(__name__)

NS = 1_000_000_000
MARGIN_NS = 3 * NS // 2
OVERLAP_NS = 60 * NS
FIRST_ASK_S = 0.25
SLOWEST_ASK_S = 5.0
CONFIRM_S = 1.0


@dataclass
class Recovery:
    """``since_ns``: executions before it are another run's business. ``reconciled``: by instrument, when the last round
    that succeeded began; every execution before it is on the tape.
    """

    engine: Engine
    since_ns: int
    instruments: frozenset[InstrumentId] = frozenset()
    reconciled: dict[InstrumentId, int] = field(default_factory=dict)
    rounds: int = 0
    _resolving: dict[ClientOrderId, "asyncio.Task[None]"] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def state(self) -> State:
        return self.engine.state

    # --- one order -------------------------------------------------------------------------------------------------

    def resolve(self, held: Held) -> None:
        """Ask for an order in the background, once at a time."""
        if held.client_order_id not in self._resolving:
            task = asyncio.get_running_loop().create_task(self._resolve(held))
            self._resolving[held.client_order_id] = task
            task.add_done_callback(lambda done: self._resolved(held, done))

    def _resolved(self, held: Held, task: "asyncio.Task[None]") -> None:
        self._resolving.pop(held.client_order_id, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.engine.fail(error)

    async def _resolve(self, held: Held) -> None:
        """A cancel may have overtaken its order: it is confirmed once the order is found."""
        if not held.facts.is_at_venue:
            await self._find(held)
        if held.facts.is_at_venue:
            await self._confirm_cancel(held)
        await self._confirm_modify(held)

    async def _find(self, held: Held) -> None:
        """Until it is found or proved never to have arrived: not found twice, after a request could still have been
        taken.
        """
        window_end = held.requested_ns + self._window_ns
        misses, pause = 0, FIRST_ASK_S
        while not (held.facts.is_at_venue or held.facts.is_terminal):
            asked_ns = self.engine.clock()
            try:
                report = await self.engine.adapter.query(ref(held))
            except VenueError as error:
                log.warning("%s: %s", held.client_order_id, error)
            else:
                if report is not None:
                    await self.learn(report)
                    return
                misses += asked_ns > window_end
                if misses >= 2 and not self.engine.is_sending(held):
                    self.engine.tape.write([translate.not_found(held, self.engine.clock())])
                    return
            await asyncio.sleep(pause)
            pause = min(pause * 2, SLOWEST_ASK_S, max(FIRST_ASK_S, (window_end - self.engine.clock()) / NS))

    async def _confirm_cancel(self, held: Held) -> None:
        """The venue's event confirms a cancel; where it does not come, ask, and cancel again what is still open."""
        pause = CONFIRM_S
        while held.facts.pending_cancel and not held.facts.is_terminal:
            await asyncio.sleep(pause)
            pause = min(pause * 2, SLOWEST_ASK_S)
            if not self.engine.is_canceling(held):
                await self.ask(held)
                for command_id in unanswered(held)[-1:]:
                    self.engine.insist(held, command_id, "")
        if held.facts.is_terminal and held.facts.status is not OrderStatus.CANCELED:
            self._answer_cancels(held)

    async def _confirm_modify(self, held: Held) -> None:
        """A revision whose answer is missing. In its place: in force when the venue shows its quantity, and not when it
        still shows the other one, twice, after the request could have been taken. By another order: that follows when the
        end of this one is known.
        """
        misses, pause = 0, FIRST_ASK_S
        while held.facts.pending_revision and held.modify is not None:
            self.engine.finish_replaces()
            if not held.facts.pending_revision or (held.modify.replacement and not held.facts.is_terminal):
                return
            asked_ns = self.engine.clock()
            if await self.ask(held) and asked_ns > held.modify.ts_init + self._window_ns:
                misses += not held.modify.replacement
            if misses >= 2 and held.facts.pending_revision and not self.engine.is_modifying(held):
                why = "the venue shows the order as it was"
                self.engine.tape.write([decide.modify_rejected(held, "NOT_FOUND", why, self.engine.clock())])
            await asyncio.sleep(pause)
            pause = min(pause * 2, SLOWEST_ASK_S)

    @property
    def _window_ns(self) -> int:
        """How long after its write-ahead a request may still be taken."""
        return self.engine.adapter.recv_window_ms * 1_000_000 + MARGIN_NS

    async def ask(self, held: Held) -> bool:
        """Learn what the venue knows of it; False when it knows nothing, or did not say."""
        try:
            report = await self.engine.adapter.query(ref(held))
            if report is not None:
                await self.learn(report)
        except VenueError as error:
            log.warning("%s: %s", held.client_order_id, error)
            return False
        return report is not None

    def _answer_cancels(self, held: Held) -> None:
        """Cancels of an order that ended otherwise were too late."""
        facts = [translate.cancel_too_late(held, c, self.engine.clock()) for c in unanswered(held)]
        if facts:
            self.engine.tape.write(facts)

    async def learn(self, report: OrderReport) -> None:
        """Everything a queried order tells: that it is there, its executions, then its end."""
        held = self.engine.known(report)
        if not held.facts.acknowledged:
            self.engine.tape.write([translate.found(held, report, self.engine.clock())])
        if report.cum_qty > held.facts.cum_qty:
            self.engine.learn_executions(
                list(await self.engine.adapter.order_executions(report.instrument, report.venue_order_id))
            )
        self.engine.learn_report(report)
        self.engine.finish_replaces()

    # --- everything ------------------------------------------------------------------------------------------------

    async def reconcile(self) -> None:
        """One round. VenueError when the venue does not answer: nothing is concluded from that. Done when all that it
        found out is durable.
        """
        async with self._lock:
            began = self.engine.clock()
            self._resume_unanswered()
            adapter = self.engine.adapter
            working = [
                h for h in self.state.book.open_orders() if h.facts.is_at_venue and not self.engine.is_sending(h)
            ]
            reports = {(r.instrument, r.venue_order_id): r for r in await adapter.open_orders()}
            for report in reports.values():
                await self.learn(report)
            for held in working:
                await self._compare(held, reports)
            instruments = sorted(self._instruments(reports.values()))
            for instrument in instruments:
                await self._executions(instrument)
            self.engine.learn_balances(list(await adapter.balances()))
            await self.engine.tape.settled()
            if self.engine.lease.held:  # what is written without it may be passed over
                self.reconciled.update(dict.fromkeys(instruments, began))
            self.rounds += 1

    def _resume_unanswered(self) -> None:
        """Orders whose answer died with an earlier process, or whose asking ended with an error."""
        for held in list(self.state.book.open_orders()):
            if held.facts.is_at_venue:
                if held.facts.pending_cancel and not self.engine.is_canceling(held):
                    self.resolve(held)
            elif not self.engine.is_sending(held):
                if held.facts.unknown is None:
                    self.engine.tape.write([self._unanswered(held)])
                self.resolve(held)
        for cid in list(self.state.book.revising):
            if not self.engine.is_modifying(self.state.book.orders[cid]):
                self.resolve(self.state.book.orders[cid])

    def _unanswered(self, held: Held) -> OrderUnknown:
        reason = "no answer on the tape: the gateway ended before it came"
        return OrderUnknown(**translate.about(held), where="submit", reason=reason, ts_init=self.engine.clock())

    async def _compare(self, held: Held, reports: dict[tuple[InstrumentId, str], OrderReport]) -> None:
        """An order that the tape has as open and the venue's list does not, or with other quantities: ask for it."""
        listed = reports.get((held.facts.instrument, held.facts.venue_order_id))
        if held.facts.is_terminal or (listed is not None and listed.cum_qty == held.facts.cum_qty):
            return
        for attempt in range(3):
            report = await self.engine.adapter.query(ref(held))
            if report is None:
                break
            await self.learn(report)
            if held.facts.cum_qty == report.cum_qty:
                return
            await asyncio.sleep(0.2 * (attempt + 1))
        what = f"cum_qty of {held.client_order_id}"
        self.differ(
            held.facts.instrument,
            what,
            text(held.facts.cum_qty),
            "not found" if report is None else text(report.cum_qty),
        )

    async def _executions(self, instrument: InstrumentId) -> None:
        """What was executed since the last round that succeeded, with some overlap. Live executions move nothing:
        others may have been missed before them.
        """
        since = self._since(instrument)
        executions = list(await self.engine.adapter.executions(instrument, since))
        reports = await self._strangers(instrument, executions, since)
        for report in reports:
            self._introduce(report)
        self.engine.learn_executions(executions)
        for report in reports:
            await self.learn(report)

    def _since(self, instrument: InstrumentId) -> int:
        """Never before orders that are not kept any more: their executions would count again."""
        book = self.state.book
        reconciled, forgotten = self.reconciled.get(instrument, 0), book.forgotten_ts
        return max(
            self.since_ns, reconciled - OVERLAP_NS if reconciled else 0, forgotten + OVERLAP_NS if forgotten else 0
        )

    async def _strangers(self, instrument: InstrumentId, executions: list[Execution], since: int) -> list[OrderReport]:
        """What the venue says of orders that executions name and the tape does not: they may be ours, their answers
        lost. An order older than the list is asked for by itself.
        """
        adapter, book = self.engine.adapter, self.state.book
        wanted = {
            e.venue_order_id
            for e in executions
            if translate.find(book, instrument, e.venue_client_id, e.venue_order_id) is None
        }
        if not wanted:
            return []
        listed = [r for r in await adapter.recent_orders(instrument, since) if r.venue_order_id in wanted]
        rest = wanted - {r.venue_order_id for r in listed}
        asked = [await adapter.query(OrderRef(instrument, venue_order_id=i)) for i in sorted(rest)]
        return listed + [r for r in asked if r is not None]

    def _introduce(self, report: OrderReport) -> None:
        held = self.engine.known(report)
        if not held.facts.acknowledged:
            self.engine.tape.write([translate.found(held, report, self.engine.clock())])

    def _instruments(self, reports: Iterable[OrderReport]) -> set[InstrumentId]:
        """Those configured, those traded, and those with open orders, as far as the venue lists them."""
        traded = {i for _, i in self.state.book.positions}
        wanted = (
            self.instruments
            | traded
            | {r.instrument for r in reports}
            | {h.facts.instrument for h in self.state.book.open_orders()}
        )
        return set(wanted) & set(self.engine.adapter.listed)

    def differ(self, instrument: InstrumentId, what: str, tape: str, venue: str) -> None:
        """Say it once: the same two values again are no news, also after a named person has resumed."""
        known = self.state.book.differences.get((instrument, what))
        if known is not None and (known.tape, known.venue) == (tape, venue):
            return
        log.error("%s: %s: tape %s, venue %s: new risk halted until a named resume", instrument, what, tape, venue)
        difference: Record = ReconciliationDifference(
            account=self.state.account,
            instrument=instrument,
            what=what,
            tape=tape,
            venue=venue,
            ts_init=self.engine.clock(),
        )
        self.engine.tape.write([difference])

    async def balances_came_back(self) -> None:
        """Until what the venue last said that the account holds has come back from the tape: checks judge by that."""
        said, seen = dict(self.engine.balances), self.state.market.balances
        while True:
            if all(c in seen and seen[c].ts_init >= one.ts_init for c, one in said.items()):
                return
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        for task in list(self._resolving.values()):
            task.cancel()
        await asyncio.gather(*self._resolving.values(), return_exceptions=True)


def unanswered(held: Held) -> list[str]:
    """Cancels that the venue has neither carried out nor refused."""
    return [command_id for command_id, refused in held.facts.cancels.items() if not refused]
