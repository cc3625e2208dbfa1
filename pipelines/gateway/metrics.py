"""What a gateway shows to Prometheus: denials by check, open orders, halts, and how long its orders take."""

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client.core import Metric

from infra.metrics import LONG, Histogram, Stated, Words, catalog
from infra.metrics.catalog import Labels
from pipelines.clock_skew import ClockSkew
from pipelines.gateway.state import State
from topics.controls import LimitName
from topics.orders import ModifyDenied, OrderDenied, OrderRequested, OrderStatus, ReconciliationDifference
from topics.record import Account, InstrumentId, Record, StrategyId

CHECKS = (
    "trading_state",
    "reconciled",
    "instrument_halted",
    "command_age",
    "order_type",
    "order_qty",
    "revision",
    "price",
    "post_only",
    "instrument_known",
    "contract_value",
    "instrument_tradable",
    "tick_size",
    "lot_size",
    "min_qty",
    "max_qty",
    "min_notional",
    "max_notional",
    *LimitName,
    "self_match",
    "reduce_only",
    "free_holdings",
    "client_order_id",
    "cause",
    "time_in_force",
    "trigger_price",
    "replaces",
    "order",
    "status",
    "modify",
    "pending_cancel",
    "pending_replace",
    "unjudgeable",
)
"""All that can deny an order or a modification: shown as 0 before they do."""

WORKING = tuple(status for status in OrderStatus if not status.is_terminal)


class GatewayMetrics:
    """``heard`` sees every fact of this process, ``state_is`` the state once a second; both in the event loop."""

    def __init__(
        self, account: Account, strategies: Iterable[StrategyId] = (), instruments: Iterable[InstrumentId] = ()
    ) -> None:
        self.told = Words(self._own)
        self._account = account
        self._denials: Counter[Labels] = Counter({(account, str(check)): 0 for check in CHECKS})
        self._instruments = tuple(instruments)
        self._differences: Counter[Labels] = Counter({(account, i): 0 for i in self._instruments})
        self._open: Counter[OrderStatus] = Counter()
        self._halted: dict[InstrumentId, float] = {}
        self._from_exchange = {s: Histogram(LONG) for s in strategies}
        self._from_receipt = {s: Histogram(LONG) for s in strategies}
        self._skew = ClockSkew()
        self._write_ahead = Histogram(LONG)
        self._answers = {what: Histogram(LONG) for what in ("submit", "cancel", "modify")}

    def heard(self, fact: Record) -> None:
        if isinstance(fact, OrderDenied | ModifyDenied):
            self._denials[self._account, fact.check] += 1
        elif isinstance(fact, ReconciliationDifference):
            self._differences[self._account, fact.instrument] += 1

    def sent(self, fact: OrderRequested, now_ns: int) -> None:
        """An order leaves for the venue. What caused it has an exchange time only where it came from the exchange."""
        command = fact.command
        self._write_ahead.observe((now_ns - fact.ts_init) / 1e9)
        if (histogram := self._from_receipt.get(command.strategy)) is not None:
            histogram.observe((now_ns - command.ts_init) / 1e9)
        way = self._skew.latency(command.ts_event, command.ts_init)
        if way is not None and (histogram := self._from_exchange.get(command.strategy)) is not None:
            histogram.observe((way + now_ns - command.ts_init) / 1e9)

    def answered(self, what: str, took_ns: int) -> None:
        self._answers[what].observe(took_ns / 1e9)

    def state_is(self, state: State) -> None:
        book = state.book
        self._open = Counter(book.orders[cid].facts.status for cid in book.working)
        self._halted = {i: i in book.halts for i in {*self._instruments, *book.halts}}

    def collect(self) -> Iterator[Metric]:
        yield from self.told.collect()

    def _own(self, words: Stated) -> Iterator[Metric]:
        account = self._account
        yield catalog.DENIALS.of(list(self._denials.items()))
        yield catalog.DIFFERENCES.of(list(self._differences.items()))
        now_open = self._open
        yield catalog.OPEN_ORDERS.of(((account, status.value), now_open[status]) for status in WORKING)
        yield catalog.INSTRUMENT_HALTED.of(((account, i), halted) for i, halted in self._halted.items())
        yield catalog.EXCHANGE_TO_SENT.histograms(((account, s), h) for s, h in self._from_exchange.items())
        yield catalog.RECEIVED_TO_SENT.histograms(((account, s), h) for s, h in self._from_receipt.items())
        yield catalog.WRITE_AHEAD.histograms([((account,), self._write_ahead)])
        yield catalog.VENUE_ANSWER.histograms(((account, what), h) for what, h in self._answers.items())
