"""Writes `ledger.jsonl` (see `ledger`): lines become durable in batches, and who waits for them is called after that."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from adapters.simulated.contracts import written
from adapters.simulated.instruments import Instrument
from adapters.simulated.model import BalanceChanged, Deposited, Event, ExecutionType, OrderReport
from adapters.simulated.resume import Remains
from adapters.simulated.units import text


def lines_of(events: Iterable[Event]) -> Iterator[dict[str, Any]]:
    """What the ledger says of these events; public trades and refusals are no entries."""
    for event in events:
        if isinstance(event, OrderReport):
            yield _order(event)
            if event.execution is ExecutionType.TRADE:
                yield _execution(event)
        elif isinstance(event, BalanceChanged):
            yield {
                "type": "balance",
                "time": event.ts_ns,
                "account": event.account,
                "asset": event.asset,
                "free": text(event.free),
                "locked": text(event.locked),
                "cause": event.cause,
            }
        elif isinstance(event, Deposited):
            yield {
                "type": "deposit",
                "time": event.ts_ns,
                "account": event.account,
                "asset": event.asset,
                "amount": text(event.amount),
                "opening": event.opening,
            }


def _order(report: OrderReport) -> dict[str, Any]:
    order = report.order
    return {
        "type": "order",
        "time": report.ts_ns,
        "event": report.execution,
        "account": order.account,
        "symbol": order.symbol,
        "order_id": order.order_id,
        "client_order_id": order.client_order_id,
        "cancel_id": report.cancel_id,
        "replaced_id": report.replaced_id,
        "side": order.side,
        "order_type": order.type,
        "time_in_force": order.time_in_force,
        "price": text(order.price),
        "stop_price": text(order.stop_price),
        "qty": text(order.orig_qty),
        "quote_order_qty": text(order.quote_qty),
        "executed_qty": text(order.executed),
        "cum_quote": text(order.cum_quote),
        "prevented_qty": text(order.prevented),
        "status": order.status,
        "self_trade_prevention": order.self_trade_prevention,
        "created": order.created_ns,
        "working": order.working_ns,
        "amendments": order.amendments,
    }


def _execution(report: OrderReport) -> dict[str, Any]:
    order = report.order
    return {
        "type": "execution",
        "time": report.ts_ns,
        "account": order.account,
        "symbol": order.symbol,
        "order_id": order.order_id,
        "client_order_id": order.client_order_id,
        "trade_id": report.trade_id,
        "execution_id": report.execution_id,
        "side": order.side,
        "qty": text(report.last_qty),
        "price": text(report.last_px),
        "quote_qty": text(report.last_quote),
        "fee": text(report.fee),
        "fee_asset": report.fee_asset,
        **({} if report.gain is None else {"gain": text(report.gain)}),
        "maker": report.is_maker,
        "counter_account": report.counter_account,
        "counter_order_id": report.counter_order_id,
    }


class LedgerExists(Exception):
    """The folder already holds a ledger: another run's evidence is not written over."""


class LedgerWriter:
    """Appends, and calls back once what was appended before is on disk; callbacks keep their order.

    When a write fails `failed` is set and nothing is called back any more: the exchange has to stop.
    """

    def __init__(self, path: Path, remains: Remains | None = None) -> None:
        """A new ledger, or the one that had these remains, cut off after its last whole operation."""
        new = os.O_CREAT | os.O_EXCL if remains is None else 0
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | new, 0o644)
        except FileExistsError as error:
            raise LedgerExists(str(path)) from error
        if remains is not None:
            os.ftruncate(self._file, remains.size)
        self._seq = 0 if remains is None else remains.seq
        self._pending: list[bytes] = []
        self._waiting: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None
        self.failed = asyncio.Event()
        self.failure: OSError | None = None

    def open_with(self, instruments: Iterable[Instrument]) -> None:
        symbols = [{"symbol": one.symbol, "base": one.base, "quote": one.quote} | written(one) for one in instruments]
        self.note("ledger", version=1, symbols=symbols)

    def note(self, kind: str, **about: Any) -> None:
        """A line about the exchange itself."""
        self._append({"type": kind, **about, "end": True})

    def append(self, events: Iterable[Event]) -> None:
        """What one operation did."""
        lines = list(lines_of(events))
        for line in lines[:-1]:
            self._append(line)
        for line in lines[-1:]:
            self._append({**line, "end": True})

    def when_durable(self, call: Callable[[], None]) -> None:
        """`call` follows the write of everything appended so far; at once when nothing waits."""
        if not self._pending and self._task is None:
            call()
            return
        self._waiting.append(call)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._drain())

    async def durable(self) -> None:
        reached = asyncio.Event()
        self.when_durable(reached.set)
        await reached.wait()

    def close(self) -> None:
        """Writes what is left; nothing may be appended afterwards."""
        if self._pending:
            self._write(b"".join(self._pending))
            self._pending.clear()
        os.close(self._file)

    def _append(self, line: dict[str, Any]) -> None:
        self._seq += 1
        self._pending.append(orjson.dumps({"seq": self._seq, **line}) + b"\n")

    async def _drain(self) -> None:
        """One write and one fsync for all that one turn of the event loop (or the last fsync) left behind."""
        loop = asyncio.get_running_loop()
        while self._pending or self._waiting:
            await asyncio.sleep(0)
            batch, self._pending = b"".join(self._pending), []
            calls, self._waiting = self._waiting, []
            try:
                await loop.run_in_executor(None, self._write, batch)
            except OSError as error:
                self.failure = error
                self.failed.set()
                return
            for call in calls:
                call()
        self._task = None

    def _write(self, batch: bytes) -> None:
        view = memoryview(batch)
        while view:
            view = view[os.write(self._file, view) :]
        os.fsync(self._file)
