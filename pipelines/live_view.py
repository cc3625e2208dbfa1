"""The live view of a running system in the terminal: workers and lag, best bid and ask, open orders, positions, P&L, throughput."""

import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import TracebackType
from typing import Any, Protocol

import psutil
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, TopicPartition
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from infra import kafka
from infra.config import Config
from pipelines import plain
from pipelines.cli_operate import text
from pipelines.supervisor import stopping_mark
from topics import catalog, wire
from topics.market import Mark
from topics.orders import OrderStatus, OrderUpdated
from topics.portfolio import PortfolioLine, PositionChanged

STALE_S = 3.0
WIDE, ROOMY = 120, 200
"""Columns from which the workers stand beside the rest, and from which an order is one line."""
ALARMING = {
    "unknown": "orders unknown: they may rest at the venue",
    "dead_letters": "records that could not be read (topic dead.letters)",
    "missing": "records fell out of retention unread",
}


class Watched(Protocol):
    """What the view looks at."""

    @property
    def config(self) -> Config: ...
    @property
    def kafka(self) -> kafka.KafkaConf: ...
    @property
    def stopping(self) -> bool: ...
    def statuses(self) -> Mapping[str, Mapping[str, Any]]: ...


class Observed:
    """A system that somebody else runs: known by its status files and its topics."""

    def __init__(self, config: Config, conf: kafka.KafkaConf) -> None:
        self.config = config
        self.kafka = conf

    @property
    def stopping(self) -> bool:
        return stopping_mark(self.config.run_dir).exists()

    def statuses(self) -> Mapping[str, Mapping[str, Any]]:
        found: dict[str, Mapping[str, Any]] = {}
        for path in sorted((self.config.run_dir / "status").glob("*.json")):
            with contextlib.suppress(OSError, ValueError):
                found[path.stem] = json.loads(path.read_bytes())
        return found


class Tail:
    """Follows the tape in a thread of its own and keeps the last word on everything that the view shows."""

    def __init__(self, config: Config, conf: kafka.KafkaConf) -> None:
        self.marks: dict[str, Mark] = {}
        self.orders: dict[str, OrderUpdated] = {}
        self.positions: dict[tuple[str, str, str], PositionChanged] = {}
        self.lines: dict[tuple[str, str, str], PortfolioLine] = {}
        self._config = config
        self._conf = conf
        self._running = True
        self._thread = threading.Thread(target=self._follow, name="live-view", daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        client = kafka.consumer(self._conf, "tapedeck-view")
        starts = {
            catalog.ORDERS_STATE_LATEST: OFFSET_BEGINNING,
            catalog.POSITIONS_LATEST: OFFSET_BEGINNING,
            catalog.PORTFOLIO_STATE_LATEST: OFFSET_BEGINNING,
            catalog.PORTFOLIO_INBOX: OFFSET_END,
        }
        prefix = self._config.prefix
        client.assign(
            [TopicPartition(kafka.physical(prefix, t), p, at) for t, at in starts.items() for p in range(t.partitions)]
        )
        types = {kafka.physical(prefix, t): t.types for t in starts}
        while self._running:
            for message in client.consume(500, 0.2):
                if message.error() is None and message.value() is not None:
                    with contextlib.suppress(wire.BadRecord):
                        for event in wire.decode(message.value() or b"", types[message.topic() or ""]):
                            self._keep(event)
        client.close()

    def _keep(self, event: Any) -> None:
        match event:
            case Mark():
                self.marks[event.instrument] = event
            case OrderUpdated():
                self.orders[event.client_order_id] = event
            case PositionChanged():
                self.positions[event.account, event.strategy, event.instrument] = event
            case PortfolioLine():
                self.lines[event.account, event.strategy, event.instrument] = event

    def close(self) -> None:
        self._running = False
        self._thread.join(2)


class LiveView:
    """``refresh`` redraws; leaving the context leaves the last picture standing."""

    def __init__(self, watched: Watched, console: Console | None = None) -> None:
        self._watched = watched
        self._console = console or Console()
        self._tail: Tail | None = None
        self._live: Live | None = None
        self._history: dict[str, deque[tuple[float, int]]] = {}
        self._notes: deque[str] = deque(maxlen=4)
        self._drawn = 0.0

    def __enter__(self) -> "LiveView":
        self._tail = Tail(self._watched.config, self._watched.kafka)
        self._live = Live(console=self._console, auto_refresh=False, screen=False, transient=False)
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tail is not None:
            self._tail.close()
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def note(self, line: str) -> None:
        """One line that stays under the picture until four newer ones push it out."""
        self._notes.append(line)

    def await_market(self, timeout_s: float) -> None:
        """Until the tape has told a market, or it is quiet."""
        deadline = time.monotonic() + timeout_s
        while self._tail is not None and not self._tail.marks and time.monotonic() < deadline:
            time.sleep(0.1)

    def read_twice(self, apart_s: float) -> None:
        """What is counted per second takes two looks; every worker says its counts once a second."""
        self.picture()
        time.sleep(apart_s)

    def refresh(self) -> None:
        now = time.monotonic()
        if self._live is None or now - self._drawn < 0.5:
            return
        self._drawn = now
        self._live.update(self.picture(), refresh=True)

    def picture(self) -> Group:
        size = self._console.size
        market = Panel(self._markets(), title="market", border_style="dim")
        strategies = Panel(self._pnl(self._narrow), title="strategies", border_style="dim")
        told = [Text(line, style="bold red") for line in alarms(self._watched.statuses(), self._watched.stopping)]
        notes = [*told, *(Text(line, style="yellow") for line in self._notes)]
        if self._narrow:
            rows = max(2, size.height - 22)
            return Group(self._headline(), market, strategies, self._open_orders(rows), self._unwell(), *notes)
        body = Table.grid(expand=True, padding=(0, 1))
        body.add_column(ratio=5)
        body.add_column(ratio=6)
        right = Group(market, strategies, self._open_orders(max(3, size.height - 26)))
        body.add_row(Panel(self._workers(), title="workers", border_style="dim"), right)
        return Group(self._headline(), body, *notes)

    def _open_orders(self, rows: int) -> Panel:
        working = [o for o in (list(self._tail.orders.values()) if self._tail else []) if not o.status.is_terminal]
        shown = sorted(working, key=lambda o: o.client_order_id)[:rows]
        table = wide_orders(shown) if self._console.size.width >= ROOMY else narrow_orders(shown)
        return Panel(table, title="open orders", border_style="dim")

    def _unwell(self) -> Text:
        """On a narrow screen only the workers that are not well, or behind."""
        told = [
            f"{n} (lag {s['lag']:,})" if s.get("ready") else f"{n} (not ready)"
            for n, s in self._watched.statuses().items()
            if _unwell(s)
        ]
        return Text(
            "workers: " + (", ".join(told) if told else "all ready, none behind"), style="red" if told else "green"
        )

    def _headline(self) -> Text:
        statuses = self._watched.statuses()
        ready = sum(bool(s.get("ready")) for s in statuses.values())
        produced = sum(self._rate(name, int(s.get("records_out", 0))) for name, s in statuses.items())
        fills = sum(p.fills for p in self._tail.positions.values()) if self._tail else 0
        run, workers = self._watched.config.run.name, f"{ready}/{len(statuses)}"
        wide = f"  run {run}   {workers} workers ready   {produced:,.0f} records/s   {fills} fills"
        narrow = f" {run}  {workers} ready  {produced:,.0f} records/s  {fills} fills"
        return Text.assemble((" tapedeck ", "bold reverse"), narrow if self._narrow else wide)

    @property
    def _narrow(self) -> bool:
        return self._console.size.width < WIDE

    def _rate(self, name: str, count: int) -> float:
        history = self._history.setdefault(name, deque(maxlen=10))
        now = time.monotonic()
        if not history or history[-1][1] != count or now - history[-1][0] > 1:
            history.append((now, count))
        first = history[0]
        return max(0.0, (count - first[1]) / (now - first[0])) if now - first[0] > 0.2 else 0.0

    def _workers(self) -> Table:
        table = Table(box=None, header_style="bold", expand=True, pad_edge=False)
        table.add_column("worker", no_wrap=True)
        table.add_column("state", no_wrap=True)
        for title in ("in", "out", "lag"):
            table.add_column(title, justify="right", no_wrap=True)
        for name, s in sorted(self._watched.statuses().items()):
            state, style = _state(s, self._watched.stopping, time.time())
            lag = s.get("lag", 0)
            lag_text = Text("–" if lag is None else f"{lag:,}", style="red" if (lag or 0) > 1000 else "")
            table.add_row(
                name, Text(state, style=style), f"{s.get('records_in', 0):,}", f"{s.get('records_out', 0):,}", lag_text
            )
        return table

    def _markets(self) -> Table:
        table = Table(box=None, header_style="bold", expand=True, pad_edge=False)
        table.add_column("instrument")
        for title in ("bid", "ask", "spread", "age"):
            table.add_column(title, justify="right")
        for name, mark in sorted(self._tail.marks.items() if self._tail else ()):
            age = max(0.0, time.time() - mark.ts_init / 1e9)
            spread = mark.best_ask - mark.best_bid
            table.add_row(name, text(mark.best_bid), text(mark.best_ask), text(spread), f"{age:.1f} s")
        return table

    def _pnl(self, narrow: bool) -> Table:
        table = Table(box=None, header_style="bold", expand=True, pad_edge=False)
        table.add_column("strategy")
        titles = (
            ("position", "fills", "P&L") if narrow else ("position", "fills", "realized", "unrealized", "fees", "P&L")
        )
        for title in titles:
            table.add_column(title, justify="right", no_wrap=True)
        tail = self._tail
        if tail is None:
            return table
        for (account, strategy, instrument), p in sorted(tail.positions.items()):
            line = tail.lines.get((account, strategy, instrument))
            figures = (
                (line.realized_pnl, line.unrealized_pnl, line.fees, line.total_pnl)
                if line
                else (p.realized_pnl, None, None, None)
            )
            told = figures[-1:] if narrow else figures
            table.add_row(f"{strategy} {instrument}", text(p.quantity), str(p.fills), *(money(f) for f in told))
        for (_, strategy, instrument), line in sorted(tail.lines.items()):
            if not strategy and not instrument:
                row = (money(line.realized_pnl), money(line.unrealized_pnl), money(line.fees), money(line.total_pnl))
                table.add_row(
                    Text(f"{line.account} ({line.currency})", style="bold"), "", "", *(row[-1:] if narrow else row)
                )
        return table


def wide_orders(orders: Sequence[OrderUpdated]) -> Table:
    table = Table(box=None, header_style="bold", expand=True, pad_edge=False)
    for title in ("strategy", "instrument", "side"):
        table.add_column(title)
    for title in ("qty", "price", "filled"):
        table.add_column(title, justify="right")
    table.add_column("status")
    for o in orders:
        figures = (text(o.order_qty), _price(o), text(o.cum_qty))
        table.add_row(o.strategy, o.instrument, _side(o), *figures, o.status)
    if not orders:
        table.add_row("none", "", "", "", "", "", "")
    return table


def narrow_orders(orders: Sequence[OrderUpdated]) -> Table:
    """The names take as many lines as they need, so that no figure is cut."""
    table = Table(box=None, header_style="bold", expand=True, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("order", overflow="fold")
    for title in ("", "qty", "price", "filled", "status"):
        table.add_column(title, justify="left" if title in ("", "status") else "right", no_wrap=True)
    for o in orders:
        figures = (text(o.order_qty), _price(o), text(o.cum_qty))
        status = "partial" if o.status is OrderStatus.PARTIALLY_FILLED else o.status
        table.add_row(f"{o.strategy} {o.instrument}", _side(o), *figures, status)
    if not orders:
        table.add_row("none", "", "", "", "", "")
    return table


def _side(order: OrderUpdated) -> Text:
    return Text(order.side, style="green" if order.side == "buy" else "red")


def _price(order: OrderUpdated) -> str:
    """Of a stop order its kind and trigger."""
    return text(order.price) if order.trigger_price is None else f"{order.order_type} {text(order.trigger_price)}"


def alarms(statuses: Mapping[str, Mapping[str, Any]], stopping: bool = False) -> list[str]:
    """What somebody should look at: kills, halts, unknown orders, what is missing or could not be read, silent workers."""
    found = []
    for name, s in sorted(statuses.items()):
        found += [f"killed: {scope} by {who}" for scope, who in s.get("kills", {}).items()]
        found += [f"halted for new risk: {instrument}: {why}" for instrument, why in s.get("halts", {}).items()]
        if s.get("alarm"):
            found.append(s["alarm"])
        for field, words in ALARMING.items():
            if s.get(field):
                found.append(f"{name}: {s[field]:,} {words}")
        if _is_silent(s) and not stopping:
            found.append(f"{name} has said nothing for {time.time() - s['ts'] / 1e9:.0f} s")
    return found


def _is_silent(status: Mapping[str, Any]) -> bool:
    return bool(status.get("ready")) and time.time() - status.get("ts", 0) / 1e9 > STALE_S


def _state(status: Mapping[str, Any], stopping: bool, now_s: float) -> tuple[str, str]:
    """What is said of a worker, and in which colour: one that has stopped, or is busy with it, is not silent."""
    old = now_s - status.get("ts", 0) / 1e9 > STALE_S
    if stopping and (old or not status.get("ready")):
        return ("stopping", "yellow") if psutil.pid_exists(int(status.get("pid", -1))) else ("stopped", "dim")
    if status and old:
        return "silent", "red"
    return ("ready", "green") if status.get("ready") else ("starting", "yellow")


def _unwell(status: Mapping[str, Any]) -> bool:
    return not status.get("ready") or (status.get("lag") or 0) > 1000


def money(value: Decimal | None) -> Text:
    if value is None:
        return Text("–")
    return Text(plain.money(value), style="green" if value > 0 else "red" if value < 0 else "")
