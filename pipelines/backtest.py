"""A backtest: the stages, the gateway's decisions and the exchange's matching core in one process, over recorded market data.

The platform receives each record when it was received; the venue had it one way earlier. Strategies stop with the
input's end; then what rests is cancelled, as in a clean stop. The same input, configuration and seed give the same
bytes in every topic.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec

from adapters.simulated.queues import RISK_AVERSE, QueueModel
from infra.config import Config, ConfigError, RunConfig
from infra.version import revision
from pipelines import settled
from pipelines.backtest_gateway import BacktestGateway
from pipelines.backtest_latency import Jittered, Sampled, Samples
from pipelines.backtest_market import Market
from pipelines.backtest_source import Arrival, Source
from pipelines.backtest_venue import BacktestVenue, rates
from pipelines.clock import BEAT_NS, EVERY
from pipelines.clock import NAME as CLOCK
from pipelines.compose import MS, Constant, Edge, Latency, Loop, Sink, StageReader, Tape, compose
from pipelines.folding import QuickFold
from pipelines.gateway import translate
from pipelines.workers import stage_of, worker_names
from topics.catalog import TICKED
from topics.controls import Scope, SetLimit
from topics.market import Instrument, Tick
from topics.record import Account, Currency, Record, venue_of

SECOND = 1_000_000_000
LEAD_NS = SECOND
"""From the start of the platform to the first market data."""
LOOK_EVERY = 512
"""Arrivals from one word of progress to the next."""

PLENTY = {"USDT": Decimal(2_000_000), "BTC": Decimal(20), "ETH": Decimal(200), "SOL": Decimal(5_000)}
ELSE = Decimal(100_000)
"""Opening balances where none are named."""


@dataclass(frozen=True)
class Settings:
    """Fees are rates; balances of currencies not named here are plenty.

    ``latency_ns``: one way between us and the venue; ``feed_ns`` that of market data (None: the same). With
    ``sampled`` latencies are drawn from what was recorded instead.
    """

    seed: int = 0
    hop_ns: int = 2 * MS
    latency_ns: int = 5 * MS
    feed_ns: int | None = None
    jitter_ns: int = 0
    sampled: Samples | None = None
    queue: QueueModel = RISK_AVERSE
    maker: Decimal = Decimal("0.001")
    taker: Decimal = Decimal("0.001")
    balances: Mapping[Currency, Decimal] = field(default_factory=dict)
    recode_every: int | None = None

    def latency(self) -> Latency:
        if self.sampled is not None:
            return Sampled(self.sampled, self.hop_ns, self.seed)
        return Jittered(Constant(self.hop_ns, self.latency_ns, self.feed_ns), self.jitter_ns, self.seed)

    @property
    def usual_feed_ns(self) -> int:
        """How long before the first record the venue's time begins."""
        if self.sampled is not None:
            return min(max(self.sampled.feed), 10 * SECOND)
        return self.latency_ns if self.feed_ns is None else self.feed_ns


@dataclass
class Counts:
    """``until``: the time of the last market data that was used; ``unreadable``: records that became dead letters."""

    arrivals: int = 0
    records: int = 0
    until: int = 0
    unreadable: int = 0


class Backtest:
    """Composed at construction, run once. ``sink`` gets every record of every topic.

    Where ``counted``, each of the ``folds`` tells what it took and how far it came.
    """

    def __init__(
        self, config: Config, source: Source, settings: Settings, sink: Sink | None, counted: bool = False
    ) -> None:
        self.counts = Counts()
        self._config = config
        self._source = source
        self._settings = settings
        self._subscriptions = config.subscriptions()
        self._digest = comparable_digest(config)
        self._version = f"{revision()}:{self._digest}".encode()
        self._instruments = traded(config, source)
        self._followed = {i.encode() for v in config.venues for i in (*config.instruments_of(v), f"{v}:")}
        self._latency = settings.latency()
        self._loop = Loop(source.span[0] - settings.usual_feed_ns - LEAD_NS)
        self._tape = Tape(self._loop, self._latency, sink, to_all=counted)
        self._deciders: list[StageReader] = []
        self._gateways: dict[Account, BacktestGateway] = {}
        self._beat_on = True

    @property
    def version(self) -> bytes:
        """What every record's version header says."""
        return self._version

    @property
    def loop(self) -> Loop:
        return self._loop

    @property
    def folds(self) -> list[QuickFold]:
        """Every stage's."""
        return [self._market.fold, *(reader.fold for reader in self.readers.values())]

    def run(
        self, progress: Callable[[float], None] = lambda share: None, stopped: Callable[[], bool] = lambda: False
    ) -> Counts:
        """``progress`` is told the share of the input's time that is done. Once ``stopped``, the input ends there."""
        self._compose()
        first, last = self._source.span
        feed = self._latency.feed
        for arrival in filter(self._is_followed, self._source.arrivals()):
            self._loop.run(arrival.ts - feed())
            self._market.arrive(arrival)
            self.counts.arrivals += 1
            if self.counts.arrivals % LOOK_EVERY == 0:
                progress((arrival.ts - first) / max(1, last - first))
                if stopped():
                    last = arrival.ts
                    break
        self._loop.run(last)
        self._stop()
        self.counts.records = self._tape.records
        self.counts.until = last
        return self.counts

    def _is_followed(self, arrival: Arrival) -> bool:
        """What ingest would subscribe to; frames that name no instrument go along."""
        return arrival.key in self._followed

    # --- composition -----------------------------------------------------------------------------------------------

    def _compose(self) -> None:
        """In the order in which the supervisor starts workers."""
        epochs = {
            name: self._tape.start(_edge_name(name), revision(), self._digest) for name in _composed(self._config)
        }
        stages = [stage_of(name, self._config) for name in epochs if _is_stage(name) and name != "normalize"]
        self.readers = compose(stages, self._tape, self._subscriptions, self._settings.recode_every)
        self._deciders = [r for name, r in self.readers.items() if name.startswith("intents/")]
        self._venues = {name: self._venue(name) for name in sorted(self._config.venues)}
        self._open_gateways(epochs)
        ingest = {v: self._edge(f"ingest/{v}", epochs) for v in sorted(self._config.venues)}
        normalize = stage_of("normalize", self._config)
        recode = self._settings.recode_every
        self._market = Market(self._tape, normalize, ingest, self._venues, self._subscriptions, recode)
        self._clock = self._edge(CLOCK, epochs)
        self._loop.at(self._loop.now // BEAT_NS * BEAT_NS + BEAT_NS, self._beat)

    def _edge(self, worker: str, epochs: Mapping[str, int]) -> Edge:
        return Edge(self._tape, _edge_name(worker), epochs[worker], self._subscriptions)

    def _venue(self, name: str) -> BacktestVenue:
        listed = [i for i in self._instruments if i.venue == name]
        fees = rates(self._settings.maker, self._settings.taker)
        return BacktestVenue(self._loop, self._latency, listed, fees, self._settings.queue)

    def _open_gateways(self, epochs: Mapping[str, int]) -> None:
        edges = {account: self._edge(f"gateway/{account}", epochs) for account in sorted(self._config.accounts)}
        listed = {a: [i for i in self._instruments if i.venue == venue_of(a)] for a in edges}
        for account, edge in edges.items():
            shared = (self._venues[venue_of(account)], self._latency, listed[account], self._subscriptions)
            self._gateways[account] = BacktestGateway(account, self._tape, edge, *shared)
        now = self._loop.now
        for n, (account, edge) in enumerate(edges.items()):
            if n == 0:
                edge.publish(seeded_limits(self._config, self._digest, now))
            venue, hear = self._venues[venue_of(account)], self._gateways[account].hear
            opening = venue.open(account, self._balances(listed[account]), hear)
            edge.publish(translate.changed_balances(account, opening, {}, now))

    def _balances(self, listed: Iterable[Instrument]) -> dict[Currency, Decimal]:
        currencies = sorted({c for i in listed for c in settled.currencies(i)})
        return {c: PLENTY.get(c, ELSE) for c in currencies} | dict(self._settings.balances)

    # --- the clock -------------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        if self._beat_on:
            self._tick(self._loop.now // BEAT_NS)
            self._loop.at(self._loop.now + BEAT_NS, self._beat)

    def _tick(self, n: int) -> None:
        tick: list[Record] = [Tick(n=n, ts_init=self._loop.now)]
        for topic in TICKED:
            if n % EVERY.get(topic.name, 1) == 0:
                self._clock.tick(topic, tick)

    # --- the end ---------------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        """Deciders first; commands under way still arrive, then orders are cancelled, and the folds are drained."""
        for reader in self._deciders:
            reader.stop()
        self._beat_on = False
        self._loop.run()
        if self._config.run.cancel_on_stop:
            for gateway in self._gateways.values():
                gateway.cancel_everything()
        self._loop.run()
        self._loop.run(self._loop.now + SECOND)
        self._tick(self._loop.now // BEAT_NS)
        self._loop.run()


def _composed(config: Config) -> list[str]:
    left_out = ("audit", "archive", "paper")
    return [name for name in worker_names(config) if name.partition("/")[0] not in left_out]


def _is_stage(worker: str) -> bool:
    return worker.partition("/")[0] not in ("gateway", "ingest", CLOCK)


def _edge_name(worker: str) -> str:
    return worker.replace("gateway/", "gateway.")


def comparable_digest(config: Config) -> str:
    """Of the configuration but for the run's own name and folder, so that two runs of one backtest say the same."""
    return msgspec.structs.replace(config, run=RunConfig(name="backtest", home="")).digest()


def traded(config: Config, source: Source) -> list[Instrument]:
    """The definitions of what the strategies trade. ConfigError names what the input does not have."""
    known = {i.instrument: i for i in source.instruments}
    wanted = sorted({i for s in config.strategies.values() for i in s.instruments})
    for instrument in wanted:
        if instrument not in known:
            raise ConfigError(f"no {instrument} in {source.name}: it has {', '.join(sorted(known))}")
    return [known[i] for i in wanted]


def seeded_limits(config: Config, digest: str, now: int) -> list[SetLimit]:
    """As a gateway seeds them into an empty ``controls``."""
    return [
        SetLimit(
            control_id=f"config-{digest}-{section.scope}-{name}",
            scope=Scope.parse(section.scope),
            limit=name,
            value=value,
            who="config",
            why="seeded from the configuration",
            ts_init=now,
        )
        for section in config.limits
        for name, value in section.limits().items()
    ]


def run_backtest(config: Config, source: Source, settings: Settings, sink: Sink | None = None) -> Counts:
    """In this process, with no folder and no tape but what ``sink`` is given; ``backtest_run`` makes a run of it."""
    return Backtest(config, source, settings, sink).run()
