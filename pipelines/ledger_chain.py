"""Whether each line of the exchange's ledger follows from those before it, so that one altered line is found wherever it stands."""

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from adapters.simulated.contracts import Position, Terms, read
from adapters.simulated.model import Side
from adapters.simulated.units import text, units


def broken_lines(path: Path) -> list[str]:
    """Lines whose balance or executed quantity is not what deposits and executions before them add up to."""
    return list(_Chain().read(path))


class _Chain:
    """`due` is what an account holds of an asset, `executed` what an order has executed, as of the line being read."""

    def __init__(self) -> None:
        self._terms: dict[str, Terms] = {}
        self._positions: defaultdict[tuple[str, str], Position] = defaultdict(Position)
        self._due: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
        self._executed: defaultdict[tuple[str, int], Decimal] = defaultdict(Decimal)

    def read(self, path: Path) -> Iterator[str]:
        for raw in path.read_bytes().rpartition(b"\n")[0].splitlines():
            line = orjson.loads(raw)
            problem = self._fold(line)
            if problem:
                yield f"line {line['seq']}: {problem}"

    def _fold(self, line: dict[str, Any]) -> str:
        match line["type"]:
            case "ledger":
                self._terms = {one["symbol"]: read(one) for one in line["symbols"]}
            case "deposit":
                self._due[line["account"], line["asset"]] += Decimal(line["amount"])
            case "execution":
                return self._execute(line)
            case "balance":
                return self._balance(line)
            case "order":
                return self._order(line)
        return ""

    def _execute(self, line: dict[str, Any]) -> str:
        terms, problem = self._terms[line["symbol"]], ""
        sign = 1 if line["side"] == "BUY" else -1
        if terms.is_contract:
            problem = self._gain(line, terms)
            self._due[line["account"], terms.settle] += Decimal(line["gain"])
        else:
            self._due[line["account"], terms.base] += sign * Decimal(line["qty"])
            self._due[line["account"], terms.quote] -= sign * Decimal(line["quote_qty"])
        self._due[line["account"], line["fee_asset"]] -= Decimal(line["fee"])
        self._executed[line["account"], line["order_id"]] += Decimal(line["qty"])
        return problem

    def _gain(self, line: dict[str, Any], terms: Terms) -> str:
        """What the trade closed, at average cost, and what it was worth."""
        qty, value = units(line["qty"]), terms.value(units(line["price"]), units(line["qty"]))
        gain = self._positions[line["account"], line["symbol"]].trade(terms, Side(line["side"]), qty, value)
        if (units(line["gain"]), units(line["quote_qty"])) == (gain, value):
            return ""
        return f"order {line['order_id']} gains {line['gain']} of a value of {line['quote_qty']}, {text(gain)} of {text(value)} due"

    def _balance(self, line: dict[str, Any]) -> str:
        held, due = Decimal(line["free"]) + Decimal(line["locked"]), self._due[line["account"], line["asset"]]
        return "" if held == due else f"{line['account']} holds {held} {line['asset']}, {due} due"

    def _order(self, line: dict[str, Any]) -> str:
        """A trade's order line stands before the execution itself."""
        if line["event"] == "TRADE":
            return ""
        executed, due = Decimal(line["executed_qty"]), self._executed[line["account"], line["order_id"]]
        return "" if executed == due else f"order {line['order_id']} has executed {executed}, {due} due"
