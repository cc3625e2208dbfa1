"""Every metric that a worker serves: name, type, what it says, labels. What is not here does not exist: rules, dashboards
and `docs/watching.md` are tested against this table.

Names end in their unit (seconds, records) where they have one; money has none, its currency is a label. ``stage``,
``instance`` and ``run`` are labels of the target, not of the metric. Labels are bounded by the configuration: accounts,
instruments, strategies, scopes, checks; never an id of an order.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from infra.metrics.histogram import Histogram

Labels = tuple[str, ...]


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Spec(NamedTuple):
    """One metric. ``of`` makes what is served: label values, in the order of ``labels``, and a number."""

    name: str
    kind: Kind
    help: str
    labels: Labels = ()

    def of(self, samples: Iterable[tuple[Labels, float]]) -> Metric:
        family = (CounterMetricFamily if self.kind is Kind.COUNTER else GaugeMetricFamily)(
            self.name, self.help, labels=self.labels
        )
        for labels, value in samples:
            family.add_metric(labels, float(value))
        return family

    def one(self, value: float) -> Metric:
        return self.of([((), value)])

    def histograms(self, samples: Iterable[tuple[Labels, Histogram]]) -> Metric:
        family = HistogramMetricFamily(self.name, self.help, labels=self.labels)
        for labels, histogram in samples:
            family.add_metric(labels, histogram.buckets(), histogram.sum)
        return family

    @property
    def series(self) -> tuple[str, ...]:
        """The names that queries use."""
        if self.kind is Kind.HISTOGRAM:
            return (f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count")
        return (self.name,)


def _counter(name: str, text: str, *labels: str) -> Spec:
    return Spec(f"tapedeck_{name}_total", Kind.COUNTER, text, labels)


def _gauge(name: str, text: str, *labels: str) -> Spec:
    return Spec(f"tapedeck_{name}", Kind.GAUGE, text, labels)


def _histogram(name: str, text: str, *labels: str) -> Spec:
    return Spec(f"tapedeck_{name}_seconds", Kind.HISTOGRAM, text, labels)


# --- every worker ----------------------------------------------------------------------------------------------------

WORKER = _gauge("worker_info", "1; the software that runs", "version")
READY = _gauge("worker_ready", "1 once all that waited at the start is worked off, and what it needs is there")
ALIVE = _gauge("worker_last_turn_timestamp_seconds", "When the worker's own loop last came round, Unix time")
RECORDS_IN = _counter("records_in", "Records taken from the tape")
EVENTS_IN = _counter("events_in", "Events in them (lines, facts, commands); at an edge what came from outside")
RECORDS_OUT = _counter("records_out", "Records written to the tape; at a sink what is durable on the other side")
DEAD_LETTERS = _counter("dead_letters", "What could not be read, and was set aside with the reason")
LAG = _gauge("lag_records", "Records that wait in the worker's input")

# --- stages and sinks ------------------------------------------------------------------------------------------------

FENCED = _counter("records_fenced", "Redelivered records that were skipped by their coordinate")
MISSING = _counter("records_missing", "Records that fell out of retention unread")
PROCESSING = _histogram(
    "processing", "Time for one input record (a sink: one batch): decode, fold, hand the outputs on"
)
COMMITTED = _gauge("committed_offset", "Next offset as of the last checkpoint", "partition")
END = _gauge("end_offset", "End of the input as last seen", "partition")
CHECKPOINT = _histogram("checkpoint", "Time of a checkpoint: flush outputs, write state back, commit")

# --- market data -----------------------------------------------------------------------------------------------------

CONNECTED = _gauge("venue_connected", "1 while the venue's stream is up", "venue")
CONNECTIONS = _counter("venue_connections", "Connections made to the venue's stream", "venue")
LAST_FRAME = _gauge("venue_last_frame_timestamp_seconds", "When the last frame came in, Unix time", "venue")
MARKET_DELAY = _histogram(
    "market_delay", "From the exchange's time of a market event to its receipt, clock skew added", "venue"
)
CLOCK_SKEW = _gauge("venue_clock_skew_seconds", "How far our clock is behind the venue's, at least", "venue")
LAST_EVENT = _gauge("market_last_event_timestamp_seconds", "Receipt of the last market event, Unix time", "instrument")
SYNCHRONIZED = _gauge("book_synchronized", "1 while the book is whole; 0 from a gap to the next snapshot", "instrument")
GAPS = _counter("book_gaps", "Holes found in a book's sequence", "instrument")

# --- orders ----------------------------------------------------------------------------------------------------------

COMMANDS = _counter("commands", "Commands of a strategy", "strategy", "command")
STRATEGY_HALTED = _gauge("strategy_halted", "1 while a strategy decides nothing, because a callback raised", "strategy")
DENIALS = _counter("order_denials", "Orders and modifications that a pre-trade check denied", "account", "check")
OPEN_ORDERS = _gauge("orders_open", "Orders that may still execute", "account", "status")
ORDERS = _counter("orders", "Orders that came to a status", "account", "strategy", "status")
FILLS = _counter("fills", "Executions", "account", "strategy", "instrument", "liquidity")
ANOMALIES = _counter("order_anomalies", "What a venue should not have said about an order", "account", "what")
EXCHANGE_TO_SENT = _histogram(
    "order_exchange_to_sent",
    "From the exchange's time of the event that caused an order to its sending, clock skew added",
    "account",
    "strategy",
)
RECEIVED_TO_SENT = _histogram(
    "order_received_to_sent",
    "From the receipt of what caused an order to its sending, by our clock",
    "account",
    "strategy",
)
WRITE_AHEAD = _histogram(
    "order_write_ahead", "From the decision on an order to its sending, durable between", "account"
)
VENUE_ANSWER = _histogram("venue_answer", "From sending to the venue's answer", "account", "what")
DIFFERENCES = _counter("reconciliation_differences", "Differences between tape and venue", "account", "instrument")
INSTRUMENT_HALTED = _gauge("instrument_halted", "1 while it takes no new risk, until a resume", "account", "instrument")

# --- risk ------------------------------------------------------------------------------------------------------------

SCOPE_HALTED = _gauge("scope_halted", "1 while a kill is in force", "scope")
LIMIT = _gauge("limit", "A limit in force", "scope", "limit")
POSITION = _gauge("position_quantity", "Signed position in base units", "account", "strategy", "instrument")

_LINE = ("account", "strategy", "instrument", "currency")
POSITION_GROSS = _gauge("position_gross_exposure", "Absolute value of a position at the mark", *_LINE)
POSITION_NET = _gauge("position_net_exposure", "Signed value of a position at the mark", *_LINE)
POSITION_PNL = _gauge("position_pnl", "Realized and unrealized, after fees, of a position", *_LINE)
STRATEGY_PNL = _gauge("strategy_pnl", "Realized and unrealized, after fees", "account", "strategy", "currency")
STRATEGY_DRAWDOWN = _gauge("strategy_drawdown", "P&L below its peak", "account", "strategy", "currency")
ACCOUNT_GROSS = _gauge("account_gross_exposure", "Sum of the positions' absolute values", "account", "currency")
ACCOUNT_NET = _gauge("account_net_exposure", "Sum of the positions' signed values", "account", "currency")
ACCOUNT_REALIZED = _gauge("account_realized_pnl", "Realized, before fees", "account", "currency")
ACCOUNT_UNREALIZED = _gauge("account_unrealized_pnl", "Unrealized, at the marks", "account", "currency")
ACCOUNT_FEES = _gauge("account_fees", "Fees paid", "account", "currency")
ACCOUNT_PNL = _gauge("account_pnl", "Realized and unrealized, after fees", "account", "currency")
ACCOUNT_DRAWDOWN = _gauge("account_drawdown", "P&L below its peak", "account", "currency")
ACCOUNT_VALUED = _gauge("account_valued", "0 while a mark or a rate is missing and a part is not valued", "account")

CATALOG: dict[str, Spec] = {spec.name: spec for spec in list(globals().values()) if isinstance(spec, Spec)}
