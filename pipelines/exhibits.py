"""What each stage shows to Prometheus of what it decides: made from the records it writes, kept by label.

Money and quantities become floats here and nowhere else. Rare things (gaps, anomalies) are shown as 0 for every label that
the configuration knows, so that a question about them has an answer before they happen.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import Metric

from infra.config import Config
from infra.metrics import LONG, Histogram, catalog
from infra.metrics.catalog import Labels, Spec
from infra.shell.metrics import Exhibit, Nothing
from pipelines.clock_skew import ClockSkew
from pipelines.order import AnomalyKind
from topics.catalog import FILLS, MARKET_EVENTS, ORDERS_INTENTS, ORDERS_STATE, Topic
from topics.controls import FIRM, TradingState
from topics.market import BookDelta, BookSnapshot, Gap, Trade
from topics.orders import (
    CancelAll,
    CancelOrder,
    Fill,
    ModifyOrder,
    OrderAnomaly,
    OrderStatus,
    OrderUpdated,
    SubmitOrder,
)
from topics.portfolio import PortfolioLine
from topics.record import ClientOrderId, InstrumentId, Liquidity, Record, StrategyId, Venue, venue_of

REMEMBERED = 10_000
"""Orders whose last status is known: an order that is told of again in the same one is not counted again."""

Gauges = dict[Labels, float]
BREAKS = frozenset({Gap, BookSnapshot})


def exhibit_of(name: str, config: Config) -> Exhibit:
    """What the stage of this name shows."""
    kind, _, which = name.partition("/")
    match kind:
        case "normalize":
            return MarketExhibit([i for v in sorted(config.venues) for i in config.instruments_of(v)])
        case "bars":
            return BarsExhibit()
        case "intents":
            return IntentsExhibit(which)
        case "orders":
            return OrdersExhibit(config)
        case "positions":
            return PositionsExhibit()
        case "portfolio":
            return PortfolioExhibit()
        case "controls":
            return ControlsExhibit()
    return Nothing()


def _samples(counts: Mapping[Labels, float]) -> list[tuple[Labels, float]]:
    """A copy that another thread may go through."""
    return list(counts.items())


class MarketExhibit(Nothing):
    """Of normalize: the age, delay and wholeness of each instrument's market. Looks at a record's last event, and once
    over the types of all.
    """

    def __init__(self, instruments: Iterable[InstrumentId]) -> None:
        self._gaps: Counter[InstrumentId] = Counter(dict.fromkeys(instruments, 0))
        self._whole: dict[InstrumentId, bool] = {}
        self._last: dict[InstrumentId, int] = {}
        self._delays: dict[Venue, Histogram] = {}
        self._skews: dict[Venue, ClockSkew] = {}
        self._clocks: dict[InstrumentId, tuple[ClockSkew, Histogram]] = {}

    def written(self, topic: Topic, records: Sequence[Record]) -> None:
        if topic is not MARKET_EVENTS:
            return
        last: Any = records[-1]
        instrument, kind = last.instrument, type(last)
        self._last[instrument] = last.ts_init
        if kind is BookDelta or kind is Trade:  # a quote has no time of its own
            self._delayed(instrument, last.ts_event, last.ts_init)
        if not BREAKS.isdisjoint(map(type, records)):
            self._book(instrument, records)

    def _book(self, instrument: InstrumentId, records: Sequence[Record]) -> None:
        for record in records:
            if isinstance(record, Gap):
                self._gaps[instrument] += 1
                self._whole[instrument] = False
            elif isinstance(record, BookSnapshot):
                self._whole[instrument] = True

    def _delayed(self, instrument: InstrumentId, ts_event: int, ts_init: int) -> None:
        found = self._clocks.get(instrument)
        if found is None:
            venue = venue_of(instrument)
            skew, delays = self._skews.setdefault(venue, ClockSkew()), self._delays.setdefault(venue, Histogram(LONG))
            found = self._clocks[instrument] = skew, delays
        skew, delays = found
        latency = skew.latency(ts_event, ts_init)
        if latency is not None:
            delays.observe(latency / 1e9)

    def forgotten(self) -> None:
        self._whole.clear()
        self._last.clear()

    def collect(self) -> Iterator[Metric]:
        yield catalog.GAPS.of(((i,), n) for i, n in list(self._gaps.items()))
        yield catalog.SYNCHRONIZED.of(((i,), whole) for i, whole in list(self._whole.items()))
        yield catalog.LAST_EVENT.of(((i,), ts / 1e9) for i, ts in list(self._last.items()))
        yield catalog.MARKET_DELAY.histograms([((venue,), h) for venue, h in list(self._delays.items())])
        yield catalog.CLOCK_SKEW.of(((venue,), skew.ns / 1e9) for venue, skew in list(self._skews.items()))


class BarsExhibit(Nothing):
    """Of bars: an alarm while trades are in no bar of time and no bar has told it yet (``Bar.late``)."""

    wants_states = True

    def stand(self, states: Mapping[str, Any]) -> None:
        missed = sorted(instrument for instrument, state in states.items() if state.too_late)
        self.alarm = f"trades in no bar, dated too far from the newest: {', '.join(missed)}" if missed else ""


class IntentsExhibit(Nothing):
    """Of one strategy: how much it commands, and whether it was halted."""

    wants_states = True

    def __init__(self, strategy: StrategyId) -> None:
        self._strategy = strategy
        self._commands: Counter[str] = Counter(
            {c.__name__: 0 for c in (SubmitOrder, ModifyOrder, CancelOrder, CancelAll)}
        )
        self._halted = False

    def written(self, topic: Topic, records: Sequence[Record]) -> None:
        if topic is ORDERS_INTENTS:
            self._commands.update(type(record).__name__ for record in records)

    def stand(self, states: Mapping[str, Any]) -> None:
        why = [running.halted for running in states.values() if running.halted is not None]
        self._halted = bool(why)
        self.alarm = f"strategy {self._strategy} is halted until a resume: {why[0]}" if why else ""

    def collect(self) -> Iterator[Metric]:
        yield catalog.COMMANDS.of(((self._strategy, name), n) for name, n in list(self._commands.items()))
        yield catalog.STRATEGY_HALTED.of([((self._strategy,), self._halted)])


class OrdersExhibit(Nothing):
    """Of the orders stage: orders by the status they came to, executions, anomalies."""

    def __init__(self, config: Config) -> None:
        self._orders: Counter[Labels] = Counter()
        self._fills: Counter[Labels] = Counter()
        self._anomalies: Counter[Labels] = Counter({(a, k.value): 0 for a in config.accounts for k in AnomalyKind})
        self._last: OrderedDict[ClientOrderId, OrderStatus] = OrderedDict()
        for name, s in config.strategies.items():
            self._orders.update({(s.account, name, status.value): 0 for status in OrderStatus})
            for instrument in s.instruments:
                self._fills.update({(s.account, name, instrument, liquidity.value): 0 for liquidity in Liquidity})

    def written(self, topic: Topic, records: Sequence[Record]) -> None:
        for record in records if topic in (ORDERS_STATE, FILLS) else ():
            match record:
                case OrderUpdated():
                    self._order(record)
                case Fill():
                    self._fills[record.account, record.strategy, record.instrument, record.liquidity.value] += 1
                case OrderAnomaly():
                    self._anomalies[record.account, record.what] += 1

    def _order(self, order: OrderUpdated) -> None:
        if self._last.pop(order.client_order_id, None) is not order.status:
            self._orders[order.account, order.strategy, order.status.value] += 1
        self._last[order.client_order_id] = order.status
        if len(self._last) > REMEMBERED:
            self._last.popitem(last=False)

    def collect(self) -> Iterator[Metric]:
        yield catalog.ORDERS.of(_samples(self._orders))
        yield catalog.FILLS.of(_samples(self._fills))
        yield catalog.ANOMALIES.of(_samples(self._anomalies))


class PositionsExhibit(Nothing):
    """Of positions: the signed quantity."""

    wants_states = True

    def __init__(self) -> None:
        self._quantities: Gauges = {}

    def stand(self, states: Mapping[str, Any]) -> None:
        self._quantities = {
            (account, strategy, instrument): float(position.quantity)
            for key, state in states.items()
            for account, _, instrument in [key.partition("|")]
            for strategy, position in state.positions.items()
        }

    def collect(self) -> Iterator[Metric]:
        yield catalog.POSITION.of(self._quantities.items())


LINES: dict[Spec, str] = {
    catalog.POSITION_GROSS: "gross_exposure",
    catalog.POSITION_NET: "net_exposure",
    catalog.POSITION_PNL: "total_pnl",
}
STRATEGIES: dict[Spec, str] = {catalog.STRATEGY_PNL: "total_pnl", catalog.STRATEGY_DRAWDOWN: "drawdown"}
ACCOUNTS: dict[Spec, str] = {
    catalog.ACCOUNT_GROSS: "gross_exposure",
    catalog.ACCOUNT_NET: "net_exposure",
    catalog.ACCOUNT_REALIZED: "realized_pnl",
    catalog.ACCOUNT_UNREALIZED: "unrealized_pnl",
    catalog.ACCOUNT_FEES: "fees",
    catalog.ACCOUNT_PNL: "total_pnl",
    catalog.ACCOUNT_DRAWDOWN: "drawdown",
}


class PortfolioExhibit(Nothing):
    """Of the portfolio: each line as last told; sums have names of their own, so that nothing is added twice."""

    wants_states = True

    def __init__(self) -> None:
        self._lines: list[PortfolioLine] = []

    def stand(self, states: Mapping[str, Any]) -> None:
        self._lines = [line for state in states.values() for line in state.lines.values()]

    def collect(self) -> Iterator[Metric]:
        lines = self._lines
        for specs, chosen, names in (
            (LINES, [x for x in lines if x.instrument], ("account", "strategy", "instrument", "currency")),
            (STRATEGIES, [x for x in lines if x.strategy and not x.instrument], ("account", "strategy", "currency")),
            (ACCOUNTS, [x for x in lines if not x.strategy and not x.instrument], ("account", "currency")),
        ):
            for spec, field in specs.items():
                yield spec.of((tuple(getattr(x, n) for n in names), float(getattr(x, field))) for x in chosen)
        accounts = [x for x in lines if not x.strategy and not x.instrument]
        yield catalog.ACCOUNT_VALUED.of(((x.account,), x.complete) for x in accounts)


class ControlsExhibit(Nothing):
    """Of controls: what is killed, and the limits in force."""

    wants_states = True

    def __init__(self) -> None:
        self._halted: Gauges = {}
        self._limits: Gauges = {}

    def stand(self, states: Mapping[str, Any]) -> None:
        scopes = {scope: controls for state in states.values() for scope, controls in state.scopes.items()}
        halted: Gauges = {(s,): float(c.state is TradingState.HALTED) for s, c in scopes.items()}
        self._halted = {(str(FIRM),): 0.0} | halted
        self._limits = {(s, n.value): float(value) for s, c in scopes.items() for n, value in c.limits.items()}

    def collect(self) -> Iterator[Metric]:
        yield catalog.SCOPE_HALTED.of(self._halted.items())
        yield catalog.LIMIT.of(self._limits.items())
