"""`ledger.jsonl`: every balance change, order change and execution of the clients' accounts, one JSON object a line.

The writer makes lines durable in batches; an answer leaves the exchange only after its lines are on disk. The reader
sums them. Amounts are decimal strings, times nanoseconds UTC, `seq` counts lines from 1. Line types: `ledger` (the
first: what is traded), `deposit` (with `opening`), `order`, `execution`, `balance`.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import orjson

from adapters.simulated.instruments import Instrument
from adapters.simulated.model import BalanceChanged, Deposited, Event, ExecutionType, OrderReport, Side
from adapters.simulated.units import text

ZERO = Decimal(0)
Pair = tuple[str, str]


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
        "side": order.side,
        "order_type": order.type,
        "time_in_force": order.time_in_force,
        "price": text(order.price),
        "qty": text(order.orig_qty),
        "executed_qty": text(order.executed),
        "cum_quote": text(order.cum_quote),
        "prevented_qty": text(order.prevented),
        "status": order.status,
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
        "side": order.side,
        "qty": text(report.last_qty),
        "price": text(report.last_px),
        "quote_qty": text(report.last_quote),
        "fee": text(report.fee),
        "fee_asset": report.fee_asset,
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

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        except FileExistsError as error:
            raise LedgerExists(str(path)) from error
        self._seq = 0
        self._pending: list[bytes] = []
        self._waiting: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None
        self.failed = asyncio.Event()
        self.failure: OSError | None = None

    def open_with(self, instruments: Iterable[Instrument]) -> None:
        symbols = [{"symbol": one.symbol, "base": one.base, "quote": one.quote} for one in instruments]
        self._append({"type": "ledger", "version": 1, "symbols": symbols})

    def append(self, events: Iterable[Event]) -> None:
        for line in lines_of(events):
            self._append(line)

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


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a trade, as the ledger has it."""

    time: int
    account: str
    symbol: str
    order_id: int
    client_order_id: str
    trade_id: int
    side: Side
    qty: Decimal
    price: Decimal
    quote_qty: Decimal
    fee: Decimal
    fee_asset: str
    maker: bool
    counter_account: str = ""
    counter_order_id: int = -1

    @property
    def signed_qty(self) -> Decimal:
        return self.qty if self.side is Side.BUY else -self.qty


class Holding(msgspec.Struct, frozen=True):
    """A balance as last written."""

    free: Decimal
    locked: Decimal

    @property
    def total(self) -> Decimal:
        return self.free + self.locked


class Ledger(msgspec.Struct):
    """The sums; keys are (account, symbol) for positions and (account, asset) for balances, deposits and fees.

    `positions` is bought less sold, before fees. `orders` has the last line of each order by (account, order id).
    """

    executions: list[Execution]
    balances: dict[Pair, Holding]
    deposits: dict[Pair, Decimal]
    openings: dict[Pair, Decimal]
    positions: dict[Pair, Decimal]
    fees: dict[Pair, Decimal]
    orders: dict[tuple[str, int], dict[str, Any]]
    assets: dict[str, Pair]

    def expected(self) -> dict[Pair, Decimal]:
        """What each balance has to be: deposits, and what executions moved."""
        totals: defaultdict[Pair, Decimal] = defaultdict(Decimal, self.deposits)
        for one in self.executions:
            base, quote = self.assets[one.symbol]
            sign = 1 if one.side is Side.BUY else -1
            totals[one.account, base] += sign * one.qty
            totals[one.account, quote] -= sign * one.quote_qty
            totals[one.account, one.fee_asset] -= one.fee
        return dict(totals)

    def differences(self) -> list[str]:
        """Where the written balances are not what deposits and executions add up to; empty when all agree."""
        expected = self.expected()
        held = {pair: holding.total for pair, holding in self.balances.items()}
        return [
            f"{account} {asset}: {held.get((account, asset), ZERO)} held, {expected.get((account, asset), ZERO)} due"
            for account, asset in sorted(expected.keys() | held.keys())
            if held.get((account, asset), ZERO) != expected.get((account, asset), ZERO)
        ]


def read_ledger(path: str | Path) -> Ledger:
    """Sum a ledger, also while it is being written: a last line without its end is left out. ValueError on others."""
    ledger = Ledger([], {}, {}, {}, {}, {}, {}, {})
    complete = Path(path).read_bytes().rpartition(b"\n")[0]
    for number, raw in enumerate(complete.splitlines(), start=1):
        line = orjson.loads(raw)
        if line["seq"] != number:
            raise ValueError(f"{path}: line {number} has sequence number {line['seq']}")
        _fold(ledger, line)
    return ledger


def _fold(ledger: Ledger, line: dict[str, Any]) -> None:
    match line["type"]:
        case "ledger":
            ledger.assets = {one["symbol"]: (one["base"], one["quote"]) for one in line["symbols"]}
        case "deposit":
            _add_deposit(ledger, (line["account"], line["asset"]), Decimal(line["amount"]), line["opening"])
        case "order":
            ledger.orders[line["account"], line["order_id"]] = line
        case "execution":
            _add_execution(ledger, msgspec.convert(line, Execution, strict=False))
        case "balance":
            holding = Holding(Decimal(line["free"]), Decimal(line["locked"]))
            ledger.balances[line["account"], line["asset"]] = holding
        case other:
            raise ValueError(f"unknown kind of ledger line: {other}")


def _add_deposit(ledger: Ledger, pair: Pair, amount: Decimal, opening: bool) -> None:
    ledger.deposits[pair] = ledger.deposits.get(pair, ZERO) + amount
    if opening:
        ledger.openings[pair] = ledger.openings.get(pair, ZERO) + amount


def _add_execution(ledger: Ledger, one: Execution) -> None:
    ledger.executions.append(one)
    position, fee = (one.account, one.symbol), (one.account, one.fee_asset)
    ledger.positions[position] = ledger.positions.get(position, ZERO) + one.signed_qty
    ledger.fees[fee] = ledger.fees.get(fee, ZERO) + one.fee
