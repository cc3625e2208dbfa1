"""The gateway's inputs: controls and marks fold at once, commands are obeyed one after another, and progress is
committed.

Commands are committed up to the first whose decision is not durable: what a crash interrupts is met again, and met
again it changes nothing. Where nothing is committed (an account's first start, or the broker has let it expire) they
are met from an hour before our own last record on: what is older was answered then, what is not known is denied for
its age, and so whoever waits for it has an answer.

What became of flattens and resumes is in our own log (``ControlDone``), not in a committed offset.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import Message

from infra import kafka
from pipelines.gateway.engine import Engine, NotLeased
from pipelines.gateway.feed import Feed, committed, offset_at
from pipelines.gateway.flatten import done
from pipelines.gateway.lease import pause
from pipelines.gateway.load import Places, decoded_or_error
from pipelines.gateway.status import GatewayStatus
from topics.catalog import CONTROLS, GATEWAY_LEASES, ORDERS_INTENTS, PORTFOLIO_INBOX, Topic
from topics.controls import Flatten, Resume, ScopeKind
from topics.orders import CancelAll, CancelOrder, Command, ControlDone, ModifyOrder, SubmitOrder
from topics.system import DeadLetter

HELD_AGAIN_S = 0.05
BREATH = 16
"""Commands after which others get their turn in the event loop."""
MAX_WAITING = 1000
"""Records of commands in memory; beyond it, no more are fetched until half of them are obeyed."""
OVERLAP_NS = 3600 * 1_000_000_000


class Intake:
    """``controls_came`` is called when something was put in force; flattens are to be fetched with ``next_flatten``."""

    def __init__(
        self,
        conf: kafka.KafkaConf,
        prefix: str,
        name: str,
        engine: Engine,
        status: GatewayStatus,
        controls_came: Callable[[], None],
    ) -> None:
        self._conf, self._prefix, self._name = conf, prefix, name
        self._group = f"{prefix}.{name}"
        self._engine, self._status, self._controls_came = engine, status, controls_came
        self._topics = {self._physical(t): t for t in (ORDERS_INTENTS, PORTFOLIO_INBOX, CONTROLS, GATEWAY_LEASES)}
        self._intents: asyncio.Queue[Message] = asyncio.Queue()
        self._unacknowledged: deque[tuple[int, list[asyncio.Future[Any]]]] = deque()
        self._flattens: asyncio.Queue[tuple[int, Flatten]] = asyncio.Queue()
        self._controls_committed = -1
        self._is_paused = False
        self._feed: Feed | None = None

    def _physical(self, topic: Topic) -> str:
        return kafka.physical(self._prefix, topic)

    async def start(self, places: Places, fail: Callable[[BaseException], None]) -> None:
        """Go on where the tape was read to; commands where the last process had got to."""
        intents = await asyncio.to_thread(self._first_intent)
        self.catch_up(places.to_answer)
        starts = {
            self._physical(ORDERS_INTENTS): intents,
            self._physical(PORTFOLIO_INBOX): places.inbox,
            self._physical(CONTROLS): places.controls,
            self._physical(GATEWAY_LEASES): -1,  # the end
        }
        self._feed = Feed(self._conf, self._group, starts, self._take, fail)
        self._feed.start()

    def _first_intent(self) -> int:
        name = self._physical(ORDERS_INTENTS)
        found, last_ts = committed(self._conf, self._group, name), self._engine.state.book.last_ts
        if found is not None or last_ts == 0:
            return found or 0
        return offset_at(self._conf, self._group, name, last_ts - OVERLAP_NS)

    def catch_up(self, controls: Sequence[tuple[int, Flatten | Resume]]) -> None:
        """What our log has no answer to: it came while no gateway ran, or one ended in the middle of it. Flattens from
        before our first record mean positions of which this gateway knows nothing: they are not carried out.
        """
        book = self._engine.state.book
        first_ts, resumed_to = book.first_ts, book.resumed_to
        resumes = [(o, c) for o, c in controls if isinstance(c, Resume) and o > resumed_to and _lifts_halts(c)]
        answers: list[ControlDone] = []
        for offset, control in controls:
            if isinstance(control, Resume) or control.control_id in book.flattens_done:
                continue
            if first_ts == 0 or control.ts_init < first_ts:
                detail, now_ns = "given before this gateway's first record", self._engine.clock()
                answers.append(done(self._engine.state, control, offset, "abandoned", detail, now_ns))
            else:
                self._flattens.put_nowait((offset, control))
        answers += [self._resumed(offset, control) for offset, control in (resumes if book.halts else resumes[-1:])]
        if answers:
            self._engine.tape.write(answers)

    def _resumed(self, offset: int, control: Resume) -> ControlDone:
        book = self._engine.state.book
        return ControlDone(
            account=self._engine.state.account,
            control_id=control.control_id,
            control=Resume.__name__,
            scope=control.scope,
            offset=offset,
            outcome="heard",
            detail=f"halted before: {', '.join(sorted(book.halts))}" if book.halts else "",
            ts_init=self._engine.clock(),
        )

    def close(self) -> None:
        if self._feed is not None:
            self._feed.close()

    @property
    def lag(self) -> int:
        """Commands that are on the tape and not obeyed."""
        return self._intents.qsize() + (0 if self._feed is None else self._feed.lag(self._physical(ORDERS_INTENTS)))

    def _take(self, batch: Sequence[Message]) -> None:
        """In the event loop."""
        for message in batch:
            topic = self._topics[message.topic() or ""]
            if topic is ORDERS_INTENTS:
                self._intents.put_nowait(message)
                self._make_room()
                continue
            records, problem = decoded_or_error(message, topic)
            self._status.records_in += 1
            if problem:
                self._bury(message, problem)
            else:
                self._fold(topic, message.offset() or 0, records)

    def _make_room(self) -> None:
        """Fetch no more than can be obeyed."""
        waiting = self._intents.qsize()
        wanted = waiting > (MAX_WAITING // 2 if self._is_paused else MAX_WAITING)
        if wanted is not self._is_paused and self._feed is not None:
            self._is_paused = wanted
            self._feed.pause(self._physical(ORDERS_INTENTS), wanted)

    def _fold(self, topic: Topic, offset: int, records: list[Any]) -> None:
        if topic is PORTFOLIO_INBOX:
            self._engine.state.market.fold(offset, records)
        elif topic is CONTROLS:
            self._fold_controls(offset, records)
        else:
            for lease in records:
                self._engine.lease.observe(lease)

    def _fold_controls(self, offset: int, controls: list[Any]) -> None:
        for control in self._engine.state.rules.fold(offset, controls):
            if isinstance(control, Flatten):
                self._flattens.put_nowait((offset, control))
            elif isinstance(control, Resume) and _lifts_halts(control):
                self._engine.tape.write([self._resumed(offset, control)])
        self._controls_came()

    async def next_flatten(self) -> tuple[int, Flatten]:
        """With the offset of its record."""
        return await self._flattens.get()

    def _bury(self, message: Message, reason: str) -> None:
        """What cannot be read goes to the dead letters, with the reason."""
        self._status.dead_letters += 1
        key = message.key()
        letter = DeadLetter(
            stage=self._name,
            topic=kafka.logical(self._prefix, message.topic() or ""),
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            reason=reason,
            payload=message.value() or b"",
            key=b"" if key is None else key.encode() if isinstance(key, str) else key,
        )
        self._engine.tape.write([letter])

    async def obey(self, stop: asyncio.Event) -> None:
        """One command after another; a redelivered one changes nothing. They wait while the lease is not held."""
        obeyed = 0
        while not stop.is_set():
            message = await self._intents.get()
            self._make_room()
            obeyed += 1
            if obeyed % BREATH == 0:
                await asyncio.sleep(0)
            commands, problem = decoded_or_error(message, ORDERS_INTENTS)
            self._status.records_in += 1
            if problem:
                self._bury(message, problem)
            durable: list[asyncio.Future[Any]] = []
            for command in commands:
                if command.account == self._engine.state.account and not await self._obey(command, durable, stop):
                    return
            self._unacknowledged.append((message.offset() or 0, durable))

    async def _obey(self, command: Command, durable: list["asyncio.Future[Any]"], stop: asyncio.Event) -> bool:
        """False when told to stop before the command could be obeyed."""
        while not stop.is_set():
            try:
                future = self._carry_out(command)
            except NotLeased:
                await pause(stop, HELD_AGAIN_S)
                continue
            self._status.events_in += 1
            durable += [] if future is None else [future]
            return True
        return False

    def _carry_out(self, command: Command) -> "asyncio.Future[Any] | None":
        match command:
            case SubmitOrder():
                return self._engine.submit(command).durable
            case ModifyOrder():
                return self._engine.modify(command).durable
            case CancelOrder():
                return self._engine.cancel(command)
            case CancelAll():
                return self._engine.cancel_all(command)[1]

    def commit(self) -> None:
        if self._feed is None:
            return
        last = None
        while self._unacknowledged and all(_is_durable(f) for f in self._unacknowledged[0][1]):
            last = self._unacknowledged.popleft()[0]
        if last is not None:
            self._feed.commit(self._physical(ORDERS_INTENTS), last + 1)
        upto = self._engine.state.rules.offset + 1
        if upto != self._controls_committed:
            self._controls_committed = upto
            self._feed.commit(self._physical(CONTROLS), upto)


def _is_durable(decision: "asyncio.Future[Any]") -> bool:
    return decision.done() and not decision.cancelled() and decision.exception() is None


def _lifts_halts(control: Resume) -> bool:
    """A halt is an instrument's; what a strategy is resumed from is its kill."""
    return control.scope.kind is not ScopeKind.STRATEGY
