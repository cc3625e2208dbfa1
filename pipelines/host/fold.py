"""The host's pure part: what a strategy makes of what the host saw. The same functions as the Kafka stages fold, in the
host's own order.

``host.inbox`` holds that order: each record is one input, its place is the host's coordinate (epoch, n), and what comes
out of it has the coordinates (epoch, n+1), (epoch, n+2), … So ids and causes name a place that is known when written,
and nothing waits for the broker.
"""

from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from infra.shell.processor import Inbound
from pipelines.folding import Fold
from pipelines.intents import intents_stage
from pipelines.signals import signals_stage
from strategies.api import Strategy
from topics import wire
from topics.catalog import HOST_INBOX, MARKET_EVENTS, STRATEGY_INBOX, Topic
from topics.coordinates import At, Coordinate
from topics.record import Record, StrategyId
from topics.routes import Subscription, Subscriptions, group
from topics.stage import EVERY
from topics.strategy import HostStarted, InboxSeen, MarketSeen, OrdersRecovered, StrategyHalted
from topics.system import DeadLetter
from topics.wire import BadRecord

Seen = HostStarted | MarketSeen | InboxSeen | OrdersRecovered


class Output(NamedTuple):
    """One Kafka record that an input leads to, and what it holds."""

    topic: Topic
    key: str
    value: bytes
    events: tuple[Record, ...]


def producer_of(strategy_id: StrategyId) -> str:
    """The edge's name; with a slash, so that it is no worker's of another kind."""
    return f"host/{strategy_id}"


class HostFold:
    def __init__(self, strategy_id: StrategyId, strategy: Strategy, subscription: Subscription) -> None:
        self.strategy_id = strategy_id
        self._subscriptions: Subscriptions = {strategy_id: subscription}
        self._made: list[Any] = []
        self._signals = Fold(signals_stage(strategy_id, strategy, subscription), self._collect)
        self._intents = intents_stage(strategy_id, strategy, subscription, HOST_INBOX)
        self._running: Any = None
        self._recode_every: int | None = None
        self._since_recode = 0

    @property
    def running(self) -> Any:
        """The decision callbacks' state; None before the first input."""
        return self._running

    def recode_every(self, events: int | None) -> None:
        """Encode and decode all state after so many inputs, as a checkpoint and a restart would."""
        self._recode_every = events

    def _collect(self, outputs: list[Record], partition: int, offset: int) -> None:
        self._made += outputs

    def see_market(self, record: Inbound) -> MarketSeen:
        """Run the market callbacks on one record of ``market.events``."""
        self._made = []
        self._signals.feed(record)
        seen = MarketSeen(
            strategy=self.strategy_id, partition=record.partition, offset=record.offset, outputs=tuple(self._made)
        )
        return self._as_on_the_tape(seen) if seen.outputs else seen

    def _as_on_the_tape(self, seen: MarketSeen) -> MarketSeen:
        """Decisions are made on what a replay will read; what cannot be read (a signal that is no number) is a dead letter."""
        value = wire.encode([seen])
        try:
            return wire.decode(value, (MarketSeen,))[0]  # type: ignore[no-any-return]
        except BadRecord as error:
            dead = DeadLetter(
                stage=producer_of(self.strategy_id),
                topic=MARKET_EVENTS.name,
                partition=seen.partition,
                offset=seen.offset,
                reason=str(error),
                payload=value,
            )
            return replace(seen, outputs=(dead,))

    def decide(self, seen: Seen, epoch: int, n: int) -> list[Output]:
        """Run the decision callbacks on one record of ``host.inbox``, which stands at (epoch, n)."""
        outputs: list[Record] = []
        for place, event in enumerate(events_of(seen)):
            if isinstance(event, DeadLetter):
                outputs.append(event)
                continue
            if isinstance(event, StrategyHalted) and isinstance(seen, MarketSeen):
                outputs.append(event)
            outputs += self._fold(event, At(epoch, n, place))
        self._maybe_recode()
        return self._routed(outputs)

    def _fold(self, event: Any, at: At) -> list[Record]:
        key = self._intents.state_key(event)
        if key is None or (key == EVERY and self._running is None):
            return []
        self._running, outputs = self._intents.on_event(self._running, event, at)
        return list(outputs)

    def _routed(self, outputs: list[Record]) -> list[Output]:
        """Not to ``strategy.inbox``: what the host itself says it knows already."""
        return [
            Output(topic, key, wire.encode(events), tuple(events))
            for (topic, key), events in group(outputs, self._subscriptions).items()
            if topic is not STRATEGY_INBOX
        ]

    def _maybe_recode(self) -> None:
        self._since_recode += 1
        if self._recode_every is None or self._since_recode < self._recode_every:
            return
        self._since_recode = 0
        self.restore(self.saved())

    # --- checkpoints -----------------------------------------------------------------------------------------------

    def saved(self) -> tuple[bytes, dict[int, dict[bytes, bytes]]]:
        """All state, encoded."""
        running = b"" if self._running is None else msgspec.msgpack.encode(self._running)
        return running, {p: dict(self._signals.entries(p)) for p in self._signals.partitions}

    def restore(self, saved: tuple[bytes, dict[int, dict[bytes, bytes]]]) -> None:
        running, signals = saved
        self._running = msgspec.msgpack.decode(running, type=self._intents.state_type) if running else None
        for partition, entries in signals.items():
            self._signals.restore(partition, entries)


def events_of(seen: Seen) -> tuple[Any, ...]:
    """What there is to fold in a record of ``host.inbox``, in order."""
    match seen:
        case MarketSeen():
            return seen.outputs
        case InboxSeen(dead=None):
            return tuple(wire.decode(bytes(seen.events), STRATEGY_INBOX.types))
        case InboxSeen():
            return (seen.dead,)
        case OrdersRecovered():
            return seen.orders
    return ()


class Sequence:
    """The one sequence of ``host.inbox``: what an epoch wrote behind the first record of a later one is passed over."""

    def __init__(self, last: tuple[int, int] = (-1, -1)) -> None:
        self.last = last

    def is_next(self, at: Coordinate) -> bool:
        if (at.major, at.minor) <= self.last:
            return False
        self.last = (at.major, at.minor)
        return True


def seen_of(value: bytes) -> Seen:
    """A record of ``host.inbox``; BadRecord when it is none."""
    events: list[Any] = wire.decode(value, HOST_INBOX.types)
    if len(events) != 1:
        raise BadRecord(f"{len(events)} events in a record of {HOST_INBOX.name}: it holds one")
    seen: Seen = events[0]
    return seen
