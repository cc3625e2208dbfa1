"""The figures that `verify` compares: one source's word on executions, positions and balances, and whatever contradicts itself there.

A figure is named by (account, instrument, name), the instrument empty where it is the account's.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from pipelines.exact import EXACT, ZERO

SUMS = ("executions", "bought_qty", "sold_qty", "net_position", "bought_value", "sold_value")
LOGGED = ("quantity", "realized_pnl", "bought_qty", "sold_qty", "bought_value", "sold_value", "fills")


class Figure(NamedTuple):
    account: str
    instrument: str
    name: str


class ExecutionId(NamedTuple):
    account: str
    instrument: str
    venue_order_id: str
    trade_id: str
    reversal: bool


class Execution(NamedTuple):
    """What one execution says; `strategy` and `client_order_id` are None in the ledger, which knows neither."""

    side: str
    qty: Decimal
    px: Decimal
    fee: Decimal
    fee_currency: str
    liquidity: str
    strategy: str | None = None
    client_order_id: str | None = None


@dataclass
class Source:
    """What one source says. `accounts` are those it knows (None: all); `problems` are its own contradictions."""

    name: str
    accounts: frozenset[str] | None = None
    figures: dict[Figure, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    executions: dict[ExecutionId, Execution] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, account: str, instrument: str, name: str, amount: Decimal | int) -> None:
        figure = Figure(account, instrument, name)
        self.figures[figure] = EXACT.add(self.figures.get(figure, ZERO), Decimal(amount))

    def put_execution(self, ident: ExecutionId, execution: Execution) -> None:
        if ident in self.executions:
            self.problems.append(f"{self.name}: {named(ident)} stands there more than once")
        self.executions[ident] = execution

    def add_sums(self, account: str, instrument: str, prefix: str, values: Iterable[Decimal | int]) -> None:
        for name, value in zip(SUMS, values, strict=True):
            self.add(account, instrument, prefix + name, value)


def named(ident: ExecutionId) -> str:
    return f"{ident.account} {ident.instrument} order {ident.venue_order_id} trade {ident.trade_id}"
