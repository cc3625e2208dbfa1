"""What a ledger says of an earlier life of the exchange, and putting it back: accounts, orders, executions, ids.

The lines of one operation belong together; the last of them has `end`. What follows the last `end` was being written
when the exchange was killed: nobody was told of it, so it is cut off. Ids of the n-th life begin at n·10⁹, so that
no id is given twice, whatever was public only. Statistics, recent public trades and budgets begin anew.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import msgspec
import orjson

from adapters.simulated.contracts import Position, Terms, margins, read
from adapters.simulated.matching import needed
from adapters.simulated.model import (
    ExecutionType,
    Order,
    OrderReport,
    OrderType,
    SelfTradePrevention,
    Side,
    Status,
    TimeInForce,
)
from adapters.simulated.registry import Registry
from adapters.simulated.units import units
from adapters.simulated.wallets import Wallets

IDS_OF_A_LIFE = 10**9
Pair = tuple[str, str]


class ResumeError(Exception):
    """The ledger cannot be continued; one line that says why."""


class Remains(msgspec.Struct):
    """Amounts in 1e-8. `size` and `seq` are where the ledger is to be continued, `life` is the one that begins."""

    size: int = 0
    seq: int = 0
    life: int = 1
    started_ns: int | None = None
    terms: dict[str, Terms] = {}
    positions: dict[Pair, Position] = {}
    balances: dict[Pair, tuple[int, int]] = {}
    deposits: Counter[str] = msgspec.field(default_factory=Counter)
    fees: Counter[str] = msgspec.field(default_factory=Counter)
    orders: dict[tuple[str, int], Order] = {}
    executions: list[OrderReport] = []

    @property
    def first_id(self) -> int:
        return self.life * IDS_OF_A_LIFE

    def accounts(self) -> list[str]:
        return list(dict.fromkeys(account for account, _ in self.balances))


def read_remains(path: Path) -> Remains:
    """`ResumeError` when there is no ledger, or it is not this program's, or it does not add up; empty when it is."""
    remains, pending = Remains(), list[dict[str, Any]]()
    try:
        data = path.read_bytes()
        for raw in data.splitlines(keepends=True):
            if not raw.endswith(b"\n"):
                break
            pending.append(orjson.loads(raw))
            if pending[-1].get("end"):
                _fold_operation(remains, pending)
                remains.size = _after(data, remains.size, len(pending))
                pending = []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResumeError(f"{path} cannot be resumed: {error}") from error
    _lock_contracts(remains)
    _check_locked(path, remains)
    return remains


def _after(data: bytes, start: int, lines: int) -> int:
    for _ in range(lines):
        start = data.index(b"\n", start) + 1
    return start


def _fold_operation(remains: Remains, lines: list[dict[str, Any]]) -> None:
    for line in lines:
        if line["seq"] != remains.seq + 1:
            raise ValueError(f"line {remains.seq + 1} has sequence number {line['seq']}")
        remains.seq = line["seq"]
        _fold(remains, line)


def _fold(remains: Remains, line: dict[str, Any]) -> None:
    match line["type"]:
        case "ledger":
            remains.terms = {one["symbol"]: read(one) for one in line["symbols"]}
        case "start":
            remains.started_ns = line["time"]
        case "resume":
            remains.life = line["life"] + 1
        case "deposit":
            remains.deposits[line["asset"]] += units(line["amount"])
        case "balance":
            remains.balances[line["account"], line["asset"]] = (units(line["free"]), units(line["locked"]))
        case "order":
            remains.orders[line["account"], line["order_id"]] = _order(line)
        case "execution":
            report = _execution(line, remains.orders[line["account"], line["order_id"]])
            remains.executions.append(report)
            _hold(remains, report)
            remains.fees[line["fee_asset"]] += report.fee


def _order(line: dict[str, Any]) -> Order:
    order = Order(
        order_id=line["order_id"],
        account=line["account"],
        symbol=line["symbol"],
        client_order_id=line["client_order_id"],
        side=Side(line["side"]),
        type=OrderType(line["order_type"]),
        time_in_force=TimeInForce(line["time_in_force"]),
        price=units(line["price"]),
        orig_qty=units(line["qty"]),
        quote_qty=units(line["quote_order_qty"]),
        self_trade_prevention=SelfTradePrevention(line["self_trade_prevention"]),
        created_ns=line["created"],
        updated_ns=line["time"],
        status=Status(line["status"]),
        executed=units(line["executed_qty"]),
        cum_quote=units(line["cum_quote"]),
        prevented=units(line["prevented_qty"]),
        stop_price=units(line["stop_price"]),
        working_ns=line["working"],
        amendments=line["amendments"],
    )
    if order.status.open:
        order.locked = needed(order.side, order.price or order.stop_price, order.leaves)
    return order


def _execution(line: dict[str, Any], order: Order) -> OrderReport:
    return OrderReport(
        ts_ns=line["time"],
        execution_id=line["execution_id"],
        execution=ExecutionType.TRADE,
        order=order,
        last_qty=units(line["qty"]),
        last_px=units(line["price"]),
        last_quote=units(line["quote_qty"]),
        trade_id=line["trade_id"],
        fee=units(line["fee"]),
        fee_asset=line["fee_asset"],
        is_maker=line["maker"],
        counter_order_id=line["counter_order_id"],
        counter_account=line["counter_account"],
    )


def _hold(remains: Remains, report: OrderReport) -> None:
    order, terms = report.order, remains.terms[report.order.symbol]
    if terms.is_contract:
        position = remains.positions.setdefault((order.account, order.symbol), Position())
        position.trade(terms, order.side, report.last_qty, report.last_quote)


def _lock_contracts(remains: Remains) -> None:
    """As of now; what an order locks depends on the position that it would close."""
    standing: defaultdict[Pair, list[Order]] = defaultdict(list)
    for order in sorted(remains.orders.values(), key=lambda one: one.order_id):
        if remains.terms[order.symbol].is_contract:
            standing[order.account, order.symbol].append(order)
    for (account, symbol), orders in standing.items():
        held = remains.positions.get((account, symbol), Position()).qty
        for order, amount in margins(remains.terms[symbol], held, orders):
            order.locked = amount


def _check_locked(path: Path, remains: Remains) -> None:
    """An open order is in the book or waits, so what it locks follows from its line; a position's margin from its executions."""
    locked: Counter[Pair] = Counter()
    for order in remains.orders.values():
        terms = remains.terms[order.symbol]
        spent = terms.quote if order.side is Side.BUY else terms.base
        locked[order.account, terms.settle if terms.is_contract else spent] += order.locked
    for (account, symbol), position in remains.positions.items():
        locked[account, remains.terms[symbol].settle] += position.margin
    held = Counter({pair: amount for pair, (_, amount) in remains.balances.items()})
    if +locked != +held:
        raise ResumeError(f"{path} cannot be resumed: open orders lock {dict(+locked)}, balances have {dict(+held)}")


# Putting it back


def restore_accounts(wallets: Wallets, remains: Remains, fees: str, market: str) -> None:
    """Balances as last written; what is missing to the deposits has gone to fees and to the market."""
    total = Counter[str]()
    for account in remains.accounts():
        wallets.open(account)
    for (account, asset), (free, locked) in remains.balances.items():
        wallets.credit(account, asset, free + locked)
        wallets.shift(account, asset, locked)
        total[asset] += free + locked
    for asset, deposited in remains.deposits.items():
        wallets.credit(fees, asset, remains.fees[asset])
        wallets.credit(market, asset, deposited - total[asset] - remains.fees[asset])
    wallets.take_touched()


def restore_orders(registry: Registry, remains: Remains) -> None:
    registry.begin_life(remains.first_id)
    for order in sorted(remains.orders.values(), key=lambda one: one.order_id):
        registry.add(order)
        if not order.status.open:
            registry.close(order, forget=False)
    for report in remains.executions:
        registry.execute(report)
