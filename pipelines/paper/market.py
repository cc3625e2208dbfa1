"""The market of a paper exchange: one venue's records of ``market.events``, as they come.

What was before the start moves the books and reaches no order. After a ``Gap`` a book is empty until the next snapshot: nothing
can be had from it, and what rests stays.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import Message, TopicPartition

from adapters.simulated import model as sim
from adapters.simulated.players import Progress
from adapters.simulated.venue import Venue as Exchange
from infra import kafka
from infra.feed import Feed
from pipelines.backtest_venue import RECORDED
from pipelines.marketdata.history import beginnings, market_of
from pipelines.marketdata.hub import Fence
from topics import wire
from topics.catalog import MARKET_EVENTS
from topics.market import Gap
from topics.record import InstrumentId

EMPTY = sim.BookSnapshot(0, [], [])


class TapeMarket:
    """See ``adapters.simulated.players.Player``. ``symbols``: the exchange's, by instrument. ``serving`` is called once the
    exchange does.
    """

    def __init__(
        self,
        exchange: Exchange,
        conf: kafka.KafkaConf,
        prefix: str,
        symbols: Mapping[InstrumentId, str],
        serving: Callable[[], None],
    ) -> None:
        self.progress = Progress(source="market.events")
        self.unreadable = 0
        self._exchange, self._conf, self._prefix, self._symbols, self._serving = exchange, conf, prefix, symbols, serving
        self._name = kafka.physical(prefix, MARKET_EVENTS)
        self._fence = Fence()
        self._next: dict[int, int] = {}

    def prepare(self, started_ns: int | None) -> None:
        """Read up to what is there now, from the last snapshots on."""
        ends = kafka.watermarks(self._conf, [self._name])[self._name]
        first = beginnings(self._conf, self._prefix, list(self._symbols), ends)
        for partition, (low, high) in ends.items():
            for message in kafka.read_span(self._conf, self._name, partition, max(low, first[partition]), high):
                for symbol, recorded in self._recorded(message):
                    self._exchange.core.feed(self._exchange.now(), symbol, recorded)
            self._next[partition] = high
        self._exchange.core.reopen()

    async def run(self, start_ns: int) -> None:
        self.progress.state, self.progress.started_ns = "playing", start_ns
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        starts = [TopicPartition(self._name, partition, offset) for partition, offset in self._next.items()]
        feed = Feed(self._conf, f"{self._prefix}.paper", starts, self._take, failed.set_exception)
        feed.start()
        self._serving()
        try:
            await failed
        finally:
            await asyncio.to_thread(feed.close)

    def _take(self, messages: Sequence[Message]) -> None:
        exchange = self._exchange
        for message in messages:
            for symbol, recorded in self._recorded(message):
                exchange.commit(exchange.core.feed(exchange.now(), symbol, recorded))
                self.progress.played += 1

    def _recorded(self, message: Message) -> list[tuple[str, sim.Recorded]]:
        record = market_of(message)
        symbol = self._symbols.get(record.key)
        if symbol is None or not self._fence.is_news(record):
            return []
        try:
            events: list[Any] = wire.decode(record.value, MARKET_EVENTS.types)
        except wire.BadRecord:
            self.unreadable += 1
            return [(symbol, EMPTY)]  # it may have been a change of the book
        return [(symbol, made) for event in events if (made := _made(event)) is not None]


def _made(event: Any) -> sim.Recorded | None:
    if isinstance(event, Gap):
        return EMPTY
    make = RECORDED.get(type(event))
    return None if make is None else make(event)
