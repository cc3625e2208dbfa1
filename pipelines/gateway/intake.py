"""The gateway's inputs: controls and marks fold at once, commands are obeyed one after another, and progress is
committed.

Commands are committed up to the first whose decision is not durable yet, controls up to the first flatten that is not
carried out yet: what a crash interrupts is met again, and met again it changes nothing.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import Message

from infra import kafka
from pipelines.gateway.engine import Engine, NotLeased
from pipelines.gateway.feed import Feed, committed
from pipelines.gateway.lease import pause
from pipelines.gateway.load import Places, decoded_or_error
from pipelines.gateway.status import GatewayStatus
from topics.catalog import CONTROLS, GATEWAY_LEASES, ORDERS_INTENTS, PORTFOLIO_INBOX, Topic
from topics.controls import Flatten
from topics.orders import CancelAll, CancelOrder, SubmitOrder
from topics.system import DeadLetter

HELD_AGAIN_S = 0.05


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
        self._flattening: deque[int] = deque()
        self._controls_committed = -1
        self._feed: Feed | None = None

    def _physical(self, topic: Topic) -> str:
        return kafka.physical(self._prefix, topic)

    async def start(self, places: Places, fail: Callable[[BaseException], None]) -> None:
        """Go on where the tape was read to; commands and flattens where the last process had got to."""
        intents, done = await asyncio.to_thread(self._committed)
        for offset, control in places.flattens:
            if offset >= done:
                self._queue_flatten(offset, control)
        starts = {
            self._physical(ORDERS_INTENTS): intents,
            self._physical(PORTFOLIO_INBOX): places.inbox,
            self._physical(CONTROLS): places.controls,
            self._physical(GATEWAY_LEASES): -1,  # the end
        }
        self._feed = Feed(self._conf, self._group, starts, self._take, fail)
        self._feed.start()

    def _committed(self) -> tuple[int, int]:
        intents, controls = (committed(self._conf, self._group, self._physical(t)) for t in (ORDERS_INTENTS, CONTROLS))
        return intents or 0, controls or 0

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
                continue
            records, problem = decoded_or_error(message, topic)
            self._status.records_in += 1
            if problem:
                self._bury(message, problem)
            else:
                self._fold(topic, message.offset() or 0, records)

    def _fold(self, topic: Topic, offset: int, records: list[Any]) -> None:
        if topic is PORTFOLIO_INBOX:
            self._engine.state.market.fold(offset, records)
        elif topic is CONTROLS:
            self._fold_controls(offset, records)
        else:
            for lease in records:
                self._engine.lease.observe(lease)

    def _fold_controls(self, offset: int, controls: list[Any]) -> None:
        rules = self._engine.state.rules
        for control in controls:
            if isinstance(control, Flatten) and not rules.state.has_seen(control):
                self._queue_flatten(offset, control)
        rules.fold(offset, controls)
        self._controls_came()

    def _queue_flatten(self, offset: int, control: Flatten) -> None:
        self._flattening.append(offset)
        self._flattens.put_nowait((offset, control))

    async def next_flatten(self) -> tuple[int, Flatten]:
        return await self._flattens.get()

    def flattened(self, offset: int) -> None:
        """That one is carried out: it is not to be met again."""
        self._flattening.remove(offset)

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
        while not stop.is_set():
            message = await self._intents.get()
            commands, problem = decoded_or_error(message, ORDERS_INTENTS)
            self._status.records_in += 1
            if problem:
                self._bury(message, problem)
            durable: list[asyncio.Future[Any]] = []
            for command in commands:
                if command.account == self._engine.state.account and not await self._obey(command, durable, stop):
                    return
            self._unacknowledged.append((message.offset() or 0, durable))

    async def _obey(
        self, command: SubmitOrder | CancelOrder | CancelAll, durable: list["asyncio.Future[Any]"], stop: asyncio.Event
    ) -> bool:
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

    def _carry_out(self, command: SubmitOrder | CancelOrder | CancelAll) -> "asyncio.Future[Any] | None":
        match command:
            case SubmitOrder():
                return self._engine.submit(command).durable
            case CancelOrder():
                return self._engine.cancel(command)
            case CancelAll():
                return self._engine.cancel_all(command)[1]

    def commit(self) -> None:
        if self._feed is None:
            return
        last = None
        while self._unacknowledged and all(f.done() for f in self._unacknowledged[0][1]):
            last = self._unacknowledged.popleft()[0]
        if last is not None:
            self._feed.commit(self._physical(ORDERS_INTENTS), last + 1)
        upto = self._flattening[0] if self._flattening else self._engine.state.rules.offset + 1
        if upto != self._controls_committed:
            self._controls_committed = upto
            self._feed.commit(self._physical(CONTROLS), upto)
