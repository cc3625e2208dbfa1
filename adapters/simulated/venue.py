"""The running exchange: core, clock, ledger and subscribers put together.

Whatever the core did goes to the ledger first; the accounts' own events (and answers, see `rest`) leave once it is on
disk. Public frames do not wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

import msgspec

from adapters.simulated import frames
from adapters.simulated.clock import Clock
from adapters.simulated.core import Core
from adapters.simulated.hub import Hub
from adapters.simulated.injector import Injector
from adapters.simulated.ledger_writer import LedgerWriter
from adapters.simulated.misbehaviour import Misbehaviour
from adapters.simulated.model import BalanceChanged, Deposited, Event, OrderReport, Printed, Side
from adapters.simulated.requests import Budget, Key
from adapters.simulated.snapshots import Snapshots

RECENT_TRADES = 1000


class Statistics(msgspec.Struct):
    """Of one instrument since the start, in 1e-8; the venue's rolling day is longer than any run here."""

    opened_ns: int = 0
    open: int = 0
    high: int = 0
    low: int = 0
    last: int = 0
    last_qty: int = 0
    volume: int = 0
    quote_volume: int = 0
    first_id: int = -1
    last_id: int = -1
    count: int = 0

    def add(self, trade: Printed) -> None:
        if self.count == 0:
            self.opened_ns, self.first_id = trade.ts_ns, trade.trade_id
            self.open = self.high = self.low = trade.price
        self.high, self.low = max(self.high, trade.price), min(self.low, trade.price)
        self.last, self.last_qty, self.last_id = trade.price, trade.qty, trade.trade_id
        self.volume += trade.qty
        self.quote_volume += trade.price * trade.qty // 10**8
        self.count += 1


class Venue:
    """`commit` is the only way out for the core's events."""

    def __init__(
        self,
        core: Core,
        clock: Clock,
        ledger: LedgerWriter,
        keys: Mapping[str, Key],
        budget: Budget,
        injector: Injector,
        first_id: int = 0,
    ) -> None:
        self.core = core
        self.clock = clock
        self.now = clock.now
        self.ledger = ledger
        self.keys = keys
        self.budget = budget
        self.hub = Hub()
        self.snapshots = Snapshots(core, injector)
        self.misbehaviour = Misbehaviour(injector, self.hub, clock)
        self.recent: dict[str, deque[Printed]] = {one: deque(maxlen=RECENT_TRADES) for one in core.instruments}
        self.statistics = {symbol: Statistics() for symbol in core.instruments}
        self.counts = {"orders": 0, "executions": 0, "refused": 0}
        self._touch: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {}
        self._client_ids = first_id

    def next_client_id(self) -> str:
        """For requests that name none."""
        self._client_ids += 1
        return f"sim{self._client_ids:019d}"

    def commit(self, events: list[Event], symbol: str | None = None) -> None:
        """Write down and tell what happened; `symbol` is the instrument whose book may have moved."""
        self.ledger.append(events)
        self._count(events)
        for event in events:
            if isinstance(event, Printed):
                self.print(event)
                self.hub.publish((f"{event.symbol.lower()}@trade",), frames.trade_frame(event))
        if symbol in self.core.books():
            self._publish_touch(symbol)
        if any(_is_private(event) for event in events):
            self.ledger.when_durable(lambda: self._tell(events))

    def print(self, trade: Printed) -> None:
        """Remember a public trade."""
        self.recent[trade.symbol].append(trade)
        self.statistics[trade.symbol].add(trade)

    def publish_depth(self) -> None:
        """The depth updates of all generated books since the last call."""
        for symbol, book in self.core.books().items():
            changes = book.take_changes()
            if changes is not None:
                name = symbol.lower()
                frame = frames.depth_frame(self.now(), symbol, *changes)
                self.hub.publish((f"{name}@depth@100ms", f"{name}@depth"), frame)

    def _publish_touch(self, symbol: str) -> None:
        market = self.core.market(symbol)
        bid, ask = market.best(Side.BUY), market.best(Side.SELL)
        if bid is None or ask is None or self._touch.get(symbol) == (bid, ask):
            return
        self._touch[symbol] = (bid, ask)
        frame = frames.book_ticker_frame(symbol, market.update_id, bid, ask)
        self.hub.publish((f"{symbol.lower()}@bookTicker",), frame)

    def _tell(self, events: Iterable[Event]) -> None:
        """Each account its reports in their order, then the balances that changed."""
        balances: dict[str, list[BalanceChanged]] = {}
        for event in events:
            if isinstance(event, OrderReport):
                self.hub.tell(event.order.account, frames.execution_report(event))
            elif isinstance(event, Deposited) and not event.opening:
                self.hub.tell(event.account, frames.balance_update(event))
            elif isinstance(event, BalanceChanged):
                balances.setdefault(event.account, []).append(event)
        for account, changes in balances.items():
            self.hub.tell(account, frames.account_position(changes))

    def _count(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, OrderReport):
                self.counts["executions"] += event.trade_id >= 0
                self.counts["orders"] += event.execution == "NEW"


def _is_private(event: Event) -> bool:
    return isinstance(event, OrderReport | BalanceChanged | Deposited)
