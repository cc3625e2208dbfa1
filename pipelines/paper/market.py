"""The market of a paper exchange: one venue's records of ``market.events``, as they come.

What was before the start moves the books and reaches no order. From a ``Gap`` to the next snapshot a book stands still; the gateway
lets no order through then.
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
from topics.market import BookDelta, BookSnapshot, Quote
from topics.record import InstrumentId

ONE_COUNT = frozenset({"binance", "binance_usdm", "binance_coinm"})
"""Adapters of venues that number quotes and books by one count, so that it is known which is newer. Elsewhere the later one is."""


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
        one_count: bool = False,
    ) -> None:
        self.progress = Progress(source="market.events")
        self.unreadable = 0
        self._exchange, self._conf, self._prefix, self._symbols, self._serving = (
            exchange,
            conf,
            prefix,
            symbols,
            serving,
        )
        self._numbers = {instrument: Numbers(one_count) for instrument in symbols}
        self._steps = {symbol: one.step for symbol, one in exchange.core.instruments.items()}
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
            return []
        number, step = self._numbers[record.key], self._steps[symbol]
        found = [(number.of(event), make(event)) for event in events if (make := RECORDED.get(type(event))) is not None]
        return [(symbol, made) for n, one in found if (made := in_steps(one, n, step)) is not None]


class Numbers:
    """The exchange's own numbers of one market: they grow with everything that counts, also where the venue tells none or begins
    anew.
    """

    def __init__(self, one_count: bool) -> None:
        self._one_count = one_count
        self._last = 0
        self._offset = 0

    def of(self, event: Any) -> int:
        """0 for a trade."""
        match event:
            case BookSnapshot():
                self._last += 1
                self._offset = self._last - event.sequence
            case BookDelta():
                self._last = max(self._last + 1, self._offset + event.sequence if event.sequence else 0)
            case Quote(sequence=sequence) if self._one_count and sequence:
                return self._offset + sequence
            case Quote():
                self._last += 1
            case _:
                return 0
        return self._last


def in_steps(recorded: sim.Recorded, number: int, step: int) -> sim.Recorded | None:
    """Under another number; what is less than a step is not there."""
    match recorded:
        case sim.BookSnapshot(_, bids, asks):
            return sim.BookSnapshot(number, _whole(bids, step), _whole(asks, step))
        case sim.BookDelta(_, _, bids, asks):
            return sim.BookDelta(number, number, _whole(bids, step), _whole(asks, step))
        case sim.MarketTrade(price, qty, maker):
            return sim.MarketTrade(price, qty - qty % step, maker) if qty >= step else None
        case sim.BestQuote(_, bid, bid_qty, ask, ask_qty) if bid_qty >= step and ask_qty >= step:
            return sim.BestQuote(number, bid, bid_qty - bid_qty % step, ask, ask_qty - ask_qty % step)
    return None


def _whole(levels: list[tuple[int, int]], step: int) -> list[tuple[int, int]]:
    return [(price, qty - qty % step) for price, qty in levels]
