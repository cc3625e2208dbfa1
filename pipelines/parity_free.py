"""The same strategies over a run's market data without its fills: how much of the live run the backtest reproduces.

The venue is the exchange's matching core; latencies are those of the run at each moment (``recorded_latency``), the clock
ticks when the run's did, fee rates and opening balances are the run's. It ends where the live strategies had stopped.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from infra.config import Config
from pipelines.backtest import Backtest, Settings
from pipelines.backtest_plan import in_stages
from pipelines.backtest_source import Archive, Arrival
from pipelines.clock import BEAT_NS
from pipelines.compose import Latency, Sink, Written
from pipelines.exact import ratio
from pipelines.parity_fills import Compared, Execution, Resting, Run, compare
from pipelines.parity_host import hosted_in, inbox_taken
from pipelines.recorded_latency import AsRecorded, Latencies, recorded_latencies
from pipelines.recorded_run import Recorded, committed
from topics import wire
from topics.catalog import (
    ACCOUNT_EVENTS,
    CONTROLS,
    FILLS,
    MARKET_EVENTS,
    MARKET_RAW,
    ORDERS_EVENTS,
    STRATEGY_INBOX,
    Topic,
)
from topics.orders import (
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderModified,
    OrderRequested,
)
from topics.portfolio import BalanceChanged
from topics.record import ClientOrderId, Currency, Liquidity, StrategyId

MS = 1_000_000
FOREVER = 2**63


@dataclass(frozen=True)
class UnderRecorded(Settings):
    """A backtest's settings with latencies of a run's own."""

    model: AsRecorded | None = None

    def latency(self) -> Latency:
        assert self.model is not None
        return self.model


@dataclass(frozen=True)
class Free:
    """``notes`` says what the backtest could not know."""

    compared: Compared
    latencies: Latencies
    window_ns: int
    wider_ns: int
    notes: list[str]


class Beaten(Backtest):
    """A backtest whose clock ticks at recorded times: a busy machine's clock is late."""

    def __init__(self, ticks: Iterable[int], config: Config, source: "Until", settings: Settings, sink: Sink) -> None:
        super().__init__(config, source, settings, sink)
        self._ticks = iter(ticks)

    def _beat(self) -> None:
        """First called ahead of the market, then at each recorded tick."""
        if self._beat_on:
            self._tick(self._loop.now // BEAT_NS)
            later = next((ts for ts in self._ticks if ts > self._loop.now), None)
            if later is not None:
                self._loop.at(later, self._beat)


class Until:
    """A source that ends at a time."""

    def __init__(self, source: Archive, end: int) -> None:
        self.name, self.instruments = source.name, source.instruments
        self.span = (source.span[0], max(source.span[0], min(source.span[1], end)))
        self._source = source

    def arrivals(self) -> Iterator[Arrival]:
        return (arrival for arrival in self._source.arrivals() if arrival.ts <= self.span[1])


def free_run(
    config: Config,
    root: Path,
    run: Recorded,
    run_dir: Path,
    *,
    window_ns: int,
    wider_ns: int,
    progress: Callable[[float], None] = lambda share: None,
) -> Free:
    """Backtest ``config`` over the archive ``root`` and compare executions. Problem where the archive has no market data."""
    latencies = recorded_latencies(run)
    stopped, hosted, config = deciders_stopped(config, run, run_dir), hosted_in(config), in_stages(config)
    model = AsRecorded(latencies)
    maker, taker = fee_rates(run)
    settings = UnderRecorded(
        model=model, latency_ns=latencies.feed.median, maker=maker, taker=taker, balances=opening_balances(run)
    )
    kept = Kept()
    source = Until(Archive(root), stopped)
    backtest = Beaten(ticks(run), config, source, settings, kept)
    model.now = lambda: backtest.loop.now
    backtest.run(progress)
    live = side(events_of(run, FILLS), events_of(run, ORDERS_EVENTS))
    compared = compare(live, side(kept.fills, kept.facts), window_ns, wider_ns)
    return Free(compared, latencies, window_ns, wider_ns, list(_notes(run, hosted)))


class Kept:
    """A backtest's sink that keeps executions and facts."""

    def __init__(self) -> None:
        self.fills: list[Any] = []
        self.facts: list[Any] = []

    def __call__(self, written: Written) -> None:
        if written.topic is FILLS:
            self.fills += wire.decode(written.value, FILLS.types)
        elif written.topic is ORDERS_EVENTS:
            self.facts += wire.decode(written.value, ORDERS_EVENTS.types)


# --- what the run tells -----------------------------------------------------------------------------------------------


def events_of(run: Recorded, topic: Topic) -> Iterator[Any]:
    for partition in run.partitions(topic):
        for row in run.rows(topic, partition):
            yield from wire.decode(row.value or b"", topic.types)


def ticks(run: Recorded) -> list[int]:
    """When the clock told a strategy's inbox the time: of one partition, since all are told at once."""
    found = (
        event.ts_init
        for partition in run.partitions(STRATEGY_INBOX)[:1]
        for row in run.rows(STRATEGY_INBOX, partition)
        if row.key is None
        for event in wire.decode(row.value or b"", STRATEGY_INBOX.types)
    )
    return sorted(found)


def opening_balances(run: Recorded) -> dict[Currency, Decimal]:
    """The first that was told of each currency, free and locked together."""
    found: dict[Currency, Decimal] = {}
    for event in events_of(run, ACCOUNT_EVENTS):
        if isinstance(event, BalanceChanged):
            found.setdefault(event.currency, event.free + event.locked)
    return found


def fee_rates(run: Recorded) -> tuple[Decimal, Decimal]:
    """Maker's and taker's, of the first execution of each; what never happened has the defaults'."""
    found: dict[Liquidity, Decimal] = {}
    for fill in events_of(run, FILLS):
        of = {fill.base: fill.last_qty, fill.settle: abs(fill.value)}.get(fill.fee_currency)
        if fill.liquidity not in found and of:
            found[fill.liquidity] = round(ratio(fill.fee, of), 8)
    return found.get(Liquidity.MAKER, Settings.maker), found.get(Liquidity.TAKER, Settings.taker)


def deciders_stopped(config: Config, run: Recorded, run_dir: Path) -> int:
    """When the last inbox record that any strategy took was written; never, where no status tells."""
    hosted = hosted_in(config)
    taken = [
        inbox_taken(run, strategy) if strategy in hosted else committed(run_dir, f"intents/{strategy}")
        for strategy in config.strategies
    ]
    ends = {p: max(one.get(p, 0) for one in taken) for p in run.partitions(STRATEGY_INBOX)}
    times = [
        row.timestamp_ms * MS for p, end in ends.items() for row in run.rows(STRATEGY_INBOX, p) if row.offset < end
    ]
    return max(times, default=FOREVER)


def _notes(run: Recorded, hosted: Sequence[StrategyId]) -> Iterator[str]:
    for one in hosted:
        yield f"{one} was hosted over gRPC: the backtest runs its stages, under the latencies of the tape"
    commands = sum(getattr(one, "who", "config") != "config" for one in events_of(run, CONTROLS))
    if commands:
        yield f"{commands} commands of operators are not repeated in the backtest"
    if not run.partitions(MARKET_RAW) and run.partitions(MARKET_EVENTS):
        yield "the archive has no frames: the backtest ran over normalized events"


# --- executions and resting orders ------------------------------------------------------------------------------------


def side(fills: Iterable[Any], facts: Iterable[Any]) -> Run:
    """Each execution once."""
    found: dict[tuple[str, ...], Execution] = {}
    for fill in fills:
        if isinstance(fill, Fill) and not fill.reversal:
            key = (fill.account, fill.instrument, fill.venue_order_id, fill.trade_id, fill.client_order_id)
            found.setdefault(key, execution(fill))
    return Run(list(found.values()), list(_resting(facts)))


def execution(fill: Fill) -> Execution:
    return Execution(
        fill.strategy,
        fill.instrument,
        fill.side,
        fill.last_px,
        fill.last_qty,
        fill.ts_event or fill.ts_init,
        fill.client_order_id,
    )


def _resting(facts: Iterable[Any]) -> Iterator[Resting]:
    """Of a modified order one for each of its prices."""
    terms: dict[ClientOrderId, Resting] = {}
    """What is known of each order; not yet at the venue while ``since`` is FOREVER."""
    for fact in facts:
        at = getattr(fact, "ts_event", 0) or getattr(fact, "ts_init", 0)
        match fact:
            case OrderRequested(command=command) if command.price is not None:
                key = (command.strategy, command.instrument, command.side, command.price)
                terms.setdefault(command.client_order_id, Resting(*key, FOREVER, FOREVER))
            case OrderAccepted(client_order_id=order) | OrderFilled(client_order_id=order) if order in terms:
                known = terms[order]
                until = at if isinstance(fact, OrderFilled) else known.until
                terms[order] = known._replace(since=min(known.since, at), until=until)
            case OrderModified(client_order_id=order, price=price) if order in terms and price is not None:
                before = terms.pop(order)
                yield before._replace(until=at)
                terms[fact.replaced_by or order] = before._replace(price=price, since=at, until=FOREVER)
            case OrderCanceled(client_order_id=order) | OrderExpired(client_order_id=order) if order in terms:
                terms[order] = terms[order]._replace(until=at)
    yield from (one for one in terms.values() if one.since < FOREVER)
