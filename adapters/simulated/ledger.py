"""`ledger.jsonl`: every balance change, order change and execution of the clients' accounts, one JSON object a line.

`ledger_writer` makes lines durable in batches; an answer leaves the exchange only after its lines are on disk. The
reader here sums them. Amounts are decimal strings, times nanoseconds UTC by the exchange's own clock, `seq` counts
lines from 1, `end` marks the last line of an operation. Line types: `ledger` (the first: what is traded), `start` (of
the market, by the machine's clock), `resume` (a new life of the exchange), `deposit` (with `opening`), `order`,
`execution`, `balance`.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import orjson

from adapters.simulated.contracts import Terms, read
from adapters.simulated.model import Side

ZERO = Decimal(0)
Pair = tuple[str, str]


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
    gain: Decimal = ZERO
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
    terms: dict[str, Terms]

    def expected(self) -> dict[Pair, Decimal]:
        """What each balance has to be: deposits, and what executions moved."""
        totals: defaultdict[Pair, Decimal] = defaultdict(Decimal, self.deposits)
        for one in self.executions:
            terms = self.terms[one.symbol]
            sign = 1 if one.side is Side.BUY else -1
            if terms.is_contract:
                totals[one.account, terms.settle] += one.gain
            else:
                totals[one.account, terms.base] += sign * one.qty
                totals[one.account, terms.quote] -= sign * one.quote_qty
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
            ledger.terms = {one["symbol"]: read(one) for one in line["symbols"]}
        case "deposit":
            _add_deposit(ledger, (line["account"], line["asset"]), Decimal(line["amount"]), line["opening"])
        case "order":
            ledger.orders[line["account"], line["order_id"]] = line
        case "execution":
            _add_execution(ledger, msgspec.convert(line, Execution, strict=False))
        case "balance":
            holding = Holding(Decimal(line["free"]), Decimal(line["locked"]))
            ledger.balances[line["account"], line["asset"]] = holding
        case "start" | "resume":
            pass
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
